use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    ops::ControlFlow,
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicI64, Ordering},
        mpsc::channel,
    },
    time::{Duration, Instant},
};

use super::{queue::Lane, writer::Work, *};
use crate::{
    log::{
        Bounds, Committed, Log, LogCommand, LogError, LogEvent, Offset, OutRecord, PartitionId, Transaction,
    },
    log::{TransactionOutcome, TransactionStep},
    store::{Change, Query, Row, Select, Statement, StoreError, WriteBatch},
    table::{Table, Value, progress::OWNERS},
};

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(super) struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub fn at(now_ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(now_ms)))
    }

    pub fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }

    pub fn clock(&self) -> Clock {
        let now_ms = Arc::clone(&self.0);
        Arc::new(move || now_ms.load(Ordering::SeqCst))
    }
}

/// A database in a folder of its own.
pub(super) struct TestDatabase {
    pub database: Arc<Database>,
    pub clock: ManualClock,
    // After the database, which is in it.
    pub folder: tempfile::TempDir,
}

/// Two partitions each; `presence-state` and `sessions` are compacted, retention is an hour elsewhere.
pub(super) fn topology() -> Topology {
    let mut text = String::new();
    for topic in Topic::ALL {
        let cleanup = match topic {
            Topic::PresenceState | Topic::Sessions => "cleanup = \"compact\"",
            _ => "cleanup = \"delete\"\nretention = \"1h\"",
        };
        text += &format!("[topics.{topic}]\npartitions = 2\nreplication = 1\n{cleanup}\n");
    }
    for processor in ["presence", "inbox", "cursor"] {
        text += &format!("[processors.{processor}]\nbuckets = 4\n");
    }
    Topology::parse(&text).expect("the topology is valid")
}

impl TestDatabase {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::at(1_000_000);
        let database =
            Database::open_with_clock(folder.path(), &topology(), clock.clock()).expect("a new database");
        Self { database, clock, folder }
    }

    /// Closes the database and opens it again.
    pub fn reopened(self) -> Self {
        let Self { database, clock, folder } = self;
        drop(database);
        let database =
            Database::open_with_clock(folder.path(), &topology(), clock.clock()).expect("the same database");
        Self { database, clock, folder }
    }

    pub fn append(&self, records: Vec<OutRecord>) -> Result<(), LogError> {
        let (sender, receiver) = channel();
        let reply = Box::new(move |result| sender.send(result).expect("the test waits"));
        self.database.shared.submit(Lane::Client, Work::Append { records, reply }).expect("there is room");
        receiver.recv().expect("the writer answers")
    }

    pub fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let (sender, receiver) = channel();
        let reply = Box::new(move |result| sender.send(result).expect("the test waits"));
        self.database.shared.submit(Lane::Engine, Work::Write { batch, reply }).expect("there is room");
        receiver.recv().expect("the writer answers")
    }

    /// Lets the writer take everything that `submit` submits as one group.
    pub fn in_one_group(&self, submit: impl FnOnce(&Shared)) {
        let shared = &self.database.shared;
        let (held, is_held) = channel();
        let (release, released) = channel::<()>();
        let reply = Box::new(move |_| {
            held.send(()).expect("the test waits");
            released.recv().unwrap_or_default();
        });
        shared.submit(Lane::Engine, Work::ListMembers { group: "".into(), reply }).expect("there is room");
        is_held.recv().expect("the writer answers");
        submit(shared);
        drop(release);
    }

    pub fn read(&self, query: &Query) -> Result<Vec<Row>, StoreError> {
        let shared = &self.database.shared;
        rows::read(&shared.spaces, &shared.spaces.database.snapshot(), query, shared.now_ms())
    }

    pub fn bounds(&self, topic: Topic, partition: PartitionId) -> Bounds {
        let spaces = &self.database.shared.spaces;
        let position = topics::position(spaces, &spaces.database.snapshot(), topic, partition);
        position.expect("a position").bounds
    }

    /// Offset, time and value of a partition's records.
    pub fn records(&self, topic: Topic, partition: PartitionId) -> Vec<(Offset, i64, Option<String>)> {
        self.records_from(topic, partition, 0)
    }

    pub fn records_from(
        &self,
        topic: Topic,
        partition: PartitionId,
        from: Offset,
    ) -> Vec<(Offset, i64, Option<String>)> {
        let spaces = &self.database.shared.spaces;
        let mut records = Vec::new();
        topics::scan(spaces, &spaces.database.snapshot(), (topic, partition), from, |offset, record| {
            let value = record.value.map(|value| String::from_utf8_lossy(value).into_owned());
            records.push((offset, record.time_ms, value));
            ControlFlow::Continue(())
        })
        .expect("readable records");
        records
    }

    /// Housekeeping until it has been everywhere.
    pub fn keep_house(&self) {
        let mut housekeeping = Housekeeping::new(&self.database.shared);
        for _ in 0..2 * TABLES.len() + 4 {
            while housekeeping.step().expect("housekeeping works") {}
        }
    }
}

