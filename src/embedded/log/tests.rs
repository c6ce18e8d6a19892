use bytes::Bytes;

use super::*;
use crate::{
    embedded::tests::{TestDatabase, joined, record, wait_for},
    log::{
        Chunk, Committed, LogError, OutRecord, PartitionId, Transaction, TransactionOutcome, TransactionStep,
    },
};

fn start(test: &TestDatabase) -> EmbeddedLog {
    EmbeddedLog::start(&test.database, "g", Topic::Heartbeats, Arc::new(|| {})).expect("a log")
}

fn beat(partition: PartitionId, value: &str) -> OutRecord {
    record(Topic::Heartbeats, partition, "k", Some(value))
}

fn transact(log: &mut EmbeddedLog, assignment: u64, steps: Vec<TransactionStep>) -> TransactionOutcome {
    log.submit(LogCommand::Transact(Transaction { id: 1, assignment, steps }));
    wait_for(log, |event| match event {
        LogEvent::TransactionEnded { outcome, .. } => Some(outcome),
        _ => None,
    })
}

fn offset(partition: PartitionId, offset: i64) -> TransactionStep {
    TransactionStep::Offsets(vec![(partition, Committed { offset, metadata: "m".to_owned() })])
}

fn poll(log: &mut EmbeddedLog, wait_ms: u64) -> Vec<Chunk> {
    log.submit(LogCommand::Poll { records_max: 1_000, bytes_max: 1_000_000, wait_ms });
    wait_for(log, |event| match event {
        LogEvent::Polled { chunks } => Some(chunks),
        _ => None,
    })
}

fn values(chunks: &[Chunk]) -> Vec<(PartitionId, i64, String)> {
    let one = |chunk: &Chunk, at: usize| {
        let record = chunk.get(at);
        (
            chunk.partition,
            record.offset,
            String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned(),
        )
    };
    chunks.iter().flat_map(|chunk| (0..chunk.len()).map(move |at| one(chunk, at))).collect()
}

fn committed(log: &mut EmbeddedLog) -> Vec<(PartitionId, Option<Committed>)> {
    log.submit(LogCommand::ReadOffsets { request: 1, partitions: vec![0, 1], stable: true, limit_ms: 500 });
    wait_for(log, |event| match event {
        LogEvent::OffsetsRead { result, .. } => Some(result.expect("offsets")),
        _ => None,
    })
}

#[test]
fn a_transaction_commits_offsets_and_records_together() {
    let test = TestDatabase::new();
    let mut log = start(&test);
    let assignment = joined(&mut log, "p");
    let records = vec![record(Topic::Presence, 1, "u", Some("a")), beat(0, "forwarded")];
    let outcome = transact(&mut log, assignment, vec![offset(0, 5), TransactionStep::Records(records)]);
    assert_eq!(outcome, TransactionOutcome::Committed);
    let expected = Committed { offset: 5, metadata: "m".to_owned() };
    assert_eq!(committed(&mut log), [(0, Some(expected)), (1, None)]);
    assert_eq!(test.records(Topic::Presence, 1), [(0, 1_000_000, Some("a".to_owned()))]);
    assert_eq!(test.bounds(Topic::Heartbeats, 0).end, 1);
}

#[test]
fn a_refused_transaction_leaves_nothing_behind() {
    let test = TestDatabase::new();
    let mut log = start(&test);
    let assignment = joined(&mut log, "p");
    let records =
        vec![record(Topic::Presence, 0, "u", Some("a")), record(Topic::Presence, 9, "u", Some("b"))];
    let outcome = transact(&mut log, assignment, vec![offset(0, 5), TransactionStep::Records(records)]);
    assert!(matches!(outcome, TransactionOutcome::Fatal { .. }), "{outcome:?}");
    assert_eq!(committed(&mut log), [(0, None), (1, None)]);
    assert_eq!(test.bounds(Topic::Presence, 0).end, 0);
    let metadata = "m".repeat(4_097);
    let offsets = vec![(0, Committed { offset: 1, metadata })];
    let outcome = transact(&mut log, assignment, vec![TransactionStep::Offsets(offsets)]);
    assert!(matches!(outcome, TransactionOutcome::Fatal { .. }), "{outcome:?}");
}

