//! One engine with a log and a store that answer as the choices have it: late, out of order, twice, with
//! failures. The log keeps the contract of [`heartline::log`]; what the engine does is judged as it does it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use heartline::{
    engine::{Command, Engine, EngineConfig, Now, Pace, Sequential},
    limits::STATE_BYTES_MAX,
    log::{
        Bounds, Chunk, Committed, ErrorClass, FetchId, LogCommand, LogError, LogEvent, Member, Offset,
        PartitionId, TopicDescription, Transaction, TransactionOutcome, TransactionStep,
    },
    processor::{Fold, Retention},
    record::beacon::Parameters,
    sim::SimStore,
    store::{Change, Row, StoreCommand, StoreError, StoreErrorClass, StoreEvent, WriteBatch},
    table::{Value, Writing, progress},
    task::metadata::OffsetMetadata,
    topology::{Topic, Topology},
};

pub const PARTITIONS: u32 = 2;
const NAME: &str = "heartline.pod-1";
const MEMBER: &str = "member-1";
const POLL_RECORDS_MAX: usize = 50;

#[derive(Debug, Clone)]
pub struct Appended {
    time_ms: i64,
    key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// Where the member stands with its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Out,
    /// The group settles; `Assigned` follows.
    Settling,
    Member,
    /// `Release` is awaited.
    Revoking,
}

/// What the log does with a command instead of carrying it out.
#[derive(Debug, Clone, Copy)]
pub enum LogFault {
    Failed(ErrorClass),
    Aborted,
    Fenced,
    UnclearApplied,
    UnclearLost,
}

pub struct World<F> {
    pub engine: Engine<F>,
    pub topology: Arc<Topology>,
    pub now: Now,
    store: SimStore,
    pub log: Vec<Vec<Appended>>,
    committed: BTreeMap<PartitionId, Committed>,
    pub group: Group,
    assignment: u64,
    fetches: BTreeMap<PartitionId, (Offset, FetchId, bool)>,
    /// Of the fetch before.
    stale_fetch: Option<(PartitionId, FetchId)>,
    pub log_commands: VecDeque<LogCommand>,
    pub store_commands: VecDeque<StoreCommand>,
    /// Writes of engines that are gone.
    pub zombies: VecDeque<Arc<WriteBatch>>,
    tainted: bool,
    /// The last answers that name their question.
    answers: VecDeque<LogEvent>,
    store_answers: VecDeque<StoreEvent>,
}

impl<F: Fold> World<F> {
    pub fn new() -> Self {
        let topology = Arc::new(Topology::uniform(PARTITIONS, 2 * PARTITIONS));
        let now = Now { boot_ms: 1_000, wall_us: 1_760_000_000_000_000 };
        let mut world = Self {
            engine: engine(&topology, now, 1),
            topology,
            now,
            store: SimStore::default(),
            log: vec![Vec::new(); PARTITIONS as usize],
            committed: BTreeMap::new(),
            group: Group::Out,
            assignment: 0,
            fetches: BTreeMap::new(),
            stale_fetch: None,
            log_commands: VecDeque::new(),
            store_commands: VecDeque::new(),
            zombies: VecDeque::new(),
            tainted: false,
            answers: VecDeque::new(),
            store_answers: VecDeque::new(),
        };
        world.turn();
        world
    }

    /// The pod is gone, and another life of it begins.
    pub fn crash(&mut self) {
        for command in self.store_commands.drain(..) {
            if let StoreCommand::Write { batch, .. } = command {
                self.zombies.push_back(batch);
            }
        }
        self.log_commands.clear();
        self.fetches.clear();
        self.answers.clear();
        self.store_answers.clear();
        (self.group, self.stale_fetch, self.tainted) = (Group::Out, None, false);
        self.engine = engine(&self.topology, self.now, self.assignment + 2);
        self.turn();
    }

    pub fn pass(&mut self, ms: i64) {
        self.now.boot_ms += ms;
        self.now.wall_us += ms * 1_000;
        self.turn();
    }

    pub fn append(&mut self, partition: PartitionId, key: Option<Vec<u8>>, value: Option<Vec<u8>>) {
        let time_ms = self.now.wall_us / 1_000;
        self.log[partition as usize].push(Appended { time_ms, key, value });
    }

    pub fn end(&self, partition: PartitionId) -> Offset {
        self.log[partition as usize].len() as Offset
    }

    pub fn committed(&self, partition: PartitionId) -> Offset {
        self.committed.get(&partition).map_or(0, |committed| committed.offset)
    }

