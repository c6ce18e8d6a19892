use bytes::Bytes;

use super::{Delivery, INPUT, PodEvent, Rig, transaction};
use crate::{
    log::{LogCommand, LogEvent, TransactionOutcome},
    sim::Fault,
};

#[test]
fn a_pod_has_one_timer_which_the_last_wish_sets() {
    let mut rig = Rig::new(1);
    let pod = rig.network.add_pod("presence", INPUT);
    rig.network.start(pod);
    rig.network.timer(pod, 50);
    rig.network.timer(pod, 70);
    let (at_ms, Delivery { event, .. }) = rig.network.next_event().expect("the timer");
    assert!(matches!((at_ms, event), (70, PodEvent::Timer)));
    assert!(rig.network.next_event().is_none());
}

#[test]
fn nothing_reaches_the_next_life_that_was_meant_for_the_former() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    rig.network.timer(pod, rig.network.now_ms() + 5);
    rig.log(pod, LogCommand::Describe { request: 1 });
    rig.network.crash(pod);
    assert_eq!(rig.network.start(pod), 2);
    rig.pass(30_000);
    assert!(rig.seen.is_empty(), "{:?}", rig.seen);
}

#[test]
fn a_paused_pod_sees_nothing_until_it_goes_on_and_then_everything() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    rig.log(pod, LogCommand::Describe { request: 1 });
    rig.network.timer(pod, rig.network.now_ms() + 5);
    rig.network.pause(pod);
    rig.pass(5_000);
    assert!(rig.seen.is_empty(), "{:?}", rig.seen);
    rig.network.resume(pod);
    rig.pass(0);
    assert_eq!(rig.seen.len(), 2, "{:?}", rig.seen);
}

#[test]
fn a_pod_paused_between_two_events_of_one_instant_sees_the_second_one_later() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    rig.log(pod, LogCommand::Fetch { partition: 0, from: 9, fetch: 1, headers: true });
    rig.log(pod, LogCommand::Poll { records_max: 1, bytes_max: 1, wait_ms: 0 });
    let (at_ms, Delivery { event, .. }) = rig.network.next_event().expect("the first event");
    assert!(matches!(event, PodEvent::Log(LogEvent::OutOfRange { .. })), "{event:?}");
    rig.network.pause(pod);
    rig.pass(5_000);
    assert!(rig.seen.is_empty(), "{:?}", rig.seen);
    rig.network.resume(pod);
    rig.pass(0);
    assert!(rig.saw(pod, |event| matches!(event, LogEvent::Polled { .. })) && at_ms < rig.network.now_ms());
}

#[test]
fn a_paused_pod_takes_no_further_step_of_its_transaction() {
    let mut rig = Rig::new(1);
    let (pod, assignment) = rig.lone_member("a");
    rig.log(pod, transaction(1, assignment, 7));
    rig.network.pause(pod);
    rig.pass(6_000);
    assert!(!rig.network.broker().is_settled(), "its offsets are there, its end is not");
    rig.network.resume(pod);
    assert_eq!(rig.outcome(pod, 1), TransactionOutcome::Committed);
}

#[test]
fn what_a_dead_pod_had_sent_to_the_broker_lands_or_not() {
    let landed = (0..40).filter(|seed| {
        let mut rig = Rig::new(*seed);
        let pod = rig.pod("a");
        rig.log(pod, LogCommand::Beacon { partition: 0, value: Bytes::from_static(b"beacon") });
        rig.network.crash(pod);
        rig.pass(1_000);
        rig.network.broker().committed(INPUT, 0, 0).count() == 1
    });
    let landed = landed.count();
    assert!((8..32).contains(&landed), "{landed} of 40");
}

#[test]
fn an_outage_answers_nobody_and_expires_nobody() {
    let mut rig = Rig::new(1);
    let (pod, assignment) = rig.lone_member("a");
    rig.network.outage(30_000);
    let outcome = rig.transact(pod, 1, assignment, 7);
    assert!(matches!(outcome, TransactionOutcome::Unclear { .. }), "{outcome:?}");
    assert!(rig.read_offset(pod, true).is_err());
    assert!(rig.poll(pod).is_empty());
    rig.pass(40_000);
    assert!(!rig.saw(pod, |event| matches!(event, LogEvent::Lost { .. })));
    assert_eq!(rig.read_offset(pod, true), Ok(None));
    assert_eq!(rig.network.faults().count(Fault::Outage), 1);
}
