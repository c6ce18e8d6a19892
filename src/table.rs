//! The tables, as data: every store builds its statements from these descriptions, and a test holds them to
//! the CQL files under `schemas/table/`. One table a file below; each says its key, clustering, lifetime,
//! writer and readers.

use bytes::Bytes;
use smol_str::SmolStr;

use crate::topology::ProcessorKind;

mod cells;
pub mod checkpoint;
pub mod conversation;
pub mod cursor;
pub mod inbox;
pub mod message;
pub mod presence;
pub mod progress;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Int,
    BigInt,
    Text,
    Blob,
    Boolean,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

/// A table: partition key, clustering, static and regular columns, in the order in which values are given.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    pub partition: &'static [Column],
    pub clustering: &'static [Column],
    pub statics: &'static [Column],
    pub cells: &'static [Column],
    /// Rows of a stage are written when those of lower stages are acknowledged, of their own batch and of all
    /// earlier ones: what readers trust comes last, and there one batch after the other.
    pub stage: Stage,
    pub writing: Writing,
}

/// How a table's rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Overwritten in place: timestamp base + offset, every cell set.
    InPlace,
    /// The same, and what a batch changed in one database partition is one mutation, however large: one
    /// origin covers it.
    InPlaceWhole,
    /// Once, with the record's time as timestamp and a time to live: cells that are null are left unset.
    Append,
}

/// When rows are written, see [`Table::stage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    First,
    Second,
    Last,
}

impl Stage {
    pub const ALL: [Self; 3] = [Self::First, Self::Second, Self::Last];
}

/// Every table of the product.
pub const TABLES: &[&Table] = &[
    &presence::PRESENCE,
    &checkpoint::CHECKPOINTS,
    &progress::PROGRESS,
    &progress::OWNERS,
    &conversation::CONVERSATIONS,
    &message::MESSAGES,
    &inbox::INBOX,
    &inbox::WINDOWS,
    &inbox::HEADS,
    &cursor::CURSORS,
];

pub use cells::CellError;

/// The tables that a processor reads or writes.
#[must_use]
pub fn tables_of(processor: ProcessorKind) -> Vec<&'static Table> {
    let own: &[&'static Table] = match processor {
        ProcessorKind::Presence => &[&presence::PRESENCE, &checkpoint::CHECKPOINTS],
        ProcessorKind::Conversation => &[&conversation::CONVERSATIONS, &message::MESSAGES],
        ProcessorKind::Inbox => &[&inbox::INBOX, &inbox::WINDOWS, &inbox::HEADS],
        ProcessorKind::Cursor => &[&cursor::CURSORS],
    };
    [own, &[&progress::PROGRESS, &progress::OWNERS]].concat()
}

impl Table {
    /// Whether nobody waits for its rows: what is in them was published before they were written.
    #[must_use]
    pub fn is_background(&self) -> bool {
        std::ptr::eq(self, &presence::PRESENCE) || std::ptr::eq(self, &checkpoint::CHECKPOINTS)
    }
}

/// Shorthand for descriptions.
pub(crate) const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// A value of a column. The order of values of one kind is the clustering order of CQL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    Null,
    Int(i32),
    BigInt(i64),
    /// In its place where it is short, as most ids are; else shared, since rows of one record have texts in
    /// common.
    Text(SmolStr),
    /// Boxed: few values are blobs, and all would be larger.
    Blob(Box<Bytes>),
    Boolean(bool),
}

const _: () = assert!(size_of::<Value>() == 24);

impl Value {
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(SmolStr::new(text))
    }

    /// A text that is part of the program.
    #[must_use]
    pub const fn name(name: &'static str) -> Self {
        Self::Text(SmolStr::new_static(name))
    }

    #[must_use]
    pub fn blob(bytes: impl Into<Bytes>) -> Self {
        Self::Blob(Box::new(bytes.into()))
    }

    #[must_use]
    pub fn optional_text(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    #[must_use]
    pub fn optional_big_int(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::BigInt)
    }

    #[must_use]
    pub fn as_int(&self) -> Option<i32> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_big_int(&self) -> Option<i64> {
        match self {
            Self::BigInt(number) => Some(*number),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_blob(&self) -> Option<&Bytes> {
        match self {
            Self::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// Bytes of the value in CQL's binary form, without its length.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Int(_) => 4,
            Self::BigInt(_) => 8,
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
            Self::Boolean(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests;
