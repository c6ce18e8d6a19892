//! After an adoption: rows of the former generation are final, and positions in them mean nothing.

use super::harness::World;
use crate::{
    processor::{Fold, presence::Presence},
    table::Value,
};

/// Online at version 1, in a row whose origin is far beyond where the next generation begins.
fn adopted() -> World {
    let mut world = World::new();
    world.pass(20_000);
    world.status("alice", r#""status_text":"at lunch""#);
    world.beat("alice", "s", 1, "");
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
    world.adopt();
    world
}

#[test]
fn a_user_that_was_online_and_beats_again_has_no_transition() {
    let mut world = adopted();
    world.beat("alice", "s", 2, "");
    assert_eq!(world.moves(), [""; 0]);
}

#[test]
fn versions_go_on_from_the_row_and_the_first_transition_starts_where_the_last_one_ended() {
    let mut world = adopted();
    world.beat("alice", "s", 2, "");
    world.goodbye("alice", "s", 3, 0);
    assert_eq!(
        world.moves(),
        ["alice 2 online>offline goodbye"],
        "from the first record on, whatever the origin"
    );
    let cells = world.rows.cells("alice", "").unwrap();
    assert_eq!((&cells["version"], &cells["generation"]), (&Value::BigInt(2), &Value::Int(2)));
    assert_eq!(cells["status_text"], Value::text("at lunch"), "the choice was kept");
}

#[test]
fn a_session_that_comes_back_is_written_in_the_new_generation() {
    let mut world = adopted();
    assert_eq!(world.rows.cells("alice", "s").unwrap()["generation"], Value::Int(1));
    world.beat("alice", "s", 2, "");
    assert_eq!(world.rows.cells("alice", "s").unwrap()["generation"], Value::Int(2));
}

#[test]
fn a_user_that_stays_silent_stays_as_it_was() {
    let mut world = adopted();
    world.pass(200_000);
    assert_eq!(world.moves(), [""; 0]);
    assert_eq!(world.rows.cells("alice", "").unwrap()["status"], Value::text("online"));
}

#[test]
fn a_user_that_is_there_again_survives_a_crash_of_the_new_owner() {
    let mut world = adopted();
    world.beat("alice", "s", 2, "");
    world.crash();
    world.pass(200_000);
    assert_eq!(world.moves(), ["alice 2 online>offline expired"]);
}

#[test]
fn a_row_of_the_same_generation_that_is_ahead_is_left_alone_up_to_its_origin() {
    let mut world = World::new();
    world.pass(3_000);
    world.beat("alice", "s", 1, "");
    world.goodbye("alice", "s", 2, 0);
    let replayed = world.log.clone();
    world.moves();
    // A successor that begins at the start, while the row has all of it.
    world.fold = Presence::new(world.fold.setup.clone(), 0, None).unwrap();
    world.log.clear();
    for record in replayed {
        world.append(record.value);
    }
    assert_eq!(world.moves(), [""; 0]);
    assert_eq!(world.rows.cells("alice", "").unwrap()["version"], Value::BigInt(2));
}
