//! What is refused before the database is asked: it would answer some of it with a failed quorum, some with
//! silence.

use crate::{
    limits::PAGE_ROWS_MAX,
    store::{Change, Query, Select, Statement, StoreError, WriteBatch},
    table::{Column, Kind, Table, Value},
};

use super::error::permanent;

/// Bytes of a partition key and of a clustering value: their length takes two bytes in the database's files.
const KEY_BYTES_MAX: usize = 65_535;
/// Half of a commit-log segment of 32 MiB is 16 MiB; the rest is for what frames the values.
const BATCH_BYTES_MAX: usize = 15 * 1024 * 1024;
/// A batch counts its statements in two bytes.
const BATCH_STATEMENTS_MAX: usize = 65_535;
/// Twenty years: what the database accepts.
const TTL_S_MAX: u32 = 20 * 365 * 24 * 3_600;

pub(super) fn check_batch(batch: &WriteBatch) -> Result<(), StoreError> {
    let in_batch =
        |problem: String| permanent(format!("a write to {} was refused: {problem}", batch.table.name));
    check_partition(batch.table, &batch.partition).map_err(in_batch)?;
    if batch.statements.len() > BATCH_STATEMENTS_MAX {
        let count = batch.statements.len();
        return Err(in_batch(format!(
            "a batch has at most {BATCH_STATEMENTS_MAX} statements, this one {count}"
        )));
    }
    let size_bytes = batch.size_bytes();
    if size_bytes > BATCH_BYTES_MAX {
        return Err(in_batch(format!("a batch has at most {BATCH_BYTES_MAX} bytes, this one {size_bytes}")));
    }
    batch
        .statements
        .iter()
        .try_for_each(|statement| check_statement(batch.table, statement))
        .map_err(in_batch)
}

pub(super) fn check_query(query: &Query) -> Result<(), StoreError> {
    let in_query =
        |problem: String| permanent(format!("a read of {} was refused: {problem}", query.table.name));
    check_partition(query.table, &query.partition).map_err(in_query)?;
    check_select(query.table, &query.select).map_err(in_query)
}

fn check_statement(table: &Table, statement: &Statement) -> Result<(), String> {
    if statement.ttl_s.is_some_and(|ttl_s| ttl_s == 0 || ttl_s > TTL_S_MAX) {
        return Err(format!("a time to live has 1 to {TTL_S_MAX} seconds"));
    }
    match &statement.change {
        Change::Upsert(cells) => {
            check_key("clustering", table.clustering, &statement.clustering)?;
            check_cells("cells", table.cells, cells)
        }
        Change::Statics(cells) if table.statics.is_empty() => {
            Err(format!("the table has no static columns and got {} values for them", cells.len()))
        }
        Change::Statics(cells) => check_cells("static columns", table.statics, cells),
        Change::Delete => check_key("clustering", table.clustering, &statement.clustering),
    }
}

fn check_select(table: &Table, select: &Select) -> Result<(), String> {
    match select {
        Select::Slice { prefix, after, .. } => {
            let (given, columns) = (prefix.len() + usize::from(after.is_some()), table.clustering.len());
            let Some(columns) = table.clustering.get(..given) else {
                return Err(format!("{given} values restrict a clustering of {columns} columns"));
            };
            check_key("clustering", &columns[..prefix.len()], prefix)?;
            check_key("clustering", &columns[prefix.len()..], after.as_slice())
        }
        Select::Page { after, limit } => {
            if !(1..=PAGE_ROWS_MAX).contains(limit) {
                return Err(format!("a page has 1 to {PAGE_ROWS_MAX} rows"));
            }
            let first = table.clustering.get(..after.iter().len()).unwrap_or_default();
            check_key("clustering", first, after.as_slice())
        }
        Select::Keys(keys) => keys.iter().try_for_each(|key| check_key("clustering", table.clustering, key)),
        Select::Statics if table.statics.is_empty() => Err("the table has no static columns".into()),
        Select::Statics => Ok(()),
    }
}

fn check_partition(table: &Table, values: &[Value]) -> Result<(), String> {
    check_key("partition key", table.partition, values)?;
    let size_bytes = match values {
        [value] => value.size_bytes(),
        // A composite key frames each component with two bytes of length and one of end.
        _ => values.iter().map(|value| value.size_bytes() + 3).sum(),
    };
    match size_bytes {
        0 => Err("the partition key is empty".into()),
        1..=KEY_BYTES_MAX => Ok(()),
        _ => Err(format!("the partition key has {size_bytes} bytes, at most {KEY_BYTES_MAX} are possible")),
    }
}

fn check_key(what: &str, columns: &[Column], values: &[Value]) -> Result<(), String> {
    check_cells(what, columns, values)?;
    for (column, value) in columns.iter().zip(values) {
        if *value == Value::Null {
            return Err(format!("{} of the {what} is null", column.name));
        }
        if value.size_bytes() > KEY_BYTES_MAX {
            let (name, size_bytes) = (column.name, value.size_bytes());
            return Err(format!(
                "{name} has {size_bytes} bytes, at most {KEY_BYTES_MAX} are possible in a key"
            ));
        }
    }
    Ok(())
}

fn check_cells(what: &str, columns: &[Column], values: &[Value]) -> Result<(), String> {
    if columns.len() != values.len() {
        return Err(format!("{} values for {} columns of the {what}", values.len(), columns.len()));
    }
    let wrong = columns.iter().zip(values).find(|(column, value)| !is_of_kind(value, column.kind));
    wrong.map_or(Ok(()), |(column, _)| Err(format!("{} takes {:?}", column.name, column.kind)))
}

fn is_of_kind(value: &Value, kind: Kind) -> bool {
    match value {
        Value::Null => true,
        Value::Int(_) => kind == Kind::Int,
        Value::BigInt(_) => kind == Kind::BigInt,
        Value::Text(_) => kind == Kind::Text,
        Value::Blob(_) => kind == Kind::Blob,
        Value::Boolean(_) => kind == Kind::Boolean,
    }
}

#[cfg(test)]
mod tests;
