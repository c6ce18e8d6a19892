//! The inboxes of a bucket's recipients: `inbox` (bucket, window; recipient, seq), `inbox_windows` (bucket;
//! recipient, window) and `inbox_heads` (bucket; recipient).
//!
//! * `inbox`: entries, written first and once: timestamp = record time, TTL on every cell, time-window
//!   compaction. Windows roll by count, so that a partition's size is bounded however busy a recipient is.
//!   Bodies up to [`crate::limits::INLINE_BODY_BYTES`] are in the entry, larger ones are read from
//!   `messages`.
//! * `inbox_windows`: the recipient's first number in a window; a page finds its windows by it. Written
//!   second and once, kept a week longer than entries.
//! * `inbox_heads`: the last number of each recipient, and, static, the bucket's origin and present window.
//!   Overwritten in place, last: timestamp base + offset; what a batch changed in a bucket is one mutation,
//!   but for heads that need not wait for a large group and are there before the bucket's origin says so:
//!   each says itself what it includes.
//! * Writer of all three: the owner of the bucket's `deliveries` partition. Readers: the fold (heads, a
//!   bucket at a time), `/v1/sync`.

use std::sync::Arc;

use smol_str::SmolStr;

use super::{CellError, Column, Kind, Stage, Table, Value, Writing, cells::Cells, column};
use crate::{
    log::Offset,
    store::{Query, Select},
};

pub static INBOX: Table = Table {
    name: "inbox",
    partition: &[column("bucket", Kind::Int), column("window", Kind::BigInt)],
    clustering: &[column("recipient", Kind::Text), column("seq", Kind::BigInt)],
    statics: &[],
    cells: ENTRY_CELLS,
    stage: Stage::First,
    writing: Writing::Append,
};

pub static WINDOWS: Table = Table {
    name: "inbox_windows",
    partition: &[column("bucket", Kind::Int)],
    clustering: &[column("recipient", Kind::Text), column("window", Kind::BigInt)],
    statics: &[],
    cells: &[column("first_seq", Kind::BigInt)],
    stage: Stage::Second,
    writing: Writing::Append,
};

pub static HEADS: Table = Table {
    name: "inbox_heads",
    partition: &[column("bucket", Kind::Int)],
    clustering: &[column("recipient", Kind::Text)],
    statics: BUCKET_CELLS,
    cells: HEAD_CELLS,
    stage: Stage::Last,
    writing: Writing::InPlaceWhole,
};

const ENTRY_CELLS: &[Column] = &[
    column("conversation", Kind::Text),
    column("conversation_seq", Kind::BigInt),
    column("sender", Kind::Text),
    column("client_id", Kind::Text),
    column("session", Kind::Text),
    column("sent_at_ms", Kind::BigInt),
    // Record time of the send.
    column("accepted_at_ms", Kind::BigInt),
    // JSON, byte for byte; null where it is to be read from `messages`.
    column("body", Kind::Text),
    // Entries up to and including this one that somebody else sent.
    column("foreign_count", Kind::BigInt),
];

const BUCKET_CELLS: &[Column] = &[
    // The position after the last record that changed the bucket, and the generation it is a position of.
    column("origin", Kind::BigInt),
    column("generation", Kind::Int),
    // The present window, the entries in it, and the record time at which it began.
    column("window", Kind::BigInt),
    column("window_entries", Kind::BigInt),
    column("window_since_ms", Kind::BigInt),
];

const HEAD_CELLS: &[Column] = &[
    column("latest_seq", Kind::BigInt),
    column("foreign_count", Kind::BigInt),
    // The window of the latest entry.
    column("latest_window", Kind::BigInt),
    // The timestamp of the record that brought it, base + offset; may be beyond the bucket's origin.
    column("latest_us", Kind::BigInt),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow<'a> {
    pub conversation: &'a str,
    pub conversation_seq: i64,
    pub sender: &'a str,
    pub client_id: &'a str,
    pub session: Option<&'a str>,
    pub sent_at_ms: Option<i64>,
    pub accepted_at_ms: i64,
    pub body: Option<&'a str>,
    pub foreign_count: i64,
}

/// The static cells of a bucket of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BucketRow {
    pub origin: Offset,
    pub generation: i32,
    pub window: i64,
    pub entries: i64,
    pub window_since_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeadRow {
    pub latest_seq: i64,
    pub foreign_count: i64,
    pub window: i64,
    pub timestamp_us: i64,
}

impl<'a> EntryRow<'a> {
    #[must_use]
    pub fn to_cells(&self) -> Box<[Value]> {
        [
            Value::text(self.conversation),
            Value::BigInt(self.conversation_seq),
            Value::text(self.sender),
            Value::text(self.client_id),
            Value::optional_text(self.session),
            Value::optional_big_int(self.sent_at_ms),
            Value::BigInt(self.accepted_at_ms),
            Value::optional_text(self.body),
            Value::BigInt(self.foreign_count),
        ]
        .into()
    }

