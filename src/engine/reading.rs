//! Which partitions are read, from where on, and what follows when the log refuses a position.

use super::Engine;
use crate::{
    log::{Bounds, FetchId, LogCommand, PartitionId, RequestId},
    processor::Fold,
    task::{Reading, Task, opening::HaltReason},
};

impl<F: Fold> Engine<F> {
    /// Reads on behind what a task has taken in.
    fn fetch(&mut self, partition: PartitionId) {
        let fetch = self.next_id();
        if let Some(task) = self.tasks.get_mut(&partition) {
            task.reading = Reading::Fetch(fetch);
            let (from, headers) = (task.read_position(), task.headers);
            self.log(LogCommand::Fetch { partition, from, fetch, headers });
        }
    }

    /// Begins to read for tasks that nothing is read for, and reads no more for those that are halted.
    pub(super) fn adjust_readings(&mut self) {
        let (mut beginning, mut over) = (Vec::new(), Vec::new());
        for (partition, task) in &mut self.tasks {
            match (task.reading, &task.halted) {
                (Reading::No, None) => beginning.push(*partition),
                (Reading::Fetch(_), Some(_)) => {
                    task.reading = Reading::No;
                    over.push(*partition);
                }
                _ => {}
            }
        }
        for partition in over {
            self.log(LogCommand::StopFetch { partition });
        }
        for partition in beginning {
            self.fetch(partition);
        }
    }

    /// The log does not have the position that a reading asked for: where it begins and ends says whether it
    /// ever will. What the reading still brings is not taken, since the bounds are those of before it.
    pub(super) fn out_of_range(&mut self, partition: PartitionId, fetch: FetchId) {
        let is_current = |task: &Task<F>| task.reading == Reading::Fetch(fetch);
        if self.tasks.get(&partition).is_some_and(is_current) {
            self.log(LogCommand::StopFetch { partition });
            let request = self.ask_for_bounds(vec![partition]);
            if let Some(task) = self.tasks.get_mut(&partition) {
                task.reading = Reading::Refused(request);
            }
        }
    }

    /// A position that the log refused though it has it, as after a change of leaders, is asked for again.
    /// Bounds are not those of a reading that has begun since they were asked for.
    pub(super) fn judge_refusal(&mut self, partition: PartitionId, request: RequestId, bounds: Bounds) {
        let Bounds { first, end } = bounds;
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        if task.reading != Reading::Refused(request) {
            return;
        }
        task.reading = Reading::No;
        let wanted = task.read_position();
        if (first..=end).contains(&wanted) {
            self.trouble(format!("partition {partition}: the log refused position {wanted}, which it has"));
        } else {
            task.halt(HaltReason::OutOfRange { wanted, first, end });
        }
    }
}
