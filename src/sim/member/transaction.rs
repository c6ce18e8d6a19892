//! One transaction of a client: begin, the steps, the end.

use std::vec::IntoIter;

use super::{Action, Breach, SimMember, Tag};
use crate::{
    log::{AssignmentId, LogEvent, Transaction, TransactionOutcome, TransactionStep},
    sim::log::{Answer, Failure, ProducerSession, Request},
};

/// The transaction under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) id: u64,
    number: u64,
    assignment: AssignmentId,
    session: ProducerSession,
    steps: IntoIter<TransactionStep>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Steps,
    Committing,
    /// Why it is being aborted.
    Aborting(String),
}

impl SimMember {
    pub(super) fn transact(&mut self, transaction: Transaction, actions: &mut Vec<Action>) {
        let Transaction { id, assignment, steps } = transaction;
        if self.running.is_some() {
            actions.push(Action::Broken(Breach::TransactionsOverlap));
            let reason = "a transaction is under way already".to_owned();
            return Self::end_transaction(id, TransactionOutcome::Fatal { reason }, actions);
        }
        let Some(session) = self.session else {
            let reason = "no producer is open".to_owned();
            return Self::end_transaction(id, TransactionOutcome::Fatal { reason }, actions);
        };
        if !matches!(steps.first(), Some(TransactionStep::Offsets(_))) {
            actions.push(Action::Broken(Breach::OffsetsNotFirst));
        }
        if self.tainted {
            actions.push(Action::Broken(Breach::TaintedProducerUsed));
        }
        self.transactions_ever += 1;
        let (number, steps) = (self.transactions_ever, steps.into_iter());
        self.running = Some(Running { id, number, assignment, session, steps, stage: Stage::Steps });
        self.next_step(actions);
    }

    pub(super) fn transaction_answered(&mut self, number: u64, answer: Answer, actions: &mut Vec<Action>) {
        let Some(running) = self.running.as_mut().filter(|running| running.number == number) else { return };
        let outcome = match answer {
            Answer::Failed(Failure::TimedOut) => {
                TransactionOutcome::Unclear { reason: "a call of the transaction timed out".into() }
            }
            Answer::Failed(Failure::Retriable(reason)) => TransactionOutcome::Unclear { reason },
            Answer::Failed(Failure::Fenced(reason)) => TransactionOutcome::Fenced { reason },
            Answer::Failed(Failure::Fatal(reason)) => TransactionOutcome::Fatal { reason },
            Answer::Failed(Failure::Abortable(reason)) => match &running.stage {
                Stage::Aborting(_) => TransactionOutcome::Unclear { reason },
                Stage::Steps | Stage::Committing => return self.abort(reason, actions),
            },
            _ => match std::mem::replace(&mut running.stage, Stage::Steps) {
                Stage::Steps => return self.next_step(actions),
                Stage::Committing => TransactionOutcome::Committed,
                Stage::Aborting(reason) => TransactionOutcome::Aborted { reason },
            },
        };
        self.tainted |=
            !matches!(outcome, TransactionOutcome::Committed | TransactionOutcome::Aborted { .. });
        let id = running.id;
        self.running = None;
        Self::end_transaction(id, outcome, actions);
    }

    pub(super) fn end_transaction(id: u64, outcome: TransactionOutcome, actions: &mut Vec<Action>) {
        actions.push(Action::Emit(LogEvent::TransactionEnded { id, outcome }));
    }

    fn next_step(&mut self, actions: &mut Vec<Action>) {
        let Some(running) = &mut self.running else { return };
        let (session, tag) = (running.session, Tag::Step(running.number));
        match running.steps.next() {
            Some(TransactionStep::Offsets(offsets)) => {
                let assignment = running.assignment;
                let captured = self.captured.iter().find(|(known, _, _)| *known == assignment);
                let Some(&(_, member, generation)) = captured else {
                    return self.abort(format!("assignment {assignment} is not known any more"), actions);
                };
                let group = self.group;
                let request = Request::CommitOffsets { session, group, member, generation, offsets };
                self.send(tag, request, actions);
            }
            Some(TransactionStep::Records(records)) => {
                self.send(tag, Request::Produce { session, records }, actions);
            }
            None => {
                running.stage = Stage::Committing;
                let tag = Tag::End(running.number);
                self.send(tag, Request::EndTransaction { session, commit: true }, actions);
            }
        }
    }

    fn abort(&mut self, reason: String, actions: &mut Vec<Action>) {
        let Some(running) = &mut self.running else { return };
        running.stage = Stage::Aborting(reason);
        let (session, tag) = (running.session, Tag::End(running.number));
        self.send(tag, Request::EndTransaction { session, commit: false }, actions);
    }
}
