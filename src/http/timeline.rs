//! The reads of the timeline: inboxes, histories, what became of a send, members, read positions.
//!
//! * A head is believed and read first: everything up to it is in the store. What is above it is not there
//!   yet, whatever its rows say.
//! * Numbers are dense. What retention has let go is a range at the beginning, told as `trimmed_to`; any
//!   other number that is missing is an error, never a page with a hole.

use std::{future::Future, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use thiserror::Error;

use crate::{
    client::StoreClient,
    limits::READS_AT_ONCE,
    store::{Query, Row, StoreError},
    table::{CellError, Value},
    topology::Topology,
};

pub mod cursors;
pub mod history;
pub mod members;
pub mod outcome;
pub mod post;
mod routes;
pub mod sync;

pub(super) use routes::routes;

/// How long the reads of one request may take together.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store has not answered within {} s; ask again", READ_WITHIN.as_secs())]
    Late,
    #[error(
        "{what}: number {seq} cannot be read, though retention has not let it go; ask again, and if it stays \
         so, a row was lost: see `heartline rebuild`"
    )]
    Hole { what: String, seq: i64 },
    #[error("{0}; another program or a newer version wrote it")]
    Damaged(String),
}

impl From<CellError> for ReadError {
    fn from(error: CellError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// What the reads stand on.
#[derive(Clone, Copy)]
pub struct Timeline<'a> {
    store: &'a dyn StoreClient,
    topology: &'a Topology,
}

impl<'a> Timeline<'a> {
    #[must_use]
    pub fn new(store: &'a dyn StoreClient, topology: &'a Topology) -> Self {
        Self { store, topology }
    }

    /// The first row that a query finds.
    async fn one<T>(
        &self,
        query: Query,
        read: impl FnOnce(&[Value]) -> Result<T, CellError>,
    ) -> Result<Option<T>, ReadError> {
        let rows = self.store.read(query).await?;
        Ok(rows.first().map(|row| read(&row.cells)).transpose()?)
    }

    /// The rows of each query, some of which are under way at a time.
    async fn all(&self, queries: Vec<Query>) -> Result<Vec<Vec<Row>>, ReadError> {
        let reads = stream::iter(queries).map(|query| self.store.read(query));
        Ok(reads.buffered(READS_AT_ONCE).try_collect().await?)
    }
}

/// Bounds the time of an answer.
async fn within<T>(answer: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    tokio::time::timeout(READ_WITHIN, answer).await.unwrap_or(Err(ReadError::Late))
}

/// The first number from `start` to `end` that `found`, in ascending order, lacks.
fn first_missing(found: impl IntoIterator<Item = i64>, start: i64, end: i64) -> Option<i64> {
    let mut due = start;
    for seq in found {
        if seq != due {
            break;
        }
        due += 1;
    }
    (due <= end).then_some(due)
}

#[cfg(test)]
mod tests;
