//! Topics and tables for those who are no engine: HTTP and the command line.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Database,
    queue::{Lane, Refused},
    rows,
    shared::Shared,
    spaces::StorageError,
    topics,
    writer::Work,
};
use crate::{
    client::{StoreClient, Tail, TailEvent, TailFrom, TailRecord, TopicClient},
    log::{Bounds, LogError, Offset, OutRecord, PartitionId},
    store::{Query, Row, StoreError, StoreErrorClass, WriteBatch},
    topology::Topic,
};

/// Records that wait for the reader of a tail.
const TAIL_RECORDS_MAX: usize = 64;
/// Records and bytes that are read at once for a tail.
const READ_RECORDS_MAX: usize = 500;
const READ_BYTES_MAX: usize = 1024 * 1024;

/// The topics of a database.
#[derive(Clone)]
pub struct EmbeddedTopics {
    database: Arc<Database>,
}

impl EmbeddedTopics {
    #[must_use]
    pub fn new(database: &Arc<Database>) -> Self {
        Self { database: Arc::clone(database) }
    }
}

impl TopicClient for EmbeddedTopics {
    fn append(&self, records: Vec<OutRecord>) -> BoxFuture<'_, Result<(), LogError>> {
        async move {
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |result| {
                // Whoever asked may have gone.
                let _ = sender.send(result);
            });
            let work = Work::Append { records, reply };
            self.database.shared.submit(Lane::Client, work).map_err(not_taken)?;
            answer.await.unwrap_or_else(|_| Err(not_taken(Refused::Closed)))
        }
        .boxed()
    }

    fn tail(&self, topic: Topic, from: TailFrom) -> BoxFuture<'_, Result<Tail, LogError>> {
        async move {
            let shared = Arc::clone(&self.database.shared);
            let appended = shared.subscribe(topic).ok_or_else(|| unknown(topic))?;
            let bounds = self.bounds(topic).await?;
            let positions: Vec<_> = bounds
                .iter()
                .map(|(partition, bounds)| (*partition, begin(&from, *partition, *bounds)))
                .collect();
            let (sender, events) = mpsc::channel(TAIL_RECORDS_MAX);
            let following = Following { shared, topic, positions: positions.clone(), sender };
            tokio::spawn(following.run(appended));
            Ok(Tail { positions, events })
        }
        .boxed()
    }

    fn bounds(&self, topic: Topic) -> BoxFuture<'_, Result<Vec<(PartitionId, Bounds)>, LogError>> {
        let shared = Arc::clone(&self.database.shared);
        async move {
            let partitions = shared.catalog.get(&topic).ok_or_else(|| unknown(topic))?.partitions;
            let snapshot = shared.spaces.database.snapshot();
            let read = |partition| {
                Ok((partition, topics::position(&shared.spaces, &snapshot, topic, partition)?.bounds))
            };
            (0..partitions).map(read).collect::<Result<_, _>>().map_err(fatal)
        }
        .boxed()
    }
}

/// Where reading begins: as asked, but never where there is nothing.
fn begin(from: &TailFrom, partition: PartitionId, bounds: Bounds) -> Offset {
    match from {
        TailFrom::Start => bounds.first,
        TailFrom::End => bounds.end,
        TailFrom::Positions(positions) => {
            let named = positions.iter().find(|(of, _)| *of == partition);
            named.map_or(bounds.end, |(_, position)| (*position).clamp(bounds.first, bounds.end))
        }
    }
}

/// A topic being followed.
struct Following {
    shared: Arc<Shared>,
    topic: Topic,
    positions: Vec<(PartitionId, Offset)>,
    sender: mpsc::Sender<Result<TailEvent, LogError>>,
}

impl Following {
    async fn run(mut self, appended: watch::Receiver<()>) {
        if let Err(error) = self.follow(appended).await {
            // The reader may have gone as well.
            let _ = self.sender.send(Err(error)).await;
        }
    }