pub(super) fn record(topic: Topic, partition: PartitionId, key: &str, value: Option<&str>) -> OutRecord {
    let bytes = |text: &str| bytes::Bytes::copy_from_slice(text.as_bytes());
    OutRecord { topic, partition, key: Some(bytes(key)), value: value.map(bytes), headers: Vec::new() }
}

#[test]
fn a_folder_serves_one_process_and_says_so() {
    let test = TestDatabase::new();
    let error = Database::open(test.folder.path(), &topology()).err().expect("the folder is in use");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().starts_with("another heartline uses the folder "), "{error}");
    test.reopened();
}

#[test]
fn a_topic_keeps_its_id_and_its_partition_count_for_life() {
    let test = TestDatabase::new();
    let id = test.database.topic_id(Topic::Heartbeats).expect("an id").to_owned();
    let test = test.reopened();
    assert_eq!(test.database.topic_id(Topic::Heartbeats), Some(&*id));
    let TestDatabase { database, folder, .. } = test;
    drop(database);
    let error = Database::open(folder.path(), &Topology::uniform(4, 4)).err().expect("another count");
    assert!(error.to_string().contains("has 2 partitions, the topology says 4"), "{error}");
    let error = Database::open(folder.path(), &Topology::uniform(2, 4)).err().expect("another cleanup");
    assert!(error.to_string().contains("has cleanup 'compact', the topology says 'delete'"), "{error}");
}

#[test]
fn a_folder_of_another_format_is_refused() {
    let TestDatabase { database, folder, .. } = TestDatabase::new();
    let catalog = StoredCatalog { format: FORMAT + 1, topics: BTreeMap::new() };
    store_catalog(&database.shared.spaces, &catalog).expect("a catalog");
    drop(database);
    let error = Database::open(folder.path(), &topology()).err().expect("another format");
    assert!(matches!(error, OpenError::Format { found, .. } if found == FORMAT + 1), "{error}");
}

#[test]
fn a_database_whose_making_was_cut_off_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let draft = folder.path().join("store.new");
    std::fs::create_dir_all(&draft).expect("a draft");
    std::fs::write(draft.join("0.jnl"), b"half").expect("a file in it");
    Database::open(folder.path(), &topology()).expect("a new database");
    assert!(!draft.exists());
}

#[test]
fn a_table_may_gain_columns_at_its_end_and_change_in_no_other_way() {
    use crate::table::{Kind, Stage, Writing, column};
    static NARROW: Table = Table {
        name: "t",
        partition: &[column("p", Kind::Int)],
        clustering: &[],
        statics: &[],
        cells: &[column("a", Kind::Int)],
        stage: Stage::First,
        writing: Writing::InPlace,
    };
    static WIDE: Table = Table { cells: &[column("a", Kind::Int), column("b", Kind::Text)], ..NARROW_COPY };
    static OTHER: Table = Table { cells: &[column("aa", Kind::Int), column("b", Kind::Text)], ..NARROW_COPY };
    const NARROW_COPY: Table = Table {
        name: "t",
        partition: &[column("p", Kind::Int)],
        clustering: &[],
        statics: &[],
        cells: &[],
        stage: Stage::First,
        writing: Writing::InPlace,
    };
    let partition = || Arc::from([Value::Int(1)]);
    let statement = |cells: Box<[Value]>| Statement {
        clustering: Box::default(),
        change: Change::Upsert(cells),
        timestamp_us: 1,
        ttl_s: None,
    };
    let test = TestDatabase::new();
    let statements = vec![statement(Box::from([Value::Int(7)]))];
    test.write(WriteBatch::new(&NARROW, partition(), statements)).expect("written");
    let test = test.reopened();
    let query = |table| Query { table, partition: partition(), select: Select::Keys(vec![Box::default()]) };
    let rows = test.read(&query(&WIDE)).expect("a wider table");
    assert_eq!(rows[0].cells[..], [Value::Int(7), Value::Null]);
    let test = test.reopened();
    let error = test.read(&query(&OTHER)).expect_err("another column");
    assert!(error.message.contains("table t was made with the columns"), "{error}");
}

