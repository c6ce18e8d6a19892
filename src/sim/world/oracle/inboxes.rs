//! `deliveries` as the contract has it: the entries of every recipient in order, and the windows they are in.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Account, Part, Said,
    json::{Fields, MALFORMED},
    posted,
};
use crate::{
    limits::{WINDOW_ENTRIES_MAX, WINDOW_MS_MAX},
    log::Offset,
    sim::log::partition::CommittedRecord,
    topology::{ProcessorKind, Topology},
};

/// The inboxes of one partition of `deliveries`.
pub struct Inboxes {
    topology: Arc<Topology>,
    pub account: Account,
    pub by_user: BTreeMap<String, Inbox>,
    pub buckets: BTreeMap<u32, Bucket>,
    pub entries: u64,
}

#[derive(Debug, Default)]
pub struct Inbox {
    pub bucket: u32,
    /// Number n is at n - 1.
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub conversation: String,
    pub seq: i64,
    pub said: Arc<Said>,
    /// Entries so far that others sent.
    pub foreign: i64,
    pub window: i64,
    /// Of the record that it came with.
    pub offset: Offset,
}

#[derive(Debug, Default)]
pub struct Bucket {
    pub window: i64,
    /// Entries in that window, and the record time of the first.
    pub entries: i64,
    pub since: i64,
    pub origin: Offset,
}

impl Inboxes {
    pub fn new(topology: &Arc<Topology>) -> Self {
        Self {
            topology: Arc::clone(topology),
            account: Account::default(),
            by_user: BTreeMap::new(),
            buckets: BTreeMap::new(),
            entries: 0,
        }
    }
}

impl Part for Inboxes {
    const KIND: ProcessorKind = ProcessorKind::Inbox;

    fn account(&mut self) -> &mut Account {
        &mut self.account
    }

    fn take(&mut self, record: &CommittedRecord<'_>) -> Result<(), String> {
        let value = record.content.value.as_deref();
        if Fields::read(value).is_err() {
            self.account.refuse(record.offset, MALFORMED, None, None);
            return Ok(());
        }
        for message in posted::read("deliveries", value)? {
            let said = Arc::new(message.said);
            for (user, _) in message.to {
                let number = self.topology.bucket(ProcessorKind::Inbox, user.as_bytes());
                let bucket = self.buckets.entry(number).or_default();
                let full = bucket.entries >= WINDOW_ENTRIES_MAX;
                if bucket.window == 0 || full || record.time_ms - bucket.since > WINDOW_MS_MAX {
                    bucket.window += 1;
                    bucket.entries = 0;
                    bucket.since = record.time_ms;
                }
                bucket.entries += 1;
                bucket.origin = record.offset + 1;
                let foreign = i64::from(said.sender != user);
                let inbox = self.by_user.entry(user).or_default();
                inbox.bucket = number;
                inbox.entries.push(Entry {
                    conversation: message.conversation.clone(),
                    seq: message.seq,
                    said: Arc::clone(&said),
                    foreign: inbox.entries.last().map_or(0, |last| last.foreign) + foreign,
                    window: bucket.window,
                    offset: record.offset,
                });
                self.entries += 1;
            }
        }
        self.account.fates.applied += 1;
        Ok(())
    }
}
