use super::{Ending, ProducerSession, Refusal, Target, Transactions};
use crate::topology::Topic;

const PLACE: Target = Target::Records(Topic::Presence, 0);

fn init(transactions: &mut Transactions, name: &str) -> ProducerSession {
    transactions.init(name, &mut Vec::new()).expect("nothing is open under this name")
}

fn add(transactions: &mut Transactions, session: ProducerSession) -> Result<(), Refusal> {
    transactions.add(session, [PLACE].into_iter(), 0)
}

#[test]
fn opening_a_name_again_fences_its_older_session() {
    let mut transactions = Transactions::default();
    let older = init(&mut transactions, "a");
    let newer = init(&mut transactions, "a");
    assert_eq!(add(&mut transactions, older), Err(Refusal::Fenced));
    assert_eq!(transactions.end(older, true), Err(Refusal::Fenced));
    assert_eq!(add(&mut transactions, newer), Ok(()));
}

#[test]
fn opening_a_name_aborts_what_is_open_and_waits_for_its_markers() {
    let mut transactions = Transactions::default();
    let older = init(&mut transactions, "a");
    add(&mut transactions, older).expect("a new transaction");
    let mut endings = Vec::new();
    assert_eq!(transactions.init("a", &mut endings), Err(Refusal::Concurrent));
    assert_eq!(endings, [Ending { producer: older.producer, targets: vec![PLACE] }]);
    assert_eq!(transactions.end(older, true), Err(Refusal::Fenced), "too late to commit");
    assert_eq!(transactions.init("a", &mut endings), Err(Refusal::Concurrent));
    assert_eq!(transactions.marker_written(older.producer, PLACE), Some(false));
    assert!(transactions.init("a", &mut endings).is_ok());
}

#[test]
fn a_late_end_hits_the_next_transaction_of_the_same_epoch() {
    let mut transactions = Transactions::default();
    let session = init(&mut transactions, "a");
    add(&mut transactions, session).expect("a new transaction");
    // The client gave up on the first transaction and, against the rules, began the next one with the same
    // session.
    add(&mut transactions, session).expect("the same transaction, for all that the broker knows");
    assert!(transactions.end(session, true).expect("it is the current session").is_some());
}

#[test]
fn the_next_transaction_waits_for_the_markers_of_the_former() {
    let mut transactions = Transactions::default();
    let session = init(&mut transactions, "a");
    add(&mut transactions, session).expect("a new transaction");
    transactions.end(session, true).expect("it is open");
    assert_eq!(add(&mut transactions, session), Err(Refusal::Concurrent));
    assert_eq!(transactions.marker_written(session.producer, PLACE), Some(true));
    assert_eq!(add(&mut transactions, session), Ok(()));
}

#[test]
fn a_marker_is_written_once() {
    let mut transactions = Transactions::default();
    let session = init(&mut transactions, "a");
    add(&mut transactions, session).expect("a new transaction");
    transactions.end(session, false).expect("it is open");
    assert_eq!(transactions.marker_written(session.producer, PLACE), Some(false));
    assert_eq!(transactions.marker_written(session.producer, PLACE), None);
}

#[test]
fn ending_nothing_is_no_error() {
    let mut transactions = Transactions::default();
    let session = init(&mut transactions, "a");
    assert_eq!(transactions.end(session, true), Ok(None));
    assert!(!transactions.any_unsettled());
}

#[test]
fn the_scan_aborts_and_fences_what_is_open_for_too_long_and_nothing_else() {
    let mut transactions = Transactions::default();
    let (old, young) = (init(&mut transactions, "old"), init(&mut transactions, "young"));
    transactions.add(old, [PLACE].into_iter(), 1_000).expect("a new transaction");
    transactions.add(young, [PLACE].into_iter(), 1_001).expect("a new transaction");
    let endings = transactions.abort_older(9_000, 8_000);
    assert_eq!(endings, [Ending { producer: old.producer, targets: vec![PLACE] }]);
    assert_eq!(transactions.end(old, true), Err(Refusal::Fenced));
    assert!(transactions.end(young, true).is_ok());
}
