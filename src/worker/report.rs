//! What a worker tells of itself: to `/livez`, `/readyz`, `/v1/partitions` and `/metrics`.

use std::{collections::BTreeMap, time::Duration};

use super::Worker;
use crate::{
    engine,
    http::status::{PartitionStatus, Status, TURN_WITHIN},
    log::{Offset, PartitionId},
};

/// The shortest pause between two looks at what a worker tells.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// How long to wait for the next look, of one who began to look `age` ago: who is starting is looked at
/// often, so that ready is said when it is so.
#[must_use]
pub fn pause(age: Duration, longest: Duration) -> Duration {
    (age / 10).clamp(PAUSE_MIN, longest)
}

/// Copies a worker's status; `ends` are the input's next offsets, where they are known.
pub fn tell(status: &Status, worker: &Worker, ends: Option<&BTreeMap<PartitionId, Offset>>) {
    let seen = worker.status();
    let processor = seen.processor;
    if u128::from(worker.stalled_ms().unsigned_abs()) < TURN_WITHIN.as_millis() {
        status.turned(processor.name());
    }
    metrics::gauge!("heartline_unstored_bytes", "processor" => processor.name())
        .set(seen.unstored_bytes as f64);
    metrics::counter!("heartline_restores_total", "processor" => processor.name()).absolute(seen.restores);
    for partition in &seen.partitions {
        count(processor.name(), partition);
    }
    let partitions = seen.partitions.iter().map(|partition| {
        let end = ends.and_then(|ends| ends.get(&partition.partition).copied());
        PartitionStatus {
            processor,
            partition: partition.partition,
            end: end.max(partition.committed),
            committed: partition.committed,
            stored: partition.stored,
            lease_clock_ms: partition.fold.lease_clock_ms,
            brake_held: partition.fold.held,
            users: partition.fold.users,
            sessions: partition.fold.sessions,
            keys: partition.fold.keys,
            phase: partition.phase.name(),
            halted: partition.halted.clone(),
        }
    });
    let missing = seen.missing.iter().map(|missing| (missing.part.clone(), missing.why.clone()));
    status.set_processor(processor, partitions.collect(), missing);
}

/// Records by what became of them, since this process took the partition over.
fn count(processor: &'static str, status: &engine::PartitionStatus) {
    let partition = status.partition.to_string();
    let counts = [
        ("applied", status.counts.applied),
        ("filtered", status.counts.filtered),
        ("dead_lettered", status.counts.dead_lettered),
        ("forwarded", status.counts.forwarded),
    ];
    for (became, count) in counts {
        let labels = [
            ("processor", processor.to_owned()),
            ("partition", partition.clone()),
            ("became", became.to_owned()),
        ];
        metrics::gauge!("heartline_records", &labels).set(count as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn a_start_is_looked_at_often_and_a_life_at_its_own_pace() {
        let longest = Duration::from_millis(250);
        let after = |ms| pause(Duration::from_millis(ms), longest).as_millis();
        assert_eq!([0, 50, 200, 1_000, 2_500, 60_000].map(after), [10, 10, 20, 100, 250, 250]);
    }
}
