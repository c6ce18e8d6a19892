//! Cells of the tables of coverage that a run is to fill: what chance alone brings about too seldom.

use super::{Disaster, Plan};
use crate::sim::{
    Fault,
    coverage::{
        calls::{CALL_FAULTS, CallKind},
        unreachable, unreachable_call,
    },
    step::{Aim, Step},
};

/// Cells of each table that each run aims at.
const AIMS: u64 = 4;
const CALL_AIMS: u64 = 2;
/// Steps that are over soon, or that an engine is seldom at: at the others everything strikes by chance.
const SELDOM: [Step; 9] = [
    Step::Joining,
    Step::Restoring,
    Step::OffsetsSent,
    Step::RecordsSent,
    Step::CommitAsked,
    Step::CommitAnswered,
    Step::Aborting,
    Step::Checkpointing,
    Step::Revoking,
];
/// Seeds that follow each other aim at cells that are far apart, and all of them together at every cell.
const STRIDE: u64 = 7_919;
/// How often calls and answers are late where a step would be over too soon otherwise, and how often a
/// transaction fails where one is to be aborted: of a million.
const LATE: u32 = 150_000;
const STALLED: u32 = 10_000;
const ABORTED: u32 = 100_000;
/// How often what makes another aim likely is aimed at itself.
const LURES: usize = 4;
/// One way between a pod and the store, where what follows from its answers is to last.
const STORE_MS: u64 = 300;
/// Between two disasters, where a step follows from them.
const DISASTER_MS: u64 = 4_000;
/// After which a rebalance goes on without those who are late: less than a member may be silent, so that it
/// meets members that stand still in the middle of something.
const REBALANCE_MS: u64 = 3_000;

/// The cells that the run with this seed aims at.
pub(super) fn aims_of(seed: u64) -> Vec<Aim> {
    let cells: Vec<_> = Fault::ALL
        .into_iter()
        .filter(|fault| can_be_aimed(*fault))
        .flat_map(|fault| SELDOM.map(|step| Aim { fault, step }))
        .filter(|aim| unreachable(aim.fault, aim.step).is_none())
        .collect();
    spread(seed, AIMS, &cells).collect()
}

/// The kinds of calls that the run with this seed aims at.
pub(super) fn call_aims_of(seed: u64) -> Vec<(Fault, CallKind)> {
    let cells: Vec<_> = CALL_FAULTS
        .into_iter()
        .flat_map(|fault| CallKind::ALL.map(|call| (fault, call)))
        .filter(|(fault, call)| unreachable_call(*fault, *call).is_none())
        .collect();
    spread(seed, CALL_AIMS, &cells).collect()
}

fn spread<T: Copy>(seed: u64, count: u64, cells: &[T]) -> impl Iterator<Item = T> {
    let number = move |aim: u64| seed.wrapping_mul(count).wrapping_add(aim).wrapping_mul(STRIDE);
    (0..count).map(move |aim| cells[(number(aim) % cells.len() as u64) as usize])
}

/// Clients strike at all steps alike, and the ends of runs at none.
fn can_be_aimed(fault: Fault) -> bool {
    !matches!(
        fault,
        Fault::Garbage
            | Fault::Oversize
            | Fault::Misrouted
            | Fault::Late
            | Fault::Repeated
            | Fault::NewerFormat
    )
}

impl Plan {
    /// Makes what is aimed at frequent enough, and long enough to be met.
    pub(super) fn pursue(&mut self) {
        for Aim { fault, step } in self.aims.clone() {
            match step {
                Step::Joining | Step::Restoring => {
                    self.be_busy(&[Disaster::ExpireSession, Disaster::Rebalance]);
                }
                Step::Revoking => self.be_busy(&[Disaster::Rebalance]),
                Step::Aborting => {
                    self.raise(Fault::TransactionAborted, ABORTED);
                    self.raise(Fault::ProduceRefused, ABORTED);
                    self.answer_late(CallKind::Abort);
                }
                Step::CommitAsked => self.answer_late(CallKind::Commit),
                _ => {}
            }
            // A transaction that goes on while partitions come and go.
            let between = matches!(step, Step::Joining | Step::Restoring | Step::Revoking);
            if is_of_the_log(fault) && (between || step == Step::CommitAsked) {
                self.be_busy(&[Disaster::ExpireSession, Disaster::Rebalance]);
                self.raise(Fault::AnswerLate, LATE);
                self.raise(Fault::ClientStalled, STALLED);
                let (lure, at) = match step {
                    Step::Revoking => (Fault::Rebalance, Step::Began),
                    Step::CommitAsked => (Fault::SessionExpired, Step::RecordsSent),
                    _ => (Fault::SessionExpired, Step::Began),
                };
                self.aims.extend([Aim { fault: lure, step: at }; LURES]);
                self.answer_late(CallKind::SendOffsets);
                self.answer_late(CallKind::Produce);
            }
            match fault {
                Fault::RebalanceTimedOut => self.rebalance_ms = REBALANCE_MS,
                // Partitions that are opened one after the other, beside some that are read already.
                Fault::StaleChunk | Fault::BeaconLost | Fault::BeaconLate | Fault::RangeRefused => {
                    self.be_busy(&[Disaster::Rebalance]);
                    self.store_ms = self.store_ms.max(STORE_MS);
                }
                _ => {}
            }
        }
        for (_, call) in self.call_aims.clone() {
            match call {
                CallKind::Leave => self.be_busy(&[Disaster::Retire]),
                // Somebody dies within a transaction, or is fenced.
                CallKind::ReadOffsets | CallKind::FenceName | CallKind::ListMembers => {
                    self.be_busy(&[Disaster::Crash, Disaster::Crash, Disaster::Fence]);
                    self.raise(Fault::AnswerLate, LATE);
                    self.stable_names = false;
                }
                // A doubt while a transaction is stalled that the broker does not know of.
                CallKind::ReadBounds => {
                    self.raise(Fault::RangeRefused, LATE);
                    self.raise(Fault::ClientStalled, STALLED);
                    self.aims.extend([Aim { fault: Fault::ClientStalled, step: Step::Began }; LURES]);
                }
                CallKind::Abort => {
                    self.raise(Fault::TransactionAborted, ABORTED);
                    self.raise(Fault::ProduceRefused, ABORTED);
                }
                _ => {}
            }
        }
    }

    fn be_busy(&mut self, disasters: &[Disaster]) {
        self.disasters.extend_from_slice(disasters);
        self.disaster_ms = self.disaster_ms.min(DISASTER_MS);
    }

    fn answer_late(&mut self, call: CallKind) {
        self.call_aims.extend([(Fault::AnswerLate, call); LURES]);
    }

    fn raise(&mut self, fault: Fault, per_million: u32) {
        for (_, rate) in self.rates.iter_mut().filter(|(other, _)| *other == fault) {
            *rate = per_million.max(*rate);
        }
    }
}

/// What strikes calls that a member makes at any time, or those of a transaction.
fn is_of_the_log(fault: Fault) -> bool {
    CALL_FAULTS.contains(&fault)
        || matches!(
            fault,
            Fault::EndTransactionLate
                | Fault::ProduceRefused
                | Fault::TransactionAborted
                | Fault::TransactionTimedOut
                | Fault::ClientStalled
        )
}

#[cfg(test)]
mod tests;
