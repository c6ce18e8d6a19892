use std::panic;

use super::{Mutant, with};
use crate::sim::world;

/// Mutants that a seed sees early, from all processors and both sides of the protocol.
const QUICK: [(Mutant, u64); 20] = [
    (Mutant::RecordsBeforeOffsets, 1),
    (Mutant::PublishedBelowCommitted, 1),
    (Mutant::CommittedReadAsInclusive, 1),
    (Mutant::LastRecordCommittedAsPosition, 1),
    (Mutant::RestoredAtCommitted, 1),
    (Mutant::RowWithoutItsClaim, 1),
    (Mutant::HeadsWithTheirEntries, 8),
    (Mutant::WallClockForLeaseClock, 1),
    (Mutant::BeaconStepNotCut, 1),
    (Mutant::LeaseCutShort, 1),
    (Mutant::UnchangedAnnounced, 1),
    (Mutant::SessionRowNotDeleted, 1),
    (Mutant::OriginOfTheBatchEnd, 1),
    (Mutant::SentForgottenOnTakeover, 1),
    (Mutant::NumberBurnedByRefusal, 1),
    (Mutant::DuplicateRecipientKept, 1),
    (Mutant::SenderLeftOut, 1),
    (Mutant::InboxOriginIgnored, 1),
    (Mutant::OriginBeforeTheRest, 1),
    (Mutant::CursorGoesBack, 1),
];

/// How many seeds may pass: what a seed draws is not always what a mistake needs.
const SEEDS: u64 = 6;

#[test]
fn the_simulator_sees_what_is_wrong() {
    for (mutant, first) in QUICK {
        let passes =
            |seed| matches!(panic::catch_unwind(|| with(Some(mutant), || world::run(seed))), Ok(Ok(_)));
        let survives = (first..first + SEEDS).all(passes);
        assert!(!survives, "{mutant:?} survives {SEEDS} seeds from {first} on");
    }
}

#[test]
fn a_mistake_is_over_when_its_work_is() {
    with(Some(Mutant::CursorGoesBack), || assert!(super::is(Mutant::CursorGoesBack)));
    assert!(!super::is(Mutant::CursorGoesBack));
}
