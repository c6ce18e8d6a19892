//! Folding into the open batch, closing it, and what follows from a transaction's end.

use std::mem;

use super::{Engine, Executor, InFlight, Leaving, Pace, Producer, Purpose, requests::Question};
use crate::{
    limits::{
        PART_OUTPUT_BYTES_MAX, PART_ROWS_MAX, POLL_BYTES_MAX, POLL_RECORDS_MAX, TRANSACTION_INPUT_RECORDS_MAX,
    },
    log::{
        Committed, ErrorClass, LogCommand, LogError, Member, OutRecord, PartitionId, Transaction,
        TransactionOutcome, TransactionStep,
    },
    mutant::{self, Mutant},
    processor::Fold,
    task::{Part, Reading, Task, metadata::OffsetMetadata, opening::Start},
    topology::Topic,
};

/// The pause before state is restored after a transaction that did not commit, and before a producer is
/// opened again.
const RESTORE_PAUSE_MS: i64 = 100;
const PRODUCER_PAUSE_MS: i64 = 500;
/// Fenced twice in this time while the broker lists our member: two pods share a name.
const FENCED_TWICE_MS: i64 = 60_000;

/// After a takeover the store has nothing to do until the first batch is committed: that one may bring about
/// a sixteenth of what a batch may, each further one twice as much as the one before.
const SLOW_START: u32 = 4;

impl<F: Fold> Engine<F> {
    pub(super) fn fold(&mut self, executor: &impl Executor) {
        let records_max = (TRANSACTION_INPUT_RECORDS_MAX / self.tasks.len().max(1)) as u64;
        let bytes_max = self.part_bytes_max();
        let ready: Vec<_> = self.tasks.values_mut().filter(|task| task.is_ready()).collect();
        if !ready.is_empty() {
            executor.each(ready, |task: &mut Task<F>| task.fold_queued(records_max, bytes_max));
        }
        let (now_ms, round_ms) = (self.now.boot_ms, self.config.pace.checkpoint_round_ms);
        let mut wanted = Vec::new();
        for (partition, task) in &mut self.tasks {
            if !task.open.is_empty() {
                task.take_checkpoints(now_ms, round_ms);
                self.open_since_ms.get_or_insert(now_ms);
            }
            task.waiting += task.wanted.len();
            wanted.extend(mem::take(&mut task.wanted).into_iter().map(|query| (*partition, query)));
        }
        for (partition, query) in wanted {
            self.ask(partition, Question::Keys, query);
        }
    }

    /// Asks for more records while there is room for them.
    pub(super) fn poll(&mut self) {
        // One request at a time: while it is under way nothing else needs to be looked at.
        if self.polling || self.revoking || self.leaving != Leaving::No {
            return;
        }
        let full = self.unfolded_bytes() >= self.config.pace.unfolded_bytes_max;
        let full = full && !mutant::is(Mutant::UnfoldedWithoutBound);
        let reading = self.tasks.values().any(|task| task.halted.is_none());
        let owed = self.unstored_bytes() >= self.config.pace.unstored_bytes_max;
        if reading && !full && (!owed || mutant::is(Mutant::QueueWithoutBound)) {
            self.polling = true;
            let wait_ms = self.config.pace.poll_wait_ms;
            self.log(LogCommand::Poll { records_max: POLL_RECORDS_MAX, bytes_max: POLL_BYTES_MAX, wait_ms });
        }
    }

    /// Begins the next transaction if none is under way and there is something to commit.
    pub(super) fn transact(&mut self) {
        let ready = self.in_flight.is_none()
            && self.producer == Producer::Open
            && !self.revoking
            && self.leaving != Leaving::Sent;
        if !ready || self.assignment.is_none() {
            return;
        }
        if self.unproved {
            return self.prove();
        }
        let claims = self.claims();
        if !claims.is_empty() {
            return self.send_claims(&claims);
        }
        if self.batch_is_due() {
            self.close_batch();
        } else if self.now.boot_ms - self.sent_ms >= self.config.pace.idle_commit_ms {
            self.commit_what_is_stored();
        }
    }

