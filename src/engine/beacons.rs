//! The owner's beacons: one a second and partition, at most one outstanding.

use super::{Engine, Leaving};
use crate::{
    log::{LogCommand, LogError, PartitionId},
    processor::Fold,
};

/// A pod whose own beacon was not folded for so long is not ready.
const UNFOLDED_MS_MAX: i64 = 10_000;

#[derive(Debug)]
pub(super) struct BeaconPace {
    pub(super) next_at_ms: i64,
    pub(super) outstanding: bool,
}

impl<F: Fold> Engine<F> {
    pub(super) fn send_beacons(&mut self) {
        if !F::BEACONS || self.leaving != Leaving::No || self.revoking || self.unproved {
            return;
        }
        let now_ms = self.now.boot_ms;
        let mut due = Vec::new();
        for (partition, pace) in &mut self.beacons {
            let Some(task) = self.tasks.get(partition) else { continue };
            let live = task.is_live() && task.halted.is_none();
            if live && !pace.outstanding && pace.next_at_ms <= now_ms {
                pace.outstanding = true;
                pace.next_at_ms = now_ms + self.config.pace.beacon_ms;
                due.push((*partition, task.start.generation));
            }
        }
        for (partition, generation) in due {
            let setup = self.setup(partition, generation);
            let elapsed_ms = now_ms - self.started_ms;
            let value = F::beacon(&setup, &self.config.incarnation, elapsed_ms, &self.config.parameters);
            self.log(LogCommand::Beacon { partition, value });
        }
    }

    pub(super) fn beacon_appended(&mut self, partition: PartitionId, result: Result<(), LogError>) {
        if let Some(pace) = self.beacons.get_mut(&partition) {
            pace.outstanding = false;
        }
        match result {
            Ok(()) => {}
            Err(error) if error.is_fatal() => self.fatal(error.message),
            Err(error) => self.trouble(error.message),
        }
    }

    /// Whether the last beacon folded is one of ours, and young enough.
    pub(super) fn hears_itself(&self, partition: PartitionId) -> bool {
        let Some(beacon) = self.tasks.get(&partition).and_then(|task| task.fold.seen_beacon()) else {
            return false;
        };
        beacon.incarnation == self.config.incarnation
            && self.now.boot_ms - (self.started_ms + beacon.elapsed_ms) <= UNFOLDED_MS_MAX
    }
}
