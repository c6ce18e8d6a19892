//! Joining, handing over, leaving.

use super::{Script, script_list};
use crate::{
    conformance::{
        Bench, INPUT,
        session::{Outcome, Session, check, offset_step, require},
    },
    log::{LogCommand, LogEvent, PartitionId, TransactionOutcome},
};

script_list! {
    LOG: a_lone_member_is_assigned_every_partition,
        the_topic_is_described_the_same_way_twice,
        members_are_listed_by_the_names_of_their_producers,
        nothing_follows_after_leaving;
    SEVERAL: a_rebalance_hands_partitions_over_after_the_release,
        a_transaction_can_end_between_revoking_and_release,
        a_stale_assignment_is_refused,
        the_partitions_of_a_member_that_left_go_to_the_others;
}

fn a_lone_member_is_assigned_every_partition(bench: &mut dyn Bench) -> Outcome<()> {
    let all = every_partition(bench);
    let mut session = Session::new(bench);
    let mut partitions = session.join("pod-1")?.partitions;
    partitions.sort_unstable();
    check("the assignment", &partitions, &all)
}

fn the_topic_is_described_the_same_way_twice(bench: &mut dyn Bench) -> Outcome<()> {
    let all = every_partition(bench);
    let mut session = Session::new(bench);
    session.join("pod-1")?;
    let mut describe = || {
        let request = session.number();
        session.send("pod-1", LogCommand::Describe { request })?;
        session.expect("pod-1", "a description", |event| match event {
            LogEvent::Described { request: of, result } if *of == request => Some(result.clone()),
            _ => None,
        })
    };
    let (first, second) = (describe()?, describe()?);
    check("the second description", &second, &first)?;
    let description = first.map_err(|error| format!("the description: {error}"))?;
    check("the count of partitions", &(description.partitions as usize), &all.len())?;
    require("the topic's id is not empty", !description.topic_id.is_empty(), &description)
}

fn members_are_listed_by_the_names_of_their_producers(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join("pod-1")?;
    let request = session.number();
    session.send("pod-1", LogCommand::ListMembers { request })?;
    let members = session.expect("pod-1", "the list of members", |event| match event {
        LogEvent::MembersListed { request: of, result } if *of == request => Some(result.clone()),
        _ => None,
    })?;
    let members = members.map_err(|error| format!("the list of members: {error}"))?;
    let names: Vec<_> = members.iter().map(|member| member.client_id.as_str()).collect();
    check("the names", &names, &vec!["pod-1"])
}

fn nothing_follows_after_leaving(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join("pod-1")?;
    leave(&mut session, "pod-1")?;
    let before = session.kept("pod-1").len();
    session.pass(&["pod-1"], 1_000)?;
    let after = session.kept("pod-1");
    require("nothing follows", after.len() == before, &after)
}

fn a_rebalance_hands_partitions_over_after_the_release(bench: &mut dyn Bench) -> Outcome<()> {
    let all = every_partition(bench);
    let mut session = Session::new(bench);
    let former = session.join("pod-1")?;
    session.begin_join("pod-2")?;
    let mut revoked = session.revoking("pod-1")?;
    revoked.sort_unstable();
    check("what is revoked", &revoked, &all)?;
    session.pass(&["pod-1", "pod-2"], 500)?;
    let early = session.kept("pod-2").into_iter().any(|event| matches!(event, LogEvent::Assigned { .. }));
    require("nobody is assigned what was not released", !early, session.kept("pod-2"))?;
    session.send("pod-1", LogCommand::Release)?;
    let (first, second) = (session.assigned("pod-1")?, session.assigned("pod-2")?);
    require("assignments are never used twice", first.assignment != former.assignment, &first)?;
    require("both have some", !first.partitions.is_empty() && !second.partitions.is_empty(), &first)?;
    let mut together = [first.partitions, second.partitions].concat();
    together.sort_unstable();
    check("every partition has one owner", &together, &all)
}

fn a_transaction_can_end_between_revoking_and_release(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let former = session.join("pod-1")?;
    session.begin_join("pod-2")?;
    session.revoking("pod-1")?;
    let outcome = session.transact("pod-1", former.assignment, vec![offset_step(3, "before the release")])?;
    check("the outcome", &outcome, &TransactionOutcome::Committed)?;
    session.send("pod-1", LogCommand::Release)?;
    session.assigned("pod-1")?;
    session.assigned("pod-2")?;
    let offset = session.stable_offset("pod-2", 0)?;
    check("what the other member reads", &offset.map(|offset| offset.offset), &Some(3))
}

fn a_stale_assignment_is_refused(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let former = session.join("pod-1")?;
    session.begin_join("pod-2")?;
    session.revoking("pod-1")?;
    session.send("pod-1", LogCommand::Release)?;
    session.assigned("pod-1")?;
    session.assigned("pod-2")?;
    let outcome = session.transact("pod-1", former.assignment, vec![offset_step(3, "stale")])?;
    require("it is not committed", outcome != TransactionOutcome::Committed, &outcome)?;
    check("the offset", &session.stable_offset("pod-2", 0)?, &None)
}

fn the_partitions_of_a_member_that_left_go_to_the_others(bench: &mut dyn Bench) -> Outcome<()> {
    let all = every_partition(bench);
    let mut session = Session::new(bench);
    session.join("pod-1")?;
    session.begin_join("pod-2")?;
    session.revoking("pod-1")?;
    session.send("pod-1", LogCommand::Release)?;
    session.assigned("pod-1")?;
    session.assigned("pod-2")?;
    leave(&mut session, "pod-1")?;
    session.revoking("pod-2")?;
    session.send("pod-2", LogCommand::Release)?;
    let mut partitions = session.assigned("pod-2")?.partitions;
    partitions.sort_unstable();
    check("the assignment", &partitions, &all)
}

fn leave(session: &mut Session<'_>, pod: &str) -> Outcome<()> {
    session.send(pod, LogCommand::Leave)?;
    session.expect(pod, "leave", |event| matches!(event, LogEvent::Left).then_some(()))
}

fn every_partition(bench: &dyn Bench) -> Vec<PartitionId> {
    (0..bench.topology().partitions(INPUT)).collect()
}
