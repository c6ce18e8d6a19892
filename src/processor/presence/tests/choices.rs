//! The user's own choice, texts, and until when they hold.

use super::harness::{START_MS, World};
use crate::table::Value;

#[test]
fn the_own_choice_counts_more_than_the_sessions() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""busy":true"#);
    world.status("alice", r#""status":"away""#);
    world.beat("alice", "s-1", 2, "");
    world.status("alice", r#""status":"busy""#);
    world.status("alice", r#""status":"auto""#);
    assert_eq!(
        world.moves(),
        [
            "alice 1 offline>busy heartbeat",
            "alice 2 busy>away status",
            "alice 3 away>busy status",
            "alice 4 busy>online status"
        ]
    );
}

#[test]
fn a_choice_is_kept_across_sessions_evictions_and_crashes() {
    let mut world = World::new();
    world.status("alice", r#""status":"busy","status_text":"at lunch""#);
    assert_eq!(world.moves(), [""; 0], "offline, whatever it chose");
    world.evict();
    world.crash();
    world.beat("alice", "s-1", 1, "");
    let transition = &world.transitions()[0];
    assert_eq!((&transition["to"], &transition["status_text"]), (&"busy".into(), &"at lunch".into()));
}

#[test]
fn null_clears_a_choice_and_texts_one_by_one() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.status("alice", r#""status":"busy","status_text":"a","activity":"b""#);
    world.status("alice", r#""status_text":null"#);
    let transitions = world.transitions();
    assert_eq!(transitions[2]["status_text"], serde_json::Value::Null);
    assert_eq!((&transitions[2]["activity"], &transitions[2]["to"]), (&"b".into(), &"busy".into()));
    world.status("alice", r#""status":null"#);
    assert_eq!(world.moves(), ["alice 4 busy>online status"]);
}

#[test]
fn the_same_choice_again_says_nothing() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.status("alice", r#""status_text":"a""#);
    world.moves();
    world.status("alice", r#""status_text":"a""#);
    assert_eq!(world.moves(), [""; 0]);
    assert_eq!(world.row_writes, []);
}

#[test]
fn who_comes_invisible_causes_no_transition_and_is_not_seen() {
    let mut world = World::new();
    world.status("alice", r#""status":"invisible""#);
    world.beat("alice", "s-1", 1, "");
    world.time_ms += 5;
    world.beat("alice", "s-1", 2, r#""busy":true"#);
    world.goodbye("alice", "s-1", 3, 0);
    assert_eq!(world.moves(), [""; 0]);
    assert_eq!(world.rows.cells("alice", "").unwrap()["last_seen_ms"], Value::BigInt(0));
    assert_eq!(world.rows.cells("alice", "").unwrap()["version"], Value::BigInt(0));
}

#[test]
fn beats_while_invisible_do_not_move_last_seen() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.status("alice", r#""status":"invisible""#);
    world.pass(60_000);
    world.beat("alice", "s-1", 2, "");
    world.status("alice", r#""status":"auto""#);
    assert_eq!(world.transitions().last().unwrap()["last_seen"], START_MS);
    world.beat("alice", "s-1", 3, "");
    world.goodbye("alice", "s-1", 4, 0);
    assert_eq!(world.transitions().last().unwrap()["last_seen"], START_MS + 60_000);
}

#[test]
fn texts_are_not_public_while_the_user_looks_offline() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.status("alice", r#""status":"invisible","status_text":"secret""#);
    world.status("alice", r#""status_text":"more""#);
    let transitions = world.transitions();
    assert_eq!(transitions.len(), 2);
    assert_eq!(transitions[1]["status_text"], serde_json::Value::Null);
}

#[test]
fn a_choice_ends_with_the_beacon_whose_record_time_reaches_until() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""lease_ms":600000"#);
    let until = START_MS + 10_000;
    world.status("alice", &format!(r#""status":"busy","status_text":"a","until":{until}"#));
    world.moves();
    world.pass(9_000);
    world.time_ms += 5_000;
    world.beat("alice", "s-1", 2, "");
    assert_eq!(world.moves(), [""; 0], "a beat proves no time");
    world.time_ms -= 5_000;
    world.pass(1_000);
    let transition = &world.transitions()[0];
    assert_eq!((&transition["to"], &transition["cause"]), (&"online".into(), &"status".into()));
    assert_eq!((&transition["occurred_at"], &transition["detected_at"]), (&until.into(), &until.into()));
    assert_eq!(transition["status_text"], serde_json::Value::Null);
    let row = world.rows.cells("alice", "").unwrap();
    assert_eq!((&row["choice"], &row["until_ms"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_choice_of_a_user_without_sessions_ends_with_its_next_record_in_memory_or_not() {
    for evicted in [false, true] {
        let mut world = World::new();
        let until = START_MS + 10_000;
        world.status("alice", &format!(r#""status":"invisible","until":{until}"#));
        if evicted {
            world.evict();
        }
        world.pass(10_000);
        assert_eq!(world.row_writes, []);
        world.beat("alice", "s-1", 1, "");
        assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"], "evicted: {evicted}");
    }
}

#[test]
fn until_stays_when_it_is_left_out_and_goes_when_it_is_null_or_nothing_is_chosen() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""lease_ms":600000"#);
    world.status("alice", &format!(r#""status":"busy","until":{}"#, START_MS + 5_000));
    world.status("alice", r#""activity":"in a call""#);
    world.status("alice", r#""status":"away""#);
    world.moves();
    world.pass(4_000);
    assert_eq!(world.moves(), [""; 0]);
    world.pass(1_000);
    assert_eq!(world.moves(), ["alice 5 away>online status"], "until was left out twice");
    world.status("alice", &format!(r#""status":"busy","until":{}"#, START_MS + 8_000));
    world.status("alice", r#""until":null"#);
    world.status("alice", r#""status":null"#);
    world.status("alice", &format!(r#""until":{}"#, START_MS + 9_000));
    world.status("alice", r#""status":"away""#);
    world.moves();
    world.pass(20_000);
    assert_eq!(world.moves(), [""; 0]);
}

#[test]
fn until_alone_changes_when_the_choice_ends() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""lease_ms":600000"#);
    world.status("alice", r#""status":"busy""#);
    world.pass(1_000);
    world.status("alice", &format!(r#""until":{}"#, START_MS + 5_000));
    world.moves();
    world.pass(3_000);
    assert_eq!(world.moves(), [""; 0]);
    world.pass(1_000);
    assert_eq!(world.moves(), ["alice 3 busy>online status"]);
}

#[test]
fn a_choice_made_right_after_the_last_one_was_over_does_not_end_with_it() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""lease_ms":600000"#);
    world.status("alice", &format!(r#""status":"busy","status_text":"a","until":{}"#, START_MS + 500));
    world.moves();
    world.time_ms += 600;
    world.status("alice", r#""status":"away""#);
    let transition = &world.transitions()[0];
    assert_eq!((&transition["to"], &transition["status_text"]), (&"away".into(), &serde_json::Value::Null));
    world.pass(20_000);
    assert_eq!(world.moves(), [""; 0]);
}
