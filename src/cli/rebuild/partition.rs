//! One partition folded from its start: the task of a worker without the worker around it. Everything lies
//! below the committed position, so that nothing is published.

use std::{mem, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};

use crate::{
    cli::CliError,
    client::{StoreClient, TailRecord},
    effect::Refresh,
    http::now_ms,
    limits::PART_OUTPUT_BYTES_MAX,
    log::{Chunk, Offset, PartitionId, TopicDescription},
    processor::{Fold, Refreshed, Setup},
    store::{Query, Select, WriteBatch},
    table::{
        Writing,
        progress::{ProgressRow, progress_write},
    },
    task::{
        Reading, Task,
        checkpoint::Checkpoints,
        opening::Start,
        owed::{Place, Released},
    },
};

/// The name that a task knows its reading by; there is one reading.
const FETCH: u64 = 1;
/// Requests to the database at a time, of one partition.
const REQUESTS_MAX: usize = 64;

/// What a group's offset says of a partition.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub partition: PartitionId,
    /// From the start of the generation to the committed offset.
    pub start: Start,
    pub topic_id: String,
    pub partitions: u32,
}

pub(super) struct Replay<F> {
    known: Known,
    task: Task<F>,
    chunk: Chunk,
    batch: u64,
    store: Arc<dyn StoreClient>,
}

impl<F: Fold> Replay<F> {
    pub fn new(setup: Setup, known: Known, store: Arc<dyn StoreClient>) -> Result<Self, CliError> {
        let Known { partition, start, .. } = known.clone();
        let mut fold = F::new(setup, start.stored, None).map_err(|error| CliError::internal(error.0))?;
        fold.begin_batch(1);
        let mut task = Task::new(partition, start, fold, Checkpoints::default());
        task.reading = Reading::Fetch(FETCH);
        let chunk = Chunk::new(partition, FETCH);
        Ok(Self { known, task, chunk, batch: 1, store })
    }

    pub fn partition(&self) -> PartitionId {
        self.known.partition
    }

    pub fn position(&self) -> Offset {
        self.task.position()
    }

    /// How many offsets are yet to be folded. The last one below the committed offset is always that of a
    /// record.
    pub fn left(&self) -> u64 {
        u64::try_from(self.known.start.committed - self.task.position()).unwrap_or_default()
    }

    pub fn records(&self) -> u64 {
        self.task.counts.consumed()
    }

    /// Takes a record, if it is one of those to be folded.
    pub fn take(&mut self, record: &TailRecord) {
        if record.offset < self.known.start.committed {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            self.chunk.push(record.offset, record.time_ms, key, value, record.headers.clone());
        }
    }

    /// Folds what was taken, and writes what came of it.
    pub async fn fold(&mut self) -> Result<(), CliError> {
        let taken = mem::replace(&mut self.chunk, Chunk::new(self.known.partition, FETCH));
        if taken.is_empty() {
            return Ok(());
        }
        let last = taken.last_offset().unwrap_or_default();
        self.task.enqueue(taken);
        while self.task.position() <= last {
            self.task.fold_queued(u64::MAX, PART_OUTPUT_BYTES_MAX);
            if let Some(reason) = &self.task.halted {
                return Err(CliError::internal(reason.sentence(F::KIND.input(), self.known.partition)));
            }
            let wanted = mem::take(&mut self.task.wanted);
            if !wanted.is_empty() {
                self.read(wanted).await?;
                continue;
            }
            self.write_part().await?;
        }
        Ok(())
    }

    async fn read(&mut self, wanted: Vec<Query>) -> Result<(), CliError> {
        self.task.waiting += wanted.len();
        let store = &self.store;
        let reads = wanted.into_iter().map(|query| async move {
            let rows = store.read(query.clone()).await?;
            Ok::<_, CliError>((query, rows))
        });
        let answers: Vec<_> = stream::iter(reads).buffered(REQUESTS_MAX).try_collect().await?;
        for (query, rows) in answers {
            self.task.load(&query, rows).map_err(|error| CliError::internal(error.0))?;
        }
        Ok(())
    }

