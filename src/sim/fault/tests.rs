use fastrand::Rng;

use super::{Fault, Faults};
use crate::sim::PodId;

const POD: PodId = PodId(0);

#[test]
fn every_fault_is_listed_once_and_at_its_own_index() {
    for (index, fault) in Fault::ALL.into_iter().enumerate() {
        assert_eq!(fault.index(), index, "{fault:?}");
    }
}

#[test]
fn a_fault_asked_for_strikes_its_pod_once_and_is_counted() {
    let (mut faults, mut random) = (Faults::default(), Rng::with_seed(1));
    faults.strike_next(POD, Fault::AnswerLost);
    assert!(!faults.strikes(&mut random, PodId(1), Fault::AnswerLost));
    assert!(!faults.strikes(&mut random, POD, Fault::CallLost));
    assert!(faults.strikes(&mut random, POD, Fault::AnswerLost));
    assert!(!faults.strikes(&mut random, POD, Fault::AnswerLost));
    assert_eq!(faults.count(Fault::AnswerLost), 1);
}

#[test]
fn a_rate_strikes_about_as_often_as_it_says_and_not_after_it_ceased() {
    let (mut faults, mut random) = (Faults::default(), Rng::with_seed(1));
    faults.rate(Fault::CallLost, 250_000);
    let struck = (0..10_000).filter(|_| faults.strikes(&mut random, POD, Fault::CallLost)).count();
    assert!((2_300..2_700).contains(&struck), "{struck} of 10,000");
    faults.cease();
    assert!(!(0..10_000).any(|_| faults.strikes(&mut random, POD, Fault::CallLost)));
}

#[test]
#[should_panic(expected = "has no rate")]
fn a_rate_for_a_fault_that_strikes_no_calls_is_refused() {
    Faults::default().rate(Fault::Outage, 1);
}
