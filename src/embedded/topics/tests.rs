use crate::{
    embedded::{
        queue::Lane,
        rows::cell::GRACE_MS,
        tests::{TestDatabase, record},
        writer::Work,
    },
    log::Bounds,
    topology::Topic,
};

const START_MS: i64 = 1_000_000;
const RETENTION_MS: i64 = 3_600_000;

fn append(test: &TestDatabase, topic: Topic, records: &[(&str, Option<&str>)]) {
    let records = records.iter().map(|(key, value)| record(topic, 0, key, *value)).collect();
    test.append(records).expect("appended");
}

fn values(test: &TestDatabase, topic: Topic) -> Vec<(i64, Option<String>)> {
    test.records(topic, 0).into_iter().map(|(offset, _, value)| (offset, value)).collect()
}

#[test]
fn record_times_never_decrease_even_if_the_clock_does() {
    let test = TestDatabase::new();
    append(&test, Topic::Inbox, &[("k", Some("a"))]);
    test.clock.set(START_MS - 500);
    append(&test, Topic::Inbox, &[("k", Some("b"))]);
    let test = test.reopened();
    append(&test, Topic::Inbox, &[("k", Some("c"))]);
    test.clock.set(START_MS + 1);
    append(&test, Topic::Inbox, &[("k", Some("d"))]);
    let times: Vec<_> = test.records(Topic::Inbox, 0).into_iter().map(|(_, time_ms, _)| time_ms).collect();
    assert_eq!(times, [START_MS, START_MS, START_MS, START_MS + 1]);
}

#[test]
fn offsets_go_on_after_a_restart_even_if_every_record_is_gone() {
    let test = TestDatabase::new();
    append(&test, Topic::Inbox, &[("k", Some("a")), ("k", Some("b"))]);
    test.clock.set(START_MS + RETENTION_MS + 1);
    test.keep_house();
    assert!(values(&test, Topic::Inbox).is_empty());
    let test = test.reopened();
    append(&test, Topic::Inbox, &[("k", Some("c"))]);
    assert_eq!(values(&test, Topic::Inbox), [(2, Some("c".to_owned()))]);
    assert_eq!(test.bounds(Topic::Inbox, 0), Bounds { first: 2, end: 3 });
}

#[test]
fn retention_takes_records_that_are_older_and_no_other() {
    let test = TestDatabase::new();
    append(&test, Topic::Inbox, &[("k", Some("a"))]);
    test.clock.set(START_MS + 1);
    append(&test, Topic::Inbox, &[("k", Some("b"))]);
    test.clock.set(START_MS + RETENTION_MS);
    test.keep_house();
    assert_eq!(test.bounds(Topic::Inbox, 0), Bounds { first: 0, end: 2 }, "as old as the retention is kept");
    test.clock.set(START_MS + RETENTION_MS + 1);
    test.keep_house();
    assert_eq!(test.bounds(Topic::Inbox, 0), Bounds { first: 1, end: 2 });
    assert_eq!(values(&test, Topic::Inbox), [(1, Some("b".to_owned()))]);
}

#[test]
fn records_that_come_together_share_batches_and_are_read_from_any_of_them() {
    let test = TestDatabase::new();
    let text = "v".repeat(100);
    for _ in 0..2 {
        let many: Vec<_> =
            (0..2_000).map(|at| record(Topic::Inbox, at % 2, "k", Some(&format!("{text}{at}")))).collect();
        test.append(many).expect("appended");
    }
    let stored = test.database.shared.spaces.records.len().expect("a count");
    assert!((8..20).contains(&stored), "{stored} batches for two partitions of 240 KB, in two appends");
    for from in [0, 1, 517, 999, 1_000, 1_001, 1_999] {
        let read = test.records_from(Topic::Inbox, 1, from);
        let expected =
            (from..2_000).map(|offset| (offset, Some(format!("{text}{}", offset % 1_000 * 2 + 1))));
        let read: Vec<_> = read.into_iter().map(|(offset, _, value)| (offset, value)).collect();
        assert_eq!(read, expected.collect::<Vec<_>>(), "from {from}");
    }
    assert!(test.records_from(Topic::Inbox, 1, 2_000).is_empty());
}

