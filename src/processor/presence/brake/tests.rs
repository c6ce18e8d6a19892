use super::*;

const PARAMETERS: Parameters = Parameters::VERSION_1;

#[test]
fn the_share_is_rounded_up_and_never_below_20() {
    for (live, allowed) in [(21, 20), (133, 20), (134, 21), (1_000, 150), (1_001, 151)] {
        let mut brake = Brake::new(0);
        assert_eq!(brake.release(1, &PARAMETERS, u64::MAX, live), allowed, "{live}");
    }
}

#[test]
fn a_window_is_ten_seconds_of_lease_clock() {
    let mut brake = Brake::new(0);
    assert_eq!(brake.release(1_000, &PARAMETERS, 30, 100), 20);
    assert_eq!(brake.release(9_999, &PARAMETERS, 10, 80), 0);
    assert_eq!(brake.release(10_000, &PARAMETERS, 10, 80), 10);
    assert_eq!(brake.holding_since_ms, None);
}

#[test]
fn being_cut_off_does_not_matter_to_20_sessions() {
    let mut brake = Brake::new(0);
    assert_eq!(brake.release(500_000, &PARAMETERS, 5, 20), 5);
    assert_eq!(brake.release(500_000, &PARAMETERS, 5, 21), 0);
}

#[test]
fn holding_ends_after_15_minutes_and_may_begin_again() {
    let mut brake = Brake::new(0);
    assert_eq!(brake.release(100_000, &PARAMETERS, 50, 100), 0);
    assert_eq!(brake.release(999_999, &PARAMETERS, 50, 100), 0);
    assert_eq!(brake.release(1_000_000, &PARAMETERS, 60, 100), 60);
    assert_eq!(brake.release(1_001_000, &PARAMETERS, 1, 40), 0);
}
