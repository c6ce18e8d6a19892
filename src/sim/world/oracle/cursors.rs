//! `receipts` as the contract has it: how far everybody has read, forward only.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Account, Part,
    json::{Fields, INVALID, Why},
};
use crate::{
    log::{Offset, PartitionId},
    sim::log::partition::CommittedRecord,
    topology::{ProcessorKind, Topic, Topology},
};

/// The cursors of one partition of `receipts`.
pub struct Cursors {
    topology: Arc<Topology>,
    partition: PartitionId,
    pub account: Account,
    /// By user and conversation; `''` is the inbox.
    pub by_key: BTreeMap<(String, String), Cursor>,
    pub advances: u64,
}

#[derive(Debug, Default)]
pub struct Cursor {
    pub position: i64,
    /// Record time of the receipt that moved it last, and the position after that.
    pub at: i64,
    pub origin: Offset,
}

/// A valid receipt.
struct Receipt {
    user: String,
    /// Conversations with positions.
    read: Vec<(String, i64)>,
}

impl Cursors {
    pub fn new(topology: &Arc<Topology>, partition: PartitionId) -> Self {
        let topology = Arc::clone(topology);
        Self { topology, partition, account: Account::default(), by_key: BTreeMap::new(), advances: 0 }
    }

    fn apply(&mut self, receipt: Receipt, record: &CommittedRecord<'_>) {
        let before = self.advances;
        for (conversation, position) in receipt.read {
            let key = (receipt.user.clone(), conversation);
            if position > self.by_key.get(&key).map_or(0, |cursor| cursor.position) {
                let cursor = Cursor { position, at: record.time_ms, origin: record.offset + 1 };
                self.by_key.insert(key, cursor);
                self.advances += 1;
            }
        }
        match self.advances > before {
            true => self.account.fates.applied += 1,
            false => self.account.fates.filtered += 1,
        }
    }
}

impl Part for Cursors {
    const KIND: ProcessorKind = ProcessorKind::Cursor;

    fn account(&mut self) -> &mut Account {
        &mut self.account
    }

    fn take(&mut self, record: &CommittedRecord<'_>) -> Result<(), String> {
        match judge(record.content.value.as_deref()) {
            Err(why) => self.account.refuse(record.offset, why, None, None),
            Ok(receipt) => match self.topology.place(Topic::Receipts, receipt.user.as_bytes()) {
                place if place == self.partition => self.apply(receipt, record),
                _ => self.account.send_on(record),
            },
        }
        Ok(())
    }
}

fn judge(value: Option<&[u8]>) -> Result<Receipt, Why> {
    let fields = Fields::read(value)?;
    fields.check(&["read"], &[])?;
    let position = |name: &str| match fields.integer(name)? {
        Some(position) if position < 0 => Err(INVALID),
        position => Ok(position),
    };
    let user = fields.id("user")?.ok_or(INVALID)?;
    let inbox = position("inbox")?.map(|position| (String::new(), position));
    let of_one = match (fields.conversation("conversation")?, position("seq")?) {
        (Some(conversation), Some(seq)) => Some((conversation, seq)),
        (None, None) => None,
        _ => return Err(INVALID),
    };
    let read: Vec<_> = inbox.into_iter().chain(of_one).collect();
    if read.is_empty() { Err(INVALID) } else { Ok(Receipt { user, read }) }
}
