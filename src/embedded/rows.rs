//! Tables: rows are written through a group commit and read from a snapshot.
//!
//! A row's key is its partition, then 0 for the static cells or 1 and its clustering; so the rows of a
//! partition lie side by side in clustering order.

use std::{cmp::Ordering, ops::Bound};

use bytes::Bytes;
use fjall::{Keyspace, Readable, Snapshot};

use self::cell::{Stamp, StoredRow};
use super::{
    pending::Pending,
    spaces::{Spaces, StorageError},
};
use crate::{
    store::{Change, Query, Row, Select, Statement, StoreError, StoreErrorClass, WriteBatch},
    table::{Column, Kind, Table, Value},
};

pub(super) mod cell;
pub(super) mod key;

const STATICS: u8 = 0;
const ROWS: u8 = 1;
/// Bytes of a row's key: the database takes 65,535.
const KEY_BYTES_MAX: usize = 65_535;

/// Applies a batch. After an error nothing of it may be kept.
pub(super) fn write(pending: &mut Pending<'_>, batch: &WriteBatch, now_ms: i64) -> Result<(), StoreError> {
    let table = batch.table;
    let space = pending.spaces.table(table).map_err(broken)?;
    let partition = partition_key(table, &batch.partition)?;
    for statement in &batch.statements {
        let key = row_key(table, &partition, statement)?;
        let mut row = match pending.get(&space, &key).map_err(broken)? {
            Some(bytes) => StoredRow::decode(&bytes).ok_or_else(|| damaged(table))?,
            None => StoredRow::default(),
        };
        apply(table, &mut row, statement, now_ms)?;
        pending.insert(&space, key, row.encode());
    }
    Ok(())
}

fn apply(table: &Table, row: &mut StoredRow, statement: &Statement, now_ms: i64) -> Result<(), StoreError> {
    let timestamp_us = statement.timestamp_us;
    // CQL takes a time to live of 0 for none.
    let ttl_ms = statement.ttl_s.filter(|ttl_s| *ttl_s > 0).map(|ttl_s| i64::from(ttl_s) * 1_000);
    let stamp = Stamp { timestamp_us, expires_ms: ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms)) };
    let (columns, values, marked) = match &statement.change {
        Change::Upsert(values) => (table.cells, values, true),
        Change::Statics(values) => (table.statics, values, false),
        Change::Delete => {
            row.delete(timestamp_us, now_ms);
            return Ok(());
        }
    };
    check_count(table, "cells", columns, values)?;
    for (column, value) in columns.iter().zip(values) {
        if !matches!(value, Value::Null) {
            check_kind(table, column, value)?;
        }
    }
    row.upsert(stamp, marked, values.iter().map(cell::value_bytes).collect(), now_ms);
    Ok(())
}

/// Removes those rows that are still garbage.
pub(super) fn sweep(
    pending: &mut Pending<'_>,
    space: &Keyspace,
    keys: &[fjall::Slice],
    now_ms: i64,
) -> Result<(), StorageError> {
    for key in keys {
        let row = pending.get(space, key)?.and_then(|bytes| StoredRow::decode(&bytes));
        if row.is_some_and(|row| row.is_garbage(now_ms)) {
            pending.remove(space, key.clone());
        }
    }
    Ok(())
}

