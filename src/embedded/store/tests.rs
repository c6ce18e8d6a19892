use std::time::{Duration, Instant};

use super::*;
use crate::{
    embedded::tests::TestDatabase,
    store::{Change, Row, Select, Statement, WriteBatch},
    table::{Value, progress::OWNERS},
};

fn start(test: &TestDatabase) -> EmbeddedStore {
    EmbeddedStore::start(&test.database, Arc::new(|| {})).expect("a store")
}

fn next(store: &mut EmbeddedStore) -> StoreEvent {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(event) = store.poll() {
            return event;
        }
        assert!(Instant::now() < deadline, "the event comes");
        thread::sleep(Duration::from_micros(100));
    }
}

fn partition(n: i32) -> Arc<[Value]> {
    Arc::from([Value::text("heartbeats"), Value::Int(n)])
}

fn write(n: i32, since_us: i64) -> WriteBatch {
    let change = Change::Upsert(Box::from([Value::BigInt(since_us)]));
    let statement =
        Statement { clustering: Box::from([Value::text("p")]), change, timestamp_us: since_us, ttl_s: None };
    WriteBatch::new(&OWNERS, partition(n), vec![statement])
}

fn query(n: i32) -> Query {
    let select = Select::Slice { prefix: Box::default(), after: None, descending: false, limit: 10 };
    Query { table: &OWNERS, partition: partition(n), select }
}

fn read(store: &mut EmbeddedStore, n: i32) -> Vec<Row> {
    store.submit(StoreCommand::Read { request: 1_000, query: query(n) });
    match next(store) {
        StoreEvent::Rows { request: 1_000, rows } => rows,
        other => panic!("rows were asked for: {other:?}"),
    }
}

#[test]
fn what_is_acknowledged_can_be_read_and_is_there_after_a_restart() {
    let test = TestDatabase::new();
    let mut store = start(&test);
    for request in 0..50 {
        store.submit(StoreCommand::Write { request, batch: write(request as i32, 7).into() });
    }
    let mut acknowledged: Vec<_> = (0..50)
        .map(|_| match next(&mut store) {
            StoreEvent::Written { request } => request,
            other => panic!("every write is acknowledged: {other:?}"),
        })
        .collect();
    acknowledged.sort();
    assert_eq!(acknowledged, (0..50).collect::<Vec<_>>());
    drop(store);
    let test = test.reopened();
    let mut store = start(&test);
    for n in 0..50 {
        assert_eq!(read(&mut store, n)[0].cells[..], [Value::BigInt(7)]);
    }
    assert_eq!(read(&mut store, 50), []);
}

#[test]
fn a_bad_request_fails_for_good_and_the_next_one_does_not() {
    let test = TestDatabase::new();
    let mut store = start(&test);
    let bad = WriteBatch::new(&OWNERS, Arc::default(), write(1, 1).statements);
    store.submit(StoreCommand::Write { request: 1, batch: bad.into() });
    let StoreEvent::Failed { request: 1, error } = next(&mut store) else {
        panic!("the write is refused");
    };
    assert_eq!(error.class, StoreErrorClass::Permanent);
    store.submit(StoreCommand::Read { request: 2, query: Query { partition: Arc::default(), ..query(1) } });
    assert!(matches!(next(&mut store), StoreEvent::Failed { request: 2, .. }));
    store.submit(StoreCommand::Write { request: 3, batch: write(1, 1).into() });
    assert!(matches!(next(&mut store), StoreEvent::Written { request: 3 }));
}
