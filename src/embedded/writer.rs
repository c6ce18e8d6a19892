//! The one writer: takes what is queued, carries it out in order, syncs once, answers all.
//!
//! Everything that must be in order goes through here, and through one lane of the queue, joins and new
//! producers included: once a join is answered, no transaction of an earlier assignment can commit.

use std::{collections::BTreeSet, sync::Arc};

use fjall::{Keyspace, Slice};

use super::{
    groups::{Groups, Membership, Producer},
    pending::Pending,
    rows,
    shared::Shared,
    spaces::StorageError,
    topics::{self, AppendError},
};
use crate::{
    limits::OFFSET_METADATA_BYTES_MAX,
    log::{
        AssignmentId, LogError, Member, Offset, OutRecord, PartitionId, Transaction, TransactionOutcome,
        TransactionStep,
    },
    store::{StoreError, WriteBatch},
    topology::Topic,
};

/// Takes the answer to one piece of work, on the writer's thread: it must not block.
pub(super) type Reply<T> = Box<dyn FnOnce(T) + Send>;

pub(super) enum Work {
    Append {
        records: Vec<OutRecord>,
        reply: Reply<Result<(), LogError>>,
    },
    Transact {
        transacting: Transacting,
        transaction: Transaction,
        reply: Reply<TransactionOutcome>,
    },
    /// From here on an older producer of this name is fenced.
    OpenProducer {
        producer: Producer,
        reply: Reply<()>,
    },
    /// From here on an earlier assignment of this group is stale.
    Join {
        group: Arc<str>,
        membership: Membership,
        reply: Reply<()>,
    },
    Leave {
        group: Arc<str>,
        assignment: Option<AssignmentId>,
        reply: Reply<()>,
    },
    ListMembers {
        group: Arc<str>,
        reply: Reply<Vec<Member>>,
    },
    Write {
        batch: WriteBatch,
        reply: Reply<Result<(), StoreError>>,
    },
    Trim {
        topic: Topic,
        partition: PartitionId,
        below: Offset,
        reply: Reply<()>,
    },
    Forget {
        topic: Topic,
        partition: PartitionId,
        tombstones: Vec<Offset>,
        reply: Reply<()>,
    },
    Sweep {
        space: Keyspace,
        keys: Vec<Slice>,
        reply: Reply<()>,
    },
}

/// Who transacts.
pub(super) struct Transacting {
    pub group: Arc<str>,
    pub input: Topic,
    pub producer: Option<Producer>,
}

/// Answers one piece of work once it is known how the commit went.
type Answer = Box<dyn FnOnce(Result<(), &StorageError>) + Send>;

