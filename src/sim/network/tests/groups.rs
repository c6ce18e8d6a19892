use super::Rig;
use crate::{
    log::{LogCommand, LogEvent, TransactionOutcome},
    sim::Fault,
};

#[test]
fn a_newcomer_gets_its_share_once_the_others_released_theirs() {
    let mut rig = Rig::new(1);
    let (first, _) = rig.lone_member("a");
    let second = rig.pod("b");
    rig.log(second, LogCommand::Join);
    let revoked = rig.until(first, |event| match event {
        LogEvent::Revoking { partitions } => Some(partitions.clone()),
        _ => None,
    });
    assert_eq!(revoked, [0, 1, 2, 3]);
    rig.pass(3_000);
    assert!(!rig.saw(second, |event| matches!(event, LogEvent::Assigned { .. })), "not before the release");
    rig.log(first, LogCommand::Release);
    assert_eq!(rig.assigned(first).1, [0, 1]);
    assert_eq!(rig.assigned(second).1, [2, 3]);
}

#[test]
fn a_transaction_under_way_can_end_before_the_release() {
    let mut rig = Rig::new(1);
    let (first, assignment) = rig.lone_member("a");
    let second = rig.pod("b");
    rig.log(second, LogCommand::Join);
    rig.until(first, |event| matches!(event, LogEvent::Revoking { .. }).then_some(()));
    assert_eq!(rig.transact(first, 1, assignment, 7), TransactionOutcome::Committed);
    rig.log(first, LogCommand::Release);
    let (next, _) = rig.assigned(first);
    let stale = rig.transact(first, 2, assignment, 8);
    assert!(matches!(stale, TransactionOutcome::Aborted { .. }), "{stale:?}");
    assert_eq!(rig.network.faults().count(Fault::StaleGeneration), 1);
    assert_eq!(rig.transact(first, 3, next, 9), TransactionOutcome::Committed);
}

#[test]
fn who_does_not_release_in_time_is_thrown_out_and_joins_again() {
    let mut rig = Rig::new(1);
    let (first, _) = rig.lone_member("a");
    let second = rig.pod("b");
    rig.log(second, LogCommand::Join);
    rig.until(first, |event| matches!(event, LogEvent::Revoking { .. }).then_some(()));
    assert_eq!(rig.assigned(second).1, [0, 1, 2, 3]);
    rig.until(first, |event| matches!(event, LogEvent::Lost { .. }).then_some(()));
    assert_eq!(rig.network.faults().count(Fault::RebalanceTimedOut), 1);
    rig.until(second, |event| matches!(event, LogEvent::Revoking { .. }).then_some(()));
    rig.log(second, LogCommand::Release);
    assert_eq!(rig.assigned(first).1, [0, 1]);
}

#[test]
fn a_crashed_member_is_missed_after_the_session_timeout() {
    let mut rig = Rig::new(1);
    let (first, _) = rig.lone_member("a");
    rig.network.crash(first);
    let died_ms = rig.network.now_ms();
    let second = rig.pod("b");
    rig.log(second, LogCommand::Join);
    assert_eq!(rig.assigned(second).1, [0, 1, 2, 3]);
    let took_ms = rig.network.now_ms() - died_ms;
    assert!((7_500..10_500).contains(&took_ms), "{took_ms} ms");
}

#[test]
fn a_pod_that_died_while_joining_is_missed_too() {
    for life_ms in 0..20 {
        let mut rig = Rig::new(life_ms);
        let first = rig.pod("a");
        rig.log(first, LogCommand::Join);
        rig.pass(life_ms);
        rig.network.crash(first);
        rig.pass(10_100);
        let group = rig.network.broker().group_state(rig.group);
        assert!(group.members().is_empty() && !group.is_rebalancing(), "life of {life_ms} ms");
    }
}

#[test]
fn a_release_that_nobody_asked_for_changes_nothing() {
    let mut rig = Rig::new(1);
    let (pod, assignment) = rig.lone_member("a");
    rig.log(pod, LogCommand::Release);
    rig.pass(5_000);
    assert!(rig.seen.is_empty(), "{:?}", rig.seen);
    assert_eq!(rig.transact(pod, 1, assignment, 7), TransactionOutcome::Committed);
}

#[test]
fn a_short_pause_costs_nothing_and_a_long_one_the_membership() {
    let mut rig = Rig::new(1);
    let (pod, assignment) = rig.lone_member("a");
    rig.network.pause(pod);
    rig.pass(7_000);
    rig.network.resume(pod);
    rig.pass(20_000);
    assert_eq!(rig.transact(pod, 1, assignment, 7), TransactionOutcome::Committed);

    rig.network.pause(pod);
    rig.pass(11_000);
    rig.network.resume(pod);
    // It does not know yet: a zombie, whose offsets are refused.
    let outcome = rig.transact(pod, 2, assignment, 8);
    assert!(matches!(outcome, TransactionOutcome::Aborted { .. }), "{outcome:?}");
    rig.until(pod, |event| matches!(event, LogEvent::Lost { .. }).then_some(()));
    let (next, _) = rig.assigned(pod);
    assert_eq!(rig.transact(pod, 3, next, 8), TransactionOutcome::Committed);
    assert_eq!(rig.network.faults().count(Fault::SessionExpired), 1);
}

#[test]
fn a_session_can_expire_though_the_pod_is_well() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    rig.network.expire_session(pod);
    rig.until(pod, |event| matches!(event, LogEvent::Lost { .. }).then_some(()));
    assert_eq!(rig.assigned(pod).1, [0, 1, 2, 3]);
}

#[test]
fn a_rebalance_can_come_out_of_nowhere() {
    let mut rig = Rig::new(1);
    let (pod, former) = rig.lone_member("a");
    rig.network.rebalance(rig.group);
    rig.until(pod, |event| matches!(event, LogEvent::Revoking { .. }).then_some(()));
    rig.log(pod, LogCommand::Release);
    assert_ne!(rig.assigned(pod).0, former);
}

#[test]
fn a_member_that_leaves_is_missed_at_once() {
    let mut rig = Rig::new(1);
    let (first, _) = rig.lone_member("a");
    rig.log(first, LogCommand::Leave);
    rig.until(first, |event| matches!(event, LogEvent::Left).then_some(()));
    let second = rig.pod("b");
    rig.log(second, LogCommand::Join);
    let began_ms = rig.network.now_ms();
    assert_eq!(rig.assigned(second).1, [0, 1, 2, 3]);
    assert!(rig.network.now_ms() - began_ms < 100);
}

#[test]
fn who_left_while_joining_is_no_member() {
    let mut rig = Rig::new(1);
    let pod = rig.pod("a");
    rig.log(pod, LogCommand::Join);
    rig.log(pod, LogCommand::Leave);
    rig.pass(1_000);
    assert!(rig.network.broker().group_state(rig.group).members().is_empty());
}

#[test]
fn members_are_listed_by_the_names_of_their_producers() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    rig.log(pod, LogCommand::ListMembers { request: 9 });
    let members = rig.until(pod, |event| match event {
        LogEvent::MembersListed { request: 9, result: Ok(members) } => Some(members.clone()),
        _ => None,
    });
    assert_eq!(members.iter().map(|member| member.client_id.as_str()).collect::<Vec<_>>(), ["a"]);
}
