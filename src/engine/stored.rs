//! After the commit: rows until they are acknowledged, then the checkpoints taken with them, then the
//! `progress` row, and only then the metadata of later offsets.

use super::{Engine, requests::Question};
use crate::{
    effect::Refresh,
    log::{Offset, PartitionId},
    mutant::{self, Mutant},
    processor::{Checkpoint, Fold, Refreshed},
    store::{Query, Row, Select, WriteBatch},
    table::progress::{ProgressRow, progress_write},
    task::{
        Part, Task,
        opening::Start,
        owed::{Place, Released},
    },
};

/// A checkpoint on its way: its chunks, then its header.
#[derive(Debug)]
pub(super) struct Checkpointing {
    chunks: usize,
    header: Option<WriteBatch>,
    checkpoint: Option<Checkpoint>,
}

/// When a partition's `progress` row is written, and what an acknowledged one states.
#[derive(Debug)]
pub(super) struct ProgressPace {
    /// Stored position and resume of the last acknowledged row: what the offsets' metadata may say.
    pub(super) stated: (Offset, Option<String>),
    /// The stored position that the metadata of the last offset commit says.
    pub(super) committed: Offset,
    next_at_ms: i64,
    /// The position of the last row written: the next needs a greater one, as its timestamp does.
    position: Offset,
    pub(super) writing: Option<(Offset, Option<String>)>,
}

impl ProgressPace {
    pub(super) fn new(start: &Start, now_ms: i64) -> Self {
        Self {
            stated: (start.stored, start.resume.clone()),
            committed: start.stored,
            next_at_ms: now_ms,
            // A former owner may have written at any position up to the committed one.
            position: start.committed,
            writing: None,
        }
    }

    /// Whether a row would say more than the last one. Where there are no checkpoints, everything is stored
    /// up to the row's own position, so that a former owner's row of that position is this one byte for byte:
    /// it may be written once more, and a partition that was replayed and has nothing new can say so.
    fn has_news<F: Fold>(&self, task: &Task<F>) -> bool {
        let replayed = task.buckets.is_empty() && task.stored_rows == self.position;
        task.stored_rows > self.position || (replayed && self.stated.0 < self.position)
    }
}

impl<F: Fold> Engine<F> {
    pub(super) fn batch_committed(&mut self, number: u64, parts: Vec<(PartitionId, Part)>) {
        for (partition, part) in parts {
            let Some(task) = self.tasks.get_mut(&partition) else { continue };
            let released = task.owe(number, part);
            self.release(partition, released);
        }
    }

    pub(super) fn acknowledge(&mut self, partition: PartitionId, place: Place) {
        if let Some(task) = self.tasks.get_mut(&partition) {
            let released = task.acknowledge(place);
            self.release(partition, released);
        }
    }

    fn release(&mut self, partition: PartitionId, released: Released) {
        for (place, write) in released.writes {
            self.write(partition, Question::Rows(place), write);
        }
        for (batch, refresh) in released.refreshes {
            let select = Select::Keys(vec![refresh.clustering.clone()]);
            let query = Query { table: refresh.table, partition: refresh.partition.clone(), select };
            self.ask(partition, Question::Refresh { batch, refresh: refresh.into() }, query);
        }
        self.write_checkpoints(partition, released.checkpoints);
    }

    pub(super) fn refresh_read(
        &mut self,
        partition: PartitionId,
        batch: u64,
        refresh: &Refresh,
        row: Option<&Row>,
    ) {
        match F::refreshed(refresh, row) {
            Refreshed::Write(statement) => {
                let write = WriteBatch::new(refresh.table, refresh.partition.clone(), vec![statement]);
                self.write(partition, Question::Rows(Place::refreshed(batch)), write);
            }
            Refreshed::Skip => self.acknowledge(partition, Place::refreshed(batch)),
            Refreshed::Restore => self.restore("a row is not what the log says"),
        }
    }

    fn write_checkpoints(&mut self, partition: PartitionId, released: Vec<(u32, Checkpoint)>) {
        let Some(task) = self.tasks.get(&partition) else { return };
        let base_us = task.start.base_us;
        let writes: Vec<_> = released
            .into_iter()
            .map(|(bucket, checkpoint)| {
                let (chunks, header) = task.checkpoints.writes(bucket, &checkpoint, base_us);
                (bucket, checkpoint, chunks, header)
            })
            .collect();
        for (bucket, checkpoint, chunks, header) in writes {
            let count = chunks.len();
            let header = Some(header);
            let checkpoint = Some(checkpoint);
            self.checkpointing
                .insert((partition, bucket), Checkpointing { chunks: count, header, checkpoint });
            for chunk in chunks {
                self.write(partition, Question::CheckpointChunk { bucket }, chunk);
            }
            if count == 0 || mutant::is(Mutant::HeaderWithItsChunks) {
                self.write_header(partition, bucket);
            }
        }
    }

    pub(super) fn chunk_written(&mut self, partition: PartitionId, bucket: u32) {
        let Some(checkpointing) = self.checkpointing.get_mut(&(partition, bucket)) else { return };
        checkpointing.chunks -= 1;
        if checkpointing.chunks == 0 {
            self.write_header(partition, bucket);
        }
    }

    fn write_header(&mut self, partition: PartitionId, bucket: u32) {
        let checkpointing = self.checkpointing.get_mut(&(partition, bucket));
        if let Some(header) = checkpointing.and_then(|checkpointing| checkpointing.header.take()) {
            self.write(partition, Question::CheckpointHeader { bucket }, header);
        }
    }

    pub(super) fn header_written(&mut self, partition: PartitionId, bucket: u32) {
        let Some(checkpointing) = self.checkpointing.remove(&(partition, bucket)) else { return };
        if let (Some(task), Some(checkpoint)) = (self.tasks.get_mut(&partition), checkpointing.checkpoint) {
            task.checkpoints.stored(bucket, checkpoint);
        }
    }

    /// Writes the `progress` rows that are due and have something new to say.
    pub(super) fn write_progress(&mut self) {
        let Some(topic) = self.topic.clone() else { return };
        let now_ms = self.now.boot_ms;
        let mut writes = Vec::new();
        for (partition, task) in &self.tasks {
            let Some(pace) = self.progress.get_mut(partition) else { continue };
            if pace.writing.is_some() || pace.next_at_ms > now_ms || !pace.has_news(task) {
                continue;
            }
            let (stored, resume) = match task.checkpoints.restore_point() {
                Some((stored, _)) if mutant::is(Mutant::ResumeOfTheMoment) => {
                    (stored, Some(task.fold.resume()))
                }
                Some((stored, resume)) => (stored, resume.map(str::to_owned)),
                None if mutant::is(Mutant::StoredFollowsCommitted) => {
                    (task.committed, Some(task.fold.resume()))
                }
                None => (task.stored_rows, Some(task.fold.resume())),
            };
            pace.position = task.stored_rows;
            pace.next_at_ms = now_ms + self.config.pace.progress_ms;
            pace.writing = Some((stored, resume.clone()));
            let row = ProgressRow { stored, resume, as_of_ms: task.as_of_ms, ..task.start.row(&topic) };
            writes.push((*partition, progress_write(F::KIND.input(), *partition, &row, task.stored_rows)));
        }
        for (partition, write) in writes {
            self.write(partition, Question::ProgressWrite, write);
        }
    }

    pub(super) fn progress_written(&mut self, partition: PartitionId) {
        if let Some(pace) = self.progress.get_mut(&partition)
            && let Some(stated) = pace.writing.take()
        {
            pace.stated = stated;
        }
    }
}
