use std::time::Duration;

use super::*;
use crate::{
    embedded::tests::{TestDatabase, record},
    log::ErrorClass,
};

fn run<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(Duration::from_secs(20), body).await.expect("it ends in time")
    })
}

fn values(texts: &[&str], topic: Topic, partition: PartitionId) -> Vec<OutRecord> {
    texts.iter().map(|text| record(topic, partition, "k", Some(text))).collect()
}

async fn next(tail: &mut Tail) -> (PartitionId, Offset, String) {
    let record = tail.next().await.expect("a record").expect("no error");
    let value = String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned();
    (record.partition, record.offset, value)
}

#[test]
fn a_tail_reads_what_is_there_and_follows() {
    let test = TestDatabase::new();
    let topics = EmbeddedTopics::new(&test.database);
    run(async {
        topics.append(values(&["a", "b"], Topic::Presence, 0)).await.expect("appended");
        let mut tail = topics.tail(Topic::Presence, TailFrom::Start).await.expect("a tail");
        assert_eq!(tail.positions, [(0, 0), (1, 0)]);
        assert_eq!(next(&mut tail).await, (0, 0, "a".to_owned()));
        assert_eq!(next(&mut tail).await, (0, 1, "b".to_owned()));
        topics.append(values(&["c"], Topic::Presence, 1)).await.expect("appended");
        assert_eq!(next(&mut tail).await, (1, 0, "c".to_owned()));
    });
}

#[test]
fn a_tail_begins_where_it_is_told_and_never_where_nothing_is() {
    let test = TestDatabase::new();
    let topics = EmbeddedTopics::new(&test.database);
    run(async {
        topics.append(values(&["a", "b"], Topic::Presence, 0)).await.expect("appended");
        topics.append(values(&["c"], Topic::Presence, 1)).await.expect("appended");
        let mut end = topics.tail(Topic::Presence, TailFrom::End).await.expect("a tail");
        assert_eq!(end.positions, [(0, 2), (1, 1)]);
        let mut named =
            topics.tail(Topic::Presence, TailFrom::Positions(vec![(0, 1)])).await.expect("a tail");
        assert_eq!(named.positions, [(0, 1), (1, 1)]);
        let beyond = topics.tail(Topic::Presence, TailFrom::Positions(vec![(0, 99)])).await.expect("a tail");
        assert_eq!(beyond.positions, [(0, 2), (1, 1)]);
        topics.append(values(&["d"], Topic::Presence, 1)).await.expect("appended");
        assert_eq!(next(&mut end).await, (1, 1, "d".to_owned()));
        assert_eq!(next(&mut named).await, (0, 1, "b".to_owned()));
        assert_eq!(next(&mut named).await, (1, 1, "d".to_owned()));
    });
}

#[test]
fn a_slow_reader_gets_everything_and_a_gone_one_ends_the_reading() {
    let test = TestDatabase::new();
    let topics = EmbeddedTopics::new(&test.database);
    let count = 3 * READ_RECORDS_MAX;
    run(async {
        let records = (0..count).map(|n| record(Topic::Inbox, 0, "k", Some(&n.to_string()))).collect();
        topics.append(records).await.expect("appended");
        let mut tail = topics.tail(Topic::Inbox, TailFrom::Start).await.expect("a tail");
        for n in 0..count {
            assert_eq!(next(&mut tail).await, (0, n as i64, n.to_string()));
        }
        let holders = Arc::strong_count(&test.database.shared);
        drop(tail);
        while Arc::strong_count(&test.database.shared) >= holders {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_full_partition_does_not_starve_the_others() {
    let test = TestDatabase::new();
    let topics = EmbeddedTopics::new(&test.database);
    run(async {
        let many = (0..3 * READ_RECORDS_MAX).map(|n| record(Topic::Inbox, 0, "k", Some(&n.to_string())));
        topics.append(many.collect()).await.expect("appended");
        topics.append(values(&["other"], Topic::Inbox, 1)).await.expect("appended");
        let mut tail = topics.tail(Topic::Inbox, TailFrom::Start).await.expect("a tail");
        let mut before = 0;
        while next(&mut tail).await.0 == 0 {
            before += 1;
        }
        assert_eq!(before, READ_RECORDS_MAX);
    });
}

#[test]
fn a_tail_ends_when_the_database_is_closed() {
    let TestDatabase { database, folder, .. } = TestDatabase::new();
    run(async {
        let mut tail =
            EmbeddedTopics::new(&database).tail(Topic::Inbox, TailFrom::End).await.expect("a tail");
        // Long enough for the tail to be waiting.
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(database);
        assert!(tail.next().await.is_none());
    });
    drop(folder);
}

#[test]
fn a_log_that_is_behind_turns_clients_away_until_it_has_caught_up() {
    let test = TestDatabase::new();
    let topics = EmbeddedTopics::new(&test.database);
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    // An answer that does not come back holds the writer, as a slow disk would.
    let reply = Box::new(move |_| blocked.recv().unwrap_or_default());
    let hold = Work::Append { records: values(&["a"], Topic::Inbox, 0), reply };
    test.database.shared.submit(Lane::Engine, hold).expect("there is room");
    let large = "x".repeat(1_000_000);
    run(async {
        let mut waiting = Vec::new();
        let error = loop {
            let mut append = topics.append(values(&[&large], Topic::Inbox, 1));
            match futures_util::poll!(&mut append) {
                std::task::Poll::Pending => waiting.push(append),
                std::task::Poll::Ready(result) => break result.expect_err("the queue is full"),
            }
            assert!(waiting.len() < 100, "the queue has a bound");
        };
        assert_eq!(error.class, ErrorClass::Behind);
        drop(release);
        for append in waiting {
            append.await.expect("what was queued is appended");
        }
        topics.append(values(&["z"], Topic::Inbox, 1)).await.expect("there is room again");
    });
}

#[test]
fn a_bad_record_is_refused_with_the_others_of_its_append() {
    let test = TestDatabase::new();
    let topics = EmbeddedTopics::new(&test.database);
    run(async {
        let mut keyless = record(Topic::Sessions, 0, "k", Some("v"));
        keyless.key = None;
        let huge = "x".repeat(1_100_000);
        for bad in [keyless, record(Topic::Inbox, 2, "k", None), record(Topic::Inbox, 0, "k", Some(&huge))] {
            let mut records = values(&["good"], Topic::Inbox, 0);
            records.push(bad);
            assert!(topics.append(records).await.is_err());
        }
    });
    assert_eq!(test.bounds(Topic::Inbox, 0).end, 0);
}

#[test]
fn a_store_client_reads_what_it_has_written() {
    use crate::{
        store::{Change, Select, Statement},
        table::{Value, progress::OWNERS},
    };
    let test = TestDatabase::new();
    let store = EmbeddedStoreClient::new(&test.database);
    let clustering: Box<[Value]> = Box::from([Value::text("p")]);
    let cells: Box<[Value]> = Box::from([Value::BigInt(7)]);
    let partition: Arc<[Value]> = Arc::from([Value::text("heartbeats"), Value::Int(0)]);
    let change = Change::Upsert(cells.clone());
    let statement = Statement { clustering: clustering.clone(), change, timestamp_us: 1, ttl_s: None };
    let select = Select::Keys(vec![clustering.clone()]);
    run(async {
        let batch = WriteBatch::new(&OWNERS, partition.clone(), vec![statement]);
        store.write(batch).await.expect("written");
        let rows = store.read(Query { table: &OWNERS, partition, select }).await.expect("read");
        assert_eq!(rows, [Row { clustering, cells }]);
    });
}