#[test]
fn a_trim_within_a_batch_keeps_the_records_beyond() {
    let test = TestDatabase::new();
    append(&test, Topic::Inbox, &[("k", Some("a")), ("k", Some("b")), ("k", Some("c"))]);
    append(&test, Topic::Inbox, &[("k", Some("d"))]);
    let trim = |below: i64| {
        let (sender, answer) = std::sync::mpsc::channel();
        let reply = Box::new(move |()| sender.send(()).expect("somebody waits"));
        let work = Work::Trim { topic: Topic::Inbox, partition: 0, below, reply };
        test.database.shared.submit(Lane::Client, work).expect("room");
        answer.recv().expect("an answer");
    };
    trim(2);
    assert_eq!(test.bounds(Topic::Inbox, 0), Bounds { first: 2, end: 4 });
    let read = test.records_from(Topic::Inbox, 0, 2);
    assert_eq!(read.iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [2, 3]);
    trim(3);
    assert_eq!(values(&test, Topic::Inbox), [(3, Some("d".to_owned()))], "the batch below is gone");
    trim(1);
    assert_eq!(test.bounds(Topic::Inbox, 0), Bounds { first: 3, end: 4 }, "what is gone stays gone");
}

#[test]
fn retention_takes_more_than_one_step_can() {
    let test = TestDatabase::new();
    for _ in 0..5 {
        let many: Vec<_> = (0..1_000).map(|_| record(Topic::Inbox, 0, "k", Some("v"))).collect();
        test.append(many).expect("appended");
    }
    test.clock.set(START_MS + 2 * RETENTION_MS);
    test.keep_house();
    assert_eq!(test.bounds(Topic::Inbox, 0), Bounds { first: 5_000, end: 5_000 });
    assert!(values(&test, Topic::Inbox).is_empty());
}

#[test]
fn a_compacted_topic_keeps_the_last_record_of_every_key() {
    let test = TestDatabase::new();
    append(&test, Topic::Sessions, &[("a", Some("1")), ("b", Some("2")), ("a", Some("3"))]);
    append(&test, Topic::Sessions, &[("c", Some("4")), ("b", Some("5"))]);
    let expected = [(2, Some("3".to_owned())), (3, Some("4".to_owned())), (4, Some("5".to_owned()))];
    assert_eq!(values(&test, Topic::Sessions), expected);
    test.clock.set(START_MS + 100 * RETENTION_MS);
    test.keep_house();
    let test = test.reopened();
    append(&test, Topic::Sessions, &[("a", Some("6"))]);
    assert_eq!(values(&test, Topic::Sessions)[2], (5, Some("6".to_owned())));
    assert_eq!(test.bounds(Topic::Sessions, 0), Bounds { first: 0, end: 6 });
}

#[test]
fn a_tombstone_is_kept_for_a_day_and_its_key_may_come_back() {
    let test = TestDatabase::new();
    append(&test, Topic::Sessions, &[("a", Some("1")), ("b", Some("2"))]);
    append(&test, Topic::Sessions, &[("b", None), ("a", None)]);
    test.clock.set(START_MS + GRACE_MS);
    append(&test, Topic::Sessions, &[("b", Some("3"))]);
    test.keep_house();
    assert_eq!(values(&test, Topic::Sessions), [(3, None), (4, Some("3".to_owned()))]);
    test.clock.set(START_MS + GRACE_MS + 1);
    test.keep_house();
    assert_eq!(values(&test, Topic::Sessions), [(4, Some("3".to_owned()))]);
    let latest = &test.database.shared.spaces.latest;
    assert_eq!(latest.len().expect("a count"), 1, "the index forgets the key as well");
    append(&test, Topic::Sessions, &[("a", Some("4"))]);
    assert_eq!(values(&test, Topic::Sessions), [(4, Some("3".to_owned())), (5, Some("4".to_owned()))]);
}