#[test]
fn a_later_join_makes_the_earlier_assignment_stale_and_is_told() {
    let test = TestDatabase::new();
    let (mut old, mut new) = (start(&test), start(&test));
    let stale = joined(&mut old, "old");
    let current = joined(&mut new, "new");
    let lost = wait_for(&mut old, |event| match event {
        LogEvent::Lost { partitions } => Some(partitions),
        _ => None,
    });
    assert_eq!(lost, [0, 1]);
    let outcome = transact(&mut old, stale, vec![offset(0, 5)]);
    assert!(matches!(outcome, TransactionOutcome::Aborted { .. }), "{outcome:?}");
    assert_eq!(committed(&mut new), [(0, None), (1, None)]);
    assert_eq!(transact(&mut new, current, vec![offset(0, 6)]), TransactionOutcome::Committed);
    new.submit(LogCommand::ListMembers { request: 1 });
    let members = wait_for(&mut new, |event| match event {
        LogEvent::MembersListed { result, .. } => Some(result.expect("members")),
        _ => None,
    });
    assert_eq!(members.iter().map(|member| &*member.client_id).collect::<Vec<_>>(), ["new"]);
}

#[test]
fn a_newer_producer_of_the_name_fences_the_older_one() {
    let test = TestDatabase::new();
    let (mut old, mut new) = (start(&test), start(&test));
    let assignment = joined(&mut old, "p");
    assert_eq!(transact(&mut old, assignment, vec![offset(0, 1)]), TransactionOutcome::Committed);
    new.submit(LogCommand::OpenProducer { name: "p".to_owned() });
    wait_for(&mut new, |event| matches!(event, LogEvent::ProducerOpened).then_some(()));
    let outcome = transact(&mut old, assignment, vec![offset(0, 2)]);
    assert!(matches!(outcome, TransactionOutcome::Fenced { .. }), "{outcome:?}");
    old.submit(LogCommand::OpenProducer { name: "p".to_owned() });
    wait_for(&mut old, |event| matches!(event, LogEvent::ProducerOpened).then_some(()));
    assert_eq!(transact(&mut old, assignment, vec![offset(0, 3)]), TransactionOutcome::Committed);
    new.submit(LogCommand::FenceName { request: 7, name: "p".to_owned() });
    wait_for(&mut new, |event| {
        matches!(event, LogEvent::NameFenced { request: 7, result: Ok(()), .. }).then_some(())
    });
    let outcome = transact(&mut old, assignment, vec![offset(0, 4)]);
    assert!(matches!(outcome, TransactionOutcome::Fenced { .. }), "{outcome:?}");
}

#[test]
fn a_waiting_poll_is_answered_by_the_first_record() {
    let test = TestDatabase::new();
    let mut log = start(&test);
    joined(&mut log, "p");
    for partition in [0, 1] {
        log.submit(LogCommand::Fetch { partition, from: 0, fetch: u64::from(partition), headers: true });
    }
    let started = std::time::Instant::now();
    assert!(poll(&mut log, 50).is_empty());
    assert!(started.elapsed().as_millis() >= 50, "an empty poll waits");
    log.submit(LogCommand::Poll { records_max: 10, bytes_max: 1_000, wait_ms: 60_000 });
    test.append(vec![beat(1, "a"), beat(1, "b")]).expect("appended");
    let chunks = wait_for(&mut log, |event| match event {
        LogEvent::Polled { chunks } => Some(chunks),
        _ => None,
    });
    assert_eq!(values(&chunks), [(1, 0, "a".to_owned()), (1, 1, "b".to_owned())]);
    assert_eq!(chunks[0].fetch, 1);
    log.submit(LogCommand::StopFetch { partition: 1 });
    test.append(vec![beat(1, "c")]).expect("appended");
    assert!(poll(&mut log, 20).is_empty());
}

