use std::time::{Duration, Instant};

use rdkafka::producer::Producer;

use super::{Member, alone, fresh, heartbeat, offsets};
use crate::{
    kafka::{
        config::KafkaConfig,
        producer::{self, Deliveries},
        reports::ReportingProducer,
    },
    log::{LogCommand, LogEvent, TransactionOutcome, TransactionStep},
    topology::Topic,
};

const METADATA: &str = "k=3;é";

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn what_a_transaction_commits_is_read_back_with_its_metadata() {
    let _alone = alone();
    let group = fresh("commit");
    let (mut member, assignment, partitions) = Member::joined(&group, &fresh("producer"));
    assert_eq!(partitions, (0..super::PARTITIONS).collect::<Vec<_>>());
    assert_eq!(member.offset(3, true), Ok(None));

    let start = member.bounds(3).end;
    let mut record = heartbeat(3, "one");
    record.headers = vec![
        crate::log::Header { name: "a".to_owned(), value: Some(bytes::Bytes::from_static(b"\xff\0")) },
        crate::log::Header { name: "b".to_owned(), value: None },
    ];
    let mut null = heartbeat(3, "");
    (null.key, null.value) = (None, None);
    let records = TransactionStep::Records(vec![record.clone(), null]);
    let outcome = member.transact(assignment, vec![offsets(3, 7, METADATA), records]);
    assert_eq!(outcome, TransactionOutcome::Committed);

    let committed = member.offset(3, true).unwrap().unwrap();
    assert_eq!((committed.offset, committed.metadata.as_str()), (7, METADATA));
    member.submit(LogCommand::Fetch { partition: 3, from: start, fetch: 1, headers: true });
    let read = member.read(2);
    assert_eq!(read[0].value.as_deref(), Some(&b"one"[..]));
    assert_eq!(read[0].key.as_deref(), Some(&b"alice"[..]));
    assert_eq!(read[0].headers, Some(record.headers));
    assert_eq!((&read[1].key, &read[1].value), (&None, &None));
    assert!(read[0].time_ms > 1_700_000_000_000);
    member.submit(LogCommand::Fetch { partition: 3, from: start, fetch: 2, headers: false });
    let bare = member.read(2);
    assert_eq!((&bare[0].headers, &bare[0].value), (&None, &read[0].value));
    member.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn a_second_producer_of_the_same_name_fences_the_first() {
    let _alone = alone();
    let (group, name) = (fresh("fenced"), fresh("producer"));
    let (mut first, assignment, _) = Member::joined(&group, &name);
    let mut second = Member::new(&group);
    second.open(&name);
    let outcome = first.transact(assignment, vec![offsets(0, 1, "")]);
    assert!(matches!(outcome, TransactionOutcome::Fenced { .. }), "{outcome:?}");
    // A fenced producer is gone: nothing is sent until a new one is opened.
    let outcome = first.transact(assignment, vec![offsets(0, 1, "")]);
    assert!(matches!(outcome, TransactionOutcome::Unclear { .. }), "{outcome:?}");
    first.open(&name);
    assert_eq!(first.transact(assignment, vec![offsets(0, 2, "")]), TransactionOutcome::Committed);
    first.leave();
    second.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn an_assignment_that_is_over_commits_nothing() {
    let _alone = alone();
    let group = fresh("stale");
    let (mut first, stale, _) = Member::joined(&group, &fresh("producer"));
    let mut second = Member::new(&group);
    second.open(&fresh("producer"));
    second.submit(LogCommand::Join);
    first.wait(|event| matches!(event, LogEvent::Revoking { .. }).then_some(()));
    first.submit(LogCommand::Release);
    let (fresh_assignment, mine) = first.assigned();
    let (_, theirs) = second.assigned();
    assert_eq!(mine.len() + theirs.len(), 8);

    let outcome = first.transact(stale, vec![offsets(mine[0], 5, "stale")]);
    assert!(matches!(outcome, TransactionOutcome::Aborted { .. }), "{outcome:?}");
    assert_eq!(first.offset(mine[0], true), Ok(None));
    let outcome = first.transact(fresh_assignment, vec![offsets(mine[0], 6, "fresh")]);
    assert_eq!(outcome, TransactionOutcome::Committed);
    first.leave();
    second.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn a_record_that_is_refused_aborts_the_offsets_too() {
    let _alone = alone();
    let group = fresh("refused");
    let (mut member, assignment, _) = Member::joined(&group, &fresh("producer"));
    let steps =
        vec![offsets(0, 9, ""), TransactionStep::Records(vec![heartbeat(0, "fine"), heartbeat(999, "lost")])];
    let outcome = member.transact(assignment, steps);
    assert!(matches!(outcome, TransactionOutcome::Fatal { .. }), "{outcome:?}");
    assert_eq!(member.offset(0, true), Ok(None));
    member.leave();
}

/// A producer with an open transaction that holds an offset of `group`, as a pod leaves it that dies there.
fn left_open(group: &str, name: &str, member: &Member) -> ReportingProducer<Deliveries> {
    let (session, transaction) = (Duration::from_secs(60), Duration::from_secs(50));
    let config =
        KafkaConfig::new(super::connection(), group, Topic::Heartbeats, session, transaction).unwrap();
    let producer = producer::open(&config, name).unwrap();
    let metadata = member.log.parts.as_ref().unwrap().generations.get(1).unwrap();
    producer.begin_transaction().unwrap();
    let list = producer::offset_list(
        Topic::Heartbeats,
        &[(2, crate::log::Committed { offset: 40, metadata: "open".to_owned() })],
    )
    .unwrap();
    producer.send_offsets_to_transaction(&list, &metadata, Duration::from_secs(5)).unwrap();
    producer
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn an_open_transaction_blocks_the_stable_read_until_its_name_is_fenced() {
    let _alone = alone();
    let (group, dead) = (fresh("blocked"), fresh("dead"));
    let (mut member, assignment, _) = Member::joined(&group, &fresh("producer"));
    let outcome = member.transact(assignment, vec![offsets(2, 30, "committed")]);
    assert_eq!(outcome, TransactionOutcome::Committed);
    let open = left_open(&group, &dead, &member);

    let asked = Instant::now();
    let stable = member.offset(2, true).unwrap_err();
    assert!(asked.elapsed() < Duration::from_millis(3_500), "{:?}", asked.elapsed());
    assert!(stable.contains("offsets"), "{stable}");
    let committed = member.offset(2, false).unwrap().unwrap();
    assert_eq!((committed.offset, committed.metadata.as_str()), (30, "committed"));

    let request = member.request();
    member.submit(LogCommand::FenceName { request, name: dead });
    let result = member.wait(|event| match event {
        LogEvent::NameFenced { result, .. } => Some(result.clone()),
        _ => None,
    });
    assert_eq!(result, Ok(()));
    let committed = member.offset(2, true).unwrap().unwrap();
    assert_eq!((committed.offset, committed.metadata.as_str()), (30, "committed"));
    drop(open);
    member.leave();
}
