//! `sends` as the contract has it: which messages are accepted and which numbers they get, who belongs to a
//! group, what is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Account, Letter, Part, Said,
    json::{self, Fields, INVALID, OVERSIZE, Why},
};
use crate::{
    id::{ConversationId, parse_conversation},
    limits::{BLOCK_MESSAGES, BODY_BYTES_MAX, IDEMPOTENCE_MS, RECENT_CHANGES_MAX},
    log::{Offset, PartitionId},
    sim::log::partition::CommittedRecord,
    topology::{ProcessorKind, Topic, Topology},
};

/// The conversations of one partition of `sends`.
pub struct Conversations {
    topology: Arc<Topology>,
    partition: PartitionId,
    pub account: Account,
    pub by_id: BTreeMap<String, Conversation>,
    pub messages: u64,
}

#[derive(Debug, Default)]
pub struct Conversation {
    /// Number n is at n - 1.
    pub messages: Vec<Message>,
    pub members: BTreeSet<String>,
    /// The members as of every position at which they changed.
    pub memberships: BTreeMap<Offset, BTreeSet<String>>,
    /// Changes that are recognised when they come again, by time and then by who made them.
    pub recent: BTreeSet<Change>,
    /// The last message of every sender and id.
    uses: BTreeMap<(String, String), i64>,
    /// The greatest record time of a message.
    pub latest_at: i64,
    /// The positions after the last record that changed anything, and after the last that changed the
    /// members.
    pub origin: Offset,
    pub members_origin: Offset,
}

#[derive(Debug)]
pub struct Message {
    pub said: Said,
    pub recipients: BTreeSet<String>,
    /// What a retry must repeat.
    payload: Payload,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub at: i64,
    pub by: String,
    pub client_id: String,
    add: Vec<String>,
    remove: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Payload {
    body: String,
    recipients: Option<Vec<String>>,
    members_only: bool,
}

/// A record that is valid by itself.
struct Send {
    conversation: String,
    by: String,
    client_id: String,
    what: What,
}

enum What {
    Message { payload: Payload, unusable: Vec<u64>, session: Option<String>, sent_at: Option<i64> },
    Change { add: Vec<String>, remove: Vec<String> },
}

/// What becomes of a valid record.
enum Outcome {
    Applied,
    Refused(Why),
}

impl Conversations {
    pub fn new(topology: &Arc<Topology>, partition: PartitionId) -> Self {
        Self {
            topology: Arc::clone(topology),
            partition,
            account: Account::default(),
            by_id: BTreeMap::new(),
            messages: 0,
        }
    }

    fn apply(&mut self, send: Send, record: &CommittedRecord<'_>) {
        let Send { conversation: id, by, client_id, what } = send;
        let conversation = self.by_id.entry(id.clone()).or_default();
        let outcome = match what {
            What::Change { add, remove } => {
                let change =
                    Change { at: record.time_ms, by: by.clone(), client_id: client_id.clone(), add, remove };
                conversation.change(change, record)
            }
            What::Message { payload, unusable, session, sent_at } => {
                let said = Said {
                    sender: by.clone(),
                    client_id: client_id.clone(),
                    session,
                    sent_at,
                    accepted_at: record.time_ms,
                    body: payload.body.clone(),
                };
                let before = conversation.messages.len();
                let outcome = conversation.say(&id, said, payload, record);
                let new = conversation.messages.len() > before;
                self.messages += u64::from(new);
                if new && !unusable.is_empty() {
                    self.account.letters.push(Letter {
                        offset: record.offset,
                        reason: "recipients".to_owned(),
                        sender: Some(by.clone()),
                        client_id: Some(client_id.clone()),
                        refused: unusable,
                    });
                }
                outcome
            }
        };
        match outcome {
            Outcome::Applied => self.account.fates.applied += 1,
            Outcome::Refused(why) => self.account.refuse(record.offset, why, Some(by), Some(client_id)),
        }
    }
}

impl Part for Conversations {
    const KIND: ProcessorKind = ProcessorKind::Conversation;

    fn account(&mut self) -> &mut Account {
        &mut self.account
    }

    fn take(&mut self, record: &CommittedRecord<'_>) -> Result<(), String> {
        let fields = match Fields::read(record.content.value.as_deref()) {
            Ok(fields) => fields,
            Err(why) => {
                self.account.refuse(record.offset, why, None, None);
                return Ok(());
            }
        };
        match judge(&fields) {
            Err(why) => {
                let by = if fields.raw("type") == Some("\"members\"") { "by" } else { "sender" };
                let known = |name: &str| fields.id(name).ok().flatten();
                self.account.refuse(record.offset, why, known(by), known("client_id"));
            }
            Ok(send) => {
                let place = self.topology.place(Topic::Sends, send.conversation.as_bytes());
                match place == self.partition {
                    true => self.apply(send, record),
                    false => self.account.send_on(record),
                }
            }
        }
        Ok(())
    }
}

impl Conversation {
    /// The message of a number.
    #[must_use]
    pub fn message(&self, seq: i64) -> Option<&Message> {
        self.messages.get(usize::try_from(seq - 1).ok()?)
    }

