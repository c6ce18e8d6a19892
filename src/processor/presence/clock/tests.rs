use proptest::{option, prelude::*};

use super::*;

fn any_clock() -> impl Strategy<Value = LeaseClock> {
    let seen = (".{0,20}", any::<i64>(), 0..=TIME_MS_MAX)
        .prop_map(|(incarnation, elapsed_ms, time_ms)| SeenBeacon { incarnation, elapsed_ms, time_ms });
    let spans = any::<[i64; 4]>();
    let parameters = (any::<u32>(), spans, any::<bool>()).prop_map(|(fold_version, spans, brake)| {
        let [lease_ms, away_after_ms, busy_for_ms, dwell_ms] = spans;
        Parameters { fold_version, lease_ms, away_after_ms, busy_for_ms, brake, dwell_ms }
    });
    (0..=TIME_MS_MAX / 2, option::of(seen), parameters).prop_map(|(now_ms, beacon, parameters)| LeaseClock {
        now_ms,
        beacon,
        parameters,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_clock_is_made_again_from_its_resume(clock in any_clock()) {
        prop_assert_eq!(LeaseClock::from_resume(&clock.to_resume()), Ok(clock));
    }

    #[test]
    fn any_text_is_refused_or_makes_a_clock_that_goes_on(
        (clock, at, fragment) in (any_clock(), any::<prop::sample::Index>(), "[0-9a-z\",:{}-]{0,3}"),
        text in ".{0,60}",
        (elapsed_ms, time_ms) in (0..=i64::MAX, 0..=TIME_MS_MAX),
    ) {
        let mut edited: Vec<char> = clock.to_resume().chars().collect();
        let at = at.index(edited.len());
        edited.splice(at..=at, fragment.chars());
        for text in [text, edited.into_iter().collect()] {
            let Ok(mut clock) = LeaseClock::from_resume(&text) else { continue };
            let before_ms = clock.now_ms;
            let incarnation = clock.beacon.as_ref().map_or("x", |seen| &seen.incarnation).to_owned();
            let beacon = Beacon {
                group: "g".into(),
                incarnation: incarnation.into(),
                elapsed_ms,
                parameters: Parameters::VERSION_1,
            };
            clock.advance(&beacon, time_ms);
            prop_assert!((0..=BEACON_STEP_MS_MAX).contains(&(clock.now_ms - before_ms)));
        }
    }
}
