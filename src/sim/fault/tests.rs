use super::{AIMED, Fault, Faults, Occasion, Strike};
use crate::sim::{
    PodId,
    coverage::calls::CallKind,
    step::{Step, Steps},
};

const POD: PodId = PodId(0);

fn strikes(faults: &mut Faults, at_ms: u64, pod: PodId, fault: Fault) -> bool {
    faults.strikes(Occasion { at_ms, pod, fault, call: None }, Steps::default)
}

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
    assert!(!strikes(&mut faults, 0, PodId(1), Fault::AnswerLost));
    assert!(!strikes(&mut faults, 0, POD, Fault::CallLost));
    assert!(strikes(&mut faults, 0, POD, Fault::AnswerLost));
    assert!(!strikes(&mut faults, 0, POD, Fault::AnswerLost));
    assert_eq!(faults.count(Fault::AnswerLost), 1);
}

#[test]
fn a_rate_strikes_about_as_often_as_it_says_and_not_after_it_ceased() {
    let mut faults = Faults::new(1);
    faults.rate(Fault::CallLost, 250_000);
    let struck = (0..10_000).filter(|_| strikes(&mut faults, 0, POD, Fault::CallLost)).count();
    assert!((2_300..2_700).contains(&struck), "{struck} of 10,000");
    faults.cease();
    assert!(!(0..10_000).any(|_| strikes(&mut faults, 0, POD, Fault::CallLost)));
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
        (from..40).map(|number| strikes(faults, number / 4, POD, Fault::CallLost)).collect()
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

#[test]
fn what_is_aimed_at_a_step_strikes_a_few_times_and_nowhere_else() {
    let mut faults = Faults::new(1);
    faults.aim(Fault::CallLost, Step::Aborting);
    let mut aborting = Steps::default();
    aborting.add(Step::Aborting);
    assert!(!(0..100).any(|_| strikes(&mut faults, 0, POD, Fault::CallLost)));
    let occasion = Occasion { at_ms: 0, pod: POD, fault: Fault::CallLost, call: None };
    let struck = (0..100).filter(|_| faults.strikes(occasion, || aborting)).count();
    assert_eq!(struck, usize::from(AIMED));
}

#[test]
fn what_is_aimed_at_a_kind_of_call_strikes_no_other() {
    let mut faults = Faults::new(1);
    faults.aim_at_calls(Fault::CallLost, CallKind::Join);
    let mut struck = |call| {
        let occasion = Occasion { at_ms: 0, pod: POD, fault: Fault::CallLost, call: Some(call) };
        (0..100).filter(|_| faults.strikes(occasion, Steps::default)).count()
    };
    assert_eq!((struck(CallKind::Leave), struck(CallKind::Join)), (0, usize::from(AIMED)));
}
