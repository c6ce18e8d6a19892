//! What cannot happen, and why: cells of the tables of coverage that need not be reached. A campaign that
//! reaches one of them all the same fails.

use super::calls::CallKind;
use crate::sim::{Fault, step::Step};

/// Why a fault cannot strike at a step, where it cannot.
#[must_use]
pub fn unreachable(fault: Fault, step: Step) -> Option<&'static str> {
    use Fault as F;
    use Step as S;
    match (fault, step) {
        (F::OffsetMissing | F::OffsetPutBack | F::Trimmed, _) => {
            Some("it happens while all are down, so that nobody commits over it")
        }
        (F::EndTransactionLate, S::Began | S::OffsetsSent | S::CommitAsked | S::Aborting)
        | (F::TransactionAborted, S::Began | S::OffsetsSent | S::CommitAsked | S::Aborting) => {
            Some("it strikes the wish to commit, and a pod has one transaction at a time")
        }
        (F::ProduceRefused, S::Began | S::RecordsSent | S::CommitAsked | S::Aborting) => {
            Some("it strikes records, and a pod has one transaction at a time")
        }
        (F::ClientStalled, S::CommitAsked) => {
            Some("it strikes what a transaction sends, and once all is sent and decided nothing is")
        }
        (F::StaleGeneration, S::OffsetsSent | S::RecordsSent | S::CommitAsked | S::Aborting) => Some(
            "offsets that come after their caller gave up come before it has a producer again, or are fenced",
        ),
        (F::StaleChunk, S::Joining | S::Revoking) => Some("only what is owned is begun to be read"),
        (F::ChunkTwice | F::RangeRefused, S::Joining | S::Revoking) => {
            Some("only what is owned, and not about to be given back, is read")
        }
        (F::BeaconLost | F::BeaconLate, S::Joining | S::Revoking) => {
            Some("only an owner sends beacons, and none when it is about to give its partitions back")
        }
        (F::StoreRefused | F::StoreLost | F::StoreLate | F::StorePartly, S::Joining | S::Revoking) => {
            Some("only who owns a partition, and is not about to give it back, asks the store anything")
        }
        _ => None,
    }
}

/// Why a fault cannot strike a kind of call, where it cannot.
#[must_use]
pub fn unreachable_call(fault: Fault, call: CallKind) -> Option<&'static str> {
    use CallKind as C;
    use Fault as F;
    match (fault, call) {
        (F::CallLost | F::CallLate | F::AnswerLost | F::AnswerLate, C::Poll) => {
            Some("the client fetches again by itself: to the engine it is a poll that brings nothing")
        }
        (F::CallTwice, C::Poll) => Some("a fetch changes nothing at the broker"),
        (F::CallTwice, C::Join) => {
            Some("a group gives a member its id before it takes it in: joining twice is joining once")
        }
        (F::CallTwice, C::Produce) => Some("records have sequence numbers: the broker knows the second copy"),
        (F::AnswerTwice, C::OpenProducer) => Some("the answer is what a blocking call returns, once"),
        (F::AnswerTwice, C::Join) => {
            Some("the answer is a callback of the client, which calls it once for each assignment")
        }
        (F::AnswerTwice, C::Leave) => Some("who has left hears nothing more"),
        (F::AnswerTwice, C::SendOffsets | C::Produce) => {
            Some("the engine is told of a transaction's end, not of its parts")
        }
        _ => None,
    }
}
