//! The timeline as it becomes visible: numbers of conversations and inboxes, contents, cursors; and, whenever
//! all is settled, the same as the oracle has it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::{
    machine::{Groups, group_name},
    oracle::{
        Oracle, Said,
        posted::{self, Posted},
    },
    plan::Plan,
};
use crate::{
    log::{Offset, PartitionId},
    sim::{SimBroker, log::partition::Content},
    topology::{ProcessorKind, Topic},
};

/// What every number of every conversation was seen to mean, wherever it was seen.
#[derive(Default)]
pub struct Contents(BTreeMap<String, BTreeMap<i64, Said>>);

/// What was seen of the timeline's topics.
pub struct Timeline {
    pub oracle: Oracle,
    pub contents: Contents,
    deliveries: Follower,
    inbox: Follower,
    cursors: Follower,
    /// The numbers that `deliveries` announced.
    announced: BTreeMap<String, Numbers>,
    /// By user: the number of entries, and the last number in each conversation.
    inboxes: BTreeMap<String, Seen>,
    positions: BTreeMap<(String, String), i64>,
    /// Messages, entries and advances of cursors.
    totals: (u64, u64, u64),
    fresh: Fresh,
}

/// How far a topic was looked at, by partition.
pub(super) struct Follower {
    topic: Topic,
    seen: Vec<Offset>,
}

/// Numbers of a conversation.
#[derive(Default)]
struct Numbers {
    /// All up to this one were visible when all was settled last.
    settled: i64,
    /// The last one in each partition.
    last: BTreeMap<PartitionId, i64>,
}

#[derive(Default)]
struct Seen {
    entries: i64,
    last: BTreeMap<String, i64>,
}

/// What became visible since all was settled last.
#[derive(Default)]
struct Fresh {
    recipients: BTreeMap<(String, i64), BTreeSet<String>>,
    /// User, number, and what it stands for.
    entries: Vec<(String, i64, (String, i64))>,
    cursors: BTreeSet<(String, String)>,
}

impl Contents {
    /// A number means what it meant before.
    pub fn agree(&mut self, at: &str, conversation: &str, seq: i64, said: &Said) -> Result<(), String> {
        if !self.0.contains_key(conversation) {
            self.0.insert(conversation.to_owned(), BTreeMap::new());
        }
        let Some(known) = self.0.get_mut(conversation) else { return Ok(()) };
        match known.get(&seq) {
            Some(known) if known == said => Ok(()),
            Some(known) => Err(format!("{at}: number {seq} of {conversation} is {said:?} and was {known:?}")),
            None => {
                known.insert(seq, said.clone());
                Ok(())
            }
        }
    }

    #[must_use]
    pub fn get(&self, conversation: &str, seq: i64) -> Option<&Said> {
        self.0.get(conversation)?.get(&seq)
    }

    /// The conversations that anything was seen of.
    pub fn conversations(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Timeline {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            oracle: Oracle::new(&plan.topology, &group_name(ProcessorKind::Presence)),
            contents: Contents::default(),
            deliveries: Follower::new(plan, Topic::Deliveries),
            inbox: Follower::new(plan, Topic::Inbox),
            cursors: Follower::new(plan, Topic::Cursors),
            announced: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            positions: BTreeMap::new(),
            totals: (0, 0, 0),
            fresh: Fresh::default(),
        }
    }

