use super::{Fault, Faults, Strike};
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
    let mut faults = Faults::new(1);
    faults.strike_next(POD, Fault::AnswerLost);
    assert!(!faults.strikes(0, PodId(1), Fault::AnswerLost));
    assert!(!faults.strikes(0, POD, Fault::CallLost));
    assert!(faults.strikes(0, POD, Fault::AnswerLost));
    assert!(!faults.strikes(0, POD, Fault::AnswerLost));
    assert_eq!(faults.count(Fault::AnswerLost), 1);
}

#[test]
fn a_rate_strikes_about_as_often_as_it_says_and_not_after_it_ceased() {
    let mut faults = Faults::new(1);
    faults.rate(Fault::CallLost, 250_000);
    let struck = (0..10_000).filter(|_| faults.strikes(0, POD, Fault::CallLost)).count();
    assert!((2_300..2_700).contains(&struck), "{struck} of 10,000");
    faults.cease();
    assert!(!(0..10_000).any(|_| faults.strikes(0, POD, Fault::CallLost)));
}

#[test]
#[should_panic(expected = "has no rate")]
fn a_rate_for_a_fault_that_strikes_no_calls_is_refused() {
    Faults::new(1).rate(Fault::Outage, 1);
}

#[test]
fn what_struck_strikes_again_at_the_same_occasions_and_later_where_those_are_gone() {
    let mut faults = Faults::new(7);
    faults.rate(Fault::CallLost, 300_000);
    faults.record();
    let occasions = |faults: &mut Faults, from: u64| -> Vec<bool> {
        (from..40).map(|number| faults.strikes(number / 4, POD, Fault::CallLost)).collect()
    };
    let drawn = occasions(&mut faults, 0);
    let strikes: Vec<Strike> = faults.recorded().to_vec();
    assert!(strikes.len() > 3);
    faults.follow(strikes.iter().copied());
    assert_eq!(occasions(&mut faults, 0), drawn);
    faults.follow(strikes.iter().copied());
    let struck = occasions(&mut faults, 12);
    assert!(struck[0], "what was due before strikes at the first occasion");
}