    /// Commits the offsets of partitions whose stored position has moved since their metadata last said it.
    fn commit_what_is_stored(&mut self) {
        let behind = self.progress.iter().filter(|(_, pace)| pace.stated.0 > pace.committed);
        let offsets: Vec<_> = behind
            .filter_map(|(partition, _)| {
                let task = self.tasks.get(partition)?;
                Some((*partition, self.commit_of(*partition, task, task.committed)))
            })
            .collect();
        if !offsets.is_empty() {
            self.send(Purpose::Idle, vec![TransactionStep::Offsets(offsets)]);
        }
    }

    fn prove(&mut self) {
        let offsets: Vec<_> = self
            .tasks
            .iter()
            .map(|(partition, task)| (*partition, self.commit_of(*partition, task, task.committed)))
            .collect();
        if offsets.is_empty() {
            return self.release_held();
        }
        self.send(Purpose::Proof, vec![TransactionStep::Offsets(offsets)]);
    }

    fn send_claims(&mut self, claims: &[(PartitionId, Start)]) {
        let offset = |(partition, start): &(PartitionId, Start)| {
            (
                *partition,
                Committed { offset: start.committed, metadata: self.metadata(start, start.stored, None) },
            )
        };
        let offsets = claims.iter().map(offset).collect();
        let partitions: Vec<_> = claims.iter().map(|(partition, _)| *partition).collect();
        self.claims_sent(&partitions);
        self.send(Purpose::Claim(partitions), vec![TransactionStep::Offsets(offsets)]);
    }

    /// Bytes that one partition may bring about in a transaction.
    fn part_bytes_max(&self) -> usize {
        if mutant::is(Mutant::BatchWithoutBound) {
            return usize::MAX;
        }
        let all_max = self.config.pace.transaction_bytes_max >> SLOW_START.saturating_sub(self.closed);
        (all_max / self.tasks.len().max(1)).min(PART_OUTPUT_BYTES_MAX)
    }

    /// How old a batch may become. Behind, nobody has it sooner by small transactions, and large ones cost
    /// less: each has its round trips and markers, and rows of more records share a write and overwrite each
    /// other before they are sent. So it may become as old as the log has been ahead already, up to a limit.
    pub(super) fn batch_age_ms(&self) -> i64 {
        let Pace { quiet_commit_ms, behind_commit_ms, .. } = self.config.pace;
        if self.now.boot_ms >= self.behind_until_ms {
            return quiet_commit_ms;
        }
        let behind_ms = self.now.boot_ms - self.behind_since_ms;
        behind_ms.min(behind_commit_ms).max(quiet_commit_ms)
    }

    /// A batch that somebody waits for is due at once while records arrive as they are written.
    fn batch_is_due(&self) -> bool {
        let Some(since_ms) = self.open_since_ms else { return false };
        let parts = || self.tasks.values().map(|task| &task.open);
        let records: u64 = parts().map(|part| part.counts.consumed()).sum();
        let bytes_max = self.part_bytes_max();
        self.now.boot_ms - since_ms >= self.batch_age_ms()
            || records as usize >= TRANSACTION_INPUT_RECORDS_MAX / 2
            || self.tasks.values().any(|task| {
                task.is_urgent()
                    && (self.now.boot_ms >= self.behind_until_ms
                        || task.open_bytes() >= bytes_max / 4 * 3
                        || task.open.output.rows.len() >= PART_ROWS_MAX / 4 * 3)
            })
    }

    fn close_batch(&mut self) {
        let number = self.batch;
        self.batch += 1;
        self.closed = self.closed.saturating_add(1);
        self.open_since_ms = None;
        let mut parts = Vec::new();
        for (partition, task) in &mut self.tasks {
            if !task.open.is_empty() {
                parts.push((*partition, task.close(number + 1)));
            }
        }
        let offsets: Vec<_> = parts
            .iter()
            .filter(|(_, part)| part.fresh > 0)
            .filter_map(|(partition, part)| {
                let task = self.tasks.get(partition)?;
                let inclusive = mutant::is(Mutant::LastRecordCommittedAsPosition);
                Some((*partition, self.commit_of(*partition, task, part.position - i64::from(inclusive))))
            })
            .collect();
        let records: Vec<_> =
            parts.iter_mut().flat_map(|(_, part)| going_along(&mut part.output.records)).collect();
        if offsets.is_empty() {
            // Replayed records only: they are committed already.
            return self.batch_committed(number, parts);
        }
        // Offsets first: an orphan with records then always holds unstable offsets, and is found and fenced.
        let mut steps = vec![TransactionStep::Offsets(offsets)];
        if !records.is_empty() {
            steps.push(TransactionStep::Records(records));
        }
        if mutant::is(Mutant::RecordsBeforeOffsets) {
            steps.reverse();
        }
        if mutant::is(Mutant::RowsBeforeTheCommit) {
            self.send(Purpose::Idle, steps);
            return self.batch_committed(number, parts);
        }
        self.send(Purpose::Batch { number, parts }, steps);
    }

