//! The contract of a processor: the pure fold of one input partition.
//!
//! # Order of calls
//! 1. [`Fold::new`] at a position, then [`Fold::restore_bucket`] for every bucket that has a checkpoint.
//! 2. [`Fold::begin_batch`], then records in offset order through [`Fold::fold`]. [`Step::Wanting`] means
//!    that nothing was changed: ask [`Fold::wanted`], read, [`Fold::load`] every answer, and fold the same
//!    record again.
//!    Answers may leave more to be read: the fold wants again. Likewise [`Step::WantingHeaders`], where a
//!    record was read without its headers and they matter.
//! 3. [`Fold::close`] after the batch's last record: what it holds back until then goes out.
//! 4. [`Fold::checkpoint`] between records; [`Fold::acknowledged`] when a batch's rows are in the store.
//!
//! Time is in the records only. A bucket skips what lies below its own origin, so that restoring may start at
//! the least origin of all buckets.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::{
    effect::{Output, Refresh},
    log::{Offset, PartitionId, RecordRef},
    record::beacon::Parameters,
    store::{Query, Row, Statement},
    topology::{ProcessorKind, Topology},
};

#[cfg(test)]
mod bench;
mod border;
pub mod conversation;
pub mod cursor;
pub mod inbox;
mod keyed;
mod pages;
mod parameters;
pub mod presence;

pub use border::FORWARDED;

/// What a fold is given for its life.
#[derive(Debug, Clone)]
pub struct Setup {
    pub topology: Arc<Topology>,
    /// The consumer group; beacons of other groups are filtered.
    pub group: Arc<str>,
    pub partition: PartitionId,
    /// Which life of the partition this is: every `adopt` begins the next. Positions in rows of another one
    /// mean nothing.
    pub generation: i32,
    pub retention: Retention,
    /// Bytes of state that a fold without checkpoints may keep in memory.
    pub state_bytes_max: usize,
    /// Recipients of one message in a partition above which their rows may come later than those of others.
    pub large_group: usize,
}

/// How long rows that never change are kept, in seconds. History is kept at least as long as the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub inbox_s: u32,
    pub history_s: u32,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY_S: u32 = 86_400;
        Self { inbox_s: 30 * DAY_S, history_s: 365 * DAY_S }
    }
}

/// What became of a record. Of every record exactly one is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Applied,
    /// Not for us: a beacon of another group, an effect below every origin.
    Filtered,
    DeadLettered,
    Forwarded,
    /// The state of some keys is not in memory; nothing was changed.
    Wanting,
    /// The record's headers were not read, and go out with it; nothing was changed.
    WantingHeaders,
    /// The partition must not go on: what and what to do.
    Halt(String),
}

/// A bucket's state at a moment.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The position after the last record that changed the bucket.
    pub origin: Offset,
    /// What [`Fold::new`] needs at that origin.
    pub resume: String,
    /// Canonical bytes, versioned; the checksum is the table's business.
    pub bytes: Bytes,
}

/// What to do about a row that was to be refreshed.
#[derive(Debug, Clone, PartialEq)]
pub enum Refreshed {
    Write(Statement),
    /// Something newer has been written or deleted since.
    Skip,
    /// The row is not what the fold believes: drop the state and restore.
    Restore,
}

/// The last beacon that was folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenBeacon {
    pub incarnation: String,
    pub elapsed_ms: i64,
    /// Record time.
    pub time_ms: i64,
}

/// Figures for people; nothing is decided by them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FoldStats {
    pub users: u64,
    pub sessions: u64,
    pub lease_clock_ms: i64,
    /// Leases that are due and held by the brake.
    pub held: u64,
    /// Conversations, buckets or cursors in memory.
    pub keys: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct RestoreError(pub String);

/// The fold of one input partition.
pub trait Fold: Send + Sized + 'static {
    const KIND: ProcessorKind;
    /// Whether the partition's owner appends beacons to it.
    const BEACONS: bool;

    /// The empty state as of `position`; `resume` is what a checkpoint said at that position, `None` at the
    /// start of the partition.
    fn new(setup: Setup, position: Offset, resume: Option<&str>) -> Result<Self, RestoreError>;

    /// The buckets of this partition, each with a checkpoint of its own; none for a processor that restores
    /// from rows.
    fn buckets(&self) -> Vec<u32> {
        Vec::new()
    }

    /// Takes a bucket's checkpoint. Its records below `origin` will be skipped.
    fn restore_bucket(&mut self, bucket: u32, _origin: Offset, _bytes: &[u8]) -> Result<(), RestoreError> {
        Err(RestoreError(format!("{} has no checkpoint of a bucket {bucket}", Self::KIND)))
    }

    /// Changes from here on belong to this batch (ascending numbers).
    fn begin_batch(&mut self, batch: u64);

    /// Reads what records of these keys will probably need, all at once, so that the processor's waits for
    /// memory overlap. Changes nothing; without it each record waits for its own.
    fn touch<'a>(&self, _keys: impl Iterator<Item = &'a [u8]>) {}

    /// Folds one record; effects go to `output`, which has been told the record's offset.
    fn fold(&mut self, record: &RecordRef<'_>, output: &mut Output) -> Step;

    /// The batch ends: adds what was held back so that several records share it.
    fn close(&mut self, _output: &mut Output) {}

    /// Bytes that are held back until [`Fold::close`].
    fn held_back_bytes(&self) -> usize {
        0
    }

    /// Adds what must be read before these records can be folded, grouped by database partition, each key
    /// once.
    fn wanted<'a>(&self, records: &mut dyn Iterator<Item = RecordRef<'a>>) -> Vec<Query>;

    /// Takes the answer to one of [`Fold::wanted`]'s queries; keys without a row are new.
    fn load(&mut self, query: &Query, rows: Vec<Row>) -> Result<(), RestoreError>;

    /// The state of one of [`Fold::buckets`] after the last record that was folded.
    fn checkpoint(&mut self, _bucket: u32) -> Option<Checkpoint> {
        None
    }

    /// What [`Fold::new`] needs at the position after the last record that was folded.
    fn resume(&self) -> String;

    /// All rows of batches up to and including `batch` are in the store: keys may leave memory.
    fn acknowledged(&mut self, batch: u64);

    /// Decides about a row that [`Output::refresh`] named, given what was read.
    fn refreshed(_refresh: &Refresh, _row: Option<&Row>) -> Refreshed {
        Refreshed::Skip
    }

    /// A beacon's value; asked for only where there are [`Fold::BEACONS`].
    fn beacon(_setup: &Setup, _incarnation: &str, _elapsed_ms: i64, _parameters: &Parameters) -> Bytes {
        Bytes::new()
    }

    fn seen_beacon(&self) -> Option<SeenBeacon> {
        None
    }

    fn stats(&self) -> FoldStats;
}
