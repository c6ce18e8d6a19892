//! The brake on ends by silence.

use super::harness::World;
use crate::processor::Fold;

/// `count` users with one session each, whose leases all end at the same moment, and one that goes on.
fn crowd(count: u32) -> World {
    let mut world = World::new();
    for n in 0..count {
        world.beat(&format!("user-{n:03}"), "s", 1, "");
    }
    world.beat("still", "s", 1, "");
    world.moves();
    world
}

fn keep_one_alive(world: &mut World, seconds: i64) -> usize {
    for _ in 0..seconds {
        world.pass(1_000);
        let counter = world.log.len() as i64;
        world.beat("still", "s", counter, "");
    }
    world.moves().len()
}

#[test]
fn within_ten_seconds_at_most_15_percent_of_a_bucket_go_by_silence() {
    let mut world = crowd(199);
    assert_eq!(keep_one_alive(&mut world, 89), 0);
    assert_eq!(keep_one_alive(&mut world, 1), 30, "15 % of 200");
    assert_eq!(world.fold.stats().held, 169);
    assert_eq!(keep_one_alive(&mut world, 9), 0);
    assert_eq!(keep_one_alive(&mut world, 1), 26, "15 % of 170, rounded up");
}

#[test]
fn a_small_bucket_is_not_braked() {
    let mut world = crowd(19);
    world.pass(90_000);
    assert_eq!(world.moves().len(), 20, "whatever it has heard since");
}

#[test]
fn held_leases_go_in_the_order_in_which_they_were_due() {
    let mut world = crowd(60);
    keep_one_alive(&mut world, 89);
    world.pass(1_000);
    let first = world.moves();
    assert_eq!(first.first().unwrap(), "user-000 2 online>offline expired");
    assert_eq!(first.last().unwrap(), "user-019 2 online>offline expired");
    world.crash();
    world.pass(10_000);
    assert_eq!(world.moves().first().unwrap(), "user-020 2 online>offline expired");
}

#[test]
fn a_held_session_that_is_heard_again_was_never_gone() {
    let mut world = crowd(60);
    keep_one_alive(&mut world, 90);
    world.moves();
    world.beat("user-020", "s", 2, "");
    assert_eq!(world.fold.stats().held, 39);
    keep_one_alive(&mut world, 60);
    assert!(world.fold.stats().held == 0);
    assert_eq!(world.fold.stats().sessions, 2);
}

#[test]
fn a_bucket_that_hears_nothing_for_a_third_of_a_lease_lets_nobody_go() {
    let mut world = crowd(60);
    world.pass(200_000);
    assert_eq!(world.moves(), [""; 0]);
    assert_eq!(world.fold.stats().held, 61);
    assert_eq!(world.fold.stats().sessions, 61);
}

#[test]
fn after_the_first_heartbeat_that_returns_a_default_lease_passes_before_anybody_goes() {
    let mut world = crowd(60);
    world.pass(100_000);
    world.beat("still", "s", 1, "");
    // The same pair again: it changes nothing and is heard all the same.
    let counter = world.log.len() as i64;
    world.beat("still", "s", counter, "");
    assert_eq!(keep_one_alive(&mut world, 89), 0);
    world.crash();
    assert_eq!(keep_one_alive(&mut world, 1), 20);
}

#[test]
fn a_stale_heartbeat_shows_that_the_producers_are_there() {
    let mut world = crowd(60);
    for _ in 0..89 {
        world.pass(1_000);
        world.beat("still", "s", 0, "");
    }
    world.pass(1_000);
    assert_eq!(world.moves().len(), 20);
}

#[test]
fn after_15_minutes_of_holding_everybody_goes() {
    let mut world = crowd(60);
    world.pass(90_000 + 899_000);
    assert_eq!(world.fold.stats().sessions, 61);
    world.moves();
    world.crash();
    world.pass(1_000);
    assert_eq!(world.moves().len(), 61);
    assert_eq!(world.fold.stats().held, 0);
}

#[test]
fn goodbyes_and_gateways_that_are_gone_are_not_braked() {
    let mut world = crowd(60);
    for n in 0..40 {
        world.goodbye(&format!("user-{n:03}"), "s", 2, if n < 20 { 0 } else { 1_000 });
    }
    world.pass(1_000);
    assert_eq!(world.moves().len(), 40);
}

#[test]
fn a_held_session_still_becomes_away() {
    let mut world = crowd(60);
    world.pass(300_000);
    assert_eq!(world.moves().len(), 61);
    assert_eq!(world.fold.stats().held, 61);
}

#[test]
fn the_brake_is_off_where_the_parameters_say_so() {
    let mut world = crowd(60);
    world.parameters.brake = false;
    world.pass(90_000);
    assert_eq!(world.moves().len(), 61);
}
