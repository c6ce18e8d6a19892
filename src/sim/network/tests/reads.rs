use bytes::Bytes;

use super::{GROUP, INPUT, Rig, text};
use crate::{
    log::{
        Chunk, Committed, LogCommand, LogEvent, OutRecord, Transaction, TransactionOutcome, TransactionStep,
    },
    sim::{Fault, Keep, Settings},
};

fn fetch(from: i64, fetch: u64) -> LogCommand {
    LogCommand::Fetch { partition: 0, from, fetch, headers: true }
}

fn values(chunks: &[Chunk]) -> Vec<String> {
    let of = |chunk: &Chunk| (0..chunk.len()).map(|at| text(chunk.get(at).value)).collect::<Vec<_>>();
    chunks.iter().flat_map(of).collect()
}

#[test]
fn a_poll_gives_each_record_once_and_an_idle_one_is_empty() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    rig.log(pod, fetch(0, 1));
    rig.append("x");
    rig.append("y");
    assert_eq!(values(&rig.poll(pod)), ["x", "y"]);
    assert!(rig.poll(pod).is_empty());
    rig.append("z");
    assert_eq!(values(&rig.poll(pod)), ["z"]);
}

#[test]
fn a_poll_that_waits_is_woken_by_a_record() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    rig.log(pod, fetch(0, 1));
    rig.log(pod, LogCommand::Poll { records_max: 10, bytes_max: 1_000, wait_ms: 60_000 });
    rig.pass(1_000);
    rig.append("x");
    let began_ms = rig.network.now_ms();
    rig.until(pod, |event| matches!(event, LogEvent::Polled { chunks } if chunks.len() == 1).then_some(()));
    assert!(rig.network.now_ms() - began_ms < 50);
}

#[test]
fn an_open_transaction_holds_offsets_back_from_a_stable_read_only() {
    let mut rig = Rig::new(1);
    let (pod, assignment) = rig.lone_member("a");
    assert_eq!(rig.read_offset(pod, true), Ok(None), "nothing was committed yet");
    assert_eq!(rig.transact(pod, 1, assignment, 7), TransactionOutcome::Committed);
    rig.pass(100);
    let held = (0, Committed { offset: 9, metadata: String::new() });
    rig.network.hold_transaction("dead", rig.group, held).expect("a new name");
    let began_ms = rig.network.now_ms();
    assert!(rig.read_offset(pod, true).is_err());
    assert_eq!(rig.network.now_ms() - began_ms, 500, "it answers at its limit");
    let stable = Committed { offset: 7, metadata: "at 7".to_owned() };
    assert_eq!(rig.read_offset(pod, false), Ok(Some(stable.clone())));
    // Fencing the dead producer's name frees the offsets.
    rig.log(pod, LogCommand::FenceName { request: 2, name: "dead".to_owned() });
    rig.until(pod, |event| matches!(event, LogEvent::NameFenced { result: Ok(()), .. }).then_some(()));
    assert_eq!(rig.read_offset(pod, true), Ok(Some(stable)));
}

#[test]
fn a_held_transaction_times_out_at_the_scan() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    let held = (0, Committed { offset: 9, metadata: String::new() });
    rig.network.hold_transaction("dead", rig.group, held).expect("a new name");
    rig.pass(7_900);
    assert!(rig.read_offset(pod, true).is_err());
    rig.pass(10_200);
    assert_eq!(rig.read_offset(pod, true), Ok(None));
    assert_eq!(rig.network.faults().count(Fault::TransactionTimedOut), 1);
}

#[test]
fn positions_that_are_not_there_are_out_of_range() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    ["x", "y", "z"].into_iter().for_each(|value| rig.append(value));
    rig.network.trim(INPUT, 0, 2);
    for (number, from) in [(1, 1), (2, 4)] {
        rig.log(pod, fetch(from, number));
        rig.poll(pod);
        assert!(
            rig.saw(pod, |event| matches!(event, LogEvent::OutOfRange { fetch, .. } if *fetch == number))
        );
    }
    rig.log(pod, fetch(2, 3));
    assert_eq!(values(&rig.poll(pod)), ["z"]);
}

