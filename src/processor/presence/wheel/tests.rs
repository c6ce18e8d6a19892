use super::*;

/// The first session of each block that fires, and the one after its last.
fn fire(wheel: &mut Wheel, clock_ms: i64) -> Vec<(u32, u32)> {
    let mut fired = Vec::new();
    wheel.fire(clock_ms, &mut fired);
    fired.into_iter().map(|block| (block.start, block.end)).collect()
}

#[test]
fn a_session_fires_with_its_block_no_later_than_its_deadline() {
    let mut wheel = Wheel::new(0);
    wheel.file(BLOCK + 7, 90_000);
    assert_eq!(fire(&mut wheel, 89_999), []);
    assert_eq!(fire(&mut wheel, 90_000), [(BLOCK, 2 * BLOCK)]);
}

#[test]
fn a_block_has_one_entry_and_fires_by_the_first_deadline_of_any_of_its_sessions() {
    let mut wheel = Wheel::new(0);
    (0..BLOCK).for_each(|session| wheel.file(session, 90_000 + i64::from(session)));
    assert_eq!(wheel.entries(), 1);
    wheel.file(3, 7_000);
    assert_eq!(fire(&mut wheel, 7_000), [(0, BLOCK)]);
}

#[test]
fn a_deadline_that_moves_away_costs_nothing_and_one_that_comes_nearer_is_filed_again() {
    let mut wheel = Wheel::new(0);
    wheel.file(7, 90_000);
    wheel.file(7, 120_000);
    wheel.file(7, 5_000);
    assert_eq!(fire(&mut wheel, 5_000), [(0, BLOCK)]);
    wheel.file(7, 100_000);
    assert_eq!(fire(&mut wheel, 90_000), [], "the entry left behind is known by its slot");
    assert_eq!(fire(&mut wheel, 100_000), [(0, BLOCK)]);
    assert_eq!(fire(&mut wheel, 200_000), []);
}

#[test]
fn blocks_of_further_sessions_are_blocks_of_their_own() {
    let mut wheel = Wheel::new(0);
    wheel.file(1, 5_000);
    wheel.file(FURTHER + BLOCK + 1, 5_000);
    assert_eq!(fire(&mut wheel, 5_000), [(0, BLOCK), (FURTHER + BLOCK, FURTHER + 2 * BLOCK)]);
}

#[test]
fn a_deadline_beyond_the_horizon_fires_within_it() {
    let mut wheel = Wheel::new(1_000_000);
    wheel.file(1, 9_000_000);
    assert_eq!(fire(&mut wheel, 1_126_999), []);
    assert_eq!(fire(&mut wheel, 1_127_000), [(0, BLOCK)]);
}

#[test]
fn a_step_over_many_ticks_fires_everything_once() {
    let mut wheel = Wheel::new(0);
    for block in 0..128 {
        wheel.file(block * BLOCK, i64::from(block) * 1_000);
    }
    assert_eq!(fire(&mut wheel, 10_000_000).len(), 128);
}
