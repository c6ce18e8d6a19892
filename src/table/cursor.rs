//! `cursors` (bucket; user, conversation): how far a user has read.
//!
//! * Conversation `''` is the position in the user's inbox; others are positions in that conversation.
//! * Overwritten in place: timestamp base + offset. No TTL. Only advances are written.
//! * Writer: the owner of the user's `receipts` partition. Readers: the fold at a cursor's first record,
//!   `/v1/cursors`, `/v1/sync`; they clamp to the head.

use std::sync::Arc;

use super::{CellError, Column, Kind, Stage, Table, Value, Writing, cells::Cells, column};
use crate::{
    log::Offset,
    store::{Query, Select},
};

pub static CURSORS: Table = Table {
    name: "cursors",
    partition: &[column("bucket", Kind::Int)],
    clustering: &[column("user", Kind::Text), column("conversation", Kind::Text)],
    statics: &[],
    cells: CELLS,
    stage: Stage::First,
    writing: Writing::InPlace,
};

const CELLS: &[Column] = &[
    column("position", Kind::BigInt),
    // Record time of the receipt.
    column("at_ms", Kind::BigInt),
    // The position after the record that wrote this row, and the generation it is a position of.
    column("origin", Kind::BigInt),
    column("generation", Kind::Int),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorRow {
    pub position: i64,
    pub at_ms: i64,
    pub origin: Offset,
    pub generation: i32,
}

impl CursorRow {
    #[must_use]
    pub fn to_cells(&self) -> Box<[Value]> {
        [
            Value::BigInt(self.position),
            Value::BigInt(self.at_ms),
            Value::BigInt(self.origin),
            Value::Int(self.generation),
        ]
        .into()
    }

    /// Reads a row's cells.
    pub fn from_cells(cells: &[Value]) -> Result<Self, CellError> {
        let cells = Cells::of_row(&CURSORS, cells);
        Ok(Self {
            position: cells.big_int(0)?,
            at_ms: cells.big_int(1)?,
            origin: cells.big_int(2)?,
            generation: cells.int(3)?,
        })
    }
}

/// The database partition of a bucket.
#[must_use]
pub fn partition(bucket: u32) -> Arc<[Value]> {
    [Value::Int(bucket as i32)].into()
}

/// The key of a cursor within its bucket; `''` for the inbox.
#[must_use]
pub fn clustering(user: &str, conversation: &str) -> Box<[Value]> {
    [Value::text(user), Value::text(conversation)].into()
}

/// The conversation of a cursor, from its clustering; `''` for the inbox.
#[must_use]
pub fn conversation_of(clustering: &[Value]) -> Option<&str> {
    match clustering {
        [_, conversation] => conversation.as_text(),
        _ => None,
    }
}

/// Reads single cursors of a bucket.
#[must_use]
pub fn keys_query(bucket: u32, keys: Vec<Box<[Value]>>) -> Query {
    Query { table: &CURSORS, partition: partition(bucket), select: Select::Keys(keys) }
}

/// Reads a user's cursors behind `after`, that of the inbox first.
#[must_use]
pub fn user_query(bucket: u32, user: &str, after: Option<&str>, limit: u32) -> Query {
    let prefix = [Value::text(user)].into();
    let select = Select::Slice { prefix, after: after.map(Value::text), descending: false, limit };
    Query { table: &CURSORS, partition: partition(bucket), select }
}

#[cfg(test)]
mod tests;
