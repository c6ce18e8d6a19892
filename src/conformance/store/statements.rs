//! Statements and queries over the product's own tables, in a bucket that the script alone uses.

use bytes::Bytes;

use crate::{
    store::{Change, Query, Select, Statement, WriteBatch},
    table::{Table, Value, checkpoint::CHECKPOINTS, presence::PRESENCE},
};

/// The place of a chunk's data among the cells of a checkpoint.
pub(super) const CHUNK_DATA: usize = 5;

/// A user's session with this status, all other cells null.
pub(super) fn session_row(user: &str, session: &str, status: &str, timestamp_us: i64) -> Statement {
    let mut cells = vec![Value::Null; PRESENCE.cells.len()];
    cells[1] = Value::text(status);
    upsert(&[Value::text(user), Value::text(session)], cells, timestamp_us)
}

pub(super) fn upsert(clustering: &[Value], cells: Vec<Value>, timestamp_us: i64) -> Statement {
    let change = Change::Upsert(cells.into());
    Statement { clustering: clustering.into(), change, timestamp_us, ttl_s: None }
}

pub(super) fn delete(user: &str, session: &str, timestamp_us: i64) -> Statement {
    let clustering = [Value::text(user), Value::text(session)].into();
    Statement { clustering, change: Change::Delete, timestamp_us, ttl_s: None }
}

/// A chunk of a checkpoint: its origin, its data, and nothing of a header.
pub(super) fn chunk(slot: i32, chunk: i32, data: Bytes, timestamp_us: i64) -> Statement {
    let mut cells = vec![Value::Null; CHECKPOINTS.cells.len()];
    cells[0] = Value::BigInt(timestamp_us);
    cells[CHUNK_DATA] = Value::blob(data);
    upsert(&[Value::Int(slot), Value::Int(chunk)], cells, timestamp_us)
}

pub(super) fn presence(bucket: i32, statements: Vec<Statement>) -> WriteBatch {
    WriteBatch::new(&PRESENCE, [Value::Int(bucket)].into(), statements)
}

pub(super) fn checkpoints(bucket: i32, statements: Vec<Statement>) -> WriteBatch {
    WriteBatch::new(&CHECKPOINTS, [Value::Int(bucket)].into(), statements)
}

pub(super) fn query(table: &'static Table, bucket: i32, select: Select) -> Query {
    Query { table, partition: [Value::Int(bucket)].into(), select }
}

pub(super) fn slice(prefix: &[Value]) -> Select {
    Select::Slice { prefix: prefix.into(), after: None, descending: false, limit: 1_000 }
}
