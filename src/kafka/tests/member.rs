use std::time::{Duration, Instant};

use super::{Member, PARTITIONS, alone, fresh, offsets};
use crate::log::{LogCommand, LogEvent, TransactionOutcome};

fn revoking(member: &mut Member) -> Vec<u32> {
    member.wait(|event| match event {
        LogEvent::Revoking { partitions } => Some(partitions.clone()),
        _ => None,
    })
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn a_transaction_may_still_commit_before_the_release() {
    let _alone = alone();
    let group = fresh("release");
    let (mut first, assignment, all) = Member::joined(&group, &fresh("producer"));
    let mut second = Member::new(&group);
    second.open(&fresh("producer"));
    second.submit(LogCommand::Join);
    let mut revoked = revoking(&mut first);
    revoked.sort_unstable();
    assert_eq!(revoked, all);

    // The newcomer waits for as long as the release does.
    let early = second.wait_for(Duration::from_millis(700), |event| {
        matches!(event, LogEvent::Assigned { .. }).then_some(())
    });
    assert_eq!(early, None);
    let outcome = first.transact(assignment, vec![offsets(5, 50, "last words")]);
    assert_eq!(outcome, TransactionOutcome::Committed);
    first.submit(LogCommand::Release);
    let (_, mine) = first.assigned();
    let (_, theirs) = second.assigned();
    let mut both = [mine, theirs].concat();
    both.sort_unstable();
    assert_eq!(both, (0..PARTITIONS).collect::<Vec<_>>());
    assert_eq!(second.offset(5, true).unwrap().unwrap().offset, 50);
    first.leave();
    second.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn who_leaves_makes_room_at_once() {
    let _alone = alone();
    let group = fresh("leave");
    let (mut first, _, _) = Member::joined(&group, &fresh("producer"));
    let mut second = Member::new(&group);
    second.open(&fresh("producer"));
    second.submit(LogCommand::Join);
    revoking(&mut first);
    first.submit(LogCommand::Release);
    first.assigned();
    second.assigned();

    let left = Instant::now();
    first.leave();
    assert!(left.elapsed() < Duration::from_secs(3), "leaving took {:?}", left.elapsed());
    revoking(&mut second);
    second.submit(LogCommand::Release);
    let (_, partitions) = second.assigned();
    assert_eq!(partitions.len() as u32, PARTITIONS);
    assert!(left.elapsed() < Duration::from_secs(5), "the successor waited {:?}", left.elapsed());
    second.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn who_does_not_release_loses_its_partitions_after_a_session() {
    let _alone = alone();
    let group = fresh("held");
    let (mut first, _, _) = Member::joined(&group, &fresh("producer"));
    let mut second = Member::new(&group);
    second.open(&fresh("producer"));
    second.submit(LogCommand::Join);
    let asked = Instant::now();
    revoking(&mut first);
    let message = first.wait(|event| match event {
        LogEvent::Failed { error } => Some(error.message.clone()),
        _ => None,
    });
    assert!(message.contains("were not released within 10000 ms"), "{message}");
    first.wait(|event| matches!(event, LogEvent::Lost { .. }).then_some(()));
    second.assigned();
    assert!(asked.elapsed() > Duration::from_secs(9), "{:?}", asked.elapsed());

    // The release that comes too late must not answer the next revocation.
    first.submit(LogCommand::Release);
    first.assigned();
    second.leave();
    revoking(&mut first);
    let early = first.wait_for(Duration::from_millis(500), |event| {
        matches!(event, LogEvent::Assigned { .. }).then_some(())
    });
    assert_eq!(early, None);
    first.submit(LogCommand::Release);
    first.assigned();
    first.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn members_are_listed_under_the_names_of_their_producers() {
    let _alone = alone();
    let (group, name) = (fresh("listed"), fresh("producer"));
    let (mut member, _, _) = Member::joined(&group, &name);
    let request = member.request();
    member.submit(LogCommand::ListMembers { request });
    let members = member.wait(|event| match event {
        LogEvent::MembersListed { result, .. } => Some(result.clone().unwrap()),
        _ => None,
    });
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].client_id, name);
    assert!(members[0].id.starts_with(&name));
    member.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn the_input_is_described_by_its_id_and_its_count() {
    let _alone = alone();
    let mut member = Member::new(&fresh("described"));
    let request = member.request();
    member.submit(LogCommand::Describe { request });
    let description = member.wait(|event| match event {
        LogEvent::Described { result, .. } => Some(result.clone().unwrap()),
        _ => None,
    });
    assert_eq!(description.partitions, PARTITIONS);
    assert_eq!(description.topic_id.len(), 22, "{description:?}");
    member.leave();
}