    /// The cells of another entry of the same message, with the same texts.
    #[must_use]
    pub fn with_foreign_count(cells: &[Value], foreign_count: i64) -> Box<[Value]> {
        let mut cells: Box<[Value]> = cells.into();
        if let Some(last) = cells.last_mut() {
            *last = Value::BigInt(foreign_count);
        }
        cells
    }

    /// Reads an entry's cells.
    pub fn from_cells(cells: &'a [Value]) -> Result<Self, CellError> {
        let cells = Cells::of_row(&INBOX, cells);
        Ok(Self {
            conversation: cells.required_text(0)?,
            conversation_seq: cells.big_int(1)?,
            sender: cells.required_text(2)?,
            client_id: cells.required_text(3)?,
            session: cells.text(4)?,
            sent_at_ms: cells.optional_big_int(5)?,
            accepted_at_ms: cells.big_int(6)?,
            body: cells.text(7)?,
            foreign_count: cells.big_int(8)?,
        })
    }
}

impl BucketRow {
    #[must_use]
    pub fn to_cells(&self) -> Box<[Value]> {
        [
            Value::BigInt(self.origin),
            Value::Int(self.generation),
            Value::BigInt(self.window),
            Value::BigInt(self.entries),
            Value::BigInt(self.window_since_ms),
        ]
        .into()
    }

    /// Reads the static cells.
    pub fn from_cells(cells: &[Value]) -> Result<Self, CellError> {
        let cells = Cells::of_statics(&HEADS, cells);
        Ok(Self {
            origin: cells.big_int(0)?,
            generation: cells.int(1)?,
            window: cells.big_int(2)?,
            entries: cells.big_int(3)?,
            window_since_ms: cells.big_int(4)?,
        })
    }
}

impl HeadRow {
    #[must_use]
    pub fn to_cells(&self) -> Box<[Value]> {
        let Self { latest_seq, foreign_count, window, timestamp_us } = *self;
        [latest_seq, foreign_count, window, timestamp_us].map(Value::BigInt).into()
    }

    /// Reads a head's cells.
    pub fn from_cells(cells: &[Value]) -> Result<Self, CellError> {
        let cells = Cells::of_row(&HEADS, cells);
        Ok(Self {
            latest_seq: cells.big_int(0)?,
            foreign_count: cells.big_int(1)?,
            window: cells.big_int(2)?,
            timestamp_us: cells.big_int(3)?,
        })
    }
}

/// The database partition of a window of entries.
#[must_use]
pub fn window_partition(bucket: u32, window: i64) -> Arc<[Value]> {
    [Value::Int(bucket as i32), Value::BigInt(window)].into()
}

/// The database partition of a bucket's heads, and of its windows.
#[must_use]
pub fn bucket_partition(bucket: u32) -> Arc<[Value]> {
    [Value::Int(bucket as i32)].into()
}

/// The number of an entry, or of a window, from its clustering.
#[must_use]
pub fn number_of(clustering: &[Value]) -> Option<i64> {
    match clustering {
        [_, Value::BigInt(number)] => Some(*number),
        _ => None,
    }
}

/// The key of an entry within its window, or of a window among the recipient's.
#[must_use]
pub fn clustering(recipient: impl Into<SmolStr>, number: i64) -> Box<[Value]> {
    [Value::Text(recipient.into()), Value::BigInt(number)].into()
}

/// Reads a window's row: the recipient's first number in it.
pub fn first_seq(cells: &[Value]) -> Result<i64, CellError> {
    Cells::of_row(&WINDOWS, cells).big_int(0)
}

/// Reads entries of a recipient in one window behind `after`.
#[must_use]
pub fn entries_query(bucket: u32, window: i64, recipient: &str, after: Option<i64>, limit: u32) -> Query {
    slice(&INBOX, window_partition(bucket, window), recipient, after, false, limit)
}

/// Reads a recipient's windows, forward or backward.
#[must_use]
pub fn windows_query(
    bucket: u32,
    recipient: &str,
    after: Option<i64>,
    descending: bool,
    limit: u32,
) -> Query {
    slice(&WINDOWS, bucket_partition(bucket), recipient, after, descending, limit)
}

fn slice(
    table: &'static Table,
    partition: Arc<[Value]>,
    recipient: &str,
    after: Option<i64>,
    descending: bool,
    limit: u32,
) -> Query {
    let prefix = [Value::text(recipient)].into();
    let select = Select::Slice { prefix, after: after.map(Value::BigInt), descending, limit };
    Query { table, partition, select }
}

/// Reads the heads of some recipients of a bucket.
#[must_use]
pub fn heads_query(bucket: u32, recipients: &[&str]) -> Query {
    let keys = recipients.iter().map(|recipient| -> Box<[Value]> { [Value::text(recipient)].into() });
    Query { table: &HEADS, partition: bucket_partition(bucket), select: Select::Keys(keys.collect()) }
}

#[cfg(test)]
mod tests;
