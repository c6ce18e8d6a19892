//! The keyspace and its tables: what is to be done, doing it, and whether it is as this program needs it.
//!
//! The numbered files under `schemas/table/` are compiled in. What was applied is recorded in
//! `heartline_migrations` with a checksum, so that a file that was edited afterwards, a newer program's
//! migration and a table that somebody changed by hand are all noticed.

mod difference;
mod files;
mod tables;

use std::{collections::BTreeMap, fmt, time::Duration};

use scylla::{
    errors::{DbError, ExecutionError, RequestAttemptError},
    serialize::row::SerializeRow,
    statement::Statement,
};
use thiserror::Error;

use crate::{store::StoreError, table::Table};

use self::tables::compare;
pub use self::{
    difference::Difference,
    files::{MIGRATIONS, Migration},
};
use super::{
    error::{failed, permanent},
    session::Cql,
};

/// Changing a schema takes longer than a write: all nodes must agree.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

const KEYSPACE: &str = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
const TABLE: &str = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
const MIGRATIONS_TABLE: &str = "heartline_migrations";

#[derive(Debug, Error)]
pub enum SchemaError {
    /// The database is reachable and its schema is not what this program needs: exit code 78.
    #[error("keyspace {keyspace} does not match this program: {}", difference::sentence(.differences))]
    Mismatch { keyspace: String, differences: Vec<Difference> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What `schema apply` does, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The statement that creates the keyspace, where it is missing.
    pub keyspace: Option<String>,
    pub migrations: Vec<&'static Migration>,
}

impl Plan {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keyspace.is_none() && self.migrations.is_empty()
    }
}

/// The statements, as they can be given to `cqlsh`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(keyspace) = &self.keyspace {
            writeln!(f, "{keyspace};")?;
        }
        for migration in &self.migrations {
            writeln!(f, "\n-- {}_{}\n{}", migration.number(), migration.name, migration.text.trim_end())?;
        }
        Ok(())
    }
}

/// What is missing.
///
/// # Errors `Mismatch` when what was applied differs from this program's migrations: then nothing should be
/// applied on top.
pub async fn plan(cql: &Cql) -> Result<Plan, SchemaError> {
    plan_of(cql, MIGRATIONS).await
}

/// Applies what is missing and returns it. Applying again does nothing; an apply that was interrupted is
/// completed by the next one. Run one at a time: two at once do the same work twice, and databases before
/// transactional cluster metadata may take a table that two nodes create at once for two.
///
/// The session's current keyspace is changed on the way: the files name tables without one.
pub async fn apply(cql: &Cql) -> Result<Plan, SchemaError> {
    apply_of(cql, MIGRATIONS).await
}

/// Whether `tables` can be used: all migrations are applied, no other, and the columns are there.
///
/// # Errors
/// `Mismatch` with everything that differs.
pub async fn check(cql: &Cql, tables: &[&'static Table]) -> Result<(), SchemaError> {
    check_of(cql, MIGRATIONS, tables).await
}

async fn plan_of(cql: &Cql, migrations: &'static [Migration]) -> Result<Plan, SchemaError> {
    let keyspace = cql.keyspace();
    if !exists(cql, KEYSPACE, (keyspace,)).await? {
        let replication = cql.replication();
        let create = format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}");
        return Ok(Plan { keyspace: Some(create), migrations: migrations.iter().collect() });
    }
    let applied = read_applied(cql).await?;
    let differences = drift(&applied, migrations);
    if !differences.is_empty() {
        return Err(SchemaError::Mismatch { keyspace: keyspace.into(), differences });
    }
    let pending = migrations.iter().filter(|migration| !applied.contains_key(&migration.id)).collect();
    Ok(Plan { keyspace: None, migrations: pending })
}

async fn apply_of(cql: &Cql, migrations: &'static [Migration]) -> Result<Plan, SchemaError> {
    let plan = plan_of(cql, migrations).await?;
    if plan.is_empty() {
        return Ok(plan);
    }
    let keyspace = cql.keyspace();
    if let Some(create) = &plan.keyspace {
        change(cql, create, ()).await?;
    }
    let used = cql.session().use_keyspace(keyspace, false).await;
    used.map_err(|error| failed(format_args!("using keyspace {keyspace}"), &error.into()))?;
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {MIGRATIONS_TABLE} \
         (id int PRIMARY KEY, name text, checksum text, applied_at timestamp)"
    );
    change(cql, &create, ()).await?;
    let record = format!(
        "INSERT INTO {MIGRATIONS_TABLE} (id, name, checksum, applied_at) VALUES (?, ?, ?, toTimestamp(now()))"
    );
    for migration in &plan.migrations {
        for statement in files::statements(migration.text) {
            change(cql, &statement, ()).await?;
        }
        change(cql, &record, (migration.id, migration.name, migration.checksum())).await?;
    }
    Ok(plan)
}