/// The rows that a query asks for.
pub(super) fn read(
    spaces: &Spaces,
    snapshot: &Snapshot,
    query: &Query,
    now_ms: i64,
) -> Result<Vec<Row>, StoreError> {
    let table = query.table;
    let space = spaces.table(table).map_err(broken)?;
    let partition = partition_key(table, &query.partition)?;
    match &query.select {
        Select::Statics => {
            let statics = read_statics(snapshot, &space, table, &partition, now_ms)?;
            Ok(statics.into_iter().collect())
        }
        Select::Page { after, limit } => {
            let range = slice_range(table, &partition, &[], after.as_ref(), false)?;
            let mut rows =
                read_range(snapshot, &space, table, &partition, range, (false, *limit as usize), now_ms)?;
            if after.is_none() || !rows.is_empty() {
                let statics = read_statics(snapshot, &space, table, &partition, now_ms)?;
                rows.splice(0..0, statics);
            }
            Ok(rows)
        }
        Select::Keys(clusterings) => {
            let mut keys = Vec::with_capacity(clusterings.len());
            for clustering in clusterings {
                check_count(table, "clustering values", table.clustering, clustering)?;
                keys.push((clustering_key(table, &partition, clustering)?, clustering));
            }
            keys.sort();
            keys.dedup();
            let mut rows = Vec::new();
            for (key, clustering) in keys {
                if let Some(cells) = read_row(snapshot, &space, (table, table.cells), &key, now_ms)? {
                    rows.push(Row { clustering: clustering.clone(), cells });
                }
            }
            Ok(rows)
        }
        Select::Slice { prefix, after, descending, limit } => {
            let range = slice_range(table, &partition, prefix, after.as_ref(), *descending)?;
            let order = (*descending, *limit as usize);
            read_range(snapshot, &space, table, &partition, range, order, now_ms)
        }
    }
}

/// The live rows in a range of keys, at most `limit`.
fn read_range(
    snapshot: &Snapshot,
    space: &Keyspace,
    table: &Table,
    partition: &[u8],
    range: KeyRange,
    (descending, limit): (bool, usize),
    now_ms: i64,
) -> Result<Vec<Row>, StoreError> {
    let mut entries = snapshot.range(space, range);
    let mut rows = Vec::new();
    while rows.len() < limit {
        let Some(entry) = (if descending { entries.next_back() } else { entries.next() }) else {
            break;
        };
        let (key, bytes) = entry.into_inner().map_err(|error| broken(error.into()))?;
        if let Some(cells) = live_cells(table, table.cells, &bytes, now_ms)? {
            let clustering = clustering_of(table, &key[partition.len() + 1..])?;
            rows.push(Row { clustering, cells });
        }
    }
    Ok(rows)
}

fn read_statics(
    snapshot: &Snapshot,
    space: &Keyspace,
    table: &Table,
    partition: &[u8],
    now_ms: i64,
) -> Result<Option<Row>, StoreError> {
    let key = [partition, &[STATICS]].concat();
    let row = read_row(snapshot, space, (table, table.statics), &key, now_ms)?;
    Ok(row.map(|cells| Row { clustering: Box::default(), cells }))
}

type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The keys of a slice, in ascending order.
fn slice_range(
    table: &Table,
    partition: &[u8],
    prefix: &[Value],
    after: Option<&Value>,
    descending: bool,
) -> Result<KeyRange, StoreError> {
    let base = clustering_key(table, partition, prefix)?;
    let end = key::after_prefix(base.clone());
    let Some(after) = after else {
        return Ok((Bound::Included(base), Bound::Excluded(end)));
    };
    let clustering: Vec<_> = prefix.iter().chain([after]).cloned().collect();
    let after = clustering_key(table, partition, &clustering)?;
    Ok(match descending {
        false => (Bound::Included(key::after_prefix(after)), Bound::Excluded(end)),
        true => (Bound::Included(base), Bound::Excluded(after)),
    })
}

fn read_row(
    snapshot: &Snapshot,
    space: &Keyspace,
    (table, columns): (&Table, &[Column]),
    key: &[u8],
    now_ms: i64,
) -> Result<Option<Box<[Value]>>, StoreError> {
    match snapshot.get(space, key).map_err(|error| broken(error.into()))? {
        Some(bytes) => live_cells(table, columns, &bytes, now_ms),
        None => Ok(None),
    }
}

fn live_cells(
    table: &Table,
    columns: &[Column],
    bytes: &[u8],
    now_ms: i64,
) -> Result<Option<Box<[Value]>>, StoreError> {
    let row = StoredRow::decode(bytes).ok_or_else(|| damaged(table))?;
    let Some(cells) = row.live(now_ms) else {
        return Ok(None);
    };
    // Columns that were added after the row was written are null.
    let values = columns.iter().zip(cells.chain(std::iter::repeat(None))).map(|(column, cell)| {
        let value = |bytes: &Bytes| cell::value_of(column.kind, bytes).ok_or_else(|| damaged(table));
        cell.map_or(Ok(Value::Null), value)
    });
    values.collect::<Result<_, _>>().map(Some)
}

