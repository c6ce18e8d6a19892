//! How far an engine is in its protocol, as far as its log and its store can see it.

use crate::{
    log::{LogCommand, LogEvent, RequestId, TransactionOutcome},
    sim::{Fault, log::Request},
    store::{StoreCommand, StoreEvent},
    table::{
        Table,
        checkpoint::CHECKPOINTS,
        progress::{OWNERS, PROGRESS},
    },
};

/// A step of the protocol. An engine is at several at once: it polls while rows are in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It is in no assignment.
    Joining,
    /// What an assignment needs: offsets, bounds, owners, names to fence, the `progress` row.
    Opening,
    /// Checkpoints are read.
    Restoring,
    /// It asks for records.
    Polling,
    /// It has records that are in no transaction yet.
    Folded,
    /// It reads the rows of keys that are not in memory.
    Fetching,
    /// The offsets of a transaction are on their way.
    Began,
    /// Offsets are there, records are on their way.
    OffsetsSent,
    /// Offsets and records are there, the wish to commit is on its way.
    RecordsSent,
    /// The broker has decided to commit, nobody knows it yet.
    CommitAsked,
    /// The engine has just been told.
    CommitAnswered,
    Aborting,
    RowsInFlight,
    /// All rows are in the store, and the `progress` row does not say so.
    RowsAcknowledged,
    Checkpointing,
    /// The `progress` row is on its way.
    ProgressRow,
    /// It is there, and the offsets' metadata does not say so.
    ProgressAhead,
    /// Its partitions are to be taken away.
    Revoking,
}

impl Step {
    pub const ALL: [Self; 18] = [
        Self::Joining,
        Self::Opening,
        Self::Restoring,
        Self::Polling,
        Self::Folded,
        Self::Fetching,
        Self::Began,
        Self::OffsetsSent,
        Self::RecordsSent,
        Self::CommitAsked,
        Self::CommitAnswered,
        Self::Aborting,
        Self::RowsInFlight,
        Self::RowsAcknowledged,
        Self::Checkpointing,
        Self::ProgressRow,
        Self::ProgressAhead,
        Self::Revoking,
    ];
    /// A transaction is under way.
    const TRANSACTION: [Self; 5] =
        [Self::Began, Self::OffsetsSent, Self::RecordsSent, Self::CommitAsked, Self::Aborting];
}

/// A fault that is to meet pods at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aim {
    pub fault: Fault,
    pub step: Step,
}

/// A set of steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps(u32);

impl Steps {
    #[must_use]
    pub fn has(self, step: Step) -> bool {
        self.0 & (1 << step as u32) != 0
    }

    #[must_use]
    pub fn in_transaction(self) -> bool {
        Step::TRANSACTION.into_iter().any(|step| self.has(step))
    }

    pub(super) fn add(&mut self, step: Step) {
        self.0 |= 1 << step as u32;
    }

    fn remove(&mut self, step: Step) {
        self.0 &= !(1 << step as u32);
    }
}

/// What one pod is doing.
#[derive(Debug, Default)]
pub struct Doing {
    standing: Steps,
    /// Requests that are not answered.
    calls: Vec<(RequestId, Step)>,
}

impl Doing {
    /// A life has begun.
    #[must_use]
    pub fn begun() -> Self {
        let mut doing = Self::default();
        doing.standing.add(Step::Joining);
        doing
    }

    #[must_use]
    pub fn steps(&self) -> Steps {
        let mut steps = self.standing;
        self.calls.iter().for_each(|(_, step)| steps.add(*step));
        steps
    }

    pub fn log_command(&mut self, command: &LogCommand) {
        match command {
            LogCommand::Describe { request }
            | LogCommand::ReadOffsets { request, .. }
            | LogCommand::ReadBounds { request, .. }
            | LogCommand::ListMembers { request }
            | LogCommand::FenceName { request, .. } => self.calls.push((*request, Step::Opening)),
            LogCommand::Poll { .. } => self.standing.add(Step::Polling),
            LogCommand::Transact(_) => {
                self.standing.remove(Step::Folded);
                self.standing.remove(Step::ProgressAhead);
                self.standing.add(Step::Began);
            }
            LogCommand::Release => {
                self.standing.remove(Step::Revoking);
                self.standing.add(Step::Joining);
            }
            _ => {}
        }
    }

