//! An engine whose log and store are played by the test.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    effect::{Output, Refresh},
    engine::{Command, Engine, EngineConfig, Now, Pace, Sequential},
    limits::{LARGE_GROUP_RECIPIENTS, STATE_BYTES_MAX},
    log::{
        Bounds, Chunk, Committed, LogCommand, LogEvent, Offset, OutRecord, RecordRef, TopicDescription,
        Transaction, TransactionOutcome, TransactionStep,
    },
    processor::{Checkpoint, Fold, FoldStats, Refreshed, RestoreError, Retention, SeenBeacon, Setup, Step},
    record::beacon::Parameters,
    store::{
        Query, Row, Select, Statement, StoreCommand, StoreError, StoreErrorClass, StoreEvent, WriteBatch,
    },
    table::{Value, presence::PRESENCE, progress::ProgressRow},
    topology::{ProcessorKind, Topic, Topology},
};

/// Writes one row and publishes one record for every record; `key?` asks for a key first, `headers?` for its
/// headers; `again` asks for a refresh.
pub struct Plain {
    setup: Setup,
    next: Offset,
    loaded: bool,
    pub acknowledged: u64,
}

impl Fold for Plain {
    const KIND: ProcessorKind = ProcessorKind::Presence;
    const BEACONS: bool = true;

    fn new(setup: Setup, position: Offset, _resume: Option<&str>) -> Result<Self, RestoreError> {
        Ok(Self { setup, next: position, loaded: false, acknowledged: 0 })
    }

    fn buckets(&self) -> Vec<u32> {
        vec![self.setup.partition]
    }

    fn restore_bucket(&mut self, _bucket: u32, origin: Offset, _bytes: &[u8]) -> Result<(), RestoreError> {
        self.next = origin;
        Ok(())
    }

    fn begin_batch(&mut self, _batch: u64) {}

    fn fold(&mut self, record: &RecordRef<'_>, output: &mut Output) -> Step {
        if record.value == Some(b"key?") && !self.loaded {
            return Step::Wanting;
        }
        if record.value == Some(b"headers?") && record.headers.is_none() {
            return Step::WantingHeaders;
        }
        if record.value == Some(b"halt") {
            return Step::Halt("this record is of the future".into());
        }
        self.next = record.offset + 1;
        let partition: Arc<[Value]> = Arc::new([Value::Int(self.setup.partition as i32)]);
        let clustering: Box<[Value]> = Box::new([Value::text("u"), Value::text("")]);
        if record.value == Some(b"again") {
            output.refresh(&PRESENCE, partition, clustering, 1, 60);
            return Step::Applied;
        }
        let value = record.value.map(Bytes::copy_from_slice);
        let user = String::from_utf8_lossy(record.value.unwrap_or_default());
        let clustering: Box<[Value]> = Box::new([Value::text(&user), Value::text("")]);
        output.publish(OutRecord {
            topic: Topic::Presence,
            partition: 0,
            key: None,
            value,
            headers: Vec::new(),
        });
        output.upsert(&PRESENCE, partition, clustering, vec![Value::Null; PRESENCE.cells.len()].into(), None);
        Step::Applied
    }

    fn wanted<'a>(&self, _records: &mut dyn Iterator<Item = RecordRef<'a>>) -> Vec<Query> {
        let partition: Arc<[Value]> = Arc::new([Value::Int(self.setup.partition as i32)]);
        vec![Query { table: &PRESENCE, partition, select: Select::Keys(Vec::new()) }]
    }

    fn load(&mut self, _query: &Query, _rows: Vec<Row>) -> Result<(), RestoreError> {
        self.loaded = true;
        Ok(())
    }

    fn checkpoint(&mut self, _bucket: u32) -> Option<Checkpoint> {
        Some(Checkpoint { origin: self.next, resume: self.resume(), bytes: Bytes::from_static(b"state") })
    }

    fn resume(&self) -> String {
        format!("at {}", self.next)
    }

    fn acknowledged(&mut self, batch: u64) {
        self.acknowledged = batch;
    }

    fn refreshed(refresh: &Refresh, row: Option<&Row>) -> Refreshed {
        match row {
            None => Refreshed::Skip,
            Some(row) if row.cells[0] == Value::BigInt(-1) => Refreshed::Restore,
            Some(row) => Refreshed::Write(Statement {
                clustering: refresh.clustering.clone(),
                change: crate::store::Change::Upsert(row.cells.clone()),
                timestamp_us: refresh.timestamp_us,
                ttl_s: Some(refresh.ttl_s),
            }),
        }
    }

    fn beacon(_setup: &Setup, incarnation: &str, elapsed_ms: i64, _parameters: &Parameters) -> Bytes {
        Bytes::from(format!("beacon {incarnation} {elapsed_ms}"))
    }

    fn seen_beacon(&self) -> Option<SeenBeacon> {
        None
    }

    fn stats(&self) -> FoldStats {
        FoldStats::default()
    }
}

