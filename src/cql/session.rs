//! One session: what is prepared, what is in flight, and the reads and writes themselves.

use std::{fmt, ops::ControlFlow, sync::Arc, time::Duration};

use scylla::{
    client::session::Session,
    deserialize::row::ColumnIterator,
    errors::ExecutionError,
    response::{PagingState, query_result::QueryResult},
    statement::{
        batch::{Batch, BatchStatement, BatchType},
        prepared::PreparedStatement,
    },
};

use crate::{
    store::{Query, Row, Select, StoreError, WriteBatch},
    table::{Column, Table, Value, Writing},
};

use super::{
    bind::{ReadValues, WriteValues, read_row},
    config::CqlConfig,
    error::{failed, needs_preparing, permanent},
    flight::{Flight, Load},
    statement::{Shape, Statements},
    validate::{check_batch, check_query},
};

/// Keys of one statement: ScyllaDB refuses more than 100 in its default configuration.
const KEYS_PER_STATEMENT: usize = 64;

/// A connection to the database, shared by all stores and clients of the process. Cheap to clone.
#[derive(Clone)]
pub struct Cql {
    shared: Arc<Shared>,
}

struct Shared {
    session: Session,
    keyspace: String,
    replication: String,
    request_timeout: Duration,
    statements: Statements,
    flight: Flight,
}

impl fmt::Debug for Cql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cql").field("keyspace", &self.shared.keyspace).finish_non_exhaustive()
    }
}

