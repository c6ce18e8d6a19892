//! What the edges that are no engine need of a log and a store: append, follow, read. Kafka, the embedded log
//! and their stores implement these; HTTP and the command line stand on them alone.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::{
    log::{Bounds, Header, LogError, Offset, OutRecord, PartitionId},
    store::{Query, Row, StoreError, WriteBatch},
    topology::Topic,
};

/// Wakes the thread of an engine: called by its log and its store after every event they have queued, from
/// any thread.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// A record of any topic as a consumer outside the engine reads it, committed ones only.
#[derive(Debug, Clone)]
pub struct TailRecord {
    pub partition: PartitionId,
    pub offset: Offset,
    pub time_ms: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailFrom {
    Start,
    End,
    /// From these positions; partitions that are not named start at their end.
    Positions(Vec<(PartitionId, Offset)>),
}

/// A topic being followed. Dropping it ends the reading.
#[derive(Debug)]
pub struct Tail {
    /// Where each partition's reading begins: settled before the first record arrives.
    pub positions: Vec<(PartitionId, Offset)>,
    /// Bounded: a slow reader slows the reading, never the writer.
    pub events: mpsc::Receiver<Result<TailEvent, LogError>>,
}

/// What following a topic brings.
#[derive(Debug)]
pub enum TailEvent {
    Record(TailRecord),
    /// All that was committed before this position of the partition has come: offsets without a record, such
    /// as a transaction's marker, lie before it too. A log whose every offset is a record need not say so.
    End(PartitionId, Offset),
}

impl Tail {
    /// The next record that is there already.
    pub fn try_next(&mut self) -> Option<Result<TailRecord, LogError>> {
        loop {
            match self.events.try_recv().ok()? {
                Ok(TailEvent::Record(record)) => return Some(Ok(record)),
                Ok(TailEvent::End(..)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next record; `None` when the reading has ended.
    pub async fn next(&mut self) -> Option<Result<TailRecord, LogError>> {
        loop {
            match self.events.recv().await? {
                Ok(TailEvent::Record(record)) => return Some(Ok(record)),
                Ok(TailEvent::End(..)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Producing to and following topics.
pub trait TopicClient: Send + Sync + 'static {
    /// Appends the records and answers once all are durable (`acks=all`). After an error some may be there:
    /// appending again is what idempotent records are for.
    fn append(&self, records: Vec<OutRecord>) -> BoxFuture<'_, Result<(), LogError>>;

    /// Follows a topic, `read_committed`.
    fn tail(&self, topic: Topic, from: TailFrom) -> BoxFuture<'_, Result<Tail, LogError>>;

    /// First and next offsets of a topic's partitions.
    fn bounds(&self, topic: Topic) -> BoxFuture<'_, Result<Vec<(PartitionId, Bounds)>, LogError>>;
}

/// Reading from and writing to the store outside of an engine: readers, and the operator's decisions.
pub trait StoreClient: Send + Sync + 'static {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Vec<Row>, StoreError>>;
    fn write(&self, batch: WriteBatch) -> BoxFuture<'_, Result<(), StoreError>>;
}