    /// What a mistake kept out of a transaction goes out after it.
    fn send_the_rest(&mut self, parts: &mut [(PartitionId, Part)]) {
        let rest: Vec<_> =
            parts.iter_mut().flat_map(|(_, part)| mem::take(&mut part.output.records)).collect();
        if !rest.is_empty() {
            self.send(Purpose::Idle, vec![TransactionStep::Records(rest)]);
        }
    }

    fn send(&mut self, purpose: Purpose, steps: Vec<TransactionStep>) {
        let Some(assignment) = self.assignment.as_ref().map(|assignment| assignment.id) else { return };
        let offsets = steps.iter().filter_map(|step| match step {
            TransactionStep::Offsets(offsets) => Some(offsets),
            TransactionStep::Records(_) => None,
        });
        for (partition, _) in offsets.flatten() {
            if let Some(pace) = self.progress.get_mut(partition) {
                pace.committed = pace.stated.0;
            }
        }
        let id = self.next_id();
        self.sent_ms = self.now.boot_ms;
        self.in_flight = Some(InFlight { id, assignment, purpose: Some(purpose) });
        self.log(LogCommand::Transact(Transaction { id, assignment, steps }));
    }

    fn commit_of(&self, partition: PartitionId, task: &Task<F>, offset: i64) -> Committed {
        let (stored, resume) = match self.progress.get(&partition) {
            Some(pace) => {
                let written = pace.writing.as_ref().filter(|_| mutant::is(Mutant::MetadataAheadOfTheRow));
                written.unwrap_or(&pace.stated).clone()
            }
            None => (task.start.stored, task.start.resume.clone()),
        };
        Committed { offset, metadata: self.metadata(&task.start, stored, resume) }
    }

    fn metadata(&self, start: &Start, stored: i64, resume: Option<String>) -> String {
        OffsetMetadata {
            stored,
            start: start.first,
            generation: start.generation,
            base_us: start.base_us,
            topic_id: self.topic.as_ref().map(|topic| topic.topic_id.clone()).unwrap_or_default(),
            producer: self.config.name.clone(),
            resume,
        }
        .encode()
    }

    pub(super) fn transaction_ended(&mut self, id: u64, outcome: TransactionOutcome) {
        let Some(InFlight { purpose, .. }) = self.in_flight.take_if(|in_flight| in_flight.id == id) else {
            return;
        };
        match outcome {
            TransactionOutcome::Committed => match purpose {
                Some(Purpose::Batch { number, mut parts }) => {
                    self.send_the_rest(&mut parts);
                    self.batch_committed(number, parts);
                }
                Some(Purpose::Claim(partitions)) => {
                    for partition in partitions {
                        self.write_first_row(partition);
                    }
                }
                Some(Purpose::Proof) => self.release_held(),
                Some(Purpose::Idle) | None => {}
            },
            TransactionOutcome::Aborted { reason } => {
                if purpose.is_some() && !mutant::is(Mutant::AbortForgotten) {
                    self.restore(&format!("a transaction was aborted: {reason}"));
                }
            }
            TransactionOutcome::Fenced { reason } => {
                self.replace_producer(&format!("fenced: {reason}"));
                if mutant::is(Mutant::FencedProducerReused) {
                    self.producer = Producer::Open;
                }
                let request = self.next_id();
                self.fence_question = Some(request);
                self.log(LogCommand::ListMembers { request });
            }
            TransactionOutcome::Unclear { reason } => {
                let committed = purpose.filter(|_| mutant::is(Mutant::UnclearTakenForCommitted));
                if let Some(Purpose::Batch { number, parts }) = committed {
                    self.batch_committed(number, parts);
                    self.producer = Producer::Closed { retry_at_ms: self.now.boot_ms };
                    return;
                }
                self.replace_producer(&format!("a transaction's end is not known: {reason}"));
                if mutant::is(Mutant::TaintedProducerReused) {
                    self.producer = Producer::Open;
                }
            }
            TransactionOutcome::Fatal { reason } if mutant::is(Mutant::UnknownEndForgotten) => {
                self.trouble(reason);
            }
            TransactionOutcome::Fatal { reason } => self.fatal(reason),
        }
    }

