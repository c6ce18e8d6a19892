//! Liveness: once faults have ceased, everything that was owed then is out, and said to be stored, in time.

use super::{RECOVERY_MS, Violation, World, machine::Machine};
use crate::{
    log::{Offset, PartitionId},
    table::progress::{PROGRESS_ENTRY, ProgressRow, progress_query},
    topology::ProcessorKind,
};

/// Of virtual time between two looks.
const LOOK_EVERY_MS: u64 = 250;

/// What was owed when the last fault was over.
pub(super) struct Recovery {
    since_ms: u64,
    next_look_ms: u64,
    /// Up to where each partition is to be committed and stored.
    owed: Vec<(ProcessorKind, PartitionId, Offset)>,
    /// How long it took.
    pub(super) took_ms: Option<u64>,
}

impl World {
    /// Faults have ceased.
    pub(super) fn begin_recovery(&mut self) {
        let mut owed = Vec::new();
        for kind in ProcessorKind::ALL {
            for partition in 0..self.plan.topology.partitions(kind.input()) {
                let last = self.network.broker().committed(kind.input(), partition, 0).last();
                owed.extend(last.map(|record| (kind, partition, record.offset + 1)));
            }
        }
        let since_ms = self.network.now_ms();
        self.recovery = Some(Recovery { since_ms, next_look_ms: since_ms, owed, took_ms: None });
    }

    /// Looks whether all of it is out, until it is; it must be in time.
    pub(super) fn follow_recovery(&mut self) -> Result<(), Violation> {
        let now_ms = self.network.now_ms();
        let Some(mut recovery) = self.recovery.take_if(|recovery| recovery.is_due(now_ms)) else {
            return Ok(());
        };
        recovery.next_look_ms = now_ms + LOOK_EVERY_MS;
        recovery.owed.retain(|owed| !self.is_out(*owed));
        let missing: Vec<_> = self.machines.iter().flat_map(Machine::missing).collect();
        if recovery.owed.is_empty() && missing.is_empty() {
            recovery.took_ms = Some(now_ms - recovery.since_ms);
        } else if now_ms > recovery.since_ms + RECOVERY_MS {
            let owed = &recovery.owed;
            let what =
                format!("{RECOVERY_MS} ms after the last fault {owed:?} are not out; missing: {missing:?}");
            return Err(self.violation(what));
        }
        self.recovery = Some(recovery);
        Ok(())
    }

    fn is_out(&self, (kind, partition, end): (ProcessorKind, PartitionId, Offset)) -> bool {
        let committed = self.network.broker().group_state(self.groups.of(kind)).offset(partition);
        if committed.is_none_or(|committed| committed.offset < end) {
            return false;
        }
        let query = progress_query(kind.input(), partition, &[PROGRESS_ENTRY]);
        let rows = self.network.store().read(self.network.now_ms(), &query);
        ProgressRow::find(&rows, PROGRESS_ENTRY).is_some_and(|row| row.stored >= end)
    }
}

impl Recovery {
    fn is_due(&self, now_ms: u64) -> bool {
        self.took_ms.is_none() && self.next_look_ms <= now_ms
    }
}