    /// A part of a transaction is on its way.
    pub fn transaction_goes_on(&mut self, request: &Request) {
        let step = match request {
            Request::CommitOffsets { .. } => Step::Began,
            Request::Produce { .. } => Step::OffsetsSent,
            Request::EndTransaction { commit: true, .. } => Step::RecordsSent,
            Request::EndTransaction { commit: false, .. } => Step::Aborting,
            _ => return,
        };
        self.transaction_is_at(Some(step));
    }

    /// The broker has decided to commit.
    pub fn decided(&mut self) {
        if self.standing.has(Step::RecordsSent) {
            self.transaction_is_at(Some(Step::CommitAsked));
        }
    }

    fn transaction_is_at(&mut self, step: Option<Step>) {
        Step::TRANSACTION.into_iter().for_each(|other| self.standing.remove(other));
        step.into_iter().for_each(|step| self.standing.add(step));
    }

    pub fn store_command(&mut self, command: &StoreCommand) {
        let is = |table: &Table, other: &Table| table.name == other.name;
        let (request, step) = match command {
            StoreCommand::Write { request, batch } => {
                let step = match batch.table {
                    table if is(table, &PROGRESS) => Step::ProgressRow,
                    table if is(table, &OWNERS) => Step::Opening,
                    table if is(table, &CHECKPOINTS) => Step::Checkpointing,
                    _ => Step::RowsInFlight,
                };
                if matches!(step, Step::ProgressRow | Step::RowsInFlight) {
                    self.standing.remove(Step::RowsAcknowledged);
                }
                (*request, step)
            }
            StoreCommand::Read { request, query } => match query.table {
                table if is(table, &PROGRESS) || is(table, &OWNERS) => (*request, Step::Opening),
                table if is(table, &CHECKPOINTS) => (*request, Step::Restoring),
                _ => (*request, Step::Fetching),
            },
        };
        self.calls.push((request, step));
    }

    pub fn log_event(&mut self, event: &LogEvent) {
        self.standing.remove(Step::CommitAnswered);
        match event {
            LogEvent::Described { request, .. }
            | LogEvent::OffsetsRead { request, .. }
            | LogEvent::BoundsRead { request, .. }
            | LogEvent::MembersListed { request, .. }
            | LogEvent::NameFenced { request, .. } => {
                self.answered(*request);
            }
            LogEvent::Assigned { .. } => self.standing.remove(Step::Joining),
            LogEvent::Revoking { .. } => self.standing.add(Step::Revoking),
            LogEvent::Lost { .. } => {
                self.standing.remove(Step::Revoking);
                self.standing.add(Step::Joining);
            }
            LogEvent::Polled { chunks } => {
                self.standing.remove(Step::Polling);
                if !chunks.is_empty() {
                    self.standing.add(Step::Folded);
                }
            }
            LogEvent::TransactionEnded { outcome, .. } => {
                self.transaction_is_at(None);
                if *outcome == TransactionOutcome::Committed {
                    self.standing.add(Step::CommitAnswered);
                }
            }
            _ => {}
        }
    }

    pub fn store_event(&mut self, event: &StoreEvent) {
        self.standing.remove(Step::CommitAnswered);
        match event {
            StoreEvent::Written { request } => {
                let step = self.answered(*request);
                let more = self.calls.iter().any(|(_, other)| Some(*other) == step);
                match step {
                    Some(Step::RowsInFlight) if !more => self.standing.add(Step::RowsAcknowledged),
                    Some(Step::ProgressRow) if !more => self.standing.add(Step::ProgressAhead),
                    _ => {}
                }
            }
            StoreEvent::Rows { request, .. } | StoreEvent::Failed { request, .. } => {
                self.answered(*request);
            }
        }
    }

    fn answered(&mut self, request: RequestId) -> Option<Step> {
        let at = self.calls.iter().position(|(asked, _)| *asked == request)?;
        Some(self.calls.swap_remove(at).1)
    }
}

#[cfg(test)]
mod tests;