    fn say(&mut self, id: &str, said: Said, payload: Payload, record: &CommittedRecord<'_>) -> Outcome {
        let next = self.messages.len() as i64 + 1;
        let key = (said.sender.clone(), said.client_id.clone());
        if let Some(seq) = self.uses.get(&key) {
            let former = &self.messages[*seq as usize - 1];
            let is_near = seq / BLOCK_MESSAGES >= next / BLOCK_MESSAGES - 1;
            if is_near && record.time_ms - former.said.accepted_at <= IDEMPOTENCE_MS {
                let same = former.payload == payload;
                return if same { Outcome::Applied } else { Outcome::Refused("conflict") };
            }
        }
        let pair = match parse_conversation(id) {
            Ok(ConversationId::Direct(a, b)) => Some(BTreeSet::from([a.to_owned(), b.to_owned()])),
            _ => None,
        };
        let members = pair.as_ref().unwrap_or(&self.members);
        if payload.members_only && !members.contains(&said.sender) {
            return Outcome::Refused("not_member");
        }
        let mut recipients: BTreeSet<String> = match &payload.recipients {
            Some(recipients) => recipients.iter().cloned().collect(),
            None => members.clone(),
        };
        // Of a direct conversation the two users, whoever speaks.
        if payload.recipients.is_some() || pair.is_none() {
            recipients.insert(said.sender.clone());
        }
        self.uses.insert(key, next);
        self.latest_at = self.latest_at.max(said.accepted_at);
        self.origin = record.offset + 1;
        self.messages.push(Message { said, recipients, payload });
        Outcome::Applied
    }

    fn change(&mut self, change: Change, record: &CommittedRecord<'_>) -> Outcome {
        let same_id = |known: &&Change| known.by == change.by && known.client_id == change.client_id;
        if let Some(known) = self.recent.iter().find(same_id).cloned() {
            if change.at - known.at <= IDEMPOTENCE_MS {
                let same = (&known.add, &known.remove) == (&change.add, &change.remove);
                return if same { Outcome::Applied } else { Outcome::Refused("conflict") };
            }
            self.recent.remove(&known);
        }
        self.members.extend(change.add.iter().cloned());
        change.remove.iter().for_each(|user| {
            self.members.remove(user);
        });
        let now = change.at;
        self.recent.insert(change);
        // Those of a day, and of them the newest; what is forgotten stays forgotten.
        while let Some(oldest) = self.recent.first()
            && (now - oldest.at > IDEMPOTENCE_MS || self.recent.len() > RECENT_CHANGES_MAX)
        {
            self.recent.pop_first();
        }
        self.origin = record.offset + 1;
        self.members_origin = self.origin;
        self.memberships.insert(self.origin, self.members.clone());
        Outcome::Applied
    }
}

fn judge(fields: &Fields<'_>) -> Result<Send, Why> {
    let is_message = fields.check(&["message", "members"], &["body"])? == "message";
    let conversation = fields.conversation("conversation")?.ok_or(INVALID)?;
    let by = fields.id(if is_message { "sender" } else { "by" })?.ok_or(INVALID)?;
    let client_id = fields.id("client_id")?.ok_or(INVALID)?;
    let what = if is_message { judge_message(fields)? } else { judge_change(fields, &conversation)? };
    Ok(Send { conversation, by, client_id, what })
}

fn judge_message(fields: &Fields<'_>) -> Result<What, Why> {
    let body = fields.raw("body").ok_or(INVALID)?.to_owned();
    if body.len() > BODY_BYTES_MAX {
        return Err(OVERSIZE);
    }
    let list = fields.list("recipients")?;
    let unusable = |list: &Vec<serde_json::Value>| {
        let refused = (0..).zip(list).filter(|(_, value)| json::as_id(value).is_none());
        refused.map(|(index, _)| index).collect()
    };
    Ok(What::Message {
        unusable: list.as_ref().map(unusable).unwrap_or_default(),
        payload: Payload {
            body,
            recipients: list.map(|list| list.iter().filter_map(json::as_id).collect()),
            members_only: fields.boolean("members_only")?.unwrap_or(false),
        },
        session: fields.id("session")?,
        sent_at: fields.integer("sent_at")?,
    })
}

fn judge_change(fields: &Fields<'_>, conversation: &str) -> Result<What, Why> {
    let (add, remove) = (fields.ids("add")?, fields.ids("remove")?);
    let is_direct = conversation.starts_with("direct/");
    if is_direct || (add.is_none() && remove.is_none()) {
        return Err(INVALID);
    }
    let (add, remove) = (add.unwrap_or_default(), remove.unwrap_or_default());
    if add.iter().any(|user| remove.contains(user)) {
        return Err(INVALID);
    }
    Ok(What::Change { add, remove })
}
