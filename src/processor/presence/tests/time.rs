//! The lease clock: what beacons prove, and what nothing else can.

use super::harness::{BASE_US, GROUP, START_MS, World, clock_of};
use crate::{
    effect::Output,
    log::RecordRef,
    processor::{Fold, Step, presence::clock::LeaseClock},
    record::beacon::{Parameters, encode_beacon},
};

#[test]
fn time_passes_by_the_difference_to_the_preceding_beacon_of_the_same_incarnation() {
    let mut world = World::new();
    (world.time_ms, world.elapsed_ms) = (START_MS + 1_500, 1_400);
    world.beacon();
    assert_eq!(world.clock_ms(), 1_400);
    world.incarnation = "two".to_owned();
    (world.time_ms, world.elapsed_ms) = (START_MS + 3_000, 2_900);
    world.beacon();
    assert_eq!(world.clock_ms(), 1_400, "another owner");
    world.incarnation = "one".to_owned();
    world.beacon();
    assert_eq!(world.clock_ms(), 1_400, "its preceding beacon was the other's");
}

#[test]
fn a_beacon_proves_at_most_two_intervals_and_at_most_the_logs_time() {
    let mut world = World::new();
    (world.time_ms, world.elapsed_ms) = (START_MS + 60_000, 60_000);
    world.beacon();
    assert_eq!(world.clock_ms(), 2_000);
    (world.time_ms, world.elapsed_ms) = (world.time_ms + 300, 61_000);
    world.beacon();
    assert_eq!(world.clock_ms(), 2_300);
    (world.time_ms, world.elapsed_ms) = (world.time_ms - 5_000, 62_000);
    world.beacon();
    (world.time_ms, world.elapsed_ms) = (world.time_ms + 5_000, 10);
    world.beacon();
    assert_eq!(world.clock_ms(), 2_300, "neither clock runs backwards");
}

#[test]
fn without_beacons_nobody_expires_whatever_the_records_times_say() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    for n in 0..20 {
        world.time_ms += 3_600_000;
        world.beat("bob", "s-1", n, "");
    }
    world.beacon();
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat", "bob 1 offline>online heartbeat"]);
}

#[test]
fn a_backlog_of_beats_is_folded_before_the_clock_goes_on() {
    let mut world = World::new();
    world.beat("alice", "s-1", 1, "");
    world.pass(89_000);
    // Two hours without an owner; the next one finds the beats first.
    world.time_ms += 7_200_000;
    world.beat("alice", "s-1", 2, "");
    world.incarnation = "two".to_owned();
    world.pass(89_000);
    assert_eq!(world.moves(), ["alice 1 offline>online heartbeat"]);
}

#[test]
fn beacons_of_other_groups_are_filtered() {
    let mut world = World::new();
    let foreign = encode_beacon("somebody.else", "one", 1_000, &Parameters::VERSION_1);
    world.time_ms += 1_000;
    assert_eq!(world.append(foreign), Step::Filtered);
    assert_eq!(world.clock_ms(), 0);
}

#[test]
fn an_unknown_fold_version_halts_the_partition_and_says_what_to_do() {
    let mut world = World::new();
    let parameters = Parameters { fold_version: 2, ..Parameters::VERSION_1 };
    let Step::Halt(sentence) = world.append(encode_beacon(GROUP, "one", 1_000, &parameters)) else {
        panic!("it must halt");
    };
    assert!(sentence.contains("fold version 2") && sentence.contains("start a build"), "{sentence}");
}

#[test]
fn what_is_needed_to_go_on_fits_into_an_offsets_metadata_and_reads_as_it_was_written() {
    let mut world = World::new();
    world.parameters.dwell_ms = 5;
    world.pass(3_000);
    let resume = world.fold.resume();
    assert!(resume.len() < 512, "{resume}");
    assert_eq!(LeaseClock::from_resume(&resume), Ok(clock_of(&world.fold)));
    assert!(LeaseClock::from_resume("{}").is_err());
    assert!(LeaseClock::from_resume(&resume.replace("\"v\":1", "\"v\":2")).is_err());
}

#[test]
fn record_times_beyond_reason_are_cut_and_not_carried_on() {
    let mut world = World::new();
    for (offset, time_ms) in [(1, i64::MIN), (2, -1), (3, i64::MAX)] {
        let value = br#"{"v":1,"type":"heartbeat","user":"alice","session":"s-1","counter":1}"#;
        let record = RecordRef { offset, time_ms, key: None, value: Some(value), headers: None };
        let mut output = Output::new(BASE_US);
        output.begin(offset, true);
        let step = match world.fold.fold(&record, &mut output) {
            Step::Wanting => {
                for query in world.fold.wanted(&mut std::iter::once(record)) {
                    world.fold.load(&query, Vec::new()).unwrap();
                }
                world.fold.fold(&record, &mut output)
            }
            step => step,
        };
        assert_eq!(step, Step::Applied);
    }
    world.beat("bob", "s-1", 1, "");
    world.beat("bob", "s-1", 2, "");
    world.beat("bob", "s-1", 3, "");
    world.pass(1_000);
    world.crash();
}
