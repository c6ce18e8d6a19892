//! The statements, generated from the tables' descriptions and prepared once per session.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use scylla::{
    client::session::Session,
    errors::{ExecutionError, PrepareError},
    statement::prepared::PreparedStatement,
};
use tokio::sync::OnceCell;

use crate::{
    limits::PAGE_ROWS_MAX,
    store::{Change, Select, Statement},
    table::{Column, Kind, Table},
};

/// Rows of a page. A blob may be as large as a chunk of a checkpoint, so that pages of those are short.
const PAGE_ROWS: i32 = PAGE_ROWS_MAX as i32;
const PAGE_ROWS_OF_BLOBS: i32 = 16;

/// What distinguishes the statements of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    Upsert { ttl: bool },
    Statics { ttl: bool },
    Delete,
    ReadSlice { prefix: usize, after: bool, descending: bool },
    ReadPage { after: bool },
    ReadKeys,
    ReadStatics,
}

impl Shape {
    pub(super) fn of_statement(statement: &Statement) -> Self {
        let ttl = statement.ttl_s.is_some();
        match statement.change {
            Change::Upsert(_) => Self::Upsert { ttl },
            Change::Statics(_) => Self::Statics { ttl },
            Change::Delete => Self::Delete,
        }
    }

    pub(super) fn of_select(select: &Select) -> Self {
        match select {
            Select::Slice { prefix, after, descending, .. } => {
                Self::ReadSlice { prefix: prefix.len(), after: after.is_some(), descending: *descending }
            }
            Select::Page { after, .. } => Self::ReadPage { after: after.is_some() },
            Select::Keys(_) => Self::ReadKeys,
            Select::Statics => Self::ReadStatics,
        }
    }

    /// The statement's text. Values are bound in the order of its question marks.
    pub(super) fn cql(self, keyspace: &str, table: &Table) -> String {
        let name = format!("{keyspace}.\"{}\"", table.name);
        match self {
            Self::Upsert { ttl } => insert(&name, &[table.partition, table.clustering, table.cells], ttl),
            Self::Statics { ttl } => insert(&name, &[table.partition, table.statics], ttl),
            Self::Delete => {
                let keys = equal([table.partition, table.clustering].concat().iter());
                format!("DELETE FROM {name} USING TIMESTAMP ? WHERE {keys}")
            }
            Self::ReadSlice { prefix, after, descending } => {
                slice(&name, &row_columns(table), table, prefix, after, descending)
            }
            Self::ReadPage { after } => {
                let columns = names(table.statics.iter().chain(table.clustering).chain(table.cells));
                slice(&name, &columns, table, 0, after, false)
            }
            Self::ReadKeys => {
                let keys = names(table.clustering.iter());
                // One column is compared with a list of values, several with a list of tuples.
                let keys = if table.clustering.len() > 1 { format!("({keys})") } else { keys };
                let (columns, partition) = (row_columns(table), equal(table.partition.iter()));
                format!("SELECT {columns} FROM {name} WHERE {partition} AND {keys} IN ?")
            }
            Self::ReadStatics => {
                let (columns, partition) = (names(table.statics.iter()), equal(table.partition.iter()));
                format!("SELECT DISTINCT {columns} FROM {name} WHERE {partition}")
            }
        }
    }
}

fn insert(name: &str, columns: &[&[Column]], ttl: bool) -> String {
    let columns = columns.concat();
    let marks = vec!["?"; columns.len()].join(", ");
    let ttl = if ttl { " AND TTL ?" } else { "" };
    format!("INSERT INTO {name} ({}) VALUES ({marks}) USING TIMESTAMP ?{ttl}", names(columns.iter()))
}

fn slice(name: &str, columns: &str, table: &Table, prefix: usize, after: bool, descending: bool) -> String {
    let keys = table.partition.iter().chain(&table.clustering[..prefix.min(table.clustering.len())]);
    let mut text = format!("SELECT {columns} FROM {name} WHERE {}", equal(keys));
    if let Some(next) = table.clustering.get(prefix).filter(|_| after) {
        let _ = write!(text, " AND \"{}\" {} ?", next.name, if descending { "<" } else { ">" });
    }
    if descending {
        let order: Vec<_> =
            table.clustering.iter().map(|column| format!("\"{}\" DESC", column.name)).collect();
        let _ = write!(text, " ORDER BY {}", order.join(", "));
    }
    text + " LIMIT ?"
}

fn row_columns(table: &Table) -> String {
    names(table.clustering.iter().chain(table.cells))
}

fn names<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
}

fn equal<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(|column| format!("\"{}\" = ?", column.name)).collect::<Vec<_>>().join(" AND ")
}

type Cell = Arc<OnceCell<Arc<PreparedStatement>>>;

/// The prepared statements of a session.
#[derive(Debug, Default)]
pub(super) struct Statements {
    prepared: Mutex<HashMap<(&'static str, Shape), Cell>>,
}

impl Statements {
    /// The prepared statement, which is prepared by whoever asks first; the others wait for that.
    pub(super) async fn get(
        &self,
        session: &Session,
        keyspace: &str,
        table: &'static Table,
        shape: Shape,
        timeout: Duration,
    ) -> Result<Arc<PreparedStatement>, ExecutionError> {
        let cell = {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            prepared.entry((table.name, shape)).or_default().clone()
        };
        let prepare = cell.get_or_try_init(|| prepare(session, keyspace, table, shape));
        // The driver bounds executions, not preparations.
        match tokio::time::timeout(timeout, prepare).await {
            Ok(prepared) => Ok(prepared?.clone()),
            Err(_) => Err(ExecutionError::RequestTimeout(timeout)),
        }
    }

    /// Forgets what was prepared: an id that the server no longer gives to the statement is of no use.
    pub(super) fn forget(&self) {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

async fn prepare(
    session: &Session,
    keyspace: &str,
    table: &Table,
    shape: Shape,
) -> Result<Arc<PreparedStatement>, PrepareError> {
    let mut prepared = session.prepare(shape.cql(keyspace, table)).await?;
    // Values and timestamps come from the log, so that the same statement twice is the same as once.
    prepared.set_is_idempotent(true);
    let blobs = table.cells.iter().any(|column| column.kind == Kind::Blob);
    prepared.set_page_size(if blobs { PAGE_ROWS_OF_BLOBS } else { PAGE_ROWS });
    Ok(Arc::new(prepared))
}

#[cfg(test)]
mod tests;
