//! `progress` (topic, partition; entry) and `progress_owners` (topic, partition; name).
//!
//! * `progress`, entry `''`: what is known of an input partition: topic id, generation, timestamp base,
//!   partition count, and the stored position with what the fold needs there. Overwritten in place: timestamp
//!   base + position. Written by the partition's owner; read at every assignment and by readers (`as_of`).
//! * `progress`, entry `'adopt'`: the operator's decision about a halted partition, written by `heartline
//!   adopt` with the wall clock as its timestamp; read by the owner at every assignment and while the
//!   partition is halted. It says which generation and timestamp base are to begin, and what was `stored`
//!   when it was made; [`crate::task::opening::decide`] tells whether it applies.
//! * `progress_owners`: the producer names that may have a transaction open with offsets of this partition.
//!   TTL a day. Written by every owner before its first transaction there; read by a successor whose stable
//!   read does not answer.

use std::sync::Arc;

use super::{Column, Kind, Stage, Table, Value, Writing, column};
use crate::{
    limits::OWNER_TTL_S,
    log::PartitionId,
    store::{Change, Query, Row, Select, Statement, WriteBatch},
    topology::Topic,
};

pub static PROGRESS: Table = Table {
    name: "progress",
    partition: &[column("topic", Kind::Text), column("partition", Kind::Int)],
    clustering: &[column("entry", Kind::Text)],
    statics: &[],
    cells: PROGRESS_CELLS,
    stage: Stage::First,
    writing: Writing::InPlace,
};

pub static OWNERS: Table = Table {
    name: "progress_owners",
    partition: &[column("topic", Kind::Text), column("partition", Kind::Int)],
    clustering: &[column("name", Kind::Text)],
    statics: &[],
    cells: OWNERS_CELLS,
    stage: Stage::First,
    writing: Writing::InPlace,
};

/// The entry that the partition's owner writes.
pub const PROGRESS_ENTRY: &str = "";
/// The entry that `heartline adopt` writes.
pub const ADOPT_ENTRY: &str = "adopt";

const PROGRESS_CELLS: &[Column] = &[
    // Which topic, of which generation, with how many partitions.
    column("topic_id", Kind::Text),
    column("generation", Kind::Int),
    column("partitions", Kind::Int),
    // Microseconds of the wall clock when this generation was adopted; row timestamps are base + offset.
    column("base_us", Kind::BigInt),
    // The stored position, and as JSON what the fold needs there: lease clock, last beacon, parameters.
    column("stored", Kind::BigInt),
    column("resume", Kind::Text),
    // Record time of the last beacon whose rows are acknowledged.
    column("as_of_ms", Kind::BigInt),
];

const OWNERS_CELLS: &[Column] = &[column("since_us", Kind::BigInt)];

/// The row that a partition's owner writes, and the decision beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressRow {
    pub topic_id: String,
    /// 1 for the first life of the partition; every `adopt` begins the next.
    pub generation: i32,
    /// How many partitions the topic had.
    pub partitions: i32,
    pub base_us: i64,
    /// Everything below this position is in the store.
    pub stored: i64,
    /// What the fold needs at `stored`; `None` at the start of the partition.
    pub resume: Option<String>,
    /// Record time of the last beacon whose rows are in the store.
    pub as_of_ms: Option<i64>,
}

impl ProgressRow {
    /// The statement that writes this row, with `base + position` as its timestamp.
    #[must_use]
    pub fn upsert(&self, position: i64) -> Statement {
        let cells = [
            Value::text(&self.topic_id),
            Value::Int(self.generation),
            Value::Int(self.partitions),
            Value::BigInt(self.base_us),
            Value::BigInt(self.stored),
            Value::optional_text(self.resume.as_deref()),
            Value::optional_big_int(self.as_of_ms),
        ];
        Statement {
            clustering: Box::new([Value::text(PROGRESS_ENTRY)]),
            change: Change::Upsert(Box::new(cells)),
            timestamp_us: self.base_us + position,
            ttl_s: None,
        }
    }

    /// Reads one entry out of the rows of a partition.
    #[must_use]
    pub fn find(rows: &[Row], entry: &str) -> Option<Self> {
        let is_entry = |row: &&Row| row.clustering.first().and_then(Value::as_text) == Some(entry);
        rows.iter().find(is_entry).and_then(Self::from_row)
    }

    /// Reads the row; `None` if a cell that is always there is missing.
    #[must_use]
    pub fn from_row(row: &Row) -> Option<Self> {
        let [topic_id, generation, partitions, base_us, stored, resume, as_of_ms] = &*row.cells else {
            return None;
        };
        Some(Self {
            topic_id: topic_id.as_text()?.to_owned(),
            generation: generation.as_int()?,
            partitions: partitions.as_int()?,
            base_us: base_us.as_big_int()?,
            stored: stored.as_big_int()?,
            resume: resume.as_text().map(str::to_owned),
            as_of_ms: as_of_ms.as_big_int(),
        })
    }
}

/// The partition key of both tables.
#[must_use]
pub fn progress_key(topic: Topic, partition: PartitionId) -> Arc<[Value]> {
    Arc::new([Value::text(topic.name()), Value::Int(partition as i32)])
}

/// Reads entries of `progress`.
#[must_use]
pub fn progress_query(topic: Topic, partition: PartitionId, entries: &[&str]) -> Query {
    let keys = entries.iter().map(|entry| -> Box<[Value]> { Box::new([Value::text(entry)]) }).collect();
    Query { table: &PROGRESS, partition: progress_key(topic, partition), select: Select::Keys(keys) }
}

/// Writes the row of a partition's owner.
#[must_use]
pub fn progress_write(topic: Topic, partition: PartitionId, row: &ProgressRow, position: i64) -> WriteBatch {
    WriteBatch::new(&PROGRESS, progress_key(topic, partition), vec![row.upsert(position)])
}

/// Adds a producer's name to a partition's owners. The wall clock is its timestamp: the rows of this table
/// are facts about pods, not about the log.
#[must_use]
pub fn owner_write(topic: Topic, partition: PartitionId, name: &str, wall_us: i64) -> WriteBatch {
    let statement = Statement {
        clustering: Box::new([Value::text(name)]),
        change: Change::Upsert(Box::new([Value::BigInt(wall_us)])),
        timestamp_us: wall_us,
        ttl_s: Some(OWNER_TTL_S),
    };
    WriteBatch::new(&OWNERS, progress_key(topic, partition), vec![statement])
}

/// Reads the names of a partition's owners of the last day; a bound far above what restarts can leave in a
/// day.
#[must_use]
pub fn owners_query(topic: Topic, partition: PartitionId) -> Query {
    let select = Select::Slice { prefix: Box::new([]), after: None, descending: false, limit: 1_000 };
    Query { table: &OWNERS, partition: progress_key(topic, partition), select }
}
