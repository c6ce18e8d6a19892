//! `presence` (bucket; user, session): what readers see of a user and of its live sessions.
//!
//! * Session `''` is the user's own row: no TTL, since versions must never restart. Other rows are live
//!   sessions: TTL one day, refreshed by record time, deleted when the session ends.
//! * Overwritten in place: timestamp base + offset of the record that caused the change.
//! * Writer: the owner of the bucket's `heartbeats` partition. Readers: `/v1/presence`, `heartline presence`,
//!   and the fold at a user's first record, by slice (bucket, user); never a whole bucket.

use std::sync::Arc;

use super::{CellError, Column, Kind, Stage, Table, Value, Writing, cells::Cells, column};
use crate::{
    fnv::Fnv1a,
    log::Offset,
    record::{heartbeats::Choice, transition::Status},
};

/// Both kinds of row have all columns; those of the other kind are null.
pub static PRESENCE: Table = Table {
    name: "presence",
    partition: &[column("bucket", Kind::Int)],
    clustering: &[column("user", Kind::Text), column("session", Kind::Text)],
    statics: &[],
    cells: CELLS,
    stage: Stage::First,
    writing: Writing::InPlace,
};

const CELLS: &[Column] = &[
    // The position after the record that wrote this row.
    column("origin", Kind::BigInt),
    // Of a user its public status, of a session its own: offline, away, online, busy.
    column("status", Kind::Text),
    // The user's own choice (auto is null), and the record time until which it holds.
    column("choice", Kind::Text),
    column("until_ms", Kind::BigInt),
    column("status_text", Kind::Text),
    column("activity", Kind::Text),
    column("version", Kind::BigInt),
    column("last_seen_ms", Kind::BigInt),
    column("device", Kind::Text),
    column("gateway", Kind::Text),
    column("metadata", Kind::Text),
    // The generation of the input partition in which this row was written: `origin` is a position of that
    // one.
    column("generation", Kind::Int),
];

/// A user's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow<'a> {
    pub origin: Offset,
    /// What is public.
    pub status: Status,
    /// Never `Auto`.
    pub choice: Option<Choice>,
    /// Record time.
    pub until_ms: Option<i64>,
    /// The texts as chosen: they are public unless `status` is offline.
    pub status_text: Option<&'a str>,
    pub activity: Option<&'a str>,
    pub version: u64,
    /// Record time; 0 of a user that was never visible.
    pub last_seen_ms: i64,
    /// Of the input partition; `origin` is a position of this generation.
    pub generation: i32,
}

/// A live session's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow<'a> {
    pub origin: Offset,
    pub status: Status,
    pub device: Option<&'a str>,
    pub gateway: Option<&'a str>,
    /// JSON, byte for byte as it was given.
    pub metadata: Option<&'a str>,
    /// Of the input partition; `origin` is a position of this generation.
    pub generation: i32,
}

/// The database partition of a bucket.
#[must_use]
pub fn partition(bucket: u32) -> Arc<[Value]> {
    [Value::Int(bucket as i32)].into()
}

/// The key of a session's row within its bucket; of the user's own row with `''` for `session`.
#[must_use]
pub fn clustering(user: &str, session: &str) -> Box<[Value]> {
    [Value::text(user), Value::text(session)].into()
}

/// What the fold keeps of a session's metadata: 64-bit FNV-1a. It is in checkpoints, so it must never change.
#[must_use]
pub fn metadata_hash(metadata: &str) -> u64 {
    Fnv1a::default().bytes(metadata.as_bytes()).finish()
}

impl<'a> UserRow<'a> {
    #[must_use]
    pub fn to_cells(&self) -> Box<[Value]> {
        [
            Value::BigInt(self.origin),
            Value::name(self.status.name()),
            self.choice.map_or(Value::Null, |choice| Value::name(choice.name())),
            Value::optional_big_int(self.until_ms),
            Value::optional_text(self.status_text),
            Value::optional_text(self.activity),
            Value::BigInt(self.version as i64),
            Value::BigInt(self.last_seen_ms),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Int(self.generation),
        ]
        .into()
    }

    /// Reads a row's cells, which come in the order of [`Table::cells`].
    pub fn from_cells(cells: &'a [Value]) -> Result<Self, CellError> {
        let cells = Cells::of_row(&PRESENCE, cells);
        let version = cells.big_int(6)?;
        Ok(Self {
            origin: cells.big_int(0)?,
            status: status(&cells)?,
            choice: match cells.text(2)? {
                None => None,
                Some(name) => {
                    let choice = Choice::from_name(name).ok_or_else(|| cells.unexpected(2))?;
                    Some(choice).filter(|choice| *choice != Choice::Auto)
                }
            },
            until_ms: cells.optional_big_int(3)?,
            status_text: cells.text(4)?,
            activity: cells.text(5)?,
            version: u64::try_from(version).map_err(|_| cells.unexpected(6))?,
            last_seen_ms: cells.big_int(7)?,
            generation: cells.int(11)?,
        })
    }
}

impl<'a> SessionRow<'a> {
    #[must_use]
    pub fn to_cells(&self) -> Box<[Value]> {
        let mut cells = vec![Value::Null; CELLS.len()];
        cells[0] = Value::BigInt(self.origin);
        cells[1] = Value::name(self.status.name());
        cells[8] = Value::optional_text(self.device);
        cells[9] = Value::optional_text(self.gateway);
        cells[10] = Value::optional_text(self.metadata);
        cells[11] = Value::Int(self.generation);
        cells.into()
    }

    /// Reads a row's cells, which come in the order of [`Table::cells`].
    pub fn from_cells(cells: &'a [Value]) -> Result<Self, CellError> {
        let cells = Cells::of_row(&PRESENCE, cells);
        Ok(Self {
            origin: cells.big_int(0)?,
            status: status(&cells)?,
            device: cells.text(8)?,
            gateway: cells.text(9)?,
            metadata: cells.text(10)?,
            generation: cells.int(11)?,
        })
    }
}

fn status(cells: &Cells<'_>) -> Result<Status, CellError> {
    cells.text(1)?.and_then(Status::from_name).ok_or_else(|| cells.unexpected(1))
}

#[cfg(test)]
mod tests;