    fn turn(&mut self) {
        self.engine.turn(self.now, &Sequential);
        while let Some(command) = self.engine.poll_command() {
            match command {
                Command::Log(command) => self.submit(command),
                Command::Store(command) => {
                    if let StoreCommand::Write { batch, .. } = &command {
                        self.judge_write(batch);
                    }
                    self.store_commands.push_back(command);
                }
            }
        }
    }

    /// What changes the log's own state does so at once; the rest waits for its answer.
    fn submit(&mut self, command: LogCommand) {
        match command {
            LogCommand::Fetch { partition, from, fetch, headers } => {
                let former = self.fetches.insert(partition, (from, fetch, headers));
                self.stale_fetch = former.map(|(_, fetch, _)| (partition, fetch)).or(self.stale_fetch);
            }
            LogCommand::StopFetch { partition } => {
                let former = self.fetches.remove(&partition);
                self.stale_fetch = former.map(|(_, fetch, _)| (partition, fetch)).or(self.stale_fetch);
            }
            LogCommand::Join => self.group = Group::Settling,
            LogCommand::Release => {
                if self.group == Group::Revoking {
                    self.group = Group::Settling;
                }
            }
            command => {
                if let LogCommand::Transact(transaction) = &command {
                    self.judge_transaction(transaction);
                }
                self.log_commands.push_back(command);
            }
        }
    }

    pub fn event(&mut self, event: LogEvent) {
        self.engine.handle_log(event, self.now);
        self.turn();
    }

    pub fn assign(&mut self, partitions: Vec<PartitionId>) {
        self.group = Group::Member;
        self.assignment += 1;
        self.event(LogEvent::Assigned { assignment: self.assignment, member: MEMBER.into(), partitions });
    }

    /// Carries out the command at `index` and answers it.
    pub fn answer_log(&mut self, index: usize) {
        let Some(command) = self.log_commands.remove(index) else { return };
        let event = match command {
            LogCommand::OpenProducer { .. } => {
                self.tainted = false;
                LogEvent::ProducerOpened
            }
            LogCommand::Leave => LogEvent::Left,
            LogCommand::Describe { request } => LogEvent::Described { request, result: Ok(description()) },
            LogCommand::ReadOffsets { request, partitions, .. } => {
                let read = |partition| (partition, self.committed.get(&partition).cloned());
                LogEvent::OffsetsRead { request, result: Ok(partitions.into_iter().map(read).collect()) }
            }
            LogCommand::ReadBounds { request, partitions } => {
                let read = |partition| (partition, Bounds { first: 0, end: self.end(partition) });
                LogEvent::BoundsRead { request, result: Ok(partitions.into_iter().map(read).collect()) }
            }
            LogCommand::ListMembers { request } => {
                let member = Member { id: MEMBER.into(), client_id: NAME.into() };
                LogEvent::MembersListed { request, result: Ok(vec![member]) }
            }
            LogCommand::FenceName { request, name } => LogEvent::NameFenced { request, name, result: Ok(()) },
            LogCommand::Poll { records_max, .. } => LogEvent::Polled { chunks: self.poll(records_max) },
            LogCommand::Transact(transaction) => {
                let outcome = match self.is_current(&transaction) {
                    true => TransactionOutcome::Committed,
                    false => TransactionOutcome::Aborted { reason: "stale".into() },
                };
                if outcome == TransactionOutcome::Committed {
                    self.apply(&transaction);
                }
                LogEvent::TransactionEnded { id: transaction.id, outcome }
            }
            LogCommand::Beacon { partition, value } => {
                self.append(partition, None, Some(value.to_vec()));
                LogEvent::BeaconAppended { partition, result: Ok(()) }
            }
            LogCommand::Join
            | LogCommand::Release
            | LogCommand::Fetch { .. }
            | LogCommand::StopFetch { .. } => return,
        };
        self.remember(&event);
        self.event(event);
    }

