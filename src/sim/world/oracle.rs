//! What presence and the timeline must be, said once more: from the committed prefixes of `heartbeats`,
//! `sends`, `deliveries` and `receipts` and the text of the contract alone.
//!
//! Nothing of the product's decoders or folds is used here, only ids, the placement of keys and the bounds;
//! it is naive on purpose, keeps everything and is in no hurry. It is advanced whenever all is settled, so
//! that what is visible can be held against it during a run, and its rows and dead letters are compared at
//! the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::machine::Groups;
use crate::{
    log::{Offset, PartitionId},
    sim::{
        SimBroker,
        log::partition::{CommittedRecord, Content},
    },
    topology::{ProcessorKind, Topology},
};

pub mod conversations;
pub mod cursors;
pub mod inboxes;
pub mod json;
pub mod letters;
pub mod posted;
pub mod presence;
mod recipients;
pub mod rows;

use conversations::{Conversation, Conversations};
use cursors::Cursors;
use inboxes::{Inbox, Inboxes};
use presence::Presence;

/// On a record that was forwarded once.
const FORWARDED: &str = "heartline.forwarded";

/// What was said in a message, apart from its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub sender: String,
    pub client_id: String,
    pub session: Option<String>,
    pub sent_at: Option<i64>,
    pub accepted_at: i64,
    /// As it was sent, byte for byte.
    pub body: String,
}

/// A record that is refused, or parts of which are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub offset: Offset,
    pub reason: String,
    pub sender: Option<String>,
    pub client_id: Option<String>,
    /// The refused parts, by their place.
    pub refused: Vec<u64>,
}

/// How many records of a partition became what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fates {
    pub applied: u64,
    pub filtered: u64,
    pub dead: u64,
    pub forwarded: u64,
}

/// What became of the records of one input partition.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Everything below is taken in.
    pub position: Offset,
    pub fates: Fates,
    pub letters: Vec<Letter>,
}

impl Account {
    fn refuse(&mut self, offset: Offset, reason: &str, sender: Option<String>, client_id: Option<String>) {
        let reason = reason.to_owned();
        self.letters.push(Letter { offset, reason, sender, client_id, refused: Vec::new() });
        self.fates.dead += 1;
    }

    /// A record that belongs to another partition is forwarded there, once.
    fn send_on(&mut self, record: &CommittedRecord<'_>) {
        if record.content.headers.iter().any(|header| header.name == FORWARDED) {
            self.refuse(record.offset, "invalid", None, None);
        } else {
            self.fates.forwarded += 1;
        }
    }
}

/// One processor's part of the oracle, for one input partition.
trait Part {
    const KIND: ProcessorKind;

    fn account(&mut self) -> &mut Account;

    fn take(&mut self, record: &CommittedRecord<'_>) -> Result<(), String>;
}

/// All partitions of the four processors.
pub struct Oracle {
    topology: Arc<Topology>,
    presence: Vec<Presence>,
    conversations: Vec<Conversations>,
    inboxes: Vec<Inboxes>,
    cursors: Vec<Cursors>,
}

impl Oracle {
    /// `group` is the presence processor's: others' beacons don't count.
    #[must_use]
    pub fn new(topology: &Arc<Topology>, group: &str) -> Self {
        let partitions = |kind: ProcessorKind| 0..topology.partitions(kind.input());
        let presence = partitions(ProcessorKind::Presence);
        let conversations = partitions(ProcessorKind::Conversation);
        let (inboxes, cursors) = (partitions(ProcessorKind::Inbox), partitions(ProcessorKind::Cursor));
        Self {
            topology: Arc::clone(topology),
            presence: presence.map(|partition| Presence::new(topology, group, partition)).collect(),
            conversations: conversations.map(|partition| Conversations::new(topology, partition)).collect(),
            inboxes: inboxes.map(|_| Inboxes::new(topology)).collect(),
            cursors: cursors.map(|partition| Cursors::new(topology, partition)).collect(),
        }
    }

    /// Takes in what has been committed.
    pub fn advance(&mut self, broker: &SimBroker, groups: Groups) -> Result<(), String> {
        advance(&mut self.presence, broker, groups)?;
        advance(&mut self.conversations, broker, groups)?;
        advance(&mut self.inboxes, broker, groups)?;
        advance(&mut self.cursors, broker, groups)
    }

    /// Takes in the next committed record of an input partition, for a log that is not simulated.
    pub fn take(
        &mut self,
        kind: ProcessorKind,
        partition: PartitionId,
        record: &CommittedRecord<'_>,
    ) -> Result<(), String> {
        let partition = partition as usize;
        match kind {
            ProcessorKind::Presence => take(&mut self.presence[partition], record),
            ProcessorKind::Conversation => take(&mut self.conversations[partition], record),
            ProcessorKind::Inbox => take(&mut self.inboxes[partition], record),
            ProcessorKind::Cursor => take(&mut self.cursors[partition], record),
        }
    }

