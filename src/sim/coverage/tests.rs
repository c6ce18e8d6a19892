use super::*;

#[test]
fn a_cell_that_could_be_reached_and_was_not_is_named() {
    let mut coverage = Coverage::default();
    let sentence = "CallLost never struck at Polling".to_owned();
    assert!(coverage.empty().contains(&sentence));
    let mut steps = Steps::default();
    steps.add(Step::Polling);
    coverage.note(Fault::CallLost, steps);
    assert!(!coverage.empty().contains(&sentence));
    assert_eq!(coverage.count(Fault::CallLost, Step::Polling), 1);
    let call = "CallLost never struck a call Beacon".to_owned();
    assert!(coverage.empty().contains(&call));
    coverage.note_call(Fault::CallLost, CallKind::Beacon);
    assert!(!coverage.empty().contains(&call));
    assert!(!coverage.empty().iter().any(|sentence| sentence.contains("OffsetMissing")), "unreachable");
    assert!(coverage.contradictions().is_empty());
}

#[test]
fn a_cell_that_cannot_be_reached_and_was_is_a_contradiction() {
    let mut coverage = Coverage::default();
    let mut steps = Steps::default();
    steps.add(Step::Revoking);
    coverage.note(Fault::BeaconLost, steps);
    coverage.note_call(Fault::AnswerTwice, CallKind::OpenProducer);
    assert_eq!(coverage.contradictions().len(), 2, "{:?}", coverage.contradictions());
}

#[test]
fn every_kind_of_call_is_listed_once_and_at_its_own_index() {
    for (index, call) in CallKind::ALL.into_iter().enumerate() {
        assert_eq!(call as usize, index, "{call:?}");
    }
}
