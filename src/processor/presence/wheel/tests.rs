use super::*;

fn fire(wheel: &mut Wheel, clock_ms: i64) -> Vec<(u32, Slot)> {
    let mut fired = Vec::new();
    wheel.fire(clock_ms, &mut fired);
    fired
}

#[test]
fn a_session_fires_no_later_than_its_deadline() {
    let mut wheel = Wheel::new(0);
    let mut filed = UNFILED;
    wheel.file(7, &mut filed, 90_000);
    assert_eq!(fire(&mut wheel, 89_999), []);
    assert_eq!(fire(&mut wheel, 90_000), [(7, 90)]);
    assert_eq!(filed, 90);
}

#[test]
fn a_deadline_that_moves_away_costs_nothing_and_one_that_comes_nearer_is_filed_again() {
    let mut wheel = Wheel::new(0);
    let mut filed = UNFILED;
    wheel.file(7, &mut filed, 90_000);
    wheel.file(7, &mut filed, 120_000);
    wheel.file(7, &mut filed, 5_000);
    assert_eq!(fire(&mut wheel, 5_000), [(7, 5)]);
    assert_eq!(fire(&mut wheel, 90_000), [(7, 90)], "the entry left behind, known by its slot");
    assert_eq!(fire(&mut wheel, 200_000), []);
}

#[test]
fn a_deadline_beyond_the_horizon_fires_within_it() {
    let mut wheel = Wheel::new(1_000_000);
    let mut filed = UNFILED;
    wheel.file(1, &mut filed, 9_000_000);
    assert_eq!(fire(&mut wheel, 1_126_999), []);
    assert_eq!(fire(&mut wheel, 1_127_000), [(1, (1_127 % SLOTS) as Slot)]);
}

#[test]
fn a_step_over_many_ticks_fires_everything_once() {
    let mut wheel = Wheel::new(0);
    for session in 0..128 {
        wheel.file(session, &mut UNFILED.clone(), i64::from(session) * 1_000);
    }
    assert_eq!(fire(&mut wheel, 10_000_000).len(), 128);
}
