use super::{Group, GroupEffect, MemberNo, Notice, OffsetRefusal, range_shares};
use crate::{
    log::Committed,
    sim::{Origin, PodId, log::ProducerId},
};

const PRODUCER: ProducerId = ProducerId(0);

fn at(pod: u32) -> Origin {
    Origin { pod: PodId(pod), incarnation: 1 }
}

fn committed(offset: i64) -> Committed {
    Committed { offset, metadata: format!("at {offset}") }
}

fn join(group: &mut Group, pod: u32, known: Option<MemberNo>) -> (Option<MemberNo>, Vec<GroupEffect>) {
    let mut effects = Vec::new();
    let member = group.join(at(pod), known, &format!("pod-{pod}"), &mut effects);
    (member, effects)
}

/// Two members, both in the second generation.
fn group_of_two() -> (Group, MemberNo, MemberNo) {
    let mut group = Group::new(4);
    let first = join(&mut group, 0, None).0.expect("a new member");
    let second = join(&mut group, 1, None).0.expect("a new member");
    join(&mut group, 0, Some(first));
    (group, first, second)
}

fn shares(effects: &[GroupEffect]) -> Vec<(u32, Vec<u32>)> {
    let share = |effect: &GroupEffect| match effect {
        GroupEffect::Notify { to, notice: Notice::Assigned { partitions, .. } } => {
            Some((to.pod.0, partitions.clone()))
        }
        _ => None,
    };
    effects.iter().filter_map(share).collect()
}

#[test]
fn range_gives_consecutive_partitions_and_the_first_members_one_more() {
    let shares: Vec<_> = range_shares(5, 3).collect();
    assert_eq!(shares, [vec![0, 1], vec![2, 3], vec![4]]);
    let shares: Vec<_> = range_shares(1, 2).collect();
    assert_eq!(shares, [vec![0], vec![]]);
}

#[test]
fn a_lone_member_is_given_everything_at_once() {
    let mut group = Group::new(3);
    let (_, effects) = join(&mut group, 0, None);
    assert_eq!(shares(&effects), [(0, vec![0, 1, 2])]);
    assert_eq!(group.generation(), 1);
}

#[test]
fn a_newcomer_waits_until_the_others_have_joined_again() {
    let mut group = Group::new(4);
    let first = join(&mut group, 0, None).0;
    let (_, effects) = join(&mut group, 1, None);
    assert!(effects.contains(&GroupEffect::Notify { to: at(0), notice: Notice::Rebalancing }));
    assert_eq!((shares(&effects), group.generation()), (vec![], 1));
    let (_, effects) = join(&mut group, 0, first);
    assert_eq!(shares(&effects), [(0, vec![0, 1]), (1, vec![2, 3])]);
    assert_eq!(group.generation(), 2);
}

#[test]
fn who_does_not_join_again_in_time_is_thrown_out() {
    let mut group = Group::new(4);
    let first = join(&mut group, 0, None).0.expect("a new member");
    let (_, effects) = join(&mut group, 1, None);
    let timer = effects.iter().find_map(|effect| match effect {
        GroupEffect::RebalanceTimer { rebalance } => Some(*rebalance),
        GroupEffect::Notify { .. } => None,
    });
    let mut effects = Vec::new();
    assert_eq!(group.rebalance_due(timer.expect("a timer"), &mut effects), 1);
    assert!(effects.contains(&GroupEffect::Notify { to: at(0), notice: Notice::Expired { member: first } }));
    assert_eq!(shares(&effects), [(1, vec![0, 1, 2, 3])]);
    assert_eq!(join(&mut group, 0, Some(first)).0, None, "it is not known any more");
}

#[test]
fn a_member_that_leaves_gives_its_share_to_the_others() {
    let (mut group, first, second) = group_of_two();
    let mut effects = Vec::new();
    group.leave(first, &mut effects);
    assert!(effects.contains(&GroupEffect::Notify { to: at(1), notice: Notice::Rebalancing }));
    let (_, effects) = join(&mut group, 1, Some(second));
    assert_eq!(shares(&effects), [(1, vec![0, 1, 2, 3])]);
}

#[test]
fn only_a_silence_that_lasts_costs_the_membership() {
    let (mut group, first, _) = group_of_two();
    let mut effects = Vec::new();
    let silence = group.fall_silent(first).expect("a member");
    group.speak_again(first);
    assert!(!group.silence_due(first, silence, &mut effects));
    let later = group.fall_silent(first).expect("a member");
    assert!(!group.silence_due(first, silence, &mut effects), "that one is over");
    assert!(group.silence_due(first, later, &mut effects));
    assert_eq!(group.members().len(), 1);
}

#[test]
fn offsets_of_a_stale_generation_or_of_a_stranger_are_refused() {
    let (mut group, first, _) = group_of_two();
    let offsets = [(0, committed(7))];
    let refused = group.commit_in_transaction(PRODUCER, first, 1, &offsets);
    assert_eq!(refused, Err(OffsetRefusal::StaleGeneration));
    let refused = group.commit_in_transaction(PRODUCER, MemberNo(99), 2, &offsets);
    assert_eq!(refused, Err(OffsetRefusal::UnknownMember));
    assert!(!group.is_unstable(&[0]));
}

#[test]
fn a_current_member_may_commit_what_it_does_not_own() {
    let (mut group, first, _) = group_of_two();
    assert!(!group.owned(first).contains(&3));
    assert_eq!(group.commit_in_transaction(PRODUCER, first, 2, &[(3, committed(7))]), Ok(()));
    group.end_transaction(PRODUCER, true);
    assert_eq!(group.offset(3), Some(&committed(7)));
}

#[test]
fn the_old_generation_is_current_until_the_rebalance_completes() {
    let (mut group, first, _) = group_of_two();
    group.rebalance(&mut Vec::new());
    assert_eq!(group.commit_in_transaction(PRODUCER, first, 2, &[(0, committed(7))]), Ok(()));
}

#[test]
fn offsets_of_an_open_transaction_are_unstable_and_count_only_when_it_commits() {
    let (mut group, first, _) = group_of_two();
    let commit = |group: &mut Group, offset| {
        group.commit_in_transaction(PRODUCER, first, 2, &[(0, committed(offset))])
    };
    assert_eq!(commit(&mut group, 7), Ok(()));
    assert!(group.is_unstable(&[0]) && !group.is_unstable(&[1]));
    assert_eq!(group.offset(0), None);
    group.end_transaction(PRODUCER, true);
    assert_eq!((group.is_unstable(&[0]), group.offset(0)), (false, Some(&committed(7))));
    assert_eq!(commit(&mut group, 9), Ok(()));
    group.end_transaction(PRODUCER, false);
    assert_eq!((group.is_unstable(&[0]), group.offset(0)), (false, Some(&committed(7))));
}
