use super::*;

#[test]
fn packed_integers_keep_sign_and_range() {
    let max = crate::limits::INTEGER_MAX;
    for number in [0, 1, -1, max, -max] {
        assert_eq!(Packed::<7>::new(number).get(), number);
    }
    assert_eq!(Packed::<6>::new(TIME_MS_MAX).get(), TIME_MS_MAX);
}

#[test]
fn terms_are_kept_as_they_were_given() {
    let terms = Terms {
        epoch: 1_760_000_000_000,
        counter: -7,
        beat_clock_ms: 5,
        beat_time_ms: 1_760_000_000_001,
        lease_ms: 600_000,
        idle_ms: 3,
        busy: true,
    };
    let session = Session::new(Id::default(), &terms, u32::MAX);
    assert_eq!(format!("{:?}", session.terms((terms.epoch, terms.counter), 600_000)), format!("{terms:?}"));
    assert_eq!(session.link(), u32::MAX);
    assert!(session.live() && !session.held() && !session.has_extra());
}