async fn check_of(
    cql: &Cql,
    migrations: &'static [Migration],
    tables: &[&'static Table],
) -> Result<(), SchemaError> {
    let keyspace = cql.keyspace();
    let mismatch = |differences| Err(SchemaError::Mismatch { keyspace: keyspace.into(), differences });
    if !exists(cql, KEYSPACE, (keyspace,)).await? {
        return mismatch(vec![Difference::NoKeyspace]);
    }
    let applied = read_applied(cql).await?;
    let mut differences = drift(&applied, migrations);
    let pending = migrations.iter().filter(|migration| !applied.contains_key(&migration.id));
    differences.extend(pending.map(|migration| Difference::Pending { name: migration.file_name() }));
    for table in tables {
        differences.extend(compare(table, &tables::read(cql, table.name).await?));
    }
    if differences.is_empty() { Ok(()) } else { mismatch(differences) }
}

/// A migration as `heartline_migrations` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Applied {
    name: String,
    checksum: String,
}

async fn read_applied(cql: &Cql) -> Result<BTreeMap<i32, Applied>, SchemaError> {
    let keyspace = cql.keyspace();
    if !exists(cql, TABLE, (keyspace, MIGRATIONS_TABLE)).await? {
        return Ok(BTreeMap::new());
    }
    let select = format!("SELECT id, name, checksum FROM {keyspace}.{MIGRATIONS_TABLE}");
    let rows = rows::<(i32, Option<String>, Option<String>)>(cql, &select, ()).await?;
    let applied = |(id, name, checksum): (i32, Option<String>, Option<String>)| {
        (id, Applied { name: name.unwrap_or_default(), checksum: checksum.unwrap_or_default() })
    };
    Ok(rows.into_iter().map(applied).collect())
}

/// Where what was applied is not what this program has under the same number.
fn drift(applied: &BTreeMap<i32, Applied>, migrations: &[Migration]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (id, applied) in applied {
        match migrations.iter().find(|migration| migration.id == *id) {
            None => differences.push(Difference::Unknown { id: *id, name: applied.name.clone() }),
            Some(known) if known.checksum() != applied.checksum => {
                differences.push(Difference::Edited { name: known.file_name() });
            }
            Some(_) => {}
        }
    }
    differences
}

async fn change(cql: &Cql, text: &str, values: impl SerializeRow) -> Result<(), StoreError> {
    let mut statement = Statement::new(text);
    statement.set_request_timeout(Some(CHANGE_TIMEOUT));
    let Err(error) = cql.session().query_unpaged(statement, values).await else { return Ok(()) };
    // Another apply was faster between the server's check and its own creation.
    if matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::AlreadyExists { .. }, _))
    ) {
        return Ok(());
    }
    let first_line = text.lines().next().unwrap_or_default();
    Err(failed(format_args!("the statement {first_line:?}"), &error))
}

async fn exists(cql: &Cql, select: &str, values: impl SerializeRow) -> Result<bool, StoreError> {
    Ok(!rows::<(String,)>(cql, select, values).await?.is_empty())
}

/// All rows of a small answer.
async fn rows<R>(cql: &Cql, select: &str, values: impl SerializeRow) -> Result<Vec<R>, StoreError>
where
    R: for<'frame, 'metadata> scylla::deserialize::row::DeserializeRow<'frame, 'metadata>,
{
    let answer = cql.session().query_unpaged(select, values).await;
    let answer = answer.map_err(|error| failed("reading the schema", &error))?;
    let unreadable = |problem: String| permanent(format!("reading the schema failed: {problem}"));
    let answer = answer.into_rows_result().map_err(|error| unreadable(error.to_string()))?;
    let rows = answer.rows::<R>().map_err(|error| unreadable(error.to_string()))?;
    rows.collect::<Result<_, _>>().map_err(|error| unreadable(error.to_string()))
}

#[cfg(test)]
mod tests;