/// The engine and what it has asked for and nobody has answered.
pub struct Stage {
    pub engine: Engine<Plain>,
    pub now: Now,
    pub log: Vec<LogCommand>,
    pub store: Vec<StoreCommand>,
}

pub const NAME: &str = "group.pod";
pub const BASE_US: i64 = 1_000_000;

impl Stage {
    pub fn new() -> Self {
        let now = Now { boot_ms: 1_000, wall_us: BASE_US };
        let config = EngineConfig {
            topology: Arc::new(Topology::uniform(2, 2)),
            group: "group".into(),
            name: NAME.into(),
            incarnation: "life-1".into(),
            parameters: Parameters::VERSION_1,
            retention: Retention::default(),
            state_bytes_max: STATE_BYTES_MAX,
            large_group: LARGE_GROUP_RECIPIENTS,
            session_timeout_ms: 10_000,
            pace: Pace { checkpoint_round_ms: 10, progress_ms: 10, ..Pace::default() },
        };
        let mut stage = Self { engine: Engine::new(config, now), now, log: Vec::new(), store: Vec::new() };
        stage.turn();
        stage
    }

    /// A member that owns partition 0, committed up to `committed` and stored up to `stored`, and has fetched
    /// nothing.
    pub fn live(stored: Offset, committed: Offset) -> Self {
        let mut stage = Self::new();
        stage.join();
        stage.take_over(stored, committed);
        stage
    }

    pub fn join(&mut self) {
        self.expect_log(|command| matches!(command, LogCommand::OpenProducer { name } if name == NAME));
        self.event(LogEvent::ProducerOpened);
        self.expect_log(|command| matches!(command, LogCommand::Join));
        self.assign(1);
    }

    pub fn assign(&mut self, assignment: u64) {
        self.event(LogEvent::Assigned { assignment, member: "member-1".into(), partitions: vec![0] });
        self.describe();
    }

    pub fn describe(&mut self) {
        let LogCommand::Describe { request } = self.expect_log(|c| matches!(c, LogCommand::Describe { .. }))
        else {
            unreachable!()
        };
        let result = Ok(TopicDescription { topic_id: "topic".into(), partitions: 2 });
        self.event(LogEvent::Described { request, result });
    }

    pub fn answer_offsets(&mut self, committed: Option<Committed>) {
        let read = self.expect_log(|c| matches!(c, LogCommand::ReadOffsets { .. }));
        let LogCommand::ReadOffsets { request, .. } = read else { unreachable!() };
        self.event(LogEvent::OffsetsRead { request, result: Ok(vec![(0, committed)]) });
    }

    pub fn answer_bounds(&mut self, first: Offset, end: Offset) {
        let read = self.expect_log(|c| matches!(c, LogCommand::ReadBounds { .. }));
        let LogCommand::ReadBounds { request, .. } = read else { unreachable!() };
        self.event(LogEvent::BoundsRead { request, result: Ok(vec![(0, Bounds { first, end })]) });
    }

    pub fn metadata(stored: Offset) -> String {
        let (topic_id, producer) = ("topic".into(), "group.former".into());
        let resume = (stored > 0).then(|| "{}".into());
        crate::task::metadata::OffsetMetadata {
            stored,
            start: 0,
            generation: 1,
            base_us: BASE_US,
            topic_id,
            producer,
            resume,
        }
        .encode()
    }

    pub fn take_over(&mut self, stored: Offset, committed: Offset) {
        self.answer_offsets(Some(Committed { offset: committed, metadata: Self::metadata(stored) }));
        self.answer_bounds(0, committed + 1_000);
        let row = ProgressRow {
            topic_id: "topic".into(),
            generation: 1,
            partitions: 2,
            base_us: BASE_US,
            stored,
            resume: None,
            as_of_ms: None,
        };
        let crate::store::Change::Upsert(cells) = row.upsert(0).change else { unreachable!() };
        self.answer_read("progress", vec![Row { clustering: Box::new([Value::text("")]), cells }]);
        self.acknowledge("progress_owners");
        if stored == 0 {
            self.answer_read("presence_checkpoints", Vec::new());
        } else {
            let (_, header) = crate::table::checkpoint::checkpoint_writes(
                0,
                0,
                BASE_US,
                &Checkpoint { origin: stored, resume: "{}".into(), bytes: Bytes::new() },
            );
            let statement = &header.statements[0];
            let crate::store::Change::Upsert(cells) = statement.change.clone() else { unreachable!() };
            self.answer_read(
                "presence_checkpoints",
                vec![Row { clustering: statement.clustering.clone(), cells }],
            );
        }
    }

    pub fn fetch(&mut self) -> (Offset, u64) {
        let LogCommand::Fetch { from, fetch, .. } =
            self.expect_log(|c| matches!(c, LogCommand::Fetch { .. }))
        else {
            unreachable!()
        };
        (from, fetch)
    }

