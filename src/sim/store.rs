//! The simulated store: last write wins, cell by cell, on virtual time. What may go wrong on the way is the
//! network's business; here is what happens when a request arrives.

use std::sync::Arc;

use crate::{
    limits::PAGE_ROWS_MAX,
    log::RequestId,
    store::{
        Change, Query, Row, Select, Statement, StoreCommand, StoreError, StoreErrorClass, StoreEvent,
        WriteBatch,
    },
    table::{Column, Kind, Table, Value},
};

pub mod cells;

use self::cells::{LiveRow, Tables};

/// A single mutation above this is refused, as by a server with commit-log segments of 16 MiB.
const MUTATION_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a key's value.
const KEY_BYTES_MAX: usize = 65_535;

#[derive(Debug, Default)]
pub struct SimStore {
    tables: Tables,
    applied: u64,
}

impl SimStore {
    /// Carries out a command at `now_ms`.
    pub fn execute(&mut self, now_ms: u64, command: StoreCommand) -> StoreEvent {
        match command {
            StoreCommand::Write { request, batch } => match check_batch(&batch) {
                Ok(()) => {
                    self.apply(now_ms, Arc::unwrap_or_clone(batch));
                    StoreEvent::Written { request }
                }
                Err(message) => permanent(request, message),
            },
            StoreCommand::Read { request, query } => match check_query(&query) {
                Ok(()) => StoreEvent::Rows { request, rows: self.read(now_ms, &query) },
                Err(message) => permanent(request, message),
            },
        }
    }

    /// Applies a batch whose form is right, as a test that prepares a state does.
    pub fn apply(&mut self, now_ms: u64, batch: WriteBatch) {
        self.applied += 1;
        self.tables.apply(now_ms, batch);
    }

    /// What a query finds at `now_ms`.
    #[must_use]
    pub fn read(&self, now_ms: u64, query: &Query) -> Vec<Row> {
        self.tables.read(now_ms, query)
    }

    /// Every live row of a table in the order of keys, the static cells of a partition first, with an empty
    /// clustering.
    pub fn rows(&self, now_ms: u64, table: &'static Table) -> impl Iterator<Item = LiveRow<'_>> {
        self.tables.rows(now_ms, table)
    }

    /// Those of one partition.
    pub fn rows_of(
        &self,
        now_ms: u64,
        table: &'static Table,
        partition: &[Value],
    ) -> impl Iterator<Item = LiveRow<'_>> {
        self.tables.rows_of(now_ms, table, partition)
    }

    /// How many batches were applied to a partition: what is the same as before, but for what has expired.
    #[must_use]
    pub fn changes(&self, table: &Table, partition: &[Value]) -> u64 {
        self.tables.changes(table, partition)
    }

    /// How many batches were applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }
}

fn permanent(request: RequestId, message: String) -> StoreEvent {
    StoreEvent::Failed { request, error: StoreError { class: StoreErrorClass::Permanent, message } }
}

fn check_batch(batch: &WriteBatch) -> Result<(), String> {
    let WriteBatch { table, partition, statements, .. } = batch;
    check_key(table, "partition key", table.partition, partition, true)?;
    if batch.size_bytes() > MUTATION_BYTES_MAX {
        return Err(format!("{}: a batch of {} bytes is too large", table.name, batch.size_bytes()));
    }
    statements.iter().try_for_each(|statement| check_statement(table, statement))
}

fn check_statement(table: &Table, statement: &Statement) -> Result<(), String> {
    match &statement.change {
        Change::Statics(values) => {
            check_key(table, "clustering of statics", &[], &statement.clustering, true)?;
            check_values(table, "static columns", table.statics, values)
        }
        Change::Upsert(values) => {
            check_key(table, "clustering", table.clustering, &statement.clustering, true)?;
            check_values(table, "columns", table.cells, values)
        }
        Change::Delete => check_key(table, "clustering", table.clustering, &statement.clustering, true),
    }
}

fn check_query(query: &Query) -> Result<(), String> {
    let table = query.table;
    check_key(table, "partition key", table.partition, &query.partition, true)?;
    match &query.select {
        Select::Statics => Ok(()),
        Select::Keys(keys) => {
            keys.iter().try_for_each(|key| check_key(table, "clustering", table.clustering, key, true))
        }
        Select::Page { after, limit } => {
            if *limit == 0 || *limit > PAGE_ROWS_MAX {
                return Err(format!("{}: a page has 1 to {PAGE_ROWS_MAX} rows", table.name));
            }
            check_key(table, "start of a page", table.clustering, after.as_slice(), false)
        }
        Select::Slice { prefix, after, limit, .. } => {
            if *limit == 0 {
                return Err(format!("{}: the limit of a slice is at least 1", table.name));
            }
            let slice: Vec<_> = prefix.iter().chain(after).cloned().collect();
            check_key(table, "prefix of a slice", table.clustering, &slice, false)
        }
    }
}

/// A key has a value of the right kind for every column, or (`whole` is false) for the first ones.
fn check_key(
    table: &Table,
    what: &str,
    columns: &[Column],
    values: &[Value],
    whole: bool,
) -> Result<(), String> {
    if values.len() > columns.len() || (whole && values.len() < columns.len()) {
        return Err(format!(
            "{}: {what} of {} values for {} columns",
            table.name,
            values.len(),
            columns.len()
        ));
    }
    for (column, value) in columns.iter().zip(values) {
        if kind(value) != Some(column.kind) {
            return Err(format!("{}: {what}: {} cannot be {value:?}", table.name, column.name));
        }
        if value.size_bytes() > KEY_BYTES_MAX {
            return Err(format!("{}: {what}: {} has too many bytes", table.name, column.name));
        }
    }
    // A partition key of one empty text looks like a failed quorum on real servers.
    if what == "partition key" && matches!(values, [value] if value.size_bytes() == 0) {
        return Err(format!("{}: the {what} is empty", table.name));
    }
    Ok(())
}

fn check_values(table: &Table, what: &str, columns: &[Column], values: &[Value]) -> Result<(), String> {
    if values.len() != columns.len() {
        return Err(format!("{}: {} values for {} {what}", table.name, values.len(), columns.len()));
    }
    let fits = |(column, value): &(&Column, &Value)| kind(value).is_none_or(|kind| kind == column.kind);
    match columns.iter().zip(values).find(|pair| !fits(pair)) {
        Some((column, value)) => Err(format!("{}: {} cannot be {value:?}", table.name, column.name)),
        None => Ok(()),
    }
}

fn kind(value: &Value) -> Option<Kind> {
    match value {
        Value::Null => None,
        Value::Int(_) => Some(Kind::Int),
        Value::BigInt(_) => Some(Kind::BigInt),
        Value::Text(_) => Some(Kind::Text),
        Value::Blob(_) => Some(Kind::Blob),
        Value::Boolean(_) => Some(Kind::Boolean),
    }
}

#[cfg(test)]
mod tests;
