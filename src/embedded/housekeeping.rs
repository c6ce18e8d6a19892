//! Removes what nobody needs any more, in bounded steps: records past their retention, tombstones of
//! compacted topics, rows that died a day ago.
//!
//! It only looks; the writer removes, after it has made sure that nothing changed in between.

use std::{
    ops::{Bound, ControlFlow},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use fjall::{Keyspace, Readable, Slice, Snapshot};

use super::{
    batch::Batch,
    layout,
    queue::Lane,
    rows::{self, cell::GRACE_MS},
    shared::Shared,
    spaces::StorageError,
    topics,
    writer::{Reply, Work},
};
use crate::{
    log::{Offset, PartitionId},
    topology::{Cleanup, Topic},
};

/// What one step looks at, the rest of the last batch beyond.
const RECORDS_PER_STEP: usize = 2_000;
const ROWS_PER_STEP: usize = 2_000;
const PAUSE: Duration = Duration::from_secs(1);
/// Between two steps of which the first did not see everything.
const SHORT_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Housekeeping {
    shared: Arc<Shared>,
    /// The table whose rows are looked at, and the last key that was.
    table: usize,
    last_row: Option<Slice>,
}

impl Housekeeping {
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), table: 0, last_row: None }
    }

    /// Runs until the other end of `ended` is dropped.
    pub fn run(mut self, ended: &Receiver<()>) {
        let mut pause = PAUSE;
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(pause) {
            pause = match self.step() {
                Ok(true) => SHORT_PAUSE,
                Ok(false) => PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "housekeeping of the embedded store failed");
                    PAUSE
                }
            };
        }
    }

    /// One bounded step; whether records that are due are left.
    pub fn step(&mut self) -> Result<bool, StorageError> {
        let now_ms = self.shared.now_ms();
        let shared = Arc::clone(&self.shared);
        let snapshot = shared.spaces.database.snapshot();
        let mut more = false;
        for (topic, entry) in &shared.catalog {
            for partition in 0..entry.partitions {
                more |= match entry.cleanup {
                    Cleanup::Delete { retention_ms } => {
                        let before_ms = now_ms.saturating_sub_unsigned(retention_ms);
                        self.trim(&snapshot, *topic, partition, before_ms)?
                    }
                    Cleanup::Compact => {
                        self.forget(&snapshot, *topic, partition, now_ms.saturating_sub(GRACE_MS))?
                    }
                };
            }
        }
        self.sweep(&snapshot, now_ms)?;
        Ok(more)
    }

    fn trim(
        &self,
        snapshot: &Snapshot,
        topic: Topic,
        partition: PartitionId,
        before_ms: i64,
    ) -> Result<bool, StorageError> {
        let spaces = &self.shared.spaces;
        let first = topics::position(spaces, snapshot, topic, partition)?.bounds.first;
        let mut below = first;
        let full = |below: Offset| (below - first) as usize >= RECORDS_PER_STEP;
        for entry in snapshot.range(&spaces.records, layout::batches_from(topic, partition, first)) {
            let (key, value) = entry.into_inner()?;
            let last = layout::offset_of(&key);
            let due =
                |last: &Offset| Batch::open(*last, &value).is_some_and(|batch| batch.time_ms < before_ms);
            let Some(last) = last.filter(due) else {
                break;
            };
            below = last + 1;
            if full(below) {
                break;
            }
        }
        if below == first {
            return Ok(false);
        }
        self.ask(|reply| Work::Trim { topic, partition, below, reply });
        Ok(full(below))
    }

    fn forget(
        &self,
        snapshot: &Snapshot,
        topic: Topic,
        partition: PartitionId,
        before_ms: i64,
    ) -> Result<bool, StorageError> {
        let spaces = &self.shared.spaces;
        let mut tombstones = Vec::new();
        let found = snapshot.prefix(&spaces.latest, layout::tombstone_prefix(topic, partition));
        for entry in found.take(RECORDS_PER_STEP) {
            let Some(offset) = layout::offset_of(&entry.key()?) else {
                break;
            };
            let mut is_due = false;
            topics::scan(spaces, snapshot, (topic, partition), offset, |at, record| {
                is_due = at == offset && record.time_ms < before_ms;
                ControlFlow::Break(())
            })?;
            if !is_due {
                break;
            }
            tombstones.push(offset);
        }
        let more = tombstones.len() == RECORDS_PER_STEP;
        if !tombstones.is_empty() {
            self.ask(|reply| Work::Forget { topic, partition, tombstones, reply });
        }
        Ok(more)
    }

    /// Looks at the next rows, table after table, round and round.
    fn sweep(&mut self, snapshot: &Snapshot, now_ms: i64) -> Result<(), StorageError> {
        let tables = self.shared.spaces.tables();
        let Some(space) = tables.get(self.table) else {
            self.table = 0;
            return Ok(());
        };
        let from = self.last_row.take().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut garbage, mut last, mut looked_at) = (Vec::new(), None, 0);
        for entry in snapshot.range::<Slice, _>(space, (from, Bound::Unbounded)).take(ROWS_PER_STEP) {
            let (key, value) = entry.into_inner()?;
            if rows::is_garbage(&value, now_ms) {
                garbage.push(key.clone());
            }
            looked_at += 1;
            last = Some(key);
        }
        match looked_at == ROWS_PER_STEP {
            true => self.last_row = last,
            false => self.table += 1,
        }
        self.sweep_rows(space, garbage);
        Ok(())
    }

    fn sweep_rows(&self, space: &Keyspace, keys: Vec<Slice>) {
        if !keys.is_empty() {
            self.ask(|reply| Work::Sweep { space: space.clone(), keys, reply });
        }
    }

    /// Waits for the writer, so that housekeeping never gets ahead of it; a full queue means another time.
    fn ask(&self, work: impl FnOnce(Reply<()>) -> Work) {
        let (sender, receiver) = mpsc::channel();
        let reply = Box::new(move |()| {
            let _ = sender.send(());
        });
        if self.shared.submit(Lane::Client, work(reply)).is_ok() {
            let _ = receiver.recv();
        }
    }
}
