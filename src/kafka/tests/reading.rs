use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Member, Read, alone, fresh, heartbeat};
use crate::log::{LogCommand, LogEvent, OutRecord, TransactionOutcome, TransactionStep};

fn write(member: &mut Member, assignment: u64, records: Vec<OutRecord>) {
    let outcome = member.transact(assignment, vec![TransactionStep::Records(records)]);
    assert_eq!(outcome, TransactionOutcome::Committed);
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn every_poll_is_answered_once_and_in_time() {
    let _alone = alone();
    let (mut member, assignment, _) = Member::joined(&fresh("poll"), &fresh("producer"));
    let asked = Instant::now();
    assert_eq!(member.poll(300), []);
    let waited = asked.elapsed();
    assert!(waited > Duration::from_millis(290) && waited < Duration::from_millis(600), "{waited:?}");

    let from = member.bounds(1).end;
    member.submit(LogCommand::Fetch { partition: 1, from, fetch: 1, headers: true });
    assert_eq!(member.poll(500), []);
    for _ in 0..3 {
        member.submit(LogCommand::Poll { records_max: 10, bytes_max: 1 << 20, wait_ms: 2_000 });
    }
    write(&mut member, assignment, vec![heartbeat(1, "x")]);
    let mut records = 0;
    for _ in 0..3 {
        records += member.wait(|event| match event {
            LogEvent::Polled { chunks } => Some(chunks.iter().map(crate::log::Chunk::len).sum::<usize>()),
            _ => None,
        });
    }
    assert_eq!(records, 1);
    let more = member
        .wait_for(Duration::from_millis(300), |event| matches!(event, LogEvent::Polled { .. }).then_some(()));
    assert_eq!(more, None);
    member.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn what_is_over_the_bounds_of_a_poll_comes_with_the_next() {
    let _alone = alone();
    let (mut member, assignment, _) = Member::joined(&fresh("bounds"), &fresh("producer"));
    let from = member.bounds(2).end;
    write(&mut member, assignment, (0..100).map(|n| heartbeat(2, &n.to_string())).collect());
    member.submit(LogCommand::Fetch { partition: 2, from, fetch: 1, headers: true });
    let mut seen = Vec::new();
    while seen.len() < 100 {
        member.submit(LogCommand::Poll { records_max: 7, bytes_max: 1 << 20, wait_ms: 5_000 });
        let chunks = member.wait(|event| match event {
            LogEvent::Polled { chunks } => Some(chunks.clone()),
            _ => None,
        });
        let count: usize = chunks.iter().map(crate::log::Chunk::len).sum();
        assert!((1..=7).contains(&count), "{count} records");
        for chunk in &chunks {
            seen.extend((0..chunk.len()).map(|at| chunk.get(at).value.unwrap_or_default().to_vec()));
        }
    }
    let expected: Vec<Vec<u8>> = (0..100).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(seen, expected);
    member.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn a_new_fetch_starts_over_and_leaves_other_partitions_alone() {
    let _alone = alone();
    let (mut member, assignment, _) = Member::joined(&fresh("refetch"), &fresh("producer"));
    let (one, two) = (member.bounds(1).end, member.bounds(2).end);
    let records = (0..50).flat_map(|n| [heartbeat(1, &n.to_string()), heartbeat(2, &n.to_string())]);
    write(&mut member, assignment, records.collect());
    member.submit(LogCommand::Fetch { partition: 1, from: one, fetch: 1, headers: true });
    member.submit(LogCommand::Fetch { partition: 2, from: two, fetch: 2, headers: true });
    let mut read = member.read(100);
    member.submit(LogCommand::Fetch { partition: 1, from: one + 40, fetch: 3, headers: true });
    read.extend(member.read(10));
    let offsets = |fetch| read.iter().filter(|r| r.fetch == fetch).map(|r| r.offset).collect::<Vec<_>>();
    assert_eq!(offsets(1), (one..one + 50).collect::<Vec<_>>());
    assert_eq!(offsets(2), (two..two + 50).collect::<Vec<_>>());
    assert_eq!(offsets(3), (one + 40..one + 50).collect::<Vec<_>>());

    member.submit(LogCommand::StopFetch { partition: 1 });
    write(&mut member, assignment, vec![heartbeat(1, "unread"), heartbeat(2, "read")]);
    let read = member.read(1);
    assert_eq!((read.len(), read[0].partition), (1, 2));
    assert_eq!(member.poll(500), []);
    member.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn a_position_that_is_not_there_is_said_and_can_be_fetched_anew() {
    let _alone = alone();
    let (mut member, assignment, _) = Member::joined(&fresh("range"), &fresh("producer"));
    // A transaction's markers follow the answer to its end, so that the end may be told too low for a moment.
    let end = member.bounds(4).end;
    let there = fresh("there");
    write(&mut member, assignment, vec![heartbeat(4, &there)]);
    for (fetch, from) in [(1, end + 1_000), (2, -5)] {
        member.submit(LogCommand::Fetch { partition: 4, from, fetch, headers: true });
        let said = member.wait(|event| match event {
            LogEvent::OutOfRange { partition, fetch } => Some((*partition, *fetch)),
            _ => None,
        });
        assert_eq!(said, (4, fetch));
    }
    member.submit(LogCommand::Fetch { partition: 4, from: end, fetch: 3, headers: true });
    let is_there = |read: &Read| read.value.as_deref() == Some(there.as_bytes());
    while !member.read(1).iter().any(is_there) {}
    member.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn a_beacon_is_appended_and_read() {
    let _alone = alone();
    let (mut member, _, _) = Member::joined(&fresh("beacon"), &fresh("producer"));
    let from = member.bounds(6).end;
    member.submit(LogCommand::Fetch { partition: 6, from, fetch: 1, headers: true });
    member.submit(LogCommand::Beacon { partition: 6, value: Bytes::from_static(b"tick") });
    let appended = member.wait(|event| match event {
        LogEvent::BeaconAppended { partition: 6, result } => Some(result.clone()),
        _ => None,
    });
    assert_eq!(appended, Ok(()));
    let read = member.read(1);
    assert_eq!((read[0].offset, read[0].value.as_deref()), (from, Some(&b"tick"[..])));
    assert_eq!(read[0].key, None);

    member.submit(LogCommand::Beacon { partition: 77, value: Bytes::from_static(b"tick") });
    let refused = member.wait(|event| match event {
        LogEvent::BeaconAppended { partition: 77, result } => Some(result.clone()),
        _ => None,
    });
    assert!(refused.unwrap_err().message.contains("does not exist"));
    member.leave();
}