    /// Runs until the reader is gone or the database closes.
    async fn follow(&mut self, mut appended: watch::Receiver<()>) -> Result<(), LogError> {
        loop {
            appended.mark_unchanged();
            let (shared, topic) = (Arc::clone(&self.shared), self.topic);
            let mut positions = std::mem::take(&mut self.positions);
            let read = tokio::task::spawn_blocking(move || {
                read_on(&shared, topic, &mut positions).map(|records| (records, positions))
            });
            let (records, positions) =
                read.await.map_err(|error| LogError::fatal(error.to_string()))?.map_err(fatal)?;
            self.positions = positions;
            let idle = records.is_empty();
            for record in records {
                if self.sender.send(Ok(TailEvent::Record(record))).await.is_err() {
                    return Ok(());
                }
            }
            if self.shared.queue.is_closed() {
                return Ok(());
            }
            if idle {
                tokio::select! {
                    _ = appended.changed() => {}
                    () = self.sender.closed() => return Ok(()),
                }
            }
        }
    }
}

/// A bounded number of records; the positions move past them, and past what was trimmed in between. The
/// partition that was read comes last the next time, so that none starves.
fn read_on(
    shared: &Shared,
    topic: Topic,
    positions: &mut [(PartitionId, Offset)],
) -> Result<Vec<TailRecord>, StorageError> {
    let snapshot = shared.spaces.database.snapshot();
    let (mut records, mut bytes_read, mut turns) = (Vec::new(), 0, 0);
    for (partition, position) in positions.iter_mut() {
        if records.len() >= READ_RECORDS_MAX || bytes_read >= READ_BYTES_MAX {
            break;
        }
        turns += 1;
        let partition = *partition;
        let bounds = topics::position(&shared.spaces, &snapshot, topic, partition)?.bounds;
        *position = bounds.first.max(*position);
        if *position >= bounds.end {
            continue;
        }
        let mut next = bounds.end;
        topics::scan(&shared.spaces, &snapshot, (topic, partition), *position, |offset, record| {
            if records.len() >= READ_RECORDS_MAX || bytes_read >= READ_BYTES_MAX {
                next = offset;
                return ControlFlow::Break(());
            }
            bytes_read += record.size_bytes;
            let (key, value) =
                (record.key.map(Bytes::copy_from_slice), record.value.map(Bytes::copy_from_slice));
            let (time_ms, headers) = (record.time_ms, record.headers);
            records.push(TailRecord { partition, offset, time_ms, key, value, headers });
            ControlFlow::Continue(())
        })?;
        *position = next;
    }
    positions.rotate_left(turns % positions.len().max(1));
    Ok(records)
}

fn fatal(error: StorageError) -> LogError {
    LogError::fatal(error.0)
}

fn unknown(topic: Topic) -> LogError {
    LogError::fatal(format!("there is no topic '{topic}' in this topology"))
}

/// The tables of a database.
#[derive(Clone)]
pub struct EmbeddedStoreClient {
    database: Arc<Database>,
}

impl EmbeddedStoreClient {
    #[must_use]
    pub fn new(database: &Arc<Database>) -> Self {
        Self { database: Arc::clone(database) }
    }
}

impl StoreClient for EmbeddedStoreClient {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        let shared = Arc::clone(&self.database.shared);
        async move {
            let read = tokio::task::spawn_blocking(move || {
                rows::read(&shared.spaces, &shared.spaces.database.snapshot(), &query, shared.now_ms())
            });
            read.await.unwrap_or_else(|error| Err(retriable(&error.to_string())))
        }
        .boxed()
    }

    fn write(&self, batch: WriteBatch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |result| {
                // Whoever asked may have gone.
                let _ = sender.send(result);
            });
            let closed = |refused: Refused| retriable(refused.sentence());
            self.database.shared.submit(Lane::Client, Work::Write { batch, reply }).map_err(closed)?;
            answer.await.unwrap_or_else(|_| Err(closed(Refused::Closed)))
        }
        .boxed()
    }
}

fn not_taken(refused: Refused) -> LogError {
    match refused {
        Refused::Full => LogError::behind(refused.sentence()),
        Refused::Closed => LogError::retriable(refused.sentence()),
    }
}

fn retriable(message: &str) -> StoreError {
    StoreError { class: StoreErrorClass::Retriable, message: message.to_owned() }
}

#[cfg(test)]
mod tests;
