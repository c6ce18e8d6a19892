//! Questions to the store: each is asked until it is answered, with a pause that grows while the store is in
//! trouble.

use std::sync::Arc;

use super::{Command, Engine};
use crate::{
    effect::Refresh,
    log::{PartitionId, RequestId},
    mutant::{self, Mutant},
    processor::Fold,
    store::{Query, Row, StoreCommand, StoreError, StoreErrorClass, WriteBatch},
    task::{Task, opening::HaltReason, owed::Place},
};

/// The first pause before a question is asked again, and the longest.
const PAUSE_MS: i64 = 50;
const PAUSE_MS_MAX: i64 = 5_000;

/// What a question is about.
#[derive(Debug, Clone)]
pub(super) enum Question {
    Owners,
    Progress,
    /// An operator's decision about a halted partition.
    Decision,
    Owner,
    FirstRow,
    Checkpoint {
        bucket: u32,
    },
    /// Keys that the fold waits for.
    Keys,
    /// Rows of a committed batch.
    Rows(Place),
    /// A row that is to be written again.
    Refresh {
        batch: u64,
        refresh: Arc<Refresh>,
    },
    CheckpointChunk {
        bucket: u32,
    },
    CheckpointHeader {
        bucket: u32,
    },
    ProgressWrite,
}

/// A question that is not answered.
#[derive(Debug)]
pub(super) struct Pending {
    partition: PartitionId,
    question: Question,
    demand: Demand,
    attempt: u32,
}

#[derive(Debug)]
enum Demand {
    Read(Query),
    Write(Arc<WriteBatch>),
}

impl<F: Fold> Engine<F> {
    pub(super) fn ask(&mut self, partition: PartitionId, question: Question, query: Query) {
        let demand = Demand::Read(query);
        self.submit(Pending { partition, question, demand, attempt: 0 });
    }

    pub(super) fn ask_later(
        &mut self,
        partition: PartitionId,
        question: Question,
        query: Query,
        pause_ms: i64,
    ) {
        let request = self.next_id();
        self.pending
            .insert(request, Pending { partition, question, demand: Demand::Read(query), attempt: 0 });
        self.retries.insert((self.now.boot_ms + pause_ms, request));
    }

    pub(super) fn write(&mut self, partition: PartitionId, question: Question, batch: WriteBatch) {
        self.writing_bytes += batch.size_bytes();
        let demand = Demand::Write(Arc::new(batch));
        self.submit(Pending { partition, question, demand, attempt: 0 });
    }

    fn submit(&mut self, pending: Pending) {
        let request = self.next_id();
        if self.unproved && matches!(pending.demand, Demand::Write(_)) {
            self.held.push(request);
        } else {
            self.commands.push_back(Command::Store(pending.command(request)));
        }
        self.pending.insert(request, pending);
    }

    /// Ownership is proved: what was held goes out.
    pub(super) fn release_held(&mut self) {
        self.unproved = false;
        for request in std::mem::take(&mut self.held) {
            if let Some(pending) = self.pending.get(&request) {
                self.commands.push_back(Command::Store(pending.command(request)));
            }
        }
    }

    pub(super) fn retry_requests(&mut self) {
        while let Some((due_ms, request)) = self.retries.first().copied()
            && due_ms <= self.now.boot_ms
        {
            self.retries.remove(&(due_ms, request));
            // Under a new number: an answer to the former attempt that still comes is nobody's.
            if let Some(pending) = self.pending.remove(&request) {
                self.submit(pending);
            }
        }
    }

    fn answered(&mut self, request: RequestId) -> Option<Pending> {
        let pending = self.pending.remove(&request)?;
        if let Demand::Write(batch) = &pending.demand {
            self.writing_bytes -= batch.size_bytes();
        }
        Some(pending)
    }

    pub(super) fn store_failed(&mut self, request: RequestId, error: StoreError) {
        if error.class == StoreErrorClass::Permanent {
            if let Some(pending) = self.answered(request) {
                let reason = HaltReason::Store(error.message);
                match self.tasks.get_mut(&pending.partition) {
                    Some(task) => task.halt(reason),
                    None => self.halt_opening(pending.partition, reason),
                }
            }
            return;
        }
        if let Some(pending) = self.pending.get_mut(&request) {
            let pause_ms = (PAUSE_MS << pending.attempt.min(10)).min(PAUSE_MS_MAX);
            pending.attempt += 1;
            self.retries.insert((self.now.boot_ms + pause_ms, request));
            self.trouble(error.message);
        }
    }

    pub(super) fn written(&mut self, request: RequestId) {
        let Some(Pending { partition, question, .. }) = self.answered(request) else { return };
        match question {
            Question::Owner => self.owner_written(partition),
            Question::FirstRow => self.first_row_written(partition),
            Question::Rows(place) => self.acknowledge(partition, place),
            Question::CheckpointChunk { bucket } => self.chunk_written(partition, bucket),
            Question::CheckpointHeader { bucket } => self.header_written(partition, bucket),
            Question::ProgressWrite => self.progress_written(partition),
            Question::Owners
            | Question::Progress
            | Question::Decision
            | Question::Checkpoint { .. }
            | Question::Refresh { .. }
            | Question::Keys => {}
        }
    }

    pub(super) fn rows_read(&mut self, request: RequestId, rows: Vec<Row>) {
        let Some(Pending { partition, question, demand, .. }) = self.answered(request) else { return };
        match question {
            Question::Owners => self.owners_read(&rows),
            Question::Progress => self.progress_read(partition, &rows),
            Question::Decision => self.decision_read(partition, &rows),
            Question::Checkpoint { bucket } => self.checkpoint_read(partition, bucket, &rows),
            Question::Keys => {
                let (Some(task), Demand::Read(query)) = (self.tasks.get_mut(&partition), demand) else {
                    return;
                };
                if let Err(error) = task.load(&query, rows) {
                    task.halt(HaltReason::Store(error.0));
                }
            }
            Question::Refresh { batch, refresh } => {
                self.refresh_read(partition, batch, &refresh, rows.first())
            }
            Question::Owner
            | Question::FirstRow
            | Question::Rows(_)
            | Question::CheckpointChunk { .. }
            | Question::CheckpointHeader { .. }
            | Question::ProgressWrite => {}
        }
    }

    /// Forgets every question about partitions; answers that still come are nobody's.
    pub(super) fn forget_requests(&mut self) {
        if mutant::is(Mutant::StaleAnswerTaken) {
            return;
        }
        self.pending.clear();
        self.retries.clear();
        self.held.clear();
        self.writing_bytes = 0;
    }

    /// Whether a partition's decision is being read already.
    pub(super) fn is_looking(&self, partition: PartitionId) -> bool {
        let mut questions = self.pending.values().filter(|pending| pending.partition == partition);
        questions.any(|pending| matches!(pending.question, Question::Decision))
    }

    /// Bytes of committed rows that are not acknowledged, those included that wait for others.
    pub(super) fn unstored_bytes(&self) -> usize {
        self.writing_bytes + self.tasks.values().map(Task::waiting_bytes).sum::<usize>()
    }

    /// Whether the store has refused or left unanswered what it was asked.
    pub(super) fn store_in_trouble(&self) -> bool {
        self.pending.values().any(|pending| pending.attempt > 2)
    }
}

impl Pending {
    fn command(&self, request: RequestId) -> StoreCommand {
        match &self.demand {
            Demand::Read(query) => StoreCommand::Read { request, query: query.clone() },
            Demand::Write(batch) => StoreCommand::Write { request, batch: Arc::clone(batch) },
        }
    }
}
