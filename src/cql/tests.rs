use std::{
    collections::HashSet,
    net::TcpListener,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{
    store::{Change, Select, Statement},
    table::{Kind, Stage, Table, Value, Writing, column, presence::PRESENCE},
};

use super::*;

mod reads;
mod schemas;
mod writes;

/// Two clustering columns, statics, and a cell of every kind; a name that must be quoted.
static ENTRIES: Table = Table {
    name: "entries",
    partition: &[column("bucket", Kind::Int)],
    clustering: &[column("user", Kind::Text), column("seq", Kind::BigInt)],
    statics: &[column("origin", Kind::BigInt), column("note", Kind::Text)],
    cells: &[
        column("number", Kind::Int),
        column("big", Kind::BigInt),
        column("body", Kind::Text),
        column("flag", Kind::Boolean),
    ],
    stage: Stage::First,
    writing: Writing::InPlace,
};
const CREATE_ENTRIES: &str = "CREATE TABLE \"entries\" (bucket int, user text, seq bigint, \
     origin bigint static, note text static, number int, big bigint, body text, flag boolean, \
     PRIMARY KEY ((bucket), user, seq))";

static CHUNKS: Table = Table {
    name: "chunks",
    partition: &[column("bucket", Kind::Int)],
    clustering: &[column("chunk", Kind::Int)],
    statics: &[],
    cells: &[column("data", Kind::Blob)],
    stage: Stage::First,
    writing: Writing::InPlace,
};
const CREATE_CHUNKS: &str =
    "CREATE TABLE chunks (bucket int, chunk int, data blob, PRIMARY KEY ((bucket), chunk))";

/// A keyspace of its own with the two tables, removed in the end.
struct Fixture {
    runtime: Runtime,
    cql: Cql,
}

impl Fixture {
    fn new(keyspace: &str) -> Self {
        Self::with(keyspace, |_| {})
    }

    fn with(keyspace: &str, adjust: fn(&mut CqlConfig)) -> Self {
        let fixture = Self::without_keyspace(keyspace, adjust);
        let replication = fixture.cql.replication().to_owned();
        fixture.execute(&format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}"));
        for create in [CREATE_ENTRIES, CREATE_CHUNKS] {
            fixture.execute(&create.replace("TABLE ", &format!("TABLE {keyspace}.")));
        }
        fixture
    }

    fn without_keyspace(keyspace: &str, adjust: fn(&mut CqlConfig)) -> Self {
        let address = std::env::var("HEARTLINE_TEST_CQL").expect("HEARTLINE_TEST_CQL is host:port");
        let mut config = CqlConfig::new(vec![address], keyspace).unwrap();
        config.request_timeout = Duration::from_secs(20);
        adjust(&mut config);
        let runtime = Runtime::new().unwrap();
        let cql = runtime.block_on(connect(&config)).unwrap();
        let fixture = Self { runtime, cql };
        fixture.execute(&format!("DROP KEYSPACE IF EXISTS {keyspace}"));
        fixture
    }

    fn execute(&self, text: &str) {
        let mut statement = scylla::statement::Statement::new(text);
        statement.set_request_timeout(Some(Duration::from_secs(60)));
        self.runtime.block_on(self.cql.session().query_unpaged(statement, ())).unwrap();
    }

    fn write(&self, statements: Vec<Statement>) {
        self.try_write(&ENTRIES, statements).unwrap();
    }

    fn try_write(&self, table: &'static Table, statements: Vec<Statement>) -> Result<(), StoreError> {
        let batch = WriteBatch::new(table, bucket(), statements);
        self.runtime.block_on(self.cql.write(&batch))
    }

    fn read(&self, table: &'static Table, select: Select) -> Vec<Row> {
        self.runtime.block_on(self.cql.read(&Query { table, partition: bucket(), select })).unwrap()
    }

    /// The users, numbers and sequence numbers of all rows.
    fn entries(&self) -> Vec<(String, i64, Option<i32>)> {
        self.read(&ENTRIES, everything()).iter().map(entry).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let drop = format!("DROP KEYSPACE IF EXISTS {}", self.cql.keyspace());
        let mut statement = scylla::statement::Statement::new(drop);
        statement.set_request_timeout(Some(Duration::from_secs(60)));
        let _ = self.runtime.block_on(self.cql.session().query_unpaged(statement, ()));
    }
}

fn bucket() -> Arc<[Value]> {
    [Value::Int(7)].into()
}

fn everything() -> Select {
    Select::Slice { prefix: [].into(), after: None, descending: false, limit: 10_000 }
}

fn key(user: &str, seq: i64) -> Box<[Value]> {
    [Value::text(user), Value::BigInt(seq)].into()
}

fn upsert(user: &str, seq: i64, number: i32, timestamp_us: i64) -> Statement {
    let cells =
        [Value::Int(number), Value::BigInt(i64::from(number)), Value::text(user), Value::Boolean(true)];
    let change = Change::Upsert(cells.into());
    Statement { clustering: key(user, seq), change, timestamp_us, ttl_s: None }
}

fn delete(user: &str, seq: i64, timestamp_us: i64) -> Statement {
    Statement { clustering: key(user, seq), change: Change::Delete, timestamp_us, ttl_s: None }
}

fn statics(origin: i64, timestamp_us: i64) -> Statement {
    let change = Change::Statics([Value::BigInt(origin), Value::Null].into());
    Statement { clustering: [].into(), change, timestamp_us, ttl_s: None }
}

fn entry(row: &Row) -> (String, i64, Option<i32>) {
    let user = row.clustering[0].as_text().unwrap().to_owned();
    (user, row.clustering[1].as_big_int().unwrap(), row.cells[0].as_int())
}

fn entry_of(user: &str, seq: i64, number: i32) -> (String, i64, Option<i32>) {
    (user.to_owned(), seq, Some(number))
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn every_command_is_answered_once_and_wakes_the_engine() {
    let fixture = Fixture::new("heartline_test_store");
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = wakes.clone();
    let waker: Waker = Arc::new(move || _ = counter.fetch_add(1, Ordering::SeqCst));
    let mut store = CqlStore::new(fixture.cql.clone(), fixture.runtime.handle().clone(), waker);
    for request in 0..300 {
        let statements = vec![upsert("alice", request as i64, 1, 1)];
        let batch = WriteBatch::new(&ENTRIES, bucket(), statements);
        store.submit(StoreCommand::Write { request, batch: batch.into() });
    }
    let query = Query { table: &ENTRIES, partition: bucket(), select: Select::Statics };
    store.submit(StoreCommand::Read { request: 300, query });
    // A table that was never created.
    let query = Query { table: &PRESENCE, partition: bucket(), select: everything() };
    store.submit(StoreCommand::Read { request: 301, query });
    let batch = WriteBatch::new(&ENTRIES, bucket(), vec![]);
    store.submit(StoreCommand::Write { request: 302, batch: batch.into() });

    let mut answered = HashSet::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while answered.len() < 303 {
        assert!(Instant::now() < deadline, "{} answers", answered.len());
        let Some(event) = store.poll() else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        let request = match event {
            StoreEvent::Written { request } if request != 300 && request != 301 => request,
            StoreEvent::Rows { request: 300, rows } => {
                assert_eq!(rows, []);
                300
            }
            StoreEvent::Failed { request: 301, error } => {
                assert_eq!(error.class, StoreErrorClass::Permanent, "{error}");
                assert!(error.message.starts_with("a read of presence failed: "), "{error}");
                301
            }
            other => panic!("{other:?}"),
        };
        assert!(answered.insert(request), "a second answer to {request}");
    }
    assert!(store.poll().is_none());
    assert_eq!(fixture.entries().len(), 300);
    // The last wake follows its event.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(wakes.load(Ordering::SeqCst), 303);
}

#[test]
fn a_command_whose_future_is_cancelled_is_answered() {
    let (answers, events) = channel();
    let answer = Answer { request: 9, event: None, answers, waker: Arc::new(|| {}) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.spawn(async move {
        let _answer = answer;
        std::future::pending::<()>().await;
    });
    drop(runtime);
    match events.try_recv() {
        Ok(StoreEvent::Failed { request: 9, error }) => assert_eq!(error.class, StoreErrorClass::Retriable),
        other => panic!("{other:?}"),
    }
}

fn connect_to(address: &str) -> (String, Duration) {
    let mut config = CqlConfig::new(vec![address.into()], "heartline").unwrap();
    config.connect_timeout = Duration::from_secs(1);
    let began = Instant::now();
    let error = Runtime::new().unwrap().block_on(connect(&config)).unwrap_err();
    (error.to_string(), began.elapsed())
}

#[test]
fn a_database_that_is_not_there_is_one_sentence_within_the_time() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (message, took) = connect_to(&address);
    assert!(message.starts_with(&format!("cannot reach the database at {address}: ")), "{message}");
    assert!(message.ends_with("; check [store] nodes"), "{message}");
    assert!(message.contains("refused"), "{message}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_database_that_accepts_and_says_nothing_is_one_sentence_within_the_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (message, took) = connect_to(&silent.local_addr().unwrap().to_string());
    assert!(message.starts_with("cannot reach the database at 127.0.0.1:"), "{message}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn a_datacenter_that_the_database_does_not_have_is_refused_with_those_it_has() {
    let address = std::env::var("HEARTLINE_TEST_CQL").expect("HEARTLINE_TEST_CQL is host:port");
    let mut config = CqlConfig::new(vec![address], "heartline").unwrap();
    config.local_dc = Some("atlantis".into());
    let error = Runtime::new().unwrap().block_on(connect(&config)).unwrap_err().to_string();
    let expected = "[store] local_dc \"atlantis\" is no datacenter of the database; it has datacenter1";
    assert_eq!(error, expected);
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    let mut config = CqlConfig::new(vec!["127.0.0.1:1".into()], "heartline").unwrap();
    config.tls = Some(Tls { ca_file: Some("/nowhere/ca.pem".into()), ..Tls::default() });
    let error = Runtime::new().unwrap().block_on(connect(&config)).unwrap_err().to_string();
    assert!(error.starts_with("[store.tls] cannot use ca_file /nowhere/ca.pem: "), "{error}");
}
