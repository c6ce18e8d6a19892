//! Whole tables, read with a client of the tests' own: plain CQL, none of the product's statements.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use futures_util::TryStreamExt as _;
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    value::{CqlValue, Row},
};
use tokio::runtime::Runtime;

/// A connection to the database.
pub struct Tables {
    runtime: Runtime,
    session: Session,
}

/// Rows by column name, in no particular order.
pub type Rows = Vec<BTreeMap<String, CqlValue>>;

impl Tables {
    pub fn connect(address: &str) -> Result<Self> {
        let runtime = Runtime::new()?;
        let session = async { SessionBuilder::new().known_node(address).build().await };
        let session = runtime.block_on(session).context("connecting to the database")?;
        Ok(Self { runtime, session })
    }

    /// Every row of a table; cells that are null are left out.
    pub fn all(&self, keyspace: &str, table: &str) -> Result<Rows> {
        self.runtime.block_on(async {
            let rows = self.session.query_iter(format!("SELECT * FROM {keyspace}.{table}"), ()).await?;
            let names: Vec<String> =
                rows.column_specs().iter().map(|column| column.name().to_owned()).collect();
            let mut stream = rows.rows_stream::<Row>()?;
            let mut all = Rows::new();
            while let Some(row) = stream.try_next().await? {
                let cells = names.iter().cloned().zip(row.columns);
                all.push(cells.filter_map(|(name, cell)| Some((name, cell?))).collect());
            }
            Ok(all)
        })
    }

    /// That a table is the same in two keyspaces; how many rows it has.
    pub fn same(&self, table: &str, one: &str, other: &str) -> Result<usize> {
        let sorted = |keyspace: &str| -> Result<Vec<String>> {
            let mut rows: Vec<_> = self.all(keyspace, table)?.iter().map(|row| format!("{row:?}")).collect();
            rows.sort_unstable();
            Ok(rows)
        };
        let (one_rows, other_rows) = (sorted(one)?, sorted(other)?);
        let differs = one_rows.iter().zip(&other_rows).find(|(a, b)| a != b);
        ensure!(
            one_rows == other_rows,
            "table {table}: {} rows in {one}, {} in {other}, the first that differ: {differs:?}",
            one_rows.len(),
            other_rows.len()
        );
        Ok(one_rows.len())
    }
}

/// A cell that must be a text.
pub fn text<'a>(row: &'a BTreeMap<String, CqlValue>, column: &str) -> Result<&'a str> {
    row.get(column)
        .and_then(CqlValue::as_text)
        .map(String::as_str)
        .with_context(|| format!("column {column} of {row:?} is no text"))
}

/// A cell that must be a number.
pub fn number(row: &BTreeMap<String, CqlValue>, column: &str) -> Result<i64> {
    let cell = row.get(column);
    let number =
        cell.and_then(CqlValue::as_bigint).or_else(|| cell.and_then(CqlValue::as_int).map(i64::from));
    number.with_context(|| format!("column {column} of {row:?} is no number"))
}
