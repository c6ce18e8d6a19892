use super::*;

/// More than the brake lets go in the smallest bucket at once, and few enough for every test run.
const LEASES: u32 = 8_000;
/// So few that no bucket has as many as the brake looks after.
const FEW: u32 = 10 * BUCKETS;

#[test]
fn nobody_goes_offline_when_anything_stands_still_for_ten_minutes() {
    let mut deployment = Leases::new(1, LEASES).unwrap_or_else(|error| panic!("{error}"));
    for stop in Stop::ALL {
        let outcome = deployment.stop(stop).unwrap_or_else(|error| panic!("{stop:?}: {error}"));
        assert!(outcome.is_good(LEASES), "{outcome}");
        let silent = matches!(stop, Stop::Broker | Stop::Producers);
        assert_eq!(outcome.beats > 15 * u64::from(LEASES), !silent, "{outcome}");
    }
}

#[test]
fn nor_does_the_lease_clock_alone_put_anybody_offline_where_no_brake_helps() {
    let mut deployment = Leases::new(1, FEW).unwrap_or_else(|error| panic!("{error}"));
    for stop in [Stop::Broker, Stop::Consumers, Stop::Database, Stop::Clocks] {
        let outcome = deployment.stop(stop).unwrap_or_else(|error| panic!("{stop:?}: {error}"));
        assert!(outcome.is_good(FEW), "{outcome}");
    }
}

#[cfg(feature = "mutants")]
#[test]
fn mistakes_of_the_brake_and_of_the_lease_clock_put_people_offline() {
    use crate::mutant::{Mutant, with};
    let mistakes = [
        (Mutant::BrakeOff, Stop::Producers, LEASES),
        (Mutant::WallClockForLeaseClock, Stop::Clocks, FEW),
        (Mutant::BeaconStepNotCut, Stop::Broker, FEW),
        (Mutant::BeaconStepNotCut, Stop::Consumers, FEW),
    ];
    for (mutant, stop, leases) in mistakes {
        let seen = with(Some(mutant), || {
            Leases::new(1, leases)
                .and_then(|mut deployment| deployment.stop(stop))
                .map(|outcome| !outcome.is_good(leases))
        });
        assert_eq!(seen, Ok(true), "{mutant:?} and {stop:?}");
    }
}
