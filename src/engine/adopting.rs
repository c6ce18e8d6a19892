//! While a partition is halted, its owner looks for an operator's decision about it.
//!
//! Every opening reads the decision with the other facts and carries it out, see
//! [`crate::task::opening::decide`]. So all that is left to do here is to open again when a decision appears
//! that no opening has seen.

use super::{Engine, opening::Step, requests::Question};
use crate::{
    log::PartitionId,
    processor::Fold,
    store::Row,
    table::progress::{ADOPT_ENTRY, ProgressRow, progress_query},
};

/// How often an operator's decision about a halted partition is looked for.
pub(super) const LOOK_EVERY_MS: i64 = 5_000;

impl<F: Fold> Engine<F> {
    pub(super) fn look_for_decisions(&mut self) {
        if self.next_look_ms > self.now.boot_ms {
            return;
        }
        self.next_look_ms = self.now.boot_ms + LOOK_EVERY_MS;
        for partition in self.halted_and_adoptable() {
            if !self.is_looking(partition) {
                let query = progress_query(F::KIND.input(), partition, &[ADOPT_ENTRY]);
                self.ask(partition, Question::Decision, query);
            }
        }
    }

    fn halted_and_adoptable(&self) -> Vec<PartitionId> {
        let openings = self.openings.iter().filter_map(|(partition, opening)| match &opening.step {
            Step::Halted(reason) => Some((partition, reason)),
            _ => None,
        });
        let tasks =
            self.tasks.iter().filter_map(|(partition, task)| Some((partition, task.halted.as_ref()?)));
        openings
            .chain(tasks)
            .filter(|(_, reason)| reason.is_adoptable())
            .map(|(partition, _)| *partition)
            .collect()
    }

    /// A decision is told by its base, the time at which it was made. One that was seen at an opening and
    /// left the partition halted does not apply.
    pub(super) fn decision_read(&mut self, partition: PartitionId, rows: &[Row]) {
        let Some(decision) = ProgressRow::find(rows, ADOPT_ENTRY) else { return };
        if self.seen_decisions.insert(partition, decision.base_us) != Some(decision.base_us) {
            self.restore(&format!("partition {partition} is adopted: everything is opened again"));
        }
    }
}
