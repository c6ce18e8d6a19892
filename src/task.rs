//! The task of one input partition: its records in order, its positions, and what its fold has brought about
//! since the last transaction was closed. Pure and synchronous; tasks of one engine may fold side by side.

use std::{collections::VecDeque, mem};

use crate::{
    effect::Output,
    limits::PART_ROWS_MAX,
    log::{Chunk, FetchId, Offset, PartitionId, RequestId},
    mutant::{self, Mutant},
    processor::{Checkpoint, Fold, RestoreError, Step},
    store::{Query, Row},
};

pub mod checkpoint;
pub mod metadata;
pub mod opening;
pub mod owed;

use checkpoint::Checkpoints;
use opening::{HaltReason, Start};
use owed::{Ledger, Place, Released};

/// Records that are looked at ahead of one whose keys are missing, so that one read serves many.
const LOOK_AHEAD_MAX: usize = 8_192;

/// Records whose state is read at once before they are folded: enough for waits to overlap, few enough for
/// what was read to be there still.
pub const TOUCHED: usize = 32;

/// Consumed = applied + filtered + dead-lettered + forwarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub applied: u64,
    pub filtered: u64,
    pub dead_lettered: u64,
    pub forwarded: u64,
}

impl Counts {
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.applied + self.filtered + self.dead_lettered + self.forwarded
    }

    pub fn add(&mut self, other: &Self) {
        self.applied += other.applied;
        self.filtered += other.filtered;
        self.dead_lettered += other.dead_lettered;
        self.forwarded += other.forwarded;
    }
}

/// What one task contributes to a batch.
#[derive(Debug)]
pub struct Part {
    /// The position after the last record.
    pub position: Offset,
    /// How many of the records lie at or above the committed position.
    pub fresh: u64,
    pub counts: Counts,
    pub output: Output,
    pub checkpoints: Vec<(u32, Checkpoint)>,
    /// Record time of the last beacon.
    pub as_of_ms: Option<i64>,
}

impl Part {
    fn new(output: Output, position: Offset) -> Self {
        Self {
            position,
            fresh: 0,
            counts: Counts::default(),
            output,
            checkpoints: Vec::new(),
            as_of_ms: None,
        }
    }

    /// Bytes that it owes to the log and to the store.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.output.row_bytes + self.output.record_bytes
    }

    /// Whether somebody waits for what it brings about.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        !self.output.records.is_empty() || !self.output.rows.is_empty()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.consumed() == 0 && self.checkpoints.is_empty()
    }
}

/// Where a task's records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    No,
    Fetch(FetchId),
    /// The log refused the position; this question about its bounds decides what follows.
    Refused(RequestId),
}

/// One input partition that is being folded: replayed up to `committed`, live from there on.
pub struct Task<F> {
    pub partition: PartitionId,
    pub reading: Reading,
    /// Whether records are read with their headers. Nearly all are folded without; once one goes out with its
    /// own, as a dead letter or to another partition, it and what follows it are read anew.
    pub headers: bool,
    /// Everything below is published. Replay ends here.
    pub committed: Offset,
    pub start: Start,
    pub fold: F,
    pub open: Part,
    pub counts: Counts,
    pub checkpoints: Checkpoints,
    pub buckets: Vec<u32>,
    /// Reads whose answers the fold waits for.
    pub waiting: usize,
    /// Reads that the engine is to submit.
    pub wanted: Vec<Query>,
    pub halted: Option<HaltReason>,
    /// Rows of committed batches that the store has not acknowledged.
    owed: Ledger,
    /// The position up to which all rows are in the store, and the beacon time there.
    pub stored_rows: Offset,
    pub as_of_ms: Option<i64>,
    queue: VecDeque<Chunk>,
    /// Records of the first chunk that are folded already.
    cursor: usize,
    queued_bytes: usize,
    position: Offset,
}

impl<F: Fold> Task<F> {
    /// A task that will read from `start.stored` on.
    #[must_use]
    pub fn new(partition: PartitionId, start: Start, fold: F, checkpoints: Checkpoints) -> Self {
        let buckets = fold.buckets();
        let position = if mutant::is(Mutant::RestoredAtCommitted) { start.committed } else { start.stored };
        Self {
            partition,
            reading: Reading::No,
            headers: false,
            committed: start.committed,
            position,
            stored_rows: start.stored,
            open: Part::new(Output::new(start.base_us), position),
            start,
            fold,
            counts: Counts::default(),
            checkpoints,
            buckets,
            waiting: 0,
            wanted: Vec::new(),
            halted: None,
            owed: Ledger::default(),
            as_of_ms: None,
            queue: VecDeque::new(),
            cursor: 0,
            queued_bytes: 0,
        }
    }

