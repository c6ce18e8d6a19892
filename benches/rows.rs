//! The bare database client: prepared statements of the same tables, ready-made batches or single inserts.

use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Instant};

use anyhow::Result;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use heartline::{
    store::{Change, Statement, WriteBatch},
    table::{Column, Table, Value, Writing},
};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    errors::SerializationError,
    serialize::{
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::{
        batch::{Batch, BatchStatement, BatchType},
        prepared::PreparedStatement,
    },
};
use tokio::runtime::{Builder, Runtime};

/// What distinguishes statements: the table, what changes, and whether there is a time to live.
type Shape = (&'static str, u8, bool);

/// A session with its prepared statements. One runtime thread near the connection is best on few processors.
pub struct Rows {
    runtime: Runtime,
    session: Session,
    keyspace: String,
    prepared: HashMap<Shape, PreparedStatement>,
}

/// A batch whose statements are looked up and whose values only need to be written.
struct Ready<'a> {
    batch: Batch,
    values: Vec<Bound<'a>>,
}

/// The values of one statement, in the order of its question marks.
struct Bound<'a> {
    partition: &'a [Value],
    statement: &'a Statement,
    unset_nulls: bool,
}

impl Rows {
    pub fn connect(cql: &str, keyspace: &str) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let session = runtime.block_on(SessionBuilder::new().known_node(cql).build())?;
        Ok(Self { runtime, session, keyspace: keyspace.to_owned(), prepared: HashMap::new() })
    }

    /// Sends the batches as they are, so many at a time; seconds that it took.
    pub fn batches(&mut self, batches: &[Arc<WriteBatch>], in_flight: usize) -> Result<f64> {
        self.prepare(batches)?;
        let ready: Vec<Ready<'_>> = batches.iter().map(|batch| self.ready(batch)).collect();
        let session = &self.session;
        let begun = Instant::now();
        self.runtime.block_on(async {
            stream::iter(&ready)
                .map(|ready| async move { session.batch(&ready.batch, &ready.values).await.map(drop) })
                .buffer_unordered(in_flight)
                .try_collect::<()>()
                .await
        })?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Sends every row by itself; rows and seconds.
    pub fn singles(&mut self, batches: &[Arc<WriteBatch>], in_flight: usize) -> Result<(usize, f64)> {
        self.prepare(batches)?;
        let rows: Vec<(&PreparedStatement, Bound<'_>)> = batches
            .iter()
            .flat_map(|batch| batch.statements.iter().map(move |statement| (batch, statement)))
            .map(|(batch, statement)| {
                (&self.prepared[&shape(batch.table, statement)], bound(batch, statement))
            })
            .collect();
        let session = &self.session;
        let begun = Instant::now();
        self.runtime.block_on(async {
            stream::iter(&rows)
                .map(|(prepared, values)| async move {
                    session.execute_unpaged(prepared, values).await.map(drop)
                })
                .buffer_unordered(in_flight)
                .try_collect::<()>()
                .await
        })?;
        Ok((rows.len(), begun.elapsed().as_secs_f64()))
    }

    fn ready<'a>(&self, batch: &'a WriteBatch) -> Ready<'a> {
        let prepared = |statement| self.prepared[&shape(batch.table, statement)].clone();
        let statements = batch.statements.iter();
        let statements = statements.map(|statement| BatchStatement::PreparedStatement(prepared(statement)));
        let values = batch.statements.iter().map(|statement| bound(batch, statement)).collect();
        Ready { batch: Batch::new_with_statements(BatchType::Unlogged, statements.collect()), values }
    }

    fn prepare(&mut self, batches: &[Arc<WriteBatch>]) -> Result<()> {
        for batch in batches {
            for statement in &batch.statements {
                let shape = shape(batch.table, statement);
                if !self.prepared.contains_key(&shape) {
                    let text = cql(&self.keyspace, batch.table, statement);
                    let prepared = self.runtime.block_on(self.session.prepare(text))?;
                    self.prepared.insert(shape, prepared);
                }
            }
        }
        Ok(())
    }
}

fn bound<'a>(batch: &'a WriteBatch, statement: &'a Statement) -> Bound<'a> {
    Bound { partition: &batch.partition, statement, unset_nulls: batch.table.writing == Writing::Append }
}

fn shape(table: &Table, statement: &Statement) -> (&'static str, u8, bool) {
    let change = match statement.change {
        Change::Upsert(_) => 0,
        Change::Statics(_) => 1,
        Change::Delete => 2,
    };
    (table.name, change, statement.ttl_s.is_some())
}

fn cql(keyspace: &str, table: &Table, statement: &Statement) -> String {
    let insert = |columns: &[&[Column]]| {
        let names: Vec<&str> = columns.concat().iter().map(|column| column.name).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let mut text = format!(
            "INSERT INTO {keyspace}.{} (\"{}\") VALUES ({marks}) USING TIMESTAMP ?",
            table.name,
            names.join("\", \"")
        );
        if statement.ttl_s.is_some() {
            text += " AND TTL ?";
        }
        text
    };
    match statement.change {
        Change::Upsert(_) => insert(&[table.partition, table.clustering, table.cells]),
        Change::Statics(_) => insert(&[table.partition, table.statics]),
        Change::Delete => {
            let mut text = format!("DELETE FROM {keyspace}.{} USING TIMESTAMP ? WHERE ", table.name);
            for (index, column) in table.partition.iter().chain(table.clustering).enumerate() {
                let and = if index > 0 { " AND " } else { "" };
                // Writing to a String cannot fail.
                let _ = write!(text, "{and}\"{}\" = ?", column.name);
            }
            text
        }
    }
}

impl SerializeRow for Bound<'_> {
    fn serialize(
        &self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let Statement { clustering, change, timestamp_us, ttl_s } = self.statement;
        let timestamp = Value::BigInt(*timestamp_us);
        let mut write = |value: &Value, unset: bool| {
            let cell = writer.make_cell_writer();
            let written = match value {
                Value::Null if unset => Ok(cell.set_unset()),
                Value::Null => Ok(cell.set_null()),
                Value::Int(number) => cell.set_value(&number.to_be_bytes()),
                Value::BigInt(number) => cell.set_value(&number.to_be_bytes()),
                Value::Text(text) => cell.set_value(text.as_bytes()),
                Value::Blob(bytes) => cell.set_value(bytes),
                Value::Boolean(boolean) => cell.set_value(&[u8::from(*boolean)]),
            };
            written.map(drop).map_err(SerializationError::new)
        };
        if *change == Change::Delete {
            write(&timestamp, false)?;
            return self.partition.iter().chain(clustering).try_for_each(|value| write(value, false));
        }
        self.partition.iter().chain(clustering).try_for_each(|value| write(value, false))?;
        if let Change::Upsert(cells) | Change::Statics(cells) = change {
            cells.iter().try_for_each(|value| write(value, self.unset_nulls))?;
        }
        write(&timestamp, false)?;
        match ttl_s {
            Some(ttl_s) => write(&Value::Int(*ttl_s as i32), false),
            None => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}