    /// Fails the command at `index`.
    pub fn fail_log(&mut self, index: usize, fault: LogFault) {
        let Some(command) = self.log_commands.remove(index) else { return };
        let class = match fault {
            LogFault::Failed(class) => class,
            _ => ErrorClass::Retriable,
        };
        let error = LogError { class, message: "the log says no".into() };
        let event = match command {
            LogCommand::OpenProducer { .. } => LogEvent::ProducerFailed { error },
            LogCommand::Leave => LogEvent::Left,
            LogCommand::Describe { request } => LogEvent::Described { request, result: Err(error) },
            LogCommand::ReadOffsets { request, .. } => LogEvent::OffsetsRead { request, result: Err(error) },
            LogCommand::ReadBounds { request, .. } => LogEvent::BoundsRead { request, result: Err(error) },
            LogCommand::ListMembers { request } => LogEvent::MembersListed { request, result: Err(error) },
            LogCommand::FenceName { request, name } => {
                LogEvent::NameFenced { request, name, result: Err(error) }
            }
            LogCommand::Poll { .. } => LogEvent::Polled { chunks: self.stale_chunk() },
            LogCommand::Transact(transaction) => {
                let applies = matches!(fault, LogFault::UnclearApplied) && self.is_current(&transaction);
                if applies {
                    self.apply(&transaction);
                }
                let reason = String::from("as the choices have it");
                let outcome = match fault {
                    LogFault::Failed(_) | LogFault::Aborted => TransactionOutcome::Aborted { reason },
                    LogFault::Fenced => TransactionOutcome::Fenced { reason },
                    LogFault::UnclearApplied | LogFault::UnclearLost => {
                        TransactionOutcome::Unclear { reason }
                    }
                };
                self.tainted = !matches!(outcome, TransactionOutcome::Aborted { .. });
                LogEvent::TransactionEnded { id: transaction.id, outcome }
            }
            LogCommand::Beacon { partition, value } => {
                if matches!(fault, LogFault::UnclearApplied) {
                    self.append(partition, None, Some(value.to_vec()));
                }
                LogEvent::BeaconAppended { partition, result: Err(error) }
            }
            LogCommand::Join
            | LogCommand::Release
            | LogCommand::Fetch { .. }
            | LogCommand::StopFetch { .. } => return,
        };
        self.event(event);
    }

    /// Says again what was said before, and what nobody asks any more.
    pub fn repeat(&mut self, index: usize) {
        if let Some(event) = self.answers.get(index).cloned() {
            self.event(event);
        }
        if let Some(event) = self.store_answers.get(index).cloned() {
            self.store_event(event);
        }
    }

    fn remember(&mut self, event: &LogEvent) {
        if matches!(
            event,
            LogEvent::Described { .. }
                | LogEvent::OffsetsRead { .. }
                | LogEvent::BoundsRead { .. }
                | LogEvent::MembersListed { .. }
                | LogEvent::TransactionEnded { .. }
        ) {
            self.answers.push_front(event.clone());
            self.answers.truncate(4);
        }
    }

    fn poll(&mut self, records_max: usize) -> Vec<Chunk> {
        let mut chunks = self.stale_chunk();
        for (partition, (from, fetch, headers)) in &mut self.fetches {
            let records = &self.log[*partition as usize];
            let mut chunk = Chunk::new(*partition, *fetch).keeping_headers(*headers);
            for record in records.iter().skip(*from as usize).take(records_max.min(POLL_RECORDS_MAX)) {
                chunk.push(*from, record.time_ms, record.key.as_deref(), record.value.as_deref(), Vec::new());
                *from += 1;
            }
            if !chunk.is_empty() {
                chunks.push(chunk);
            }
        }
        chunks
    }

    /// A chunk of a fetch that is over.
    fn stale_chunk(&mut self) -> Vec<Chunk> {
        let Some((partition, fetch)) = self.stale_fetch.take() else { return Vec::new() };
        let mut chunk = Chunk::new(partition, fetch);
        chunk.push(1_000_000, 0, None, Some(b"stale"), Vec::new());
        vec![chunk]
    }

    fn is_current(&self, transaction: &Transaction) -> bool {
        transaction.assignment == self.assignment && matches!(self.group, Group::Member | Group::Revoking)
    }

    fn apply(&mut self, transaction: &Transaction) {
        for step in &transaction.steps {
            match step {
                TransactionStep::Offsets(offsets) => self.committed.extend(offsets.iter().cloned()),
                TransactionStep::Records(records) => {
                    for record in records.iter().filter(|record| record.topic == F::KIND.input()) {
                        let part = |part: &Option<bytes::Bytes>| part.as_ref().map(|bytes| bytes.to_vec());
                        self.append(record.partition, part(&record.key), part(&record.value));
                    }
                }
            }
        }
    }

    pub fn answer_store(&mut self, index: usize) {
        let Some(command) = self.store_commands.remove(index) else { return };
        let event = self.store.execute(self.store_ms(), command);
        self.store_answers.push_front(event.clone());
        self.store_answers.truncate(4);
        self.store_event(event);
    }

