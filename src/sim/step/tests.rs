use bytes::Bytes;

use super::*;
use crate::log::Chunk;

#[test]
fn every_step_is_listed_once_and_at_its_own_index() {
    for (index, step) in Step::ALL.into_iter().enumerate() {
        assert_eq!(step as usize, index, "{step:?}");
    }
}

#[test]
fn records_are_folded_until_a_transaction_takes_them() {
    let mut doing = Doing::begun();
    assert!(doing.steps().has(Step::Joining));
    doing.log_command(&LogCommand::Poll { records_max: 1, bytes_max: 1, wait_ms: 1 });
    assert!(doing.steps().has(Step::Polling));
    let mut chunk = Chunk::new(0, 1);
    chunk.push(0, 0, None, Some(&Bytes::from_static(b"x")), Vec::new());
    doing.log_event(&LogEvent::Polled { chunks: vec![chunk] });
    assert!(doing.steps().has(Step::Folded) && !doing.steps().has(Step::Polling));
    let transaction = crate::log::Transaction { id: 1, assignment: 1, steps: Vec::new() };
    doing.log_command(&LogCommand::Transact(transaction));
    assert!(doing.steps().has(Step::Began) && !doing.steps().has(Step::Folded));
    doing.log_event(&LogEvent::TransactionEnded { id: 1, outcome: TransactionOutcome::Committed });
    assert!(doing.steps().has(Step::CommitAnswered) && !doing.steps().in_transaction());
    doing.log_event(&LogEvent::Polled { chunks: Vec::new() });
    assert!(!doing.steps().has(Step::CommitAnswered), "it is told once");
}