    /// The position after the last record folded.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.position
    }

    /// The position after the last record that was taken in.
    #[must_use]
    pub fn read_position(&self) -> Offset {
        let last = self.queue.back().and_then(Chunk::last_offset);
        last.map_or(self.position, |last| self.position.max(last + 1))
    }

    /// Whether the position has passed what was committed when the task began.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.position >= self.committed
    }

    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether there is something to fold now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.waiting == 0 && self.wanted.is_empty() && self.halted.is_none() && !self.queue.is_empty()
    }

    /// Takes records that were read; those of an older fetch are ignored.
    pub fn enqueue(&mut self, chunk: Chunk) {
        let current = self.reading == Reading::Fetch(chunk.fetch) || mutant::is(Mutant::StaleChunkFolded);
        if current && self.halted.is_none() && !chunk.is_empty() {
            self.queued_bytes += chunk.size_bytes();
            self.queue.push_back(chunk);
        }
    }

    /// Folds queued records into the open part: all of them, or until it has `bytes_max` bytes or
    /// `records_max` records, keys are missing or the fold halts.
    pub fn fold_queued(&mut self, records_max: u64, bytes_max: usize) {
        while let Some(chunk) = self.queue.front() {
            let size_bytes = chunk.size_bytes();
            while self.cursor < chunk.len() {
                if self.open.counts.consumed() >= records_max
                    || self.open_bytes() >= bytes_max
                    || self.open.output.rows.len() >= PART_ROWS_MAX
                {
                    return;
                }
                if self.cursor.is_multiple_of(TOUCHED) {
                    let end = chunk.len().min(self.cursor + TOUCHED);
                    self.fold.touch((self.cursor..end).filter_map(|index| chunk.key(index)));
                }
                let record = chunk.get(self.cursor);
                if record.offset < self.position {
                    // A duplicate of what is folded already.
                    self.cursor += 1;
                    continue;
                }
                let inclusive = mutant::is(Mutant::CommittedReadAsInclusive);
                let live = record.offset >= self.committed + i64::from(inclusive)
                    || mutant::is(Mutant::PublishedBelowCommitted);
                self.open.output.begin(record.offset, live);
                let counts = &mut self.open.counts;
                match self.fold.fold(&record, &mut self.open.output) {
                    Step::Applied => counts.applied += 1,
                    Step::Filtered => counts.filtered += 1,
                    Step::DeadLettered => counts.dead_lettered += 1,
                    Step::Forwarded => counts.forwarded += 1,
                    Step::Wanting => {
                        self.wanted = self.missing();
                        return;
                    }
                    Step::WantingHeaders => {
                        debug_assert!(!self.headers, "headers that were read are wanted");
                        self.headers = true;
                        self.reading = Reading::No;
                        return self.clear();
                    }
                    Step::Halt(why) => {
                        self.halt(HaltReason::Unsupported(why));
                        return;
                    }
                }
                self.open.fresh += u64::from(live);
                self.cursor += 1;
                self.position = record.offset + 1;
                self.open.position = self.position;
            }
            self.queue.pop_front();
            self.queued_bytes -= size_bytes;
            self.cursor = 0;
        }
    }

    fn missing(&self) -> Vec<Query> {
        let mut skip = self.cursor;
        let mut ahead = self.queue.iter().flat_map(|chunk| {
            let from = mem::take(&mut skip);
            (from..chunk.len()).map(|index| chunk.get(index))
        });
        self.fold.wanted(&mut ahead.by_ref().take(LOOK_AHEAD_MAX))
    }

    /// Takes the answer to one of the reads.
    pub fn load(&mut self, query: &Query, rows: Vec<Row>) -> Result<(), RestoreError> {
        self.waiting = self.waiting.saturating_sub(1);
        self.fold.load(query, rows)
    }

    /// Stands still from here on; what is folded already may still be committed.
    pub fn halt(&mut self, reason: HaltReason) {
        self.halted = Some(reason);
        self.clear();
    }

    /// Lets go of what was read and not folded.
    fn clear(&mut self) {
        self.queue.clear();
        self.queued_bytes = 0;
        self.cursor = 0;
    }

    /// Takes a checkpoint of each bucket that is due, as part of the open batch. Only at or above the
    /// committed position, so that no former owner can have written a newer one.
    pub fn take_checkpoints(&mut self, now_ms: i64, round_ms: i64) {
        if !self.is_live() || self.halted.is_some() {
            return;
        }
        for bucket in self.checkpoints.due(&self.buckets, now_ms, round_ms) {
            self.checkpoints.taken(bucket);
            if let Some(checkpoint) = self.fold.checkpoint(bucket) {
                self.open.checkpoints.push((bucket, checkpoint));
            }
        }
    }

    /// Ends the open part; what is folded from here on belongs to batch `next`.
    pub fn close(&mut self, next: u64) -> Part {
        self.fold.close(&mut self.open.output);
        self.open.as_of_ms = self.fold.seen_beacon().map(|beacon| beacon.time_ms);
        self.fold.begin_batch(next);
        let next = Part::new(self.open.output.next(), self.position);
        mem::replace(&mut self.open, next)
    }

    /// Bytes that the open part owes to the log and to the store, what the fold holds back included.
    #[must_use]
    pub fn open_bytes(&self) -> usize {
        self.open.size_bytes() + self.fold.held_back_bytes()
    }

    /// Whether somebody waits for what the open part brings about.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.open.is_urgent() || self.fold.held_back_bytes() > 0
    }

    /// A batch was committed: its rows are owed to the store.
    pub fn owe(&mut self, batch: u64, part: Part) -> Released {
        self.committed = self.committed.max(part.position);
        self.counts.add(&part.counts);
        let released = self.owed.owe(batch, part);
        self.settled(released)
    }

    /// The store acknowledged a write.
    pub fn acknowledge(&mut self, place: Place) -> Released {
        let released = self.owed.acknowledge(place);
        self.settled(released)
    }

    fn settled(&mut self, released: Released) -> Released {
        for settled in &released.settled {
            self.stored_rows = settled.position;
            self.as_of_ms = settled.as_of_ms.or(self.as_of_ms);
            self.fold.acknowledged(settled.batch);
        }
        released
    }

    /// Bytes of committed rows that wait for others to be acknowledged.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.owed.waiting_bytes()
    }

    /// Whether the store owes nothing.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.owed.is_empty()
    }
}
