//! The store as the engine sees it: commands out, events in, no I/O.
//!
//! Three implementations stand behind this seam: a CQL database, the embedded store and the simulated one;
//! one conformance suite runs against all three. What they have in common is what CQL promises of one
//! partition: a [`WriteBatch`] is applied as a whole or not at all, cell by cell the greatest timestamp wins
//! whatever the order of arrival, a delete covers what is not newer than itself, and a cell with a time to
//! live is gone after it.

use std::{fmt, sync::Arc};

use crate::{
    log::RequestId,
    table::{Table, Value},
};

/// Rows of one database partition that are written atomically.
#[derive(Debug, Clone)]
pub struct WriteBatch {
    pub table: &'static Table,
    /// One value per partition column.
    pub partition: Arc<[Value]>,
    pub statements: Vec<Statement>,
    /// Whether others, which may overtake it, are not to wait for it.
    pub is_late: bool,
    size_bytes: usize,
}

/// One row's change, with a timestamp of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// One value per clustering column; empty for the static columns.
    pub clustering: Box<[Value]>,
    pub change: Change,
    /// Microseconds; what `USING TIMESTAMP` takes.
    pub timestamp_us: i64,
    pub ttl_s: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// All cells of the row, one value per column of [`Table::cells`]; `Null` clears a cell.
    Upsert(Box<[Value]>),
    /// All static cells of the partition, one value per column of [`Table::statics`].
    Statics(Box<[Value]>),
    Delete,
}

impl WriteBatch {
    #[must_use]
    pub fn new(table: &'static Table, partition: Arc<[Value]>, statements: Vec<Statement>) -> Self {
        let size_bytes = statements.iter().map(Statement::size_bytes).sum();
        Self::sized(table, partition, statements, size_bytes)
    }

    /// The same where the size of all statements is known.
    pub(crate) fn sized(
        table: &'static Table,
        partition: Arc<[Value]>,
        statements: Vec<Statement>,
        size_bytes: usize,
    ) -> Self {
        let size_bytes = size_bytes + partition.iter().map(Value::size_bytes).sum::<usize>();
        Self { table, partition, statements, is_late: false, size_bytes }
    }

    /// Bytes that the batch's values take, an estimate of its size on the wire.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

impl Statement {
    /// Bytes that the statement's values take.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let values = |values: &[Value]| values.iter().map(Value::size_bytes).sum::<usize>();
        let change = match &self.change {
            Change::Upsert(cells) | Change::Statics(cells) => values(cells),
            Change::Delete => 0,
        };
        // Timestamp, time to live and the lengths that frame each value.
        values(&self.clustering) + change + 24
    }
}

/// Reads rows of one database partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub table: &'static Table,
    pub partition: Arc<[Value]>,
    pub select: Select,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Select {
    /// Rows whose clustering starts with `prefix` and, where given, whose next clustering column is beyond
    /// `after` (greater, or less when `descending`); at most `limit`, in clustering order.
    Slice { prefix: Box<[Value]>, after: Option<Value>, descending: bool, limit: u32 },
    /// Rows with exactly these clusterings, in clustering order.
    Keys(Vec<Box<[Value]>>),
    /// The static cells of the partition as a row with an empty clustering, then rows behind `after` in its
    /// first clustering column, at most `limit` ([`crate::limits::PAGE_ROWS_MAX`]) of them: all as of one
    /// moment. Where `after` is given and no row is behind it, the static cells may be absent.
    Page { after: Option<Value>, limit: u32 },
    /// The static cells of the partition: one row with an empty clustering, or none.
    Statics,
}

/// A row that was read: clustering values, then one value per column of [`Table::cells`] (or of
/// [`Table::statics`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub clustering: Box<[Value]>,
    pub cells: Box<[Value]>,
}

#[derive(Debug, Clone)]
pub enum StoreCommand {
    /// Answered by `Written` once it is durable at the configured consistency, or by `Failed`.
    Write { request: RequestId, batch: Arc<WriteBatch> },
    /// Answered by `Rows` or `Failed`.
    Read { request: RequestId, query: Query },
}

#[derive(Debug, Clone)]
pub enum StoreEvent {
    Written {
        request: RequestId,
    },
    Rows {
        request: RequestId,
        rows: Vec<Row>,
    },
    /// A retriable failure says nothing about whether a write was, or will be, applied.
    Failed {
        request: RequestId,
        error: StoreError,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorClass {
    Retriable,
    /// The same statement will fail again: a bad key, a missing table, a missing right.
    Permanent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    pub class: StoreErrorClass,
    /// What, where, what to do.
    pub message: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}

/// A store. Neither call blocks; answers come in any order.
pub trait Store {
    fn submit(&mut self, command: StoreCommand);
    fn poll(&mut self) -> Option<StoreEvent>;
}
