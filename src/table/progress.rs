//! `progress` (topic, partition; entry) and `progress_owners` (topic, partition; name).
//!
//! * `progress`, entry `''`: what is known of an input partition: topic id, generation, timestamp base, partition count,
//!   and the stored position with what the fold needs there. Overwritten in place: timestamp base + position. Written by
//!   the partition's owner; read at every assignment and by readers (`as_of`).
//! * `progress`, entry `'adopt'`: the operator's decision about a halted partition, written by `heartline adopt` with the
//!   wall clock as its timestamp; read by the owner while the partition is halted.
//! * `progress_owners`: the producer names that may have a transaction open with offsets of this partition. TTL a day.
//!   Written by every owner before its first transaction there; read by a successor whose stable read does not answer.

use super::{Column, Kind, Table, column};

pub static PROGRESS: Table = Table {
    name: "progress",
    partition: &[column("topic", Kind::Text), column("partition", Kind::Int)],
    clustering: &[column("entry", Kind::Text)],
    statics: &[],
    cells: PROGRESS_CELLS,
};

pub static OWNERS: Table = Table {
    name: "progress_owners",
    partition: &[column("topic", Kind::Text), column("partition", Kind::Int)],
    clustering: &[column("name", Kind::Text)],
    statics: &[],
    cells: OWNERS_CELLS,
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
