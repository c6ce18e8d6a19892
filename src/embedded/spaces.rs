//! The keyspaces of the database: five for the log, one for every table.

use std::{fmt, path::Path, sync::RwLock};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use crate::table::{Column, Kind, Table};

/// Reading or writing failed, or what was read is damaged. Nothing may go on as if it had not happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StorageError(pub String);

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<fjall::Error> for StorageError {
    fn from(error: fjall::Error) -> Self {
        Self(format!("the embedded store failed: {error}; look at the disk, then start heartline again"))
    }
}

/// Bytes of a memtable; the sum over the keyspaces bounds what is in memory. A start reads the journal from
/// its beginning and builds these anew from what was not flushed: measured on a journal of 48 MB, 0.30 s of
/// CPU with 4 MiB and 0.45 s with 16.
const MEMTABLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The same of the records, through which everything goes: what is flushed at once is compacted less often.
const RECORDS_MEMTABLE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of journals, reached by flushing the keyspaces that hold the oldest one back; a start replays them.
/// The least that fjall takes: it begins a new one at the first flush above 64 MB, and not before.
const JOURNALS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Every table's keyspace is named so.
const TABLE_PREFIX: &str = "table.";

pub(super) struct Spaces {
    pub database: Database,
    pub meta: Keyspace,
    pub records: Keyspace,
    pub positions: Keyspace,
    pub latest: Keyspace,
    pub commits: Keyspace,
    tables: RwLock<Vec<(&'static str, Keyspace)>>,
}

impl Spaces {
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        // One thread flushes and compacts: with several, the first one hands compactions on to the others,
        // and does nothing else while they are busy.
        let database =
            Database::builder(path).worker_threads(1).max_journaling_size(JOURNALS_BYTES_MAX).open()?;
        let space = |name: &str| database.keyspace(name, options);
        Ok(Self {
            meta: space("meta")?,
            records: database
                .keyspace("records", || options().max_memtable_size(RECORDS_MEMTABLE_BYTES_MAX))?,
            positions: space("positions")?,
            latest: space("latest")?,
            commits: space("commits")?,
            tables: RwLock::default(),
            database: database.clone(),
        })
    }

    /// The keyspace of a table. Columns may have been added at the end since it was made; nothing else may
    /// differ.
    pub fn table(&self, table: &'static Table) -> Result<Keyspace, StorageError> {
        let known = self.tables.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, space)) = known.iter().find(|(name, _)| *name == table.name) {
            return Ok(space.clone());
        }
        drop(known);
        let mut known = self.tables.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, space)) = known.iter().find(|(name, _)| *name == table.name) {
            return Ok(space.clone());
        }
        self.check_columns(table)?;
        let space = self.database.keyspace(&format!("{TABLE_PREFIX}{}", table.name), options)?;
        known.push((table.name, space.clone()));
        Ok(space)
    }

    /// The keyspaces of all tables that were used since the start.
    pub fn tables(&self) -> Vec<Keyspace> {
        let known = self.tables.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.iter().map(|(_, space)| space.clone()).collect()
    }

    fn check_columns(&self, table: &'static Table) -> Result<(), StorageError> {
        let key = format!("table/{}", table.name);
        let wanted = describe(table);
        let recorded = self.meta.get(&key)?;
        if let Some(recorded) = &recorded {
            let recorded = String::from_utf8_lossy(recorded);
            if !extends(&wanted, &recorded) {
                return Err(StorageError(format!(
                    "table {} was made with the columns {recorded}, this heartline has {wanted}; use the \
                     version that made it, or begin with another folder",
                    table.name
                )));
            }
        }
        if recorded.is_none_or(|recorded| recorded != wanted.as_bytes()) {
            // Rows come after it in the journal: if it is lost with a crash, so are they.
            let mut batch = self.database.batch();
            batch.insert(&self.meta, key, wanted);
            batch.commit()?;
        }
        Ok(())
    }
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX)
}

/// Partition, clustering, static and regular columns, separated by `|`.
fn describe(table: &Table) -> String {
    let columns = |columns: &[Column]| {
        let texts: Vec<_> = columns.iter().map(|c| format!("{} {}", c.name, kind_name(c.kind))).collect();
        texts.join(",")
    };
    [table.partition, table.clustering, table.statics, table.cells].map(columns).join("|")
}

/// Whether `wanted` is `recorded` with, at most, further static and regular columns at the end.
fn extends(wanted: &str, recorded: &str) -> bool {
    let (wanted, recorded): (Vec<_>, Vec<_>) = (wanted.split('|').collect(), recorded.split('|').collect());
    if wanted.len() != recorded.len() || wanted[..2] != recorded[..2] {
        return false;
    }
    wanted[2..].iter().zip(&recorded[2..]).all(|(wanted, recorded)| {
        recorded.is_empty() || wanted == recorded || wanted.starts_with(&format!("{recorded},"))
    })
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "int",
        Kind::BigInt => "bigint",
        Kind::Text => "text",
        Kind::Blob => "blob",
        Kind::Boolean => "boolean",
    }
}