    /// The producer is tainted: it never begins another transaction. Its successor fences what is still under
    /// way.
    fn replace_producer(&mut self, why: &str) {
        self.producer = Producer::Closed { retry_at_ms: self.now.boot_ms };
        self.restore(why);
    }

    /// Fenced twice within a minute while the broker lists our member both times: another pod has our name.
    pub(super) fn judge_fencing(&mut self, result: Result<Vec<Member>, LogError>) {
        let members = match result {
            Ok(members) => members,
            Err(error) if error.is_fatal() => return self.fatal(error.message),
            Err(error) => return self.trouble(error.message),
        };
        let Some(assignment) = &self.assignment else { return };
        if !members.iter().any(|member| member.id == assignment.member) {
            return;
        }
        let now_ms = self.now.boot_ms;
        self.fenced_ms.retain(|fenced_ms| now_ms - fenced_ms <= FENCED_TWICE_MS);
        self.fenced_ms.push(now_ms);
        if self.fenced_ms.len() >= 2 && !mutant::is(Mutant::SharedNameEndured) {
            self.fatal(format!(
                "another pod uses the name '{}': each fences the other; give every pod its own [kafka] instance",
                self.config.name
            ));
        }
    }

    pub(super) fn producer_failed(&mut self, error: &LogError) {
        if error.is_fatal() {
            return self.fatal(error.message.clone());
        }
        self.trouble(error.message.clone());
        self.producer = Producer::Closed { retry_at_ms: self.now.boot_ms + PRODUCER_PAUSE_MS };
    }

    pub(super) fn log_failed(&mut self, error: &LogError) {
        match error.class {
            _ if error.is_fatal() => self.fatal(error.message.clone()),
            ErrorClass::Restore => self.restore(&error.message),
            ErrorClass::Fatal | ErrorClass::Retriable | ErrorClass::Behind => {
                self.trouble(error.message.clone());
            }
        }
    }

    /// Any doubt: drop all state, and begin again at the watermarks.
    pub(super) fn restore(&mut self, why: &str) {
        self.restores += 1;
        self.trouble(why);
        self.drop_partitions();
        self.claim_again(RESTORE_PAUSE_MS);
    }

    /// Forgets every partition and what was meant for it. A transaction under way goes on, for nothing.
    pub(super) fn drop_partitions(&mut self) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.purpose = None;
        }
        let reading = self.tasks.values().filter(|task| matches!(task.reading, Reading::Fetch(_)));
        let partitions: Vec<_> = reading.map(|task| task.partition).collect();
        for partition in partitions {
            self.log(LogCommand::StopFetch { partition });
        }
        self.claim = None;
        self.bounds_asked.clear();
        self.openings.clear();
        self.tasks.clear();
        self.progress.clear();
        self.beacons.clear();
        self.checkpointing.clear();
        self.open_since_ms = None;
        self.closed = 0;
        self.unproved = false;
        self.forget_requests();
    }
}

/// The records that go out in the transaction of the batch that brought them about: all, but for a mistake.
fn going_along(records: &mut Vec<OutRecord>) -> Vec<OutRecord> {
    if mutant::is(Mutant::OffsetsCommittedFirst) {
        return Vec::new();
    }
    if mutant::is(Mutant::LetterOutsideTheTransaction) {
        return records.extract_if(.., |record| record.topic != Topic::DeadLetters).collect();
    }
    mem::take(records)
}
