//! The members of a conversation, by the partition of `deliveries` that they belong to, and the membership
//! changes that may come again.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    limits::{IDEMPOTENCE_MS, RECENT_CHANGES_MAX},
    log::PartitionId,
    topology::{Topic, Topology},
};

/// Bytes that a member, or a recent change, takes in memory beside its id, about.
const ENTRY_BYTES: usize = 48;

#[derive(Debug, Default)]
pub(super) struct Members {
    by_partition: BTreeMap<PartitionId, BTreeSet<Box<str>>>,
    count: usize,
    size_bytes: usize,
}

impl Members {
    /// Whether the user was none before.
    pub fn add(&mut self, topology: &Topology, user: &str) -> bool {
        let partition = topology.place(Topic::Deliveries, user.as_bytes());
        let new = self.by_partition.entry(partition).or_default().insert(user.into());
        self.count += usize::from(new);
        self.size_bytes += if new { user.len() + ENTRY_BYTES } else { 0 };
        new
    }

    /// Whether the user was one before.
    pub fn remove(&mut self, topology: &Topology, user: &str) -> bool {
        let partition = topology.place(Topic::Deliveries, user.as_bytes());
        let Some(users) = self.by_partition.get_mut(&partition) else { return false };
        let gone = users.remove(user);
        if users.is_empty() {
            self.by_partition.remove(&partition);
        }
        self.count -= usize::from(gone);
        self.size_bytes -= if gone { user.len() + ENTRY_BYTES } else { 0 };
        gone
    }

    pub fn contains(&self, user: &str) -> bool {
        self.by_partition.values().any(|users| users.contains(user))
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// By partition, each in the order of their bytes.
    pub fn by_partition(&self) -> impl Iterator<Item = (PartitionId, &BTreeSet<Box<str>>)> {
        self.by_partition.iter().map(|(partition, users)| (*partition, users))
    }

    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

/// A membership change, by who made it and under which id.
pub(super) type ChangeKey = (Box<str>, Box<str>);

/// The last membership changes, those of a day.
#[derive(Debug, Default)]
pub(super) struct Recent {
    by_key: BTreeMap<ChangeKey, (i64, u64)>,
    by_time: BTreeSet<(i64, ChangeKey)>,
}

impl Recent {
    /// What the change said, if it counts still.
    pub fn hash(&self, key: &ChangeKey, time_ms: i64) -> Option<u64> {
        let (at_ms, hash) = self.by_key.get(key)?;
        (time_ms.saturating_sub(*at_ms) <= IDEMPOTENCE_MS).then_some(*hash)
    }

    pub fn add(&mut self, key: ChangeKey, at_ms: i64, hash: u64) {
        if let Some((former_ms, _)) = self.by_key.insert(key.clone(), (at_ms, hash)) {
            self.by_time.remove(&(former_ms, key.clone()));
        }
        self.by_time.insert((at_ms, key));
    }

    /// Forgets what is too old at `time_ms`, and the oldest above the bound.
    pub fn forget_old(&mut self, time_ms: i64) -> Vec<ChangeKey> {
        let mut forgotten = Vec::new();
        while let Some((at_ms, _)) = self.by_time.first()
            && (self.by_time.len() > RECENT_CHANGES_MAX || time_ms.saturating_sub(*at_ms) > IDEMPOTENCE_MS)
        {
            if let Some((_, key)) = self.by_time.pop_first() {
                self.by_key.remove(&key);
                forgotten.push(key);
            }
        }
        forgotten
    }

    pub fn size_bytes(&self) -> usize {
        self.by_key.keys().map(|(by, client_id)| 2 * (by.len() + client_id.len() + ENTRY_BYTES)).sum()
    }
}