    pub fn fail_store(&mut self, index: usize, class: StoreErrorClass, applied: bool) {
        let Some(command) = self.store_commands.remove(index) else { return };
        let (StoreCommand::Write { request, .. } | StoreCommand::Read { request, .. }) = command;
        if applied {
            self.store.execute(self.store_ms(), command);
        }
        let error = StoreError { class, message: "the store says no".into() };
        self.store_event(StoreEvent::Failed { request, error });
    }

    /// A write of a pod that is gone arrives.
    pub fn apply_zombie(&mut self, index: usize) {
        if let Some(batch) = self.zombies.remove(index) {
            self.store.apply(self.store_ms(), Arc::unwrap_or_clone(batch));
        }
    }

    fn store_event(&mut self, event: StoreEvent) {
        self.engine.handle_store(event, self.now);
        self.turn();
    }

    fn store_ms(&self) -> u64 {
        (self.now.wall_us / 1_000) as u64
    }

    /// Offsets come first and never go back; no position is committed as stored that no row states; a tainted
    /// producer begins nothing, and one transaction is under way at a time.
    fn judge_transaction(&self, transaction: &Transaction) {
        assert!(!self.tainted, "a tainted producer begins a transaction");
        let others = self.log_commands.iter().filter(|command| matches!(command, LogCommand::Transact(_)));
        assert_eq!(others.count(), 0, "one transaction at a time");
        assert!(matches!(transaction.steps.first(), Some(TransactionStep::Offsets(_))), "offsets come first");
        for step in &transaction.steps {
            let TransactionStep::Offsets(offsets) = step else { continue };
            for (partition, committed) in offsets {
                assert!(committed.offset <= self.end(*partition), "beyond the end of {partition}");
                if self.is_current(transaction) {
                    assert!(committed.offset >= self.committed(*partition), "{partition} goes back");
                }
                let metadata = OffsetMetadata::decode(&committed.metadata).expect("its own metadata");
                assert!(metadata.stored <= committed.offset, "stored beyond what is committed");
                if metadata.stored > metadata.start {
                    let row = self.progress(*partition).expect("a row states what is stored");
                    assert!(row.stored >= metadata.stored, "the log is ahead of the database");
                }
            }
        }
    }

    fn progress(&self, partition: PartitionId) -> Option<progress::ProgressRow> {
        let query = progress::progress_query(F::KIND.input(), partition, &[progress::PROGRESS_ENTRY]);
        let rows: Vec<Row> = self.store.read(self.store_ms(), &query);
        progress::ProgressRow::find(&rows, progress::PROGRESS_ENTRY)
    }

    /// No row says what the log does not say yet.
    fn judge_write(&self, batch: &WriteBatch) {
        let is_own = batch.table == &progress::PROGRESS || batch.table == &progress::OWNERS;
        if is_own || batch.table.writing == Writing::Append {
            return;
        }
        let partition = match batch.partition.first() {
            Some(Value::Int(bucket)) => *bucket as u32 % PARTITIONS,
            Some(Value::Text(conversation)) => self.topology.place(Topic::Sends, conversation.as_bytes()),
            other => panic!("no partition of ours: {other:?}"),
        };
        let committed = self.committed.get(&partition).expect("nothing is written before a commit");
        let metadata = OffsetMetadata::decode(&committed.metadata).expect("its own metadata");
        for statement in &batch.statements {
            let at = statement.timestamp_us - metadata.base_us;
            let is_delete = statement.change == Change::Delete;
            assert!(at <= committed.offset, "{} is ahead of the log, delete: {is_delete}", batch.table.name);
        }
    }
}

fn description() -> TopicDescription {
    TopicDescription { topic_id: "topic".into(), partitions: PARTITIONS }
}

fn engine<F: Fold>(topology: &Arc<Topology>, now: Now, life: u64) -> Engine<F> {
    let config = EngineConfig {
        topology: Arc::clone(topology),
        group: "heartline".into(),
        name: NAME.into(),
        incarnation: format!("life-{life}"),
        parameters: Parameters::VERSION_1,
        retention: Retention::default(),
        state_bytes_max: STATE_BYTES_MAX,
        large_group: usize::MAX,
        session_timeout_ms: 10_000,
        pace: Pace { checkpoint_round_ms: 2_000, progress_ms: 500, idle_commit_ms: 5_000, ..Pace::default() },
    };
    Engine::new(config, now)
}