    #[must_use]
    pub fn conversation(&self, id: &str) -> Option<&Conversation> {
        let partition = self.topology.place(ProcessorKind::Conversation.input(), id.as_bytes());
        self.conversations[partition as usize].by_id.get(id)
    }

    #[must_use]
    pub fn inbox(&self, user: &str) -> Option<&Inbox> {
        let partition = self.topology.place(ProcessorKind::Inbox.input(), user.as_bytes());
        self.inboxes[partition as usize].by_user.get(user)
    }

    /// How far a user has read; the conversation `''` is the inbox.
    #[must_use]
    pub fn cursor(&self, user: &str, conversation: &str) -> Option<i64> {
        let partition = self.topology.place(ProcessorKind::Cursor.input(), user.as_bytes());
        let key = (user.to_owned(), conversation.to_owned());
        self.cursors[partition as usize].by_key.get(&key).map(|cursor| cursor.position)
    }

    /// The members as of a position at which they changed; `Err` while it is not known yet.
    pub fn members_as_of(&self, id: &str, origin: Offset) -> Result<Option<&BTreeSet<String>>, NotYet> {
        let partition = self.topology.place(ProcessorKind::Conversation.input(), id.as_bytes());
        let conversations = &self.conversations[partition as usize];
        if conversations.account.position < origin {
            return Err(NotYet);
        }
        let conversation = conversations.by_id.get(id);
        Ok(conversation.and_then(|conversation| conversation.memberships.get(&origin)))
    }

    /// The last numbers of all users in a bucket as of a position, or of that of their own head where this is
    /// beyond; `Err` while it is not known yet.
    pub fn heads_as_of(
        &self,
        bucket: u32,
        origin: Offset,
        heads: &BTreeMap<String, (i64, Offset)>,
    ) -> Result<BTreeMap<String, i64>, NotYet> {
        let partition = bucket % self.topology.partitions(ProcessorKind::Inbox.input());
        let inboxes = &self.inboxes[partition as usize];
        let of_heads = heads.values().map(|(_, origin)| *origin);
        if inboxes.account.position < of_heads.max().unwrap_or_default().max(origin) {
            return Err(NotYet);
        }
        let due = inboxes.by_user.iter().filter(|(_, inbox)| inbox.bucket == bucket).map(|(user, inbox)| {
            let of_head = heads.get(user).map_or(0, |(_, origin)| *origin);
            let includes = |offset| offset < origin.max(of_head);
            (user.clone(), inbox.entries.partition_point(|entry| includes(entry.offset)) as i64)
        });
        Ok(due.filter(|(_, latest)| *latest > 0).collect())
    }

    /// Messages, entries and advances of cursors.
    #[must_use]
    pub fn totals(&self) -> (u64, u64, u64) {
        (
            self.conversations.iter().map(|part| part.messages).sum(),
            self.inboxes.iter().map(|part| part.entries).sum(),
            self.cursors.iter().map(|part| part.advances).sum(),
        )
    }

    /// What became of the records of an input partition.
    #[must_use]
    pub fn account(&self, kind: ProcessorKind, partition: PartitionId) -> &Account {
        let partition = partition as usize;
        match kind {
            ProcessorKind::Presence => &self.presence[partition].account,
            ProcessorKind::Conversation => &self.conversations[partition].account,
            ProcessorKind::Inbox => &self.inboxes[partition].account,
            ProcessorKind::Cursor => &self.cursors[partition].account,
        }
    }
}

/// The oracle has not come that far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotYet;

fn take(part: &mut impl Part, record: &CommittedRecord<'_>) -> Result<(), String> {
    part.take(record)?;
    part.account().position = record.offset + 1;
    Ok(())
}

fn advance<P: Part>(parts: &mut [P], broker: &SimBroker, groups: Groups) -> Result<(), String> {
    let group = broker.group_state(groups.of(P::KIND));
    for (partition, part) in (0..).zip(parts) {
        let Some(committed) = group.offset(partition).map(|committed| committed.offset) else { continue };
        let from = part.account().position;
        if committed <= from {
            continue;
        }
        let records = broker.committed(P::KIND.input(), partition, from);
        for record in records.take_while(|record| record.offset < committed) {
            part.take(&record)?;
        }
        part.account().position = committed;
    }
    Ok(())
}

/// The difference of two maps, for people: the first key that is not the same in both.
fn first_difference<'a, K: Ord, V: PartialEq>(
    due: &'a BTreeMap<K, V>,
    found: &'a BTreeMap<K, V>,
) -> Option<(&'a K, Option<&'a V>, Option<&'a V>)> {
    let keys = due.keys().chain(found.keys());
    let mut pairs = keys.map(|key| (key, due.get(key), found.get(key)));
    pairs.find(|(_, due, found)| due != found)
}

/// The value of a header as text.
fn header<'a>(content: &'a Content, name: &str) -> Option<&'a str> {
    let header = content.headers.iter().find(|header| header.name == name)?;
    std::str::from_utf8(header.value.as_deref()?).ok()
}