#[test]
fn a_poll_keeps_its_bounds_and_starves_no_partition() {
    let test = TestDatabase::new();
    let mut log = start(&test);
    joined(&mut log, "p");
    let large = "x".repeat(5_000);
    for partition in [0, 1] {
        test.append((0..3).map(|_| beat(partition, &large)).collect()).expect("appended");
        log.submit(LogCommand::Fetch { partition, from: 0, fetch: 1, headers: true });
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        log.submit(LogCommand::Poll { records_max: 10, bytes_max: 100, wait_ms: 0 });
        let chunks = wait_for(&mut log, |event| match event {
            LogEvent::Polled { chunks } => Some(chunks),
            _ => None,
        });
        order.extend(values(&chunks).into_iter().map(|(partition, offset, _)| (partition, offset)));
    }
    assert_eq!(order, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]);
    for (records_max, expected) in [(1, 1), (2, 2), (9, 3)] {
        log.submit(LogCommand::Fetch { partition: 0, from: 0, fetch: 2, headers: true });
        log.submit(LogCommand::Poll { records_max, bytes_max: 1_000_000, wait_ms: 0 });
        let chunks = wait_for(&mut log, |event| match event {
            LogEvent::Polled { chunks } => Some(chunks),
            _ => None,
        });
        assert_eq!(values(&chunks).len(), expected);
    }
}

#[test]
fn a_position_that_is_not_there_is_out_of_range() {
    let test = TestDatabase::new();
    let mut log = start(&test);
    joined(&mut log, "p");
    test.append(vec![beat(0, "a")]).expect("appended");
    test.clock.set(1_000_000 + 3_600_001);
    test.append(vec![beat(0, "b")]).expect("appended");
    test.keep_house();
    for (from, out_of_range) in [(0, true), (1, false), (2, false), (3, true)] {
        let fetch = 10 + from as u64;
        log.submit(LogCommand::Fetch { partition: 0, from, fetch, headers: true });
        log.submit(LogCommand::Poll { records_max: 10, bytes_max: 1_000, wait_ms: 0 });
        let mut seen = false;
        wait_for(&mut log, |event| match event {
            LogEvent::OutOfRange { partition: 0, fetch: of } if of == fetch => {
                seen = true;
                None
            }
            LogEvent::Polled { .. } => Some(()),
            _ => None,
        });
        assert_eq!(seen, out_of_range, "from {from}");
    }
}

#[test]
fn a_beacon_is_a_record_of_the_input() {
    let test = TestDatabase::new();
    let mut log = start(&test);
    joined(&mut log, "p");
    let mut beacon = |partition| -> Result<(), LogError> {
        log.submit(LogCommand::Beacon { partition, value: Bytes::from_static(b"tick") });
        wait_for(&mut log, |event| match event {
            LogEvent::BeaconAppended { result, .. } => Some(result),
            _ => None,
        })
    };
    assert_eq!(beacon(1), Ok(()));
    assert!(beacon(7).is_err());
    assert_eq!(test.records(Topic::Heartbeats, 1), [(0, 1_000_000, Some("tick".to_owned()))]);
}

#[test]
fn nothing_follows_when_a_member_has_left() {
    let test = TestDatabase::new();
    let mut log = start(&test);
    joined(&mut log, "p");
    log.submit(LogCommand::Fetch { partition: 0, from: 0, fetch: 1, headers: true });
    log.submit(LogCommand::Poll { records_max: 10, bytes_max: 1_000, wait_ms: 60_000 });
    log.submit(LogCommand::Leave);
    wait_for(&mut log, |event| matches!(event, LogEvent::Left).then_some(()));
    test.append(vec![beat(0, "a")]).expect("appended");
    log.submit(LogCommand::Join);
    std::thread::sleep(std::time::Duration::from_millis(30));
    assert!(log.poll().is_none());
    let mut other = start(&test);
    other.submit(LogCommand::ListMembers { request: 1 });
    let members = wait_for(&mut other, |event| match event {
        LogEvent::MembersListed { result, .. } => Some(result.expect("members")),
        _ => None,
    });
    assert!(members.is_empty());
}

#[test]
fn the_waker_is_called_for_every_event() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let test = TestDatabase::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let waker: Waker = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let mut log = EmbeddedLog::start(&test.database, "g", Topic::Heartbeats, waker).expect("a log");
    joined(&mut log, "p");
    log.submit(LogCommand::Describe { request: 1 });
    let description = wait_for(&mut log, |event| match event {
        LogEvent::Described { result, .. } => Some(result.expect("a description")),
        _ => None,
    });
    assert_eq!(Some(&*description.topic_id), test.database.topic_id(Topic::Heartbeats));
    assert_eq!(description.partitions, 2);
    // The call comes after the event is queued: the last one may still be under way.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while calls.load(Ordering::SeqCst) < 3 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}