    async fn write_part(&mut self) -> Result<(), CliError> {
        let number = self.batch;
        self.batch += 1;
        let part = self.task.close(self.batch);
        let mut released = self.task.owe(number, part);
        while !released.writes.is_empty() || !released.refreshes.is_empty() {
            let Released { writes, refreshes, .. } = mem::take(&mut released);
            let mut acknowledged: Vec<_> = writes.iter().map(|(place, _)| *place).collect();
            self.write_all(writes.into_iter().map(|(_, write)| write).collect()).await?;
            for (batch, refresh) in refreshes {
                self.refresh(&refresh).await?;
                acknowledged.push(Place::refreshed(batch));
            }
            for place in acknowledged {
                let further = self.task.acknowledge(place);
                released.writes.extend(further.writes);
                released.refreshes.extend(further.refreshes);
            }
        }
        Ok(())
    }

    async fn write_all(&self, writes: Vec<WriteBatch>) -> Result<(), CliError> {
        let store = &self.store;
        let writes = writes.into_iter().filter_map(|write| still_alive(write, now_ms()));
        let writes = writes.map(|write| async move { Ok::<_, CliError>(store.write(write).await?) });
        stream::iter(writes).buffer_unordered(REQUESTS_MAX).try_collect().await
    }

    async fn refresh(&self, refresh: &Refresh) -> Result<(), CliError> {
        let (table, partition) = (refresh.table, refresh.partition.clone());
        let select = Select::Keys(vec![refresh.clustering.clone()]);
        let rows = self.store.read(Query { table, partition: partition.clone(), select }).await?;
        match F::refreshed(refresh, rows.first()) {
            Refreshed::Write(statement) => {
                let statements = vec![statement];
                Ok(self.store.write(WriteBatch::new(table, partition, statements)).await?)
            }
            Refreshed::Skip => Ok(()),
            Refreshed::Restore => Err(CliError::internal(
                "a row is not what the log says: somebody else writes into this keyspace".to_owned(),
            )),
        }
    }

    /// Writes the checkpoints and the `progress` row, with which a worker can go on from here.
    pub async fn finish(&mut self) -> Result<(), CliError> {
        let base_us = self.known.start.base_us;
        for bucket in self.task.buckets.clone() {
            let Some(checkpoint) = self.task.fold.checkpoint(bucket) else { continue };
            let (chunks, header) = self.task.checkpoints.writes(bucket, &checkpoint, base_us);
            try_join_all(chunks.into_iter().map(|chunk| self.store.write(chunk))).await?;
            self.store.write(header).await?;
            self.task.checkpoints.restored(bucket, Some(0), checkpoint.origin, Some(checkpoint.resume));
        }
        let Known { partition, start, topic_id, partitions } = &self.known;
        let (stored, resume) = match self.task.checkpoints.restore_point() {
            Some((origin, resume)) => (origin, resume.map(str::to_owned)),
            None => (start.committed, Some(self.task.fold.resume())),
        };
        let topic = TopicDescription { topic_id: topic_id.clone(), partitions: *partitions };
        let as_of_ms = self.task.fold.seen_beacon().map(|beacon| beacon.time_ms);
        let row = ProgressRow { stored, resume, as_of_ms, ..start.row(&topic) };
        Ok(self.store.write(progress_write(F::KIND.input(), *partition, &row, start.committed)).await?)
    }
}

/// A batch without what retention has let go since its records came: a time to live counts from the write.
fn still_alive(mut write: WriteBatch, now_ms: i64) -> Option<WriteBatch> {
    if write.table.writing == Writing::Append {
        write.statements.retain_mut(|statement| {
            let age_s = (now_ms - statement.timestamp_us / 1_000).max(0) / 1_000;
            let age_s = u32::try_from(age_s).unwrap_or(u32::MAX);
            statement.ttl_s = statement.ttl_s.map(|ttl_s| ttl_s.saturating_sub(age_s));
            statement.ttl_s != Some(0)
        });
    }
    (!write.statements.is_empty()).then_some(write)
}

#[cfg(test)]
mod tests;
