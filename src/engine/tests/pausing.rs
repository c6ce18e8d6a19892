use super::harness::{Stage, offsets_of};
use crate::log::{LogCommand, TransactionOutcome};

#[test]
fn after_a_pause_longer_than_the_session_ownership_is_proved_before_a_row_is_written() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.now.boot_ms += 10_001;
    stage.end(&transaction, TransactionOutcome::Committed);
    assert!(stage.writes("presence").is_empty(), "held");
    let proof = stage.transaction();
    assert_eq!(offsets_of(&proof)[0].1.offset, 1, "offsets only, under the captured assignment");
    assert_eq!((proof.steps.len(), proof.assignment), (1, 1));
    stage.end(&proof, TransactionOutcome::Committed);
    assert_eq!(stage.writes("presence").len(), 1);
}

#[test]
fn a_pod_that_fails_its_proof_writes_nothing() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.now.boot_ms += 60_000;
    stage.end(&transaction, TransactionOutcome::Committed);
    let proof = stage.transaction();
    stage.end(&proof, TransactionOutcome::Aborted { reason: "stale generation".into() });
    stage.pass(50);
    assert!(stage.writes("presence").is_empty());
}

#[test]
fn a_pause_within_the_session_needs_no_proof() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.now.boot_ms += 9_999;
    stage.end(&transaction, TransactionOutcome::Committed);
    assert_eq!(stage.writes("presence").len(), 1);
}

#[test]
fn one_beacon_a_second_and_at_most_one_outstanding() {
    let mut stage = Stage::live(0, 0);
    stage.expect_log(|c| matches!(c, LogCommand::Beacon { .. }));
    stage.pass(5_000);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Beacon { .. })), "the first is not answered");
    stage.event(crate::log::LogEvent::BeaconAppended { partition: 0, result: Ok(()) });
    stage.expect_log(|c| matches!(c, LogCommand::Beacon { .. }));
    stage.event(crate::log::LogEvent::BeaconAppended { partition: 0, result: Ok(()) });
    stage.pass(999);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Beacon { .. })));
    stage.pass(1);
    stage.expect_log(|c| matches!(c, LogCommand::Beacon { .. }));
}
