//! Goodbyes, tombstones, gateways that are gone, and the dwell.

use super::harness::{START_MS, World};
use crate::processor::Fold;

#[test]
fn a_goodbye_ends_the_session_at_once() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.time_ms += 7;
    world.goodbye("alice", "s-1", 2, 0);
    let transition = &world.transitions()[1];
    assert_eq!((&transition["to"], &transition["cause"]), (&"offline".into(), &"goodbye".into()));
    assert_eq!(transition["occurred_at"], START_MS + 7);
    assert_eq!(transition["last_seen"], START_MS + 7, "a goodbye is heard too");
}

#[test]
fn a_goodbye_that_is_not_newer_changes_nothing() {
    let mut world = World::new();
    world.beat("alice", "s-1", 2, "");
    world.goodbye("alice", "s-1", 2, 0);
    world.goodbye("alice", "s-1", 1, 0);
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
}

#[test]
fn a_late_heartbeat_does_not_revive_a_session_for_one_lease() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""lease_ms":20000"#);
    world.goodbye("alice", "s-1", 5, 0);
    world.moves();
    world.pass(19_000);
    world.beat("alice", "s-1", 5, "");
    assert_eq!(world.moves(), [""; 0]);
    world.pass(1_000);
    world.beat("alice", "s-1", 5, "");
    assert_eq!(world.moves(), ["alice 3 offline>online heartbeat"]);
}

#[test]
fn a_greater_pair_counts_even_after_a_goodbye() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.goodbye("alice", "s-1", 5, 0);
    world.beat("alice", "s-1", 6, "");
    assert_eq!(world.moves().last().unwrap(), "alice 3 offline>online heartbeat");
    // The tombstone is gone with it: what counts now is the session's own pair.
    world.pass(90_000);
    world.beat("alice", "s-1", 1, "");
    assert_eq!(world.moves().last().unwrap(), "alice 5 offline>online heartbeat");
}

#[test]
fn a_goodbye_that_overtook_its_session_keeps_it_from_beginning() {
    let mut world = World::new();
    world.goodbye("alice", "s-1", 5, 0);
    world.evict();
    world.beat("alice", "s-1", 4, "");
    world.crash();
    world.beat("alice", "s-1", 5, "");
    assert_eq!(world.moves(), [""; 0]);
    world.pass(90_000);
    world.beat("alice", "s-1", 5, "");
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
}

#[test]
fn a_user_keeps_64_tombstones_and_the_oldest_goes() {
    let mut world = World::new();
    for n in 0..65 {
        world.goodbye("alice", &format!("s-{n}"), 1, 0);
        world.pass(100);
    }
    world.beat("alice", "s-1", 1, "");
    assert_eq!(world.moves(), [""; 0]);
    world.beat("alice", "s-0", 1, "");
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
}

#[test]
fn an_announced_goodbye_ends_the_session_when_its_time_has_come() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""lease_ms":5000"#);
    world.goodbye("alice", "s-1", 2, 15_000);
    world.pass(14_000);
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"], "whatever its lease says");
    world.crash();
    world.pass(1_000);
    let transition = &world.transitions()[0];
    assert_eq!((&transition["cause"], &transition["occurred_at"]), (&"goodbye".into(), &START_MS.into()));
    world.beat("alice", "s-1", 2, "");
    assert_eq!(world.moves(), [""; 0], "it leaves a tombstone when it ends");
}

#[test]
fn a_greater_pair_cancels_an_announced_goodbye() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.goodbye("alice", "s-1", 3, 15_000);
    world.beat("alice", "s-1", 3, "");
    world.pass(14_000);
    world.beat("alice", "s-1", 4, "");
    world.pass(60_000);
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
}

#[test]
fn a_later_goodbye_replaces_an_announced_one() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.goodbye("alice", "s-1", 2, 15_000);
    world.goodbye("alice", "s-1", 3, 0);
    assert_eq!(world.moves().last().unwrap(), "alice 2 online>offline goodbye");
}

