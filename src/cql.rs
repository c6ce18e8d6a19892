//! The store on a CQL database: ScyllaDB, or Apache Cassandra 5, which speaks the same dialect.
//!
//! The way of a command: [`CqlStore::submit`](Store::submit) spawns it on the runtime; it is checked against
//! the table's description (`validate`), waits for its share of what may be in flight (`flight`), is bound
//! to statements that were generated from the description and prepared once (`statement`, `bind`), and is
//! sent to a replica of its partition. The driver retries nothing: what failed is classified (`error`) and
//! the engine's own loop decides. One session, [`Cql`], serves all stores and clients of a process and
//! outlives restarts of the database.

mod bind;
mod config;
mod connect;
mod durability;
mod error;
mod flight;
pub mod schema;
pub mod rights;
mod session;
mod statement;
mod validate;

use std::sync::mpsc::{Receiver, Sender, channel};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use crate::{
    client::StoreClient,
    log::RequestId,
    store::{Query, Row, Store, StoreCommand, StoreError, StoreErrorClass, StoreEvent, WriteBatch},
};

pub use self::{
    config::{Consistency, CqlConfig, Credentials, Replication, Tls},
    connect::{ConnectError, connect},
    session::Cql,
};

pub use crate::client::Waker;

/// The store of one engine. What it holds beyond the commands under way is bounded by what the engine
/// submits.
pub struct CqlStore {
    cql: Cql,
    runtime: Handle,
    waker: Waker,
    answers: Sender<StoreEvent>,
    events: Receiver<StoreEvent>,
}

/// Reads and writes outside of an engine.
#[derive(Debug, Clone)]
pub struct CqlClient {
    cql: Cql,
}

impl CqlStore {
    /// A store whose commands run on `runtime`, which must be the one that `cql` was connected on.
    #[must_use]
    pub fn new(cql: Cql, runtime: Handle, waker: Waker) -> Self {
        let (answers, events) = channel();
        Self { cql, runtime, waker, answers, events }
    }
}

impl Store for CqlStore {
    fn submit(&mut self, command: StoreCommand) {
        let cql = self.cql.clone();
        let request = match &command {
            StoreCommand::Write { request, .. } | StoreCommand::Read { request, .. } => *request,
        };
        let answer =
            Answer { request, event: None, answers: self.answers.clone(), waker: self.waker.clone() };
        self.runtime.spawn(async move {
            let mut answer = answer;
            answer.event = Some(perform(&cql, command).await);
        });
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        self.events.try_recv().ok()
    }
}

impl CqlClient {
    #[must_use]
    pub fn new(cql: Cql) -> Self {
        Self { cql }
    }
}

impl StoreClient for CqlClient {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move { self.cql.read(&query).await })
    }

    fn write(&self, batch: WriteBatch) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.cql.write(&batch).await })
    }
}

async fn perform(cql: &Cql, command: StoreCommand) -> StoreEvent {
    match command {
        StoreCommand::Write { request, batch } => match cql.write(&batch).await {
            Ok(()) => StoreEvent::Written { request },
            Err(error) => StoreEvent::Failed { request, error },
        },
        StoreCommand::Read { request, query } => match cql.read(&query).await {
            Ok(rows) => StoreEvent::Rows { request, rows },
            Err(error) => StoreEvent::Failed { request, error },
        },
    }
}

/// Sends the answer to a request when it is dropped, so that every request has exactly one: the engine waits
/// for it without a deadline, also when the future that should have produced it was cancelled or panicked.
struct Answer {
    request: RequestId,
    event: Option<StoreEvent>,
    answers: Sender<StoreEvent>,
    waker: Waker,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let event = self.event.take().unwrap_or_else(|| StoreEvent::Failed {
            request: self.request,
            error: StoreError {
                class: StoreErrorClass::Retriable,
                message: "the request to the database ended without an answer; it may be tried again".into(),
            },
        });
        // A receiver that is gone is an engine that has stopped: nobody waits any more.
        if self.answers.send(event).is_ok() {
            (self.waker)();
        }
    }
}

#[cfg(test)]
mod tests;