/// Runs until the queue is closed and empty.
pub(super) fn run(shared: &Shared) {
    let mut writer = Writer { shared, groups: Groups::default(), appended: BTreeSet::new() };
    while let Some(works) = shared.queue.take() {
        writer.commit(works);
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    groups: Groups,
    /// Topics that the group commit under way appends to.
    appended: BTreeSet<Topic>,
}

impl Writer<'_> {
    fn commit(&mut self, works: Vec<Work>) {
        let now_ms = self.shared.now_ms();
        let mut pending = Pending::new(&self.shared.spaces);
        let answers: Vec<_> =
            works.into_iter().map(|work| self.carry_out(work, &mut pending, now_ms)).collect();
        let result = pending.commit();
        if result.is_ok() {
            for topic in std::mem::take(&mut self.appended) {
                self.shared.announce(topic);
            }
        }
        for answer in answers {
            answer(result.as_ref().copied());
        }
    }

    fn carry_out(&mut self, work: Work, pending: &mut Pending<'_>, now_ms: i64) -> Answer {
        match work {
            Work::Append { records, reply } => {
                let result = self.append(&records, pending, now_ms);
                settle(pending, result.is_ok());
                Box::new(move |committed| {
                    reply(result.and_then(|()| committed.map_err(|error| LogError::fatal(&error.0))));
                })
            }
            Work::Transact { transacting, transaction, reply } => {
                let outcome = self.transact(&transacting, &transaction, pending, now_ms);
                settle(pending, outcome == TransactionOutcome::Committed);
                Box::new(move |committed| match committed {
                    Ok(()) => reply(outcome),
                    Err(error) => reply(TransactionOutcome::Fatal { reason: error.0.clone() }),
                })
            }
            Work::Write { batch, reply } => {
                let result = rows::write(pending, &batch, now_ms);
                settle(pending, result.is_ok());
                Box::new(move |committed| {
                    reply(result.and_then(|()| committed.map_err(|error| rows::broken(error.clone()))));
                })
            }
            Work::OpenProducer { producer, reply } => {
                self.groups.open(producer);
                Box::new(move |_| reply(()))
            }
            Work::Join { group, membership, reply } => {
                self.groups.join(group, membership);
                Box::new(move |_| reply(()))
            }
            Work::Leave { group, assignment, reply } => {
                self.groups.leave(&group, assignment);
                Box::new(move |_| reply(()))
            }
            Work::ListMembers { group, reply } => {
                let members = self.groups.members(&group);
                Box::new(move |_| reply(members))
            }
            Work::Trim { topic, partition, below, reply } => {
                let result = topics::trim(pending, topic, partition, below);
                housekept(pending, &result, reply)
            }
            Work::Forget { topic, partition, tombstones, reply } => {
                let result = topics::forget(pending, topic, partition, &tombstones);
                housekept(pending, &result, reply)
            }
            Work::Sweep { space, keys, reply } => {
                let result = rows::sweep(pending, &space, &keys, now_ms);
                housekept(pending, &result, reply)
            }
        }
    }

    fn append(
        &mut self,
        records: &[OutRecord],
        pending: &mut Pending<'_>,
        now_ms: i64,
    ) -> Result<(), LogError> {
        topics::append(pending, &self.shared.catalog, records, now_ms).map_err(|error| match error {
            AppendError::Unacceptable(message) => LogError::fatal(message),
            AppendError::Storage(error) => LogError::fatal(error.0),
        })?;
        self.appended.extend(records.iter().map(|record| record.topic));
        Ok(())
    }

    fn transact(
        &mut self,
        transacting: &Transacting,
        transaction: &Transaction,
        pending: &mut Pending<'_>,
        now_ms: i64,
    ) -> TransactionOutcome {
        let Transacting { group, input, producer } = transacting;
        let Some(producer) = producer else {
            return TransactionOutcome::Fatal { reason: "no producer is open".to_owned() };
        };
        if !self.groups.is_current(producer) {
            let reason = format!("a newer producer has the name '{}'", producer.name);
            return TransactionOutcome::Fenced { reason };
        }
        if !self.groups.is_assigned(group, transaction.assignment) {
            let reason = format!("the assignment is stale: group {group} has been joined again since");
            return TransactionOutcome::Aborted { reason };
        }
        for step in &transaction.steps {
            let result = match step {
                TransactionStep::Records(records) => self.append(records, pending, now_ms),
                TransactionStep::Offsets(offsets) => offsets.iter().try_for_each(|(partition, committed)| {
                    let bytes = committed.metadata.len();
                    if bytes > OFFSET_METADATA_BYTES_MAX {
                        return Err(LogError::fatal(format!(
                            "an offset's metadata has at most {OFFSET_METADATA_BYTES_MAX} bytes, that of \
                                 {input}/{partition} has {bytes}"
                        )));
                    }
                    topics::commit_offset(pending, *input, *partition, group, committed);
                    Ok(())
                }),
            };
            if let Err(error) = result {
                return TransactionOutcome::Fatal { reason: error.message };
            }
        }
        TransactionOutcome::Committed
    }
}

/// Work is kept as a whole or not at all.
fn settle(pending: &mut Pending<'_>, done: bool) {
    match done {
        true => pending.keep(),
        false => pending.discard(),
    }
}

/// What housekeeping could not do is tried again at its next turn.
fn housekept(pending: &mut Pending<'_>, result: &Result<(), StorageError>, reply: Reply<()>) -> Answer {
    if let Err(error) = result {
        tracing::warn!(%error, "housekeeping of the embedded store failed");
    }
    settle(pending, result.is_ok());
    Box::new(move |_| reply(()))
}
