//! Sessions begin, go on, change and run out.

use super::harness::{START_MS, World};
use crate::{
    processor::{Fold, Step},
    record::transition::Status,
    table::Value,
    topology::Topic,
};

#[test]
fn the_first_beat_brings_a_user_online_as_version_1() {
    let mut world = World::new();
    assert_eq!(world.beat("alice", "s-1", 1, r#""device":"ios","gateway":"gw-7""#), Step::Applied);
    let transitions = world.transitions();
    assert_eq!(
        transitions,
        [serde_json::json!({
            "v": 1, "type": "transition", "user": "alice", "version": 1, "from": "offline", "to": "online",
            "cause": "heartbeat", "session": "s-1", "device": "ios", "sessions": 1, "occurred_at": START_MS,
            "detected_at": START_MS, "last_seen": START_MS, "origin": {"partition": 0, "offset": 1},
        })]
    );
    assert_eq!(world.take(Topic::PresenceState), transitions);
    assert_eq!(
        world.take(Topic::Sessions),
        [serde_json::json!({
            "v": 1, "type": "session", "event": "join", "user": "alice", "session": "s-1", "device": "ios",
            "gateway": "gw-7", "sessions": 1, "origin": {"partition": 0, "offset": 1},
        })]
    );
}

#[test]
fn a_renewal_says_nothing_and_writes_nothing() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""metadata":{"a":1}"#);
    world.published.clear();
    world.pass(30_000);
    assert_eq!(world.beat("alice", "s-1", 2, r#""metadata":{"a":1}"#), Step::Applied);
    assert_eq!(world.published, []);
    assert_eq!((world.row_writes.len(), world.refreshes.len()), (0, 0));
}

#[test]
fn a_session_ends_when_the_lease_clock_has_gone_on_by_its_lease_and_not_before() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.pass(89_000);
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
    world.pass(1_000);
    let transitions = world.transitions();
    assert_eq!(transitions[0]["to"], "offline");
    assert_eq!(transitions[0]["cause"], "expired");
    assert_eq!(transitions[0]["occurred_at"], START_MS + 90_000);
    assert_eq!(transitions[0]["detected_at"], START_MS + 90_000);
    assert_eq!(transitions[0]["last_seen"], START_MS);
    assert_eq!(transitions[0]["sessions"], 0);
    assert_eq!(world.take(Topic::PresenceState).last(), Some(&serde_json::Value::Null));
}

#[test]
fn a_beat_at_the_last_moment_renews_the_lease() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.pass(89_999);
    world.beat("alice", "s-1", 2, "");
    world.pass(89_000);
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
}

#[test]
fn a_pair_not_greater_than_the_last_one_changes_nothing() {
    let mut world = World::new();
    world.beat("alice", "s-1", 5, r#""epoch":7"#);
    world.pass(60_000);
    for (counter, epoch) in [(5, 7), (4, 7), (99, 6)] {
        let more = format!(r#""epoch":{epoch},"busy":true,"gateway":"elsewhere""#);
        assert_eq!(world.beat("alice", "s-1", counter, &more), Step::Applied);
    }
    world.pass(30_000);
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat", "alice 2 online>offline expired"]);
}

#[test]
fn a_greater_epoch_counts_whatever_its_counter() {
    let mut world = World::new();
    world.beat("alice", "s-1", 5, r#""epoch":7"#);
    world.pass(60_000);
    world.beat("alice", "s-1", 0, r#""epoch":8"#);
    world.pass(89_000);
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
}

#[test]
fn the_pair_of_a_session_that_went_silent_is_forgotten() {
    let mut world = World::new();
    world.beat("alice", "s-1", 5, "");
    world.pass(90_000);
    world.beat("alice", "s-1", 1, "");
    assert_eq!(world.moves().last().unwrap(), "alice 3 offline>online heartbeat");
}

#[test]
fn a_lease_left_out_is_the_last_one_and_null_is_the_default() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""lease_ms":5000"#);
    world.pass(4_000);
    world.beat("alice", "s-1", 2, "");
    world.pass(5_000);
    assert_eq!(world.moves().last().unwrap(), "alice 2 online>offline expired");
    world.beat("alice", "s-1", 3, r#""lease_ms":5000"#);
    world.beat("alice", "s-1", 4, r#""lease_ms":null"#);
    world.pass(89_000);
    assert_eq!(world.moves(), ["alice 3 offline>online heartbeat"]);
}

#[test]
fn a_beats_default_lease_is_that_of_the_last_beacon_folded_before_it() {
    let mut world = World::new();
    world.parameters.lease_ms = 10_000;
    world.beat("alice", "old", 1, "");
    world.beacon();
    world.beat("bob", "new", 1, "");
    world.pass(10_000);
    assert_eq!(world.moves().last().unwrap(), "bob 2 online>offline expired");
    world.pass(79_000);
    assert_eq!(world.moves(), [""; 0]);
    world.pass(1_000);
    assert_eq!(world.moves(), ["alice 2 online>offline expired"]);
}

#[test]
fn device_and_gateway_left_out_stay_and_null_clears_them() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""device":"ios","gateway":"gw-1""#);
    world.beat("alice", "s-1", 2, "");
    assert_eq!(world.routes(), ["alice/s-1 join 1"]);
    world.beat("alice", "s-1", 3, r#""gateway":null"#);
    assert_eq!(world.routes(), ["alice/s-1 move 1"]);
    let cells = world.rows.cells("alice", "s-1").unwrap();
    assert_eq!((&cells["device"], &cells["gateway"]), (&Value::text("ios"), &Value::Null));
}

#[test]
fn further_sessions_are_added_and_removed_and_the_last_one_leaves() {
    let mut world = World::new();
    world.beat("alice", "a", 1, "");
    world.beat("alice", "b", 1, "");
    world.goodbye("alice", "a", 2, 0);
    world.goodbye("alice", "b", 2, 0);
    assert_eq!(
        world.routes(),
        ["alice/a join 1", "alice/b add 2", "alice/a remove goodbye", "alice/b leave goodbye"]
    );
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat", "alice 2 online>offline goodbye"]);
}

#[test]
fn idling_is_away_from_the_threshold_on_and_the_next_input_is_online() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""idle_ms":299000,"lease_ms":600000"#);
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
    world.pass(1_000);
    let transition = &world.transitions()[0];
    assert_eq!((&transition["to"], &transition["cause"]), (&"away".into(), &"idle".into()));
    assert_eq!(transition["occurred_at"], START_MS + 1_000);
    world.beat("alice", "s-1", 2, r#""idle_ms":301000"#);
    assert_eq!(world.moves(), [""; 0]);
    world.beat("alice", "s-1", 3, "");
    assert_eq!(world.moves(), ["alice 3 away>online heartbeat"]);
}

#[test]
fn busy_on_a_device_ends_by_itself() {
    let mut world = World::new();
    world.parameters.busy_for_ms = 20_000;
    world.beacon();
    world.beat("alice", "s-1", 1, r#""busy":true"#);
    world.pass(19_000);
    assert_eq!(world.moves(), ["alice 1 offline>busy heartbeat"]);
    world.pass(1_000);
    assert_eq!(world.moves(), ["alice 2 busy>online idle"]);
}

#[test]
fn busy_counts_more_than_online_and_online_more_than_away() {
    let mut world = World::new();
    world.beat("alice", "a", 1, r#""idle_ms":400000"#);
    world.beat("alice", "b", 1, "");
    world.beat("alice", "c", 1, r#""busy":true"#);
    world.beat("alice", "b", 2, r#""idle_ms":400000"#);
    world.beat("alice", "c", 2, r#""idle_ms":400000"#);
    assert_eq!(
        world.moves(),
        [
            "alice 1 offline>away heartbeat",
            "alice 2 away>online heartbeat",
            "alice 3 online>busy heartbeat",
            "alice 4 busy>away heartbeat"
        ]
    );
}

#[test]
fn parameters_of_a_beacon_are_in_force_from_that_beacon_on() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""idle_ms":100000"#);
    world.parameters.away_after_ms = 100_000;
    world.beacon();
    assert_eq!(world.moves().last().unwrap(), "alice 2 online>away idle");
    world.parameters.away_after_ms = 200_000;
    world.beacon();
    assert_eq!(world.moves(), ["alice 3 away>online idle"]);
}

#[test]
fn a_batch_brings_at_most_one_transition_a_user() {
    let mut world = World::new();
    let beat =
        |counter: u32, more: &str| format!(r#"{{"user":"alice","session":"s-1","counter":{counter}{more}}}"#);
    let beats = [beat(1, ""), beat(2, r#","busy":true"#), beat(3, r#","idle_ms":400000"#)].join(",");
    world.append(format!(r#"{{"v":1,"type":"heartbeats","gateway":"gw-1","beats":[{beats}]}}"#));
    assert_eq!(world.moves(), ["alice 1 offline>away heartbeat"]);
    assert_eq!(world.routes(), ["alice/s-1 join 1"]);
    assert_eq!(world.row_writes.len(), 2, "one row of the user, one of the session");
}

#[test]
fn above_64_sessions_the_oldest_goes() {
    let mut world = World::new();
    for n in 0..64 {
        world.beat("alice", &format!("s-{n:02}"), 1, r#""lease_ms":600000"#);
        world.pass(1_000);
    }
    world.beat("alice", "s-00", 2, "");
    world.routes();
    world.pass(1_000);
    world.beat("alice", "s-64", 1, "");
    assert_eq!(world.routes(), ["alice/s-01 remove heartbeat", "alice/s-64 add 64"]);
    assert_eq!(world.fold.stats().sessions, 64);
}

#[test]
fn a_session_that_ends_and_begins_within_one_record_has_rather_gone_on() {
    let mut world = World::new();
    for n in 0..64 {
        world.beat("alice", &format!("s-{n:02}"), 1, "");
    }
    world.pass(1_000);
    world.published.clear();
    let beat = |session: &str| format!(r#"{{"user":"alice","session":"{session}","counter":2}}"#);
    // s-64 makes s-00 go, which comes back and makes s-01 go.
    // What comes after takes the place that it left, and is another session.
    let beats = [beat("s-64"), beat("s-00"), beat("s-99")].join(",");
    world.append(format!(r#"{{"v":1,"type":"heartbeats","beats":[{beats}]}}"#));
    assert_eq!(
        world.routes(),
        [
            "alice/s-64 add 64",
            "alice/s-01 remove heartbeat",
            "alice/s-02 remove heartbeat",
            "alice/s-99 add 64"
        ]
    );
    assert!(world.rows.cells("alice", "s-00").is_some());
    assert!(world.rows.cells("alice", "s-01").is_none());
    assert_eq!(world.fold.stats().sessions, 64);
}

#[test]
fn rows_hold_what_readers_need() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""device":"ios","gateway":"gw-1","metadata":{"a": [1]},"busy":true"#);
    let session = world.rows.cells("alice", "s-1").unwrap();
    assert_eq!(session["metadata"], Value::text(r#"{"a": [1]}"#));
    assert_eq!(session["status"], Value::text("busy"));
    assert_eq!(session["origin"], Value::BigInt(2));
    let user = world.rows.cells("alice", "").unwrap();
    assert_eq!(user["version"], Value::BigInt(1));
    assert_eq!(user["status"], Value::text("busy"));
    assert_eq!(user["last_seen_ms"], Value::BigInt(START_MS));
    let ttl = |at: usize| world.row_writes[at].statement.ttl_s;
    assert_eq!((ttl(0), ttl(1)), (Some(86_400), None), "a session's row is garbage some day, a user's never");
}

#[test]
fn a_status_that_changes_by_itself_keeps_the_metadata_in_the_row() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""metadata":{"a":1},"lease_ms":600000"#);
    world.pass(300_000);
    let cells = world.rows.cells("alice", "s-1").unwrap();
    assert_eq!(cells["status"], Value::text(Status::Away.name()));
    assert_eq!(cells["metadata"], Value::text(r#"{"a":1}"#));
}

#[test]
fn metadata_that_changes_is_written_and_null_clears_it() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, r#""metadata":1"#);
    world.beat("alice", "s-1", 2, r#""metadata":2"#);
    assert_eq!(world.rows.cells("alice", "s-1").unwrap()["metadata"], Value::text("2"));
    world.beat("alice", "s-1", 3, r#""metadata":null"#);
    assert_eq!(world.rows.cells("alice", "s-1").unwrap()["metadata"], Value::Null);
    assert_eq!(world.routes(), ["alice/s-1 join 1"], "routing does not depend on metadata");
}

#[test]
fn a_sessions_row_is_written_again_after_half_its_time_to_live_of_record_time() {
    for (metadata, refreshed) in [("", false), (r#""metadata":1"#, true)] {
        let mut world = World::new();
        world.beat("alice", "s-1", 1, metadata);
        world.time_ms += 43_199_000;
        world.beat("alice", "s-1", 2, "");
        assert_eq!((world.row_writes.len(), world.refreshes.len()), (0, 0));
        world.time_ms += 1_000;
        world.beat("alice", "s-1", 3, "");
        assert_eq!((world.row_writes.is_empty(), world.refreshes.len()), (refreshed, usize::from(refreshed)));
        assert_eq!(world.rows.cells("alice", "s-1").unwrap()["origin"], Value::BigInt(4));
        world.beat("alice", "s-1", 4, "");
        assert_eq!((world.row_writes.len(), world.refreshes.len()), (0, 0));
    }
}

#[test]
fn the_end_of_a_session_deletes_its_row() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.pass(90_000);
    assert!(world.rows.cells("alice", "s-1").is_none());
    assert_eq!(world.rows.cells("alice", "").unwrap()["status"], Value::text("offline"));
}

#[test]
fn last_seen_moves_with_beats_and_is_that_of_the_last_one_when_the_user_goes() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.pass(60_000);
    world.beat("alice", "s-1", 2, "");
    // A log whose time steps back does not take it back.
    world.time_ms -= 30_000;
    world.beat("alice", "s-1", 3, "");
    world.time_ms += 30_000;
    world.pass(90_000);
    assert_eq!(world.transitions().last().unwrap()["last_seen"], START_MS + 60_000);
}

#[test]
fn what_is_due_at_one_beacon_goes_in_the_order_of_due_user_and_session() {
    let mut world = World::new();
    world.beat("zoe", "s", 1, r#""lease_ms":5000"#);
    world.beat("bob", "b", 1, r#""lease_ms":5001"#);
    world.beat("bob", "a", 1, r#""lease_ms":5001"#);
    world.beat("amy", "s", 1, r#""lease_ms":5001"#);
    world.routes();
    world.pass(6_000);
    assert_eq!(
        world.routes(),
        ["zoe/s leave expired", "amy/s leave expired", "bob/a remove expired", "bob/b leave expired"]
    );
    let users: Vec<String> = world.moves().iter().skip(3).map(|short| short[..3].to_owned()).collect();
    assert_eq!(users, ["zoe", "amy", "bob"]);
}
