//! What this process knows of itself: written by the workers, read by `/livez`, `/readyz`, `/v1/partitions`
//! and `/metrics`.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use crate::{
    log::{Offset, PartitionId},
    topology::ProcessorKind,
};

/// A loop that has not turned for so long is stuck.
pub const TURN_WITHIN: Duration = Duration::from_secs(10);

/// An input partition that this process owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    pub processor: ProcessorKind,
    pub partition: PartitionId,
    /// The next offset to be written; like the next two `None` while it is not known, as before the partition
    /// is opened.
    pub end: Option<Offset>,
    /// Everything below is published.
    pub committed: Option<Offset>,
    /// Everything below is in the store.
    pub stored: Option<Offset>,
    pub lease_clock_ms: i64,
    /// Leases that are due and held by the brake.
    pub brake_held: u64,
    pub users: u64,
    pub sessions: u64,
    /// Conversations, inbox buckets or cursors in memory.
    pub keys: u64,
    /// What the owner is doing, such as `restoring` or `running`.
    pub phase: &'static str,
    /// Why the partition is halted, and what to do.
    pub halted: Option<String>,
}

impl PartitionStatus {
    /// Records that are not published yet.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        Some(self.end?.saturating_sub(self.committed?).max(0))
    }

    /// Records that are published and not yet in the store.
    #[must_use]
    pub fn unstored(&self) -> Option<i64> {
        Some(self.committed?.saturating_sub(self.stored?).max(0))
    }
}

/// A handle; clones share what they tell.
#[derive(Debug, Clone, Default)]
pub struct Status(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    partitions: BTreeMap<(ProcessorKind, PartitionId), PartitionStatus>,
    missing: BTreeMap<String, String>,
    turns: BTreeMap<String, Instant>,
}

impl Status {
    /// Of a process that is to run these processors: not ready before each of them has told of itself.
    #[must_use]
    pub fn expecting(processors: &[ProcessorKind]) -> Self {
        let status = Self::default();
        for processor in processors {
            // A part of the processor's, so that its first word takes the place of this one.
            let why = "the worker is starting".to_owned();
            status.set_missing(&format!("{processor}.worker"), Some(why));
        }
        status
    }

    /// The processor's partitions here, all of them, and what it lacks to be ready: part and reason. What is
    /// not named is no longer ours, and lacks no longer.
    pub fn set_processor(
        &self,
        processor: ProcessorKind,
        partitions: Vec<PartitionStatus>,
        missing: impl IntoIterator<Item = (String, String)>,
    ) {
        let prefix = format!("{processor}.");
        let mut inner = self.write();
        inner.partitions.retain(|(kind, _), _| *kind != processor);
        inner.partitions.extend(partitions.into_iter().map(|status| ((processor, status.partition), status)));
        inner.missing.retain(|part, _| !part.starts_with(&prefix));
        inner.missing.extend(missing);
    }

    /// Something without which this process is not ready (`presence.store`), why and what to do; `None`: it
    /// is there.
    pub fn set_missing(&self, part: &str, why: Option<String>) {
        let mut inner = self.write();
        match why {
            Some(why) => inner.missing.insert(part.to_owned(), why),
            None => inner.missing.remove(part),
        };
    }

    /// The named loop has begun a turn.
    pub fn turned(&self, name: &str) {
        self.write().turns.insert(name.to_owned(), Instant::now());
    }

    /// The named loop has ended in good order; nobody waits for its next turn.
    pub fn ended(&self, name: &str) {
        self.write().turns.remove(name);
    }

    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.read().partitions.values().cloned().collect()
    }

    /// What is missing for this process to be ready, halted partitions included.
    #[must_use]
    pub fn missing(&self) -> Vec<(String, String)> {
        self.read().missing.iter().map(|(part, why)| (part.clone(), why.clone())).collect()
    }

    /// Loops that have not turned within `bound`.
    #[must_use]
    pub fn stuck(&self, bound: Duration) -> Vec<String> {
        let inner = self.read();
        let stuck = inner.turns.iter().filter(|(_, turned)| turned.elapsed() > bound);
        stuck.map(|(name, _)| name.clone()).collect()
    }

    // Nothing panics while a lock is held; a poisoned one would still hold whole values.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{ProcessorKind, Status};

    #[test]
    fn a_process_is_not_ready_before_its_processors_have_told_of_themselves() {
        let status = Status::expecting(&[ProcessorKind::Presence]);
        assert_eq!(status.missing().len(), 1, "{:?}", status.missing());
        let group = ("presence.group".to_owned(), "not yet a member".to_owned());
        status.set_processor(ProcessorKind::Presence, Vec::new(), [group.clone()]);
        assert_eq!(status.missing(), [group]);
        status.set_processor(ProcessorKind::Presence, Vec::new(), []);
        assert!(status.missing().is_empty());
    }
}