    pub fn records(&mut self, fetch: u64, from: Offset, values: &[&str]) {
        self.chunk(Chunk::new(0, fetch), from, values);
    }

    /// Answers a poll with `chunk` and these records.
    pub fn chunk(&mut self, mut chunk: Chunk, from: Offset, values: &[&str]) {
        self.expect_log(|command| matches!(command, LogCommand::Poll { .. }));
        for (index, value) in values.iter().enumerate() {
            chunk.push(from + index as Offset, 5, None, Some(value.as_bytes()), Vec::new());
        }
        self.event(LogEvent::Polled { chunks: vec![chunk] });
    }

    pub fn transaction(&mut self) -> Transaction {
        match self.expect_log(|command| matches!(command, LogCommand::Transact(_))) {
            LogCommand::Transact(transaction) => transaction,
            _ => unreachable!(),
        }
    }

    pub fn end(&mut self, transaction: &Transaction, outcome: TransactionOutcome) {
        self.event(LogEvent::TransactionEnded { id: transaction.id, outcome });
    }

    pub fn commit(&mut self) -> Transaction {
        let transaction = self.transaction();
        self.end(&transaction, TransactionOutcome::Committed);
        transaction
    }

    pub fn writes(&self, table: &str) -> Vec<&WriteBatch> {
        let writes = self.store.iter().filter_map(|command| match command {
            StoreCommand::Write { batch, .. } => Some(&**batch),
            StoreCommand::Read { .. } => None,
        });
        writes.filter(|batch| batch.table.name == table).collect()
    }

    /// Acknowledges the oldest unanswered write to a table.
    pub fn acknowledge(&mut self, table: &str) -> Arc<WriteBatch> {
        let (request, batch) = self.take_write(table);
        self.store_event(StoreEvent::Written { request });
        batch
    }

    pub fn refuse(&mut self, table: &str, class: StoreErrorClass) {
        let (request, _) = self.take_write(table);
        let error = StoreError { class, message: "the store says no".into() };
        self.store_event(StoreEvent::Failed { request, error });
    }

    fn take_write(&mut self, table: &str) -> (u64, Arc<WriteBatch>) {
        let found = self.store.iter().position(|command| match command {
            StoreCommand::Write { batch, .. } => batch.table.name == table,
            StoreCommand::Read { .. } => false,
        });
        let index = found.unwrap_or_else(|| panic!("no write to {table} among {:?}", self.store));
        let StoreCommand::Write { request, batch } = self.store.remove(index) else { unreachable!() };
        (request, batch)
    }

    pub fn answer_read(&mut self, table: &str, rows: Vec<Row>) {
        let found = self.store.iter().position(|command| match command {
            StoreCommand::Read { query, .. } => query.table.name == table,
            StoreCommand::Write { .. } => false,
        });
        let index = found.unwrap_or_else(|| panic!("no read of {table} among {:?}", self.store));
        let StoreCommand::Read { request, .. } = self.store.remove(index) else { unreachable!() };
        self.store_event(StoreEvent::Rows { request, rows });
    }

    pub fn event(&mut self, event: LogEvent) {
        self.engine.handle_log(event, self.now);
        self.turn();
    }

    pub fn store_event(&mut self, event: StoreEvent) {
        self.engine.handle_store(event, self.now);
        self.turn();
    }

    pub fn pass(&mut self, ms: i64) {
        self.now.boot_ms += ms;
        self.turn();
    }

    pub fn turn(&mut self) {
        self.engine.turn(self.now, &Sequential);
        while let Some(command) = self.engine.poll_command() {
            match command {
                Command::Log(command) => self.log.push(command),
                Command::Store(command) => self.store.push(command),
            }
        }
    }

    pub fn asks(&self, wanted: impl Fn(&LogCommand) -> bool) -> bool {
        self.log.iter().any(wanted)
    }

    pub fn expect_log(&mut self, wanted: impl Fn(&LogCommand) -> bool) -> LogCommand {
        let found = self.log.iter().position(wanted);
        let index = found.unwrap_or_else(|| panic!("not asked for; asked were {:?}", self.log));
        self.log.remove(index)
    }
}

pub fn offsets_of(transaction: &Transaction) -> Vec<(u32, Committed)> {
    let offsets = transaction.steps.iter().filter_map(|step| match step {
        TransactionStep::Offsets(offsets) => Some(offsets.clone()),
        TransactionStep::Records(_) => None,
    });
    offsets.flatten().collect()
}

pub fn values_of(transaction: &Transaction) -> Vec<String> {
    let records = transaction.steps.iter().filter_map(|step| match step {
        TransactionStep::Records(records) => Some(records),
        TransactionStep::Offsets(_) => None,
    });
    let text =
        |record: &OutRecord| String::from_utf8(record.value.clone().unwrap_or_default().into()).unwrap();
    records.flatten().map(text).collect()
}
