//! Loading and writing the checkpoints of a partition's buckets: which slot counts, and which is next.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::opening::HaltReason;
use crate::{
    log::Offset,
    mutant::{self, Mutant},
    processor::Checkpoint,
    store::{Query, Row, WriteBatch},
    table::checkpoint::{SlotHeader, assemble, checkpoint_writes, chunks_query, headers_query},
};

/// How often a bucket is read again when none of its slots is whole: a former owner may still be writing.
const ATTEMPTS_MAX: u32 = 10;

/// Reads the newest whole checkpoint of one bucket: the headers, the chunks of the newest, the next best if
/// those are torn.
#[derive(Debug)]
pub struct BucketLoad {
    bucket: u32,
    /// Headers with another base belong to another generation of the topic and don't count.
    base_us: i64,
    /// Headers not yet tried, the newest last.
    candidates: Vec<SlotHeader>,
    reading: Option<SlotHeader>,
    attempts: u32,
}

/// What is next for a bucket that is being loaded.
#[derive(Debug)]
pub enum LoadStep {
    Read(Query),
    /// Nothing whole was found: begin again after a pause.
    Again,
    /// The newest whole checkpoint, or none was ever written.
    Loaded(Option<(SlotHeader, Bytes)>),
    Failed(HaltReason),
}

impl BucketLoad {
    #[must_use]
    pub fn new(bucket: u32, base_us: i64) -> Self {
        Self { bucket, base_us, candidates: Vec::new(), reading: None, attempts: 0 }
    }

    /// The first read, also after [`LoadStep::Again`].
    pub fn begin(&mut self) -> Query {
        self.candidates.clear();
        self.reading = None;
        headers_query(self.bucket)
    }

    /// Takes the rows of the last read.
    pub fn take(&mut self, rows: &[Row]) -> LoadStep {
        match self.reading.take() {
            None => {
                let headers = rows.iter().filter_map(SlotHeader::from_row);
                self.candidates = headers.filter(|header| header.base_us == self.base_us).collect();
                self.candidates.sort_by_key(|header| header.origin);
                if mutant::is(Mutant::OlderSlotCounts) {
                    self.candidates.reverse();
                }
                if self.candidates.is_empty() {
                    return LoadStep::Loaded(None);
                }
            }
            Some(header) => {
                if let Some(bytes) = assemble(&header, rows) {
                    return LoadStep::Loaded(Some((header, bytes)));
                }
            }
        }
        let Some(header) = self.candidates.pop() else { return self.nothing_whole() };
        let query = chunks_query(self.bucket, &header);
        let empty = header.chunks == 0;
        self.reading = Some(header);
        if empty { self.take(&[]) } else { LoadStep::Read(query) }
    }

    fn nothing_whole(&mut self) -> LoadStep {
        self.attempts += 1;
        if self.attempts < ATTEMPTS_MAX {
            return LoadStep::Again;
        }
        let why = "neither of its slots is whole".to_owned();
        LoadStep::Failed(HaltReason::Checkpoint { bucket: self.bucket, why })
    }
}

/// The stored checkpoints of a partition, and those on their way.
#[derive(Debug, Default)]
pub struct Checkpoints {
    stored: BTreeMap<u32, Stored>,
    busy: BTreeSet<u32>,
    /// When the next bucket is due, and which.
    next_at_ms: i64,
    next: usize,
}

#[derive(Debug)]
struct Stored {
    /// `None` while only the claim at the partition's start stands for the bucket's state.
    slot: Option<i32>,
    origin: Offset,
    resume: Option<String>,
}

impl Checkpoints {
    /// A bucket was restored from a slot (or, without one, is empty at the partition's start).
    pub fn restored(&mut self, bucket: u32, slot: Option<i32>, origin: Offset, resume: Option<String>) {
        self.stored.insert(bucket, Stored { slot, origin, resume });
    }

    /// The buckets that are due at `now_ms`, so that each of `buckets` has its turn once per `round_ms`: at
    /// most a few, so that a turn of the loop stays short. A bucket whose last checkpoint is still on its way
    /// is passed over.
    pub fn due(&mut self, buckets: &[u32], now_ms: i64, round_ms: i64) -> Vec<u32> {
        const TURN_MAX: usize = 4;
        if buckets.is_empty() {
            return Vec::new();
        }
        let interval_ms = (round_ms / buckets.len() as i64).max(1);
        if self.next_at_ms == 0 {
            self.next_at_ms = now_ms + interval_ms;
        }
        // After a stall the round goes on from now instead of catching up, when there is much else to do.
        self.next_at_ms = self.next_at_ms.max(now_ms - interval_ms);
        let mut due = Vec::new();
        for _ in 0..buckets.len() {
            if self.next_at_ms > now_ms || due.len() == TURN_MAX {
                break;
            }
            let bucket = buckets[self.next % buckets.len()];
            self.next = (self.next + 1) % buckets.len();
            self.next_at_ms += interval_ms;
            if !self.busy.contains(&bucket) {
                due.push(bucket);
            }
        }
        due
    }

    /// A checkpoint was taken; nothing else is taken of its bucket until [`Checkpoints::stored`].
    pub fn taken(&mut self, bucket: u32) {
        self.busy.insert(bucket);
    }

    /// The writes of a checkpoint: into the slot that is not the newest, header last.
    #[must_use]
    pub fn writes(
        &self,
        bucket: u32,
        checkpoint: &Checkpoint,
        base_us: i64,
    ) -> (Vec<WriteBatch>, WriteBatch) {
        checkpoint_writes(bucket, self.next_slot(bucket), base_us, checkpoint)
    }

    /// The header of a checkpoint is acknowledged.
    pub fn stored(&mut self, bucket: u32, checkpoint: Checkpoint) {
        self.busy.remove(&bucket);
        let slot = Some(self.next_slot(bucket));
        let resume = Some(checkpoint.resume);
        self.stored.insert(bucket, Stored { slot, origin: checkpoint.origin, resume });
    }

    fn next_slot(&self, bucket: u32) -> i32 {
        let newest = self.stored.get(&bucket).and_then(|stored| stored.slot);
        newest.map_or(0, |slot| if mutant::is(Mutant::OneSlotOnly) { slot } else { 1 - slot })
    }

    /// The position that a successor may restore at, with what its fold needs there: the least origin.
    #[must_use]
    pub fn restore_point(&self) -> Option<(Offset, Option<&str>)> {
        let least = if mutant::is(Mutant::StoredAtTheGreatestOrigin) {
            self.stored.values().max_by_key(|stored| stored.origin)?
        } else {
            self.stored.values().min_by_key(|stored| stored.origin)?
        };
        Some((least.origin, least.resume.as_deref()))
    }
}

#[cfg(test)]
mod tests;
