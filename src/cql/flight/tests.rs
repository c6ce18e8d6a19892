use futures_util::FutureExt as _;
use tokio::sync::SemaphorePermit;

use super::{Flight, Load};
use crate::cql::CqlConfig;

fn flight(requests: u32, bytes: u32, background_bytes: u32) -> Flight {
    let mut config = CqlConfig::new(vec!["127.0.0.1:9042".into()], "heartline").unwrap();
    config.in_flight_requests_max = requests;
    config.in_flight_bytes_max = bytes;
    config.background_bytes_max = background_bytes;
    Flight::new(&config)
}

fn takes_off(flight: &Flight, load: Load) -> Option<[SemaphorePermit<'_>; 3]> {
    flight.take_off(load).now_or_never().map(Result::unwrap)
}

#[test]
fn what_somebody_waits_for_passes_what_nobody_waits_for() {
    let flight = flight(8, 1 << 20, 64 * 1024);
    let first = takes_off(&flight, Load::Background(40_000)).unwrap();
    assert!(takes_off(&flight, Load::Background(40_000)).is_none());
    let _read = takes_off(&flight, Load::Read).unwrap();
    let _write = takes_off(&flight, Load::Write(40_000)).unwrap();
    drop(first);
    assert!(takes_off(&flight, Load::Background(40_000)).is_some());
}

#[test]
fn what_is_late_is_passed_and_has_a_bound_of_its_own() {
    let flight = flight(100, 1 << 30, 64 * 1024);
    let late: Vec<_> = (0..8).map(|_| takes_off(&flight, Load::Late(64 * 1024)).unwrap()).collect();
    assert!(takes_off(&flight, Load::Late(1)).is_none());
    let _write = takes_off(&flight, Load::Write(64 * 1024)).unwrap();
    let _background = takes_off(&flight, Load::Background(64 * 1024)).unwrap();
    drop(late);
    assert!(takes_off(&flight, Load::Late(1)).is_some());
}

#[test]
fn small_writes_of_the_background_fly_together() {
    let flight = flight(100, 1 << 20, 64 * 1024);
    let small: Vec<_> = (0..64).map(|_| takes_off(&flight, Load::Background(300)).unwrap()).collect();
    assert!(takes_off(&flight, Load::Background(300)).is_none());
    drop(small);
}

#[test]
fn a_write_larger_than_a_whole_bound_flies_alone() {
    for load in [Load::Write(100_000), Load::Background(100_000)] {
        let flight = flight(8, 1_024, 1_024);
        let first = takes_off(&flight, load).unwrap();
        assert!(takes_off(&flight, load).is_none());
        assert!(takes_off(&flight, Load::Write(1)).is_none());
        drop(first);
        assert!(takes_off(&flight, load).is_some());
    }
}

#[test]
fn requests_are_bounded_whatever_their_size() {
    let flight = flight(2, 1 << 20, 1 << 20);
    let _held = [Load::Read, Load::Write(1)].map(|load| takes_off(&flight, load).unwrap());
    assert!(takes_off(&flight, Load::Read).is_none());
}