#[test]
fn work_of_one_group_sees_what_earlier_work_of_it_changed() {
    let test = TestDatabase::new();
    let (sender, receiver) = channel();
    let name = |n: i64| n.to_string();
    test.in_one_group(|shared| {
        for n in 0..3 {
            let sender = sender.clone();
            let reply =
                Box::new(move |result: Result<(), LogError>| sender.send(result.is_ok()).expect("waits"));
            let records = vec![record(Topic::Presence, 0, "k", Some(&name(n)))];
            shared.submit(Lane::Client, Work::Append { records, reply }).expect("there is room");
        }
        for n in [5, 9, 7] {
            let sender = sender.clone();
            let reply =
                Box::new(move |result: Result<(), StoreError>| sender.send(result.is_ok()).expect("waits"));
            let work = Work::Write { batch: owners_batch(n), reply };
            shared.submit(Lane::Engine, work).expect("there is room");
        }
    });
    assert!((0..6).all(|_| receiver.recv().expect("an answer")));
    let values: Vec<_> =
        test.records(Topic::Presence, 0).into_iter().filter_map(|(.., value)| value).collect();
    assert_eq!(values, [name(0), name(1), name(2)]);
    assert_eq!(owners(&test), [9, 9]);
}

#[test]
fn refused_work_leaves_nothing_in_the_group_it_was_part_of() {
    let test = TestDatabase::new();
    let (sender, receiver) = channel();
    test.in_one_group(|shared| {
        for (partition, n) in [(9, 0), (0, 1)] {
            let sender = sender.clone();
            let reply =
                Box::new(move |result: Result<(), LogError>| sender.send(result.is_ok()).expect("waits"));
            let value = n.to_string();
            // The first one is acceptable in part only.
            let records = vec![
                record(Topic::Sessions, 1, &value, Some(&value)),
                record(Topic::Presence, partition, &value, Some(&value)),
            ];
            shared.submit(Lane::Client, Work::Append { records, reply }).expect("there is room");
        }
        let mut bad = owners_batch(5);
        bad.statements[1].clustering = Box::default();
        for batch in [bad, owners_batch(4)] {
            let sender = sender.clone();
            let reply =
                Box::new(move |result: Result<(), StoreError>| sender.send(result.is_ok()).expect("waits"));
            shared.submit(Lane::Engine, Work::Write { batch, reply }).expect("there is room");
        }
    });
    let answers: Vec<_> = (0..4).map(|_| receiver.recv().expect("an answer")).collect();
    assert_eq!(answers, [false, true, false, true]);
    assert_eq!(test.records(Topic::Sessions, 1), [(0, 1_000_000, Some("1".to_owned()))]);
    let latest = &test.database.shared.spaces.latest;
    assert_eq!(latest.len().expect("a count"), 1, "the refused record's key is not in the index");
    assert_eq!(owners(&test), [4, 4]);
}

/// Waits for an event that `pick` takes.
pub(super) fn wait_for<T>(log: &mut EmbeddedLog, mut pick: impl FnMut(LogEvent) -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match log.poll() {
            Some(event) => {
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
            None => {
                assert!(Instant::now() < deadline, "the event comes");
                thread::sleep(Duration::from_micros(100));
            }
        }
    }
}

/// The assignment of a member that has just joined.
pub(super) fn joined(log: &mut EmbeddedLog, producer: &str) -> u64 {
    log.submit(LogCommand::OpenProducer { name: producer.to_owned() });
    log.submit(LogCommand::Join);
    wait_for(log, |event| match event {
        LogEvent::Assigned { assignment, .. } => Some(assignment),
        _ => None,
    })
}

/// What the killed process writes in its turn `n`: a transaction of an offset and a record for each of two
/// topics, then a batch of two rows.
fn transaction(n: i64, assignment: u64) -> Transaction {
    let committed = Committed { offset: n + 1, metadata: n.to_string() };
    let value = n.to_string();
    let records = [Topic::Presence, Topic::Sessions].map(|topic| record(topic, 0, &value, Some(&value)));
    let steps =
        vec![TransactionStep::Offsets(vec![(1, committed)]), TransactionStep::Records(records.to_vec())];
    Transaction { id: n as u64, assignment, steps }
}