#[test]
fn a_seek_may_leave_a_chunk_of_the_older_fetch_behind() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    rig.log(pod, fetch(0, 1));
    rig.append("x");
    rig.poll(pod);
    rig.append("y");
    rig.network.faults_mut().strike_next(pod, Fault::StaleChunk);
    rig.log(pod, fetch(0, 2));
    let fetches: Vec<_> = rig.poll(pod).iter().map(|chunk| chunk.fetch).collect();
    assert_eq!(fetches, [1, 2]);
}

#[test]
fn a_beacon_is_read_unless_it_is_lost_or_late() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    let beacon = |rig: &mut Rig, value: &'static str| {
        rig.log(pod, LogCommand::Beacon { partition: 0, value: Bytes::from_static(value.as_bytes()) });
        rig.until(pod, |event| match event {
            LogEvent::BeaconAppended { partition: 0, result } => Some(result.is_ok()),
            _ => None,
        })
    };
    let values = |rig: &Rig| -> Vec<String> {
        let records = rig.network.broker().committed(INPUT, 0, 0);
        records.map(|record| text(record.content.value.as_deref())).collect()
    };
    assert!(beacon(&mut rig, "seen"));
    rig.network.faults_mut().strike_next(pod, Fault::BeaconLost);
    assert!(!beacon(&mut rig, "lost"));
    rig.network.faults_mut().strike_next(pod, Fault::BeaconLate);
    assert!(!beacon(&mut rig, "late"));
    assert_eq!(values(&rig), ["seen"]);
    rig.pass(20_000);
    assert_eq!(values(&rig), ["seen", "late"]);
}

#[test]
fn the_topic_says_its_id_which_another_life_does_not_share() {
    let mut rig = Rig::new(1);
    let (pod, _) = rig.lone_member("a");
    let describe = |rig: &mut Rig| {
        rig.log(pod, LogCommand::Describe { request: 3 });
        rig.until(pod, |event| match event {
            LogEvent::Described { result: Ok(description), .. } => Some(description.clone()),
            _ => None,
        })
    };
    let before = describe(&mut rig);
    rig.network.with_broker(|broker, _| broker.recreate(INPUT, 8));
    let after = describe(&mut rig);
    assert_eq!((before.partitions, after.partitions), (4, 8));
    assert_ne!(before.topic_id, after.topic_id);
    assert_eq!(rig.network.group(GROUP, INPUT), rig.group);
}

#[test]
fn record_times_never_decrease_unless_they_may() {
    let mut rig = Rig::new(1);
    let times = |rig: &Rig| -> Vec<i64> {
        rig.network.broker().committed(INPUT, 0, 0).map(|record| record.time_ms).collect()
    };
    rig.append("x");
    rig.network.jump_clock(-60_000, false);
    rig.append("y");
    assert_eq!(times(&rig)[0], times(&rig)[1]);
    rig.network.jump_clock(0, true);
    rig.append("z");
    assert_eq!(times(&rig)[2], times(&rig)[1] - 60_000);
}

#[test]
fn a_beacon_behind_an_open_transaction_is_read_when_that_has_ended() {
    let mut rig = Rig::with(1, Settings { broker_ms: 5..=5, keep: Keep::Lines, ..Settings::default() });
    let (pod, assignment) = rig.lone_member("a");
    let value = Some(Bytes::from_static(b"forwarded"));
    let record = OutRecord { topic: INPUT, partition: 0, key: None, value, headers: Vec::new() };
    let steps = vec![TransactionStep::Records(vec![record])];
    rig.log(pod, LogCommand::Transact(Transaction { id: 1, assignment, steps }));
    // The record has reached the broker, the answer has not reached the pod.
    rig.pass(7);
    rig.network.crash(pod);
    rig.append("beacon");
    let seen = |rig: &Rig| -> Vec<String> {
        let records = rig.network.broker().committed(INPUT, 0, 0);
        records.map(|record| text(record.content.value.as_deref())).collect()
    };
    rig.pass(7_000);
    assert!(seen(&rig).is_empty());
    rig.pass(13_000);
    assert_eq!(seen(&rig), ["beacon"], "what the dead pod produced was aborted");
}
