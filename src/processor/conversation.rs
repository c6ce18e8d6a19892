//! The fold of conversations: sends become numbered messages, one copy each, and what is owed to recipients;
//! membership changes become members.
//!
//! The unit of state is a conversation: its head, members and recent membership changes are read together,
//! written together and covered by one origin. A message's own rows come before the head, so that what is
//! above a head is not there yet, whatever its rows say.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Fold, FoldStats, RestoreError, Setup, Step, border,
    keyed::Keyed,
    parameters::{check_resume, resume},
};
use crate::{
    effect::Output,
    log::{Offset, RecordRef},
    mutant::{self, Mutant},
    record::{
        Reason, Refusal,
        dead_letter::Sender,
        sends::{Members, Message, SendInput, decode},
    },
    store::{Query, Row},
    table::{
        conversation::CONVERSATIONS,
        message::{MESSAGES, sent_key},
    },
    topology::{ProcessorKind, Topic},
};
use fanout::Fanout;
use fetch::Fetch;
use state::{Known, State};

mod fanout;
mod fetch;
mod members;
mod sent;
mod state;

/// The fold of one partition of `sends`.
#[derive(Debug)]
pub struct Conversation {
    setup: Setup,
    states: Keyed<Box<str>, State>,
    /// Conversations that are being read, page by page.
    fetches: BTreeMap<Box<str>, Fetch>,
    /// Conversations that the open batch has changed.
    changed: BTreeSet<Box<str>>,
    fanout: Fanout,
    batch: u64,
}

impl Fold for Conversation {
    const KIND: ProcessorKind = ProcessorKind::Conversation;
    const BEACONS: bool = false;

    fn new(setup: Setup, _position: Offset, resume: Option<&str>) -> Result<Self, RestoreError> {
        check_resume(Self::KIND, resume)?;
        Ok(Self {
            states: Keyed::new(setup.state_bytes_max),
            setup,
            fetches: BTreeMap::new(),
            changed: BTreeSet::new(),
            fanout: Fanout::default(),
            batch: 0,
        })
    }

    fn begin_batch(&mut self, batch: u64) {
        self.batch = batch;
    }

    fn fold(&mut self, record: &RecordRef<'_>, output: &mut Output) -> Step {
        let input = match decode(record.value) {
            Ok(input) => input,
            Err(refused) => {
                let sender = refused.sender.as_deref();
                let sender = Sender { sender, client_id: refused.client_id.as_deref() };
                return self.refuse(record, &refused.refusal, sender, output);
            }
        };
        let conversation = conversation_of(&input);
        let partition = self.setup.topology.place(Topic::Sends, conversation.as_bytes());
        if partition != self.setup.partition {
            return border::send_on(&self.setup, Topic::Sends, record, partition, output);
        }
        let Some(state) = self.states.get(conversation) else { return Step::Wanting };
        if state.includes(record.offset) {
            return Step::Filtered;
        }
        match &input {
            SendInput::Message(message) => self.message(record, message, output),
            SendInput::Members(members) => self.members(record, members, output),
        }
    }

    fn close(&mut self, output: &mut Output) {
        for conversation in std::mem::take(&mut self.changed) {
            if let Some(state) = self.states.get_mut(&*conversation, self.batch) {
                state.write(&conversation, self.setup.generation, output);
                let size_bytes = conversation.len() + state.size_bytes();
                self.states.resize(&*conversation, size_bytes);
            }
        }
        if !mutant::is(Mutant::DeliveriesHeldOver) {
            self.fanout.close(output);
        }
    }

    fn held_back_bytes(&self) -> usize {
        self.fanout.size_bytes() + self.changed.len() * state::HEAD_WRITE_BYTES
    }