/// Whether the stored bytes are a row that may be swept; bytes that are no row stay, for a reader to complain
/// about.
pub(super) fn is_garbage(bytes: &[u8], now_ms: i64) -> bool {
    StoredRow::decode(bytes).is_some_and(|row| row.is_garbage(now_ms))
}

fn partition_key(table: &Table, values: &[Value]) -> Result<Vec<u8>, StoreError> {
    check_count(table, "partition values", table.partition, values)?;
    let mut key = Vec::new();
    extend_key(table, &mut key, table.partition, values)?;
    Ok(key)
}

fn row_key(table: &Table, partition: &[u8], statement: &Statement) -> Result<Vec<u8>, StoreError> {
    if matches!(statement.change, Change::Statics(_)) {
        check_count(table, "clustering values", &[], &statement.clustering)?;
        return Ok([partition, &[STATICS]].concat());
    }
    check_count(table, "clustering values", table.clustering, &statement.clustering)?;
    clustering_key(table, partition, &statement.clustering)
}

/// The key of a row, or of all rows whose clustering starts so.
fn clustering_key(table: &Table, partition: &[u8], values: &[Value]) -> Result<Vec<u8>, StoreError> {
    let mut key = [partition, &[ROWS]].concat();
    extend_key(table, &mut key, table.clustering, values)?;
    if key.len() > KEY_BYTES_MAX {
        let (name, bytes) = (table.name, key.len());
        return Err(refused(format!(
            "a key of {name} has at most {KEY_BYTES_MAX} bytes, this one has {bytes}"
        )));
    }
    Ok(key)
}

fn extend_key(
    table: &Table,
    key: &mut Vec<u8>,
    columns: &[Column],
    values: &[Value],
) -> Result<(), StoreError> {
    if values.len() > columns.len() {
        return Err(refused(format!("{} has no more than {} key columns there", table.name, columns.len())));
    }
    for (column, value) in columns.iter().zip(values) {
        check_kind(table, column, value)?;
        if !key::encode(key, value) {
            return Err(refused(format!(
                "column {} of {} is part of the key: not null",
                column.name, table.name
            )));
        }
    }
    Ok(())
}

fn clustering_of(table: &Table, mut key: &[u8]) -> Result<Box<[Value]>, StoreError> {
    let values: Option<Box<[Value]>> =
        table.clustering.iter().map(|column| key::decode(column.kind, &mut key)).collect();
    values.filter(|_| key.is_empty()).ok_or_else(|| damaged(table))
}

fn check_count(table: &Table, what: &str, columns: &[Column], values: &[Value]) -> Result<(), StoreError> {
    match values.len().cmp(&columns.len()) {
        Ordering::Equal => Ok(()),
        _ => {
            let (name, wanted, given) = (table.name, columns.len(), values.len());
            Err(refused(format!("{name} takes {wanted} {what}, {given} are given")))
        }
    }
}

fn check_kind(table: &Table, column: &Column, value: &Value) -> Result<(), StoreError> {
    let fits = matches!(
        (column.kind, value),
        (Kind::Int, Value::Int(_))
            | (Kind::BigInt, Value::BigInt(_))
            | (Kind::Text, Value::Text(_))
            | (Kind::Blob, Value::Blob(_))
            | (Kind::Boolean, Value::Boolean(_))
            | (_, Value::Null)
    );
    match fits {
        true => Ok(()),
        false => {
            let (name, kind) = (table.name, column.kind);
            Err(refused(format!("column {} of {name} is {kind:?}, not what is given", column.name)))
        }
    }
}

fn refused(message: String) -> StoreError {
    StoreError { class: StoreErrorClass::Permanent, message }
}

fn damaged(table: &Table) -> StoreError {
    refused(format!(
        "a row of {} is damaged: restore the folder from a backup or begin with another",
        table.name
    ))
}

/// The database takes nothing more until it is opened again: asking again would not help.
pub(super) fn broken(error: StorageError) -> StoreError {
    refused(error.0)
}

#[cfg(test)]
mod tests;