fn owners_batch(n: i64) -> WriteBatch {
    let statement = |name: &str| Statement {
        clustering: Box::from([Value::text(name)]),
        change: Change::Upsert(Box::from([Value::BigInt(n)])),
        timestamp_us: n,
        ttl_s: None,
    };
    let partition = Arc::from([Value::text("heartbeats"), Value::Int(0)]);
    WriteBatch::new(&OWNERS, partition, vec![statement("a"), statement("b")])
}

/// What the rows of [`owners_batch`] say.
fn owners(test: &TestDatabase) -> Vec<i64> {
    let partition = Arc::from([Value::text("heartbeats"), Value::Int(0)]);
    let select = Select::Slice { prefix: Box::default(), after: None, descending: false, limit: 10 };
    let rows = test.read(&Query { table: &OWNERS, partition, select }).expect("rows");
    rows.iter().filter_map(|row| row.cells[0].as_big_int()).collect()
}

#[test]
#[ignore = "is the process that what_was_acknowledged_survives_a_kill starts and kills"]
fn writes_until_it_is_killed() {
    let folder = std::env::var("HEARTLINE_TEST_FOLDER").expect("the folder is given");
    let database = Database::open(Path::new(&folder), &topology()).expect("a database");
    let mut log = EmbeddedLog::start(&database, "g", Topic::Heartbeats, Arc::new(|| {})).expect("a log");
    let assignment = joined(&mut log, "p");
    for n in 0.. {
        log.submit(LogCommand::Transact(transaction(n, assignment)));
        let outcome = wait_for(&mut log, |event| match event {
            LogEvent::TransactionEnded { outcome, .. } => Some(outcome),
            _ => None,
        });
        assert_eq!(outcome, TransactionOutcome::Committed);
        let (sender, receiver) = channel();
        let reply = Box::new(move |result: Result<(), StoreError>| sender.send(result).expect("waited for"));
        let work = Work::Write { batch: owners_batch(n), reply };
        database.shared.submit(Lane::Engine, work).expect("there is room");
        receiver.recv().expect("an answer").expect("written");
        println!("\nacknowledged {n}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut acknowledged = -1;
    for round in 1..=3 {
        // Each round writes the same turns again; the offset of the group says which one was the last.
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["embedded::tests::writes_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
            .env("HEARTLINE_TEST_FOLDER", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut last = -1;
        let mut note = |line: Option<std::io::Result<String>>| {
            let line = line?.ok()?;
            if let Some(n) = line.strip_prefix("acknowledged ") {
                last = n.parse().expect("a whole number");
            }
            Some(last)
        };
        while note(lines.next()).expect("the child writes") < 40 * round {}
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
        while note(lines.next()).is_some() {}
        acknowledged = last.max(acknowledged);
        check_after_kill(folder.path(), last);
    }
    assert!(acknowledged >= 120);
}

/// `last` turns are there as a whole, and at most the one after them, as a whole or not at all.
fn check_after_kill(folder: &Path, last: i64) {
    let clock = ManualClock::at(0);
    let database =
        Database::open_with_clock(folder, &topology(), Arc::new(wall_clock_ms)).expect("recovered");
    let test = TestDatabase { database, clock, folder: tempfile::tempdir().expect("unused") };
    let spaces = &test.database.shared.spaces;
    let snapshot = spaces.database.snapshot();
    let committed = topics::committed(spaces, &snapshot, (Topic::Heartbeats, 1), "g").expect("readable");
    let committed = committed.expect("an offset").offset;
    assert!(committed == last + 1 || committed == last + 2, "{committed} committed, {last} acknowledged");
    for topic in [Topic::Presence, Topic::Sessions] {
        let records = test.records(topic, 0);
        let (offset, _, value) = records.last().expect("records");
        assert_eq!(value.as_deref(), Some(&*(committed - 1).to_string()), "{topic}: as the offset says");
        assert_eq!(offset + 1, test.bounds(topic, 0).end);
    }
    let dense: Vec<_> = test.records(Topic::Presence, 0).iter().map(|(offset, ..)| *offset).collect();
    assert_eq!(dense, (0..dense.len() as i64).collect::<Vec<_>>());
    let values = owners(&test);
    assert_eq!(values.len(), 2);
    assert_eq!(values[0], values[1], "a batch is whole");
    assert!(values[0] >= last, "row {} written, {last} acknowledged", values[0]);
}