impl Cql {
    pub(super) fn new(session: Session, config: &CqlConfig) -> Self {
        let shared = Shared {
            session,
            keyspace: config.keyspace.clone(),
            replication: config.replication.to_string(),
            request_timeout: config.request_timeout,
            statements: Statements::default(),
            flight: Flight::new(config),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn session(&self) -> &Session {
        &self.shared.session
    }

    /// The keyspace that all statements name.
    #[must_use]
    pub fn keyspace(&self) -> &str {
        &self.shared.keyspace
    }

    pub(super) fn replication(&self) -> &str {
        &self.shared.replication
    }

    /// Writes a batch, all or nothing, and returns when it is durable at the configured consistency.
    pub(super) async fn write(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        check_batch(batch)?;
        if batch.statements.is_empty() {
            return Ok(());
        }
        let bytes = batch.size_bytes();
        let load = match (batch.table.is_background(), batch.is_late) {
            (true, _) => Load::Background(bytes),
            (false, true) => Load::Late(bytes),
            (false, false) => Load::Write(bytes),
        };
        let _permits = self.shared.flight.take_off(load).await?;
        count("write", batch.table);
        let sent = match batch.statements.as_slice() {
            [_] => self.send_single(batch).await,
            _ => self.send_batch(batch).await,
        };
        sent.map(|_| ()).map_err(|error| self.report("a write to", batch.table, &error))
    }

    async fn send_single(&self, batch: &WriteBatch) -> Result<QueryResult, ExecutionError> {
        let statement = &batch.statements[0];
        let prepared = self.prepared(batch.table, Shape::of_statement(statement)).await?;
        let unset_nulls = batch.table.writing == Writing::Append;
        let values = WriteValues { partition: &batch.partition, statement, unset_nulls };
        self.shared.session.execute_unpaged(&prepared, values).await
    }

    /// One unlogged batch: one partition of one table, hence one mutation. The driver sends it to a replica
    /// of the first statement's partition, which is that of all.
    async fn send_batch(&self, batch: &WriteBatch) -> Result<QueryResult, ExecutionError> {
        let mut shapes: Vec<(Shape, Arc<PreparedStatement>)> = Vec::with_capacity(4);
        let mut statements = Vec::with_capacity(batch.statements.len());
        let mut values = Vec::with_capacity(batch.statements.len());
        let unset_nulls = batch.table.writing == Writing::Append;
        for statement in &batch.statements {
            let shape = Shape::of_statement(statement);
            let known = shapes.iter().position(|(known, _)| *known == shape);
            let index = match known {
                Some(index) => index,
                None => {
                    shapes.push((shape, self.prepared(batch.table, shape).await?));
                    shapes.len() - 1
                }
            };
            let prepared = PreparedStatement::clone(&shapes[index].1);
            statements.push(BatchStatement::PreparedStatement(prepared));
            values.push(WriteValues { partition: &batch.partition, statement, unset_nulls });
        }
        let mut unlogged = Batch::new_with_statements(BatchType::Unlogged, statements);
        unlogged.set_is_idempotent(true);
        self.shared.session.batch(&unlogged, values).await
    }

    /// Reads rows of one partition, in the order that the query asks for.
    pub(super) async fn read(&self, query: &Query) -> Result<Vec<Row>, StoreError> {
        check_query(query)?;
        match &query.select {
            // CQL refuses a limit of 0.
            Select::Slice { limit: 0, .. } => Ok(Vec::new()),
            Select::Slice { .. } => {
                self.fetch(query, &[], [&[], query.table.clustering, query.table.cells]).await
            }
            Select::Page { .. } => {
                let Table { statics, clustering, cells, .. } = query.table;
                self.fetch(query, &[], [statics, clustering, cells]).await
            }
            Select::Keys(keys) => self.read_keys(query, keys).await,
            Select::Statics => {
                let mut rows = self.fetch(query, &[], [&[], &[], query.table.statics]).await?;
                // A partition that has rows but no statics answers with nulls.
                rows.retain(|row| row.cells.iter().any(|cell| *cell != Value::Null));
                Ok(rows)
            }
        }
    }

    async fn read_keys(&self, query: &Query, keys: &[Box<[Value]>]) -> Result<Vec<Row>, StoreError> {
        let mut keys: Vec<&[Value]> = keys.iter().map(AsRef::as_ref).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut rows = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_PER_STATEMENT) {
            let mut found = self.fetch(query, keys, [&[], query.table.clustering, query.table.cells]).await?;
            found.sort_unstable_by(|a, b| a.clustering.cmp(&b.clustering));
            rows.append(&mut found);
        }
        Ok(rows)
    }

    /// All pages of one statement's answer.
    async fn fetch(
        &self,
        query: &Query,
        keys: &[&[Value]],
        [statics, clustering, cells]: [&[Column]; 3],
    ) -> Result<Vec<Row>, StoreError> {
        let failed = |error: &ExecutionError| self.report("a read of", query.table, error);
        let unreadable = |problem: String| {
            let name = query.table.name;
            permanent(format!(
                "a read of {name} failed: {problem}; check the schema (heartline schema check)"
            ))
        };
        let _permits = self.shared.flight.take_off(Load::Read).await?;
        let shape = Shape::of_select(&query.select);
        let prepared = self.prepared(query.table, shape).await.map_err(|error| failed(&error))?;
        let mut rows = Vec::new();
        let mut page = PagingState::start();
        loop {
            let values = ReadValues { query, keys };
            count("read", query.table);
            let answer = self.shared.session.execute_single_page(&prepared, values, page).await;
            let (result, next) = answer.map_err(|error| failed(&error))?;
            let result = result.into_rows_result().map_err(|error| unreadable(error.to_string()))?;
            let columns =
                result.rows::<ColumnIterator<'_, '_>>().map_err(|error| unreadable(error.to_string()))?;
            for row in columns {
                let row = row.map_err(|error| unreadable(error.to_string()))?;
                let (statics, row) = read_row(row, statics, clustering, cells).map_err(unreadable)?;
                if rows.is_empty() && statics.iter().any(|cell| *cell != Value::Null) {
                    rows.push(Row { clustering: Box::default(), cells: statics });
                }
                rows.extend(row);
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(rows),
                ControlFlow::Continue(state) => page = state,
            }
        }
    }

    async fn prepared(
        &self,
        table: &'static Table,
        shape: Shape,
    ) -> Result<Arc<PreparedStatement>, ExecutionError> {
        let Shared { session, keyspace, statements, request_timeout, .. } = &*self.shared;
        statements.get(session, keyspace, table, shape, *request_timeout).await
    }

    fn report(&self, operation: &str, table: &Table, error: &ExecutionError) -> StoreError {
        if needs_preparing(error) {
            self.shared.statements.forget();
        }
        failed(format_args!("{operation} {}", table.name), error)
    }
}

/// Every request that is sent, further pages of a read included.
fn count(kind: &'static str, table: &Table) {
    metrics::counter!("heartline_store_requests_total", "kind" => kind, "table" => table.name).increment(1);
}