    /// Messages and entries that became visible.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.totals.0, self.totals.1)
    }

    /// The users that anything became visible of.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.inboxes.keys().map(String::as_str)
    }

    /// Looks at what has become visible.
    pub fn follow(&mut self, broker: &SimBroker) -> Result<(), String> {
        for (partition, content) in self.deliveries.new_records(broker) {
            // Clients write here, too, now and then, and never anything but garbage.
            let Ok(messages) = posted::read("deliveries", content.value.as_deref()) else { continue };
            messages.into_iter().try_for_each(|message| self.delivered(partition, message))?;
        }
        for (_, content) in self.inbox.new_records(broker) {
            let messages = posted::read("inbox", content.value.as_deref())?;
            messages.into_iter().try_for_each(|message| self.numbered(message))?;
        }
        for (_, content) in self.cursors.new_records(broker) {
            self.advanced(content)?;
        }
        Ok(())
    }

    fn delivered(&mut self, partition: PartitionId, message: Posted) -> Result<(), String> {
        let Posted { conversation, seq, said, to } = message;
        self.contents.agree("deliveries", &conversation, seq, &said)?;
        let numbers = self.announced.entry(conversation.clone()).or_default();
        let last = numbers.last.insert(partition, seq).unwrap_or(0);
        if seq < last || seq <= numbers.settled {
            return Err(format!(
                "deliveries/{partition}: {conversation} has {seq} after {last}, and all up to {} before",
                numbers.settled
            ));
        }
        let key = (conversation, seq);
        let recipients = self.fresh.recipients.entry(key.clone()).or_default();
        for (user, _) in to {
            if let Some(user) = recipients.replace(user) {
                return Err(format!("deliveries/{partition}: {key:?} goes to {user} twice"));
            }
        }
        Ok(())
    }

    fn numbered(&mut self, message: Posted) -> Result<(), String> {
        let Posted { conversation, seq, said, to } = message;
        self.contents.agree("inbox", &conversation, seq, &said)?;
        for (user, number) in to {
            let seen = self.inboxes.entry(user.clone()).or_default();
            seen.entries += 1;
            if number != Some(seen.entries) {
                let due = seen.entries;
                return Err(format!("inbox of {user}: an entry {number:?} where {due} is due"));
            }
            let last = seen.last.insert(conversation.clone(), seq).unwrap_or(0);
            if seq <= last {
                return Err(format!("inbox of {user}: {conversation} has {seq} after {last}"));
            }
            self.fresh.entries.push((user, seen.entries, (conversation.clone(), seq)));
            self.totals.1 += 1;
        }
        Ok(())
    }

    fn advanced(&mut self, content: &Content) -> Result<(), String> {
        let value: Value = serde_json::from_slice(content.value.as_deref().unwrap_or_default())
            .map_err(|error| format!("a record of cursors cannot be read: {error}"))?;
        let text = |name: &str| value[name].as_str().map(ToOwned::to_owned);
        let (user, conversation) = (text("user").unwrap_or_default(), text("conversation"));
        let position = value[if conversation.is_some() { "seq" } else { "inbox" }].as_i64().unwrap_or(0);
        let key = match &conversation {
            Some(conversation) => format!("{user}/{conversation}"),
            None => user.clone(),
        };
        if content.key.as_deref() != Some(key.as_bytes()) {
            return Err(format!("a cursor of {key} has the key {:?}", content.key));
        }
        let cursor = (user, conversation.unwrap_or_default());
        let last = self.positions.insert(cursor.clone(), position).unwrap_or(0);
        if position <= last {
            return Err(format!("cursor {cursor:?}: {position} after {last}"));
        }
        self.fresh.cursors.insert(cursor);
        self.totals.2 += 1;
        Ok(())
    }

    /// No transaction is unsettled: what is visible is exactly what the committed prefixes bring about.
    pub fn settled(&mut self, broker: &SimBroker, groups: Groups) -> Result<(), String> {
        self.oracle.advance(broker, groups)?;
        let Fresh { recipients, entries, cursors } = std::mem::take(&mut self.fresh);
        for ((conversation, seq), recipients) in recipients {
            self.announced_rightly(&conversation, seq, &recipients)?;
        }
        for (user, number, (conversation, seq)) in entries {
            let entry = self.oracle.inbox(&user).and_then(|inbox| inbox.entries.get(number as usize - 1));
            if entry.map(|entry| (&entry.conversation, entry.seq)) != Some((&conversation, seq)) {
                return Err(format!("inbox of {user}: {number} is {conversation} {seq}, due is {entry:?}"));
            }
        }
        for cursor in cursors {
            let (due, found) = (self.oracle.cursor(&cursor.0, &cursor.1), self.positions.get(&cursor));
            if due.as_ref() != found {
                return Err(format!("cursor {cursor:?} is at {found:?}, due is {due:?}"));
            }
        }
        let due = self.oracle.totals();
        if due != self.totals {
            let found = self.totals;
            return Err(format!("messages, entries and advances: {due:?} are due, {found:?} are visible"));
        }
        Ok(())
    }

    fn announced_rightly(
        &mut self,
        conversation: &str,
        seq: i64,
        recipients: &BTreeSet<String>,
    ) -> Result<(), String> {
        let numbers = self.announced.entry(conversation.to_owned()).or_default();
        numbers.settled += 1;
        self.totals.0 += 1;
        if seq != numbers.settled {
            return Err(format!("{conversation}: {seq} is visible where {} is due", numbers.settled));
        }
        let message = self.oracle.conversation(conversation).and_then(|known| known.message(seq));
        let Some(message) = message else {
            return Err(format!("{conversation}: {seq} is visible and nobody sent it"));
        };
        if Some(&message.said) != self.contents.get(conversation, seq) {
            let found = self.contents.get(conversation, seq);
            return Err(format!("{conversation}: {seq} should be {:?} and is {found:?}", message.said));
        }
        if *recipients != message.recipients {
            let due = &message.recipients;
            return Err(format!("{conversation}: {seq} should go to {due:?} and goes to {recipients:?}"));
        }
        Ok(())
    }
}

impl Follower {
    pub(super) fn new(plan: &Plan, topic: Topic) -> Self {
        Self { topic, seen: vec![0; plan.topology.partitions(topic) as usize] }
    }

    /// The records that became visible since this was called last, partition by partition.
    pub(super) fn new_records<'a>(&mut self, broker: &'a SimBroker) -> Vec<(PartitionId, &'a Content)> {
        let mut records = Vec::new();
        for (partition, seen) in (0..).zip(&mut self.seen) {
            let Some(log) = broker.partition(self.topic, partition) else { continue };
            records.extend(log.committed(*seen).map(|record| (partition, record.content)));
            *seen = log.stable_end();
        }
        records
    }
}
