//! One conversation in memory.

use super::{
    conflict,
    members::{Members, Recent},
    sent::Sent,
};
use crate::{
    effect::{Lifetime, Output},
    id::{ConversationId, parse_conversation},
    limits::MEMBERS_MAX,
    log::{Offset, RecordRef},
    mutant::{self, Mutant},
    processor::Setup,
    record::{
        Reason, Refusal,
        sends::{self, Message},
    },
    store::{Change, Query, Row},
    table::{
        CellError, Value,
        conversation::{CONVERSATIONS, ConversationHead, Entry, partition},
        message::{self, MESSAGES, MessageRow, SentRow, block_of, message_clustering, sent_clustering},
    },
};

pub(super) use super::sent::Known;

/// Bytes that a head takes in a write, about.
pub(super) const HEAD_WRITE_BYTES: usize = 96;

#[derive(Debug, Default)]
pub(super) struct State {
    pub head: ConversationHead,
    pub members: Members,
    pub recent: Recent,
    sent: Sent,
    /// The record of the open batch that changed it last.
    changed_at: Option<Offset>,
}

impl State {
    pub fn new(head: ConversationHead, members: Members, recent: Recent) -> Self {
        let sent = Sent::new(head.latest_seq, head.latest_at_ms);
        Self { head, members, recent, sent, changed_at: None }
    }

    pub fn size_bytes(&self) -> usize {
        let parts = [self.members.size_bytes(), self.recent.size_bytes(), self.sent.size_bytes()];
        size_of::<Self>() + parts.iter().sum::<usize>()
    }

    /// Whether the record at `offset` is in the state already.
    pub fn includes(&self, offset: Offset) -> bool {
        offset < self.head.origin && !mutant::is(Mutant::ConversationOriginIgnored)
    }

    /// Whether an id's rows must be read before the next message.
    pub fn wants(&self, key: &str, time_ms: i64) -> bool {
        self.sent.wants(key, self.head.latest_seq + 1, time_ms)
    }

    pub fn known(&self, key: &str, hash: u64, time_ms: i64) -> Known {
        self.sent.known(key, hash, self.head.latest_seq + 1, time_ms)
    }

    /// Nothing that would have to be read was sent after this record time.
    pub fn sent_until_ms(&self) -> i64 {
        self.sent.loaded_at_ms()
    }

    pub fn load_sent(&mut self, query: &Query, rows: &[Row]) -> Result<(), CellError> {
        self.sent.load(query, rows)
    }

    pub fn forget_absent(&mut self, key: &str) {
        self.sent.forget_absent(key);
    }

    /// A direct conversation has its two users for members.
    pub fn is_member(&self, conversation: &str, user: &str) -> bool {
        match parse_conversation(conversation) {
            Ok(ConversationId::Direct(a, b)) => user == a || user == b,
            _ => self.members.contains(user),
        }
    }

    /// Gives a message the next number and writes its rows.
    pub fn number(
        &mut self,
        record: &RecordRef<'_>,
        message: &Message<'_>,
        (key, hash): (Box<str>, u64),
        history_s: u32,
        output: &mut Output,
    ) {
        let seq = self.head.latest_seq + 1;
        let accepted_at_ms = record.time_ms;
        let lifetime = Lifetime { time_ms: accepted_at_ms, ttl_s: history_s };
        let block = || message::partition(&message.conversation, block_of(seq));
        let row = MessageRow {
            sender: &message.sender,
            client_id: &message.client_id,
            session: message.session.as_deref(),
            sent_at_ms: message.sent_at,
            accepted_at_ms,
            body: message.body,
        };
        output.append(&MESSAGES, block(), message_clustering(seq), row.to_cells(), lifetime);
        let sent = SentRow { seq, hash, accepted_at_ms };
        let clustering = sent_clustering(&key, accepted_at_ms);
        output.append(&MESSAGES, block(), clustering, sent.to_cells(), lifetime);
        self.sent.add(key, sent);
        self.head.latest_seq = seq;
        // Record times may step back: what was sent within a day must not look older than it is.
        let latest_at_ms = if mutant::is(Mutant::HeadTimeStepsBack) { 0 } else { self.head.latest_at_ms };
        self.head.latest_at_ms = latest_at_ms.max(accepted_at_ms);
        self.changed(output);
    }

    /// Adds and removes members; whether anything is to be written. The same change again is the same.
    pub fn change_members(
        &mut self,
        setup: &Setup,
        record: &RecordRef<'_>,
        change: &sends::Members<'_>,
        output: &mut Output,
    ) -> Result<bool, Refusal> {
        let key = ((&*change.by).into(), (&*change.client_id).into());
        let hash = change.payload_hash();
        match self.recent.hash(&key, record.time_ms) {
            Some(known) if known == hash => return Ok(false),
            Some(_) => return Err(conflict("membership change", &change.client_id)),
            None => {}
        }
        if self.members.len() + change.add.len() > MEMBERS_MAX {
            let message = format!("`add`: a conversation has at most {MEMBERS_MAX} members");
            return Err(Refusal::new(Reason::Invalid, message));
        }
        let conversation = &*change.conversation;
        for user in &change.add {
            if self.members.add(&setup.topology, user) {
                let cells = Entry::cells(record.time_ms, 0);
                write(conversation, Entry::Member(user), cells, output);
            }
        }
        for user in &change.remove {
            if self.members.remove(&setup.topology, user) {
                delete(conversation, Entry::Member(user), output);
            }
        }
        let recent = Entry::Recent { by: &change.by, client_id: &change.client_id };
        write(conversation, recent, Entry::cells(record.time_ms, hash), output);
        self.recent.add(key, record.time_ms, hash);
        for (by, client_id) in self.recent.forget_old(record.time_ms) {
            delete(conversation, Entry::Recent { by: &by, client_id: &client_id }, output);
        }
        if !mutant::is(Mutant::MembersOriginNotMoved) {
            self.head.members_origin = output.origin();
        }
        self.changed(output);
        Ok(true)
    }

    fn changed(&mut self, output: &Output) {
        self.head.origin = output.origin();
        self.changed_at = Some(output.origin() - 1);
    }

    /// Writes the head as the batch leaves it.
    pub fn write(&mut self, conversation: &str, generation: i32, output: &mut Output) {
        if let Some(offset) = self.changed_at.take() {
            self.head.generation = generation;
            if mutant::is(Mutant::OriginOfTheBatchEnd) {
                self.head.origin = output.origin();
            }
            let change = Change::Statics(self.head.to_cells());
            output.change_at(offset, &CONVERSATIONS, partition(conversation), Box::default(), change);
        }
    }
}

fn write(conversation: &str, entry: Entry<'_>, cells: Box<[Value]>, output: &mut Output) {
    output.upsert(&CONVERSATIONS, partition(conversation), entry.to_clustering(), cells, None);
}

fn delete(conversation: &str, entry: Entry<'_>, output: &mut Output) {
    output.delete(&CONVERSATIONS, partition(conversation), entry.to_clustering());
}