#[test]
fn sessions_of_a_gateway_that_is_gone_end_if_they_are_older() {
    let mut world = World::new();
    world.beat("bob", "b", 1, r#""gateway":"gw-1","epoch":99"#);
    world.beat("amy", "a", 1, r#""gateway":"gw-1","epoch":99"#);
    world.beat("cat", "c", 1, r#""gateway":"gw-1","epoch":100"#);
    world.beat("dan", "d", 1, r#""gateway":"gw-2","epoch":1"#);
    world.moves();
    world.append(r#"{"v":1,"type":"gateway_gone","gateway":"gw-1","before":100}"#);
    assert_eq!(world.moves(), ["amy 2 online>offline gateway_gone", "bob 2 online>offline gateway_gone"]);
    world.append(r#"{"v":1,"type":"gateway_gone","gateway":"gw-1"}"#);
    assert_eq!(world.moves(), ["cat 2 online>offline gateway_gone"]);
}

#[test]
fn a_beat_that_is_not_newer_does_not_begin_a_session_again_whose_gateway_is_gone() {
    let mut world = World::new();
    world.beat("cat", "c", 5, r#""gateway":"gw-1""#);
    world.append(r#"{"v":1,"type":"gateway_gone","gateway":"gw-1"}"#);
    world.moves();
    world.beat("cat", "c", 4, r#""gateway":"gw-1""#);
    world.crash();
    world.beat("cat", "c", 5, r#""gateway":"gw-1""#);
    assert_eq!(world.moves(), [""; 0]);
    world.beat("cat", "c", 6, r#""gateway":"gw-2""#);
    assert_eq!(world.moves(), ["cat 3 offline>online heartbeat"]);
}

fn dwelling() -> World {
    let mut world = World::new();
    world.parameters.dwell_ms = 10_000;
    world.beacon();
    world.beat("alice", "s-1", 1, r#""lease_ms":5000,"gateway":"gw-1""#);
    world.moves();
    world
}

#[test]
fn an_offline_by_silence_waits_for_the_dwell() {
    let mut world = dwelling();
    world.pass(14_000);
    assert_eq!(world.moves(), [""; 0]);
    assert_eq!(world.routes(), ["alice/s-1 join 1", "alice/s-1 leave expired"]);
    world.crash();
    world.pass(1_000);
    let transition = &world.transitions()[0];
    assert_eq!((&transition["cause"], &transition["session"]), (&"expired".into(), &"s-1".into()));
    assert_eq!(transition["occurred_at"], START_MS + 5_000);
    assert_eq!(transition["detected_at"], START_MS + 15_000);
}

#[test]
fn who_is_back_within_the_dwell_was_never_away() {
    let mut world = dwelling();
    world.pass(14_000);
    world.crash();
    world.beat("alice", "s-2", 1, "");
    world.pass(20_000);
    assert_eq!(world.moves(), [""; 0]);
}

#[test]
fn gateway_gone_and_announced_goodbyes_wait_for_the_dwell_too() {
    let mut world = dwelling();
    world.append(r#"{"v":1,"type":"gateway_gone","gateway":"gw-1"}"#);
    world.pass(9_000);
    assert_eq!(world.moves(), [""; 0]);
    world.pass(1_000);
    assert_eq!(world.moves(), ["alice 2 online>offline gateway_gone"]);
    world.beat("alice", "s-1", 2, "");
    world.goodbye("alice", "s-1", 3, 2_000);
    world.moves();
    world.pass(11_000);
    assert_eq!(world.moves(), [""; 0]);
    world.pass(1_000);
    assert_eq!(world.moves(), ["alice 4 online>offline goodbye"]);
}

#[test]
fn a_plain_goodbye_and_the_wish_to_be_invisible_are_announced_at_once() {
    let mut world = dwelling();
    world.goodbye("alice", "s-1", 2, 0);
    assert_eq!(world.moves(), ["alice 2 online>offline goodbye"]);
    world.beat("alice", "s-1", 3, "");
    world.status("alice", r#""status":"invisible""#);
    assert_eq!(world.moves().last().unwrap(), "alice 4 online>offline status");
}

#[test]
fn invisible_while_an_offline_waits_is_announced_at_once() {
    let mut world = dwelling();
    world.pass(6_000);
    world.status("alice", r#""status":"invisible""#);
    assert_eq!(world.moves(), ["alice 2 online>offline status"]);
    world.pass(20_000);
    assert_eq!(world.moves(), [""; 0]);
}

#[test]
fn a_text_that_changes_while_an_offline_waits_is_public() {
    let mut world = dwelling();
    world.pass(6_000);
    world.status("alice", r#""status_text":"in a tunnel""#);
    let transition = &world.transitions()[0];
    assert_eq!((&transition["to"], &transition["status_text"]), (&"online".into(), &"in a tunnel".into()));
    world.pass(9_000);
    assert_eq!(world.moves(), ["alice 3 online>offline expired"]);
}

#[test]
fn who_has_nothing_left_leaves_memory_when_its_rows_are_stored() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.goodbye("alice", "s-1", 2, 0);
    world.evict();
    assert_eq!(world.fold.stats().users, 1, "a tombstone keeps it");
    world.pass(90_000);
    world.evict();
    assert_eq!(world.fold.stats().users, 0);
    world.beat("alice", "s-1", 1, "");
    assert_eq!(world.moves().last().unwrap(), "alice 3 offline>online heartbeat");
}

#[test]
fn a_user_leaves_memory_only_when_its_last_change_is_stored() {
    let mut world = World::new();
    world.status("alice", r#""status":"busy""#);
    let first = world.log.len() as u64 - 1;
    world.status("alice", r#""status":"away""#);
    world.fold.acknowledged(first);
    assert_eq!(world.fold.stats().users, 1);
    world.fold.acknowledged(first + 1);
    assert_eq!(world.fold.stats().users, 0);
}

#[test]
fn sessions_that_come_and_go_while_time_stands_still_take_no_more_room_in_the_wheel() {
    let mut world = World::new();
    for counter in 0..100 {
        world.beat("alice", "s-1", 2 * counter, "");
        world.goodbye("alice", "s-1", 2 * counter + 1, 0);
    }
    assert_eq!(world.fold.buckets[0].wheel.entries(), 1);
}