    fn wanted<'a>(&self, records: &mut dyn Iterator<Item = RecordRef<'a>>) -> Vec<Query> {
        let mut wanted = fetch::Wanted::default();
        for record in records {
            let Ok(input) = decode(record.value) else { continue };
            let conversation = conversation_of(&input);
            if self.setup.topology.place(Topic::Sends, conversation.as_bytes()) != self.setup.partition {
                continue;
            }
            match (self.states.get(conversation), &input) {
                (None, _) => wanted.conversation(conversation, self.fetches.get(conversation)),
                (Some(state), SendInput::Message(message)) if !state.includes(record.offset) => {
                    let key = sent_key(&message.sender, &message.client_id);
                    if state.wants(&key, record.time_ms) {
                        wanted.sent(conversation, state, &key, record.time_ms);
                    }
                }
                (Some(_), _) => {}
            }
        }
        wanted.into_queries()
    }

    fn load(&mut self, query: &Query, rows: Vec<Row>) -> Result<(), RestoreError> {
        let Some(conversation) = query.partition.first().and_then(crate::table::Value::as_text) else {
            return Err(RestoreError("a conversation was read that nobody asked for".to_owned()));
        };
        let newer = |error: crate::table::CellError| {
            RestoreError(format!("a conversation: {error}; restore a newer backup of the table"))
        };
        if query.table.name == MESSAGES.name {
            if let Some(state) = self.states.get_mut(conversation, self.batch) {
                state.load_sent(query, &rows).map_err(newer)?;
            }
            return Ok(());
        }
        debug_assert_eq!(query.table.name, CONVERSATIONS.name);
        let fetch = self.fetches.remove(conversation).unwrap_or_default();
        match fetch.take(query, &rows, &self.setup).map_err(newer)? {
            fetch::Taken::More(fetch) => {
                self.fetches.insert(conversation.into(), fetch);
            }
            fetch::Taken::Whole(state) => {
                let size_bytes = conversation.len() + state.size_bytes();
                self.states.insert(conversation.into(), state, size_bytes, self.batch);
            }
        }
        Ok(())
    }

    fn resume(&self) -> String {
        resume(Self::KIND)
    }

    fn acknowledged(&mut self, batch: u64) {
        self.states.acknowledged(batch);
    }

    fn stats(&self) -> FoldStats {
        FoldStats { keys: self.states.len() as u64, ..FoldStats::default() }
    }
}

impl Conversation {
    fn message(&mut self, record: &RecordRef<'_>, message: &Message<'_>, output: &mut Output) -> Step {
        let Self { setup, states, changed, fanout, batch, .. } = self;
        let Some(state) = states.get_mut(&*message.conversation, *batch) else { return Step::Wanting };
        let key = sent_key(&message.sender, &message.client_id);
        let hash = message.payload_hash();
        let sender = Sender { sender: Some(&message.sender), client_id: Some(&message.client_id) };
        let refusal = match state.known(&key, hash, record.time_ms) {
            Known::Unknown => return Step::Wanting,
            Known::Same => return Step::Applied,
            Known::Other(seq) => Some(conflict("message", &seq.to_string())),
            Known::New
                if message.members_only
                    && !state.is_member(&message.conversation, &message.sender)
                    && !mutant::is(Mutant::MembersOnlyIgnored) =>
            {
                let text = "`members_only`: the sender is no member of the conversation";
                Some(Refusal::new(Reason::NotMember, text))
            }
            Known::New => None,
        };
        if let Some(refusal) = refusal {
            let step = border::refuse(setup, Topic::Sends, record, &refusal, &[], sender, output);
            if step != Step::WantingHeaders {
                state.forget_absent(&key);
                state.head.latest_seq += i64::from(mutant::is(Mutant::NumberBurnedByRefusal));
            }
            return step;
        }
        if !message.refused.is_empty() {
            let text = format!("{} recipients cannot be used; the others got theirs", message.refused.len());
            let refusal = Refusal::new(Reason::Recipients, text);
            let each = if mutant::is(Mutant::LetterPerRecipient) { 1 } else { message.refused.len() };
            for refused in message.refused.chunks(each) {
                let step = border::refuse(setup, Topic::Sends, record, &refusal, refused, sender, output);
                if step == Step::WantingHeaders {
                    return step;
                }
            }
        }
        state.number(record, message, (key, hash), setup.retention.history_s, output);
        if output.publishing() || mutant::is(Mutant::DeliveredBelowCommitted) {
            fanout.message(setup, state, record, message, output);
        }
        changed.insert((&*message.conversation).into());
        Step::Applied
    }

    fn members(&mut self, record: &RecordRef<'_>, change: &Members<'_>, output: &mut Output) -> Step {
        let Self { setup, states, changed, batch, .. } = self;
        let Some(state) = states.get_mut(&*change.conversation, *batch) else { return Step::Wanting };
        let refusal = match state.change_members(setup, record, change, output) {
            Ok(false) => return Step::Applied,
            Ok(true) => {
                changed.insert((&*change.conversation).into());
                return Step::Applied;
            }
            Err(refusal) => refusal,
        };
        let sender = Sender { sender: Some(&change.by), client_id: Some(&change.client_id) };
        self.refuse(record, &refusal, sender, output)
    }

    fn refuse(
        &self,
        record: &RecordRef<'_>,
        refusal: &Refusal,
        sender: Sender<'_>,
        output: &mut Output,
    ) -> Step {
        border::refuse(&self.setup, Topic::Sends, record, refusal, &[], sender, output)
    }
}

fn conversation_of<'a>(input: &'a SendInput<'_>) -> &'a str {
    match input {
        SendInput::Message(message) => &message.conversation,
        SendInput::Members(members) => &members.conversation,
    }
}

/// The same id was used for something else.
fn conflict(what: &str, which: &str) -> Refusal {
    let message = format!(
        "`client_id`: this sender used it for another {what} ({which}) within a day; a retry must say the same"
    );
    Refusal::new(Reason::Conflict, message)
}

#[cfg(test)]
mod tests;
