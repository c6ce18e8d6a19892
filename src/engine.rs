//! The engine: one processor in one pod. The protocol between a log and a store, without any I/O.
//!
//! # The contract
//! * Say what happened: [`Engine::handle_log`], [`Engine::handle_store`].
//! * Let it work: [`Engine::turn`], after events and at the latest at [`Engine::next_wake_ms`].
//! * Carry out what it wants: [`Engine::poll_command`] until there is none, after every turn, and before it
//!   if more is to be read meanwhile; [`Engine::exit`] says that it is over.
//! * Look at it: [`Engine::status`].
//!
//! Time comes in as [`Now`] and decides about pace only: when to send a beacon, when to take a checkpoint,
//! how long to wait. What is written and published is decided by records alone.
//!
//! # The loop, the same for every processor
//! 1. poll a bounded batch;
//! 2. and 4. decode and fold each partition's records in offset order, partitions side by side;
//! 3. where keys are not in memory, fetch them first, grouped by database partition;
//! 5. one transaction: offsets first, then records, commit;
//! 6. write the rows of the committed batch until they are acknowledged, then the checkpoints taken with it;
//! 7. move the stored watermark: the `progress` row first, the offsets' metadata after it is acknowledged.
//!
//! While a transaction is under way the next batch is folded: at most one is open beside the one in flight.
//! Any doubt drops all state and restores it from the watermarks.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crate::{
    limits::{POLL_BYTES_MAX, POLL_RECORDS_MAX},
    log::{AssignmentId, Chunk, LogCommand, LogEvent, PartitionId, RequestId, TopicDescription},
    mutant::{self, Mutant},
    processor::{Fold, Retention, Setup},
    record::beacon::Parameters,
    store::{StoreCommand, StoreEvent},
    task::{Part, Task},
    topology::Topology,
};

mod adopting;
mod beacons;
mod claim;
mod commit;
mod opening;
mod reading;
mod requests;
mod status;
mod stored;

pub use status::{EngineStatus, Missing, PartitionStatus, Phase};

use beacons::BeaconPace;
use claim::Claim;
use opening::Opening;
use requests::Pending;
use stored::{Checkpointing, ProgressPace};

/// What a poll brings at least where records are read that were written before.
const BEHIND_RECORDS: usize = POLL_RECORDS_MAX / 8;
const BEHIND_BYTES: usize = POLL_BYTES_MAX / 8;
/// How long after such a poll that still holds: what is fetched comes in bursts.
const BEHIND_MS: i64 = 50;

/// The time that a shell gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds that never stand still or jump, suspension included (boot-time clock).
    pub boot_ms: i64,
    /// Microseconds of the wall clock; taken once, when a partition is claimed, as the base of row
    /// timestamps.
    pub wall_us: i64,
}

/// What an engine is given for its life.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    pub topology: Arc<Topology>,
    pub group: Arc<str>,
    /// The producer's name and the consumer's `client.id`; unique among living pods.
    pub name: String,
    /// Unique to this life of this pod.
    pub incarnation: String,
    /// What this pod's beacons announce.
    pub parameters: Parameters,
    pub retention: Retention,
    /// Bytes of state that a processor without checkpoints keeps in memory, shared by its partitions.
    pub state_bytes_max: usize,
    /// Recipients of one message in a partition above which their rows may come later than those of others.
    pub large_group: usize,
    /// The group's session timeout: a longer pause means that ownership must be proved again.
    pub session_timeout_ms: i64,
    pub pace: Pace,
}

/// How often things are done; nothing that is written or published depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A batch that nobody waits for is committed after this.
    pub quiet_commit_ms: i64,
    /// A batch is committed after this at the latest while the log is far ahead.
    pub behind_commit_ms: i64,
    pub beacon_ms: i64,
    /// Every bucket has a checkpoint taken once in this time.
    pub checkpoint_round_ms: i64,
    pub progress_ms: i64,
    /// When nothing was committed for this time, offsets are committed alone if their metadata can then say
    /// more.
    pub idle_commit_ms: i64,
    /// How long a stable read of offsets may take before somebody's open transaction is suspected.
    pub stable_read_ms: u64,
    /// How long a poll may wait for a first record.
    pub poll_wait_ms: u64,
    /// Bytes of committed rows above which nothing more is read until the store has taken some.
    pub unstored_bytes_max: usize,
    /// Bytes of records read and not yet folded above which nothing more is read.
    pub unfolded_bytes_max: usize,
    /// Bytes of output at which a transaction takes in no further record; partitions share them.
    pub transaction_bytes_max: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet_commit_ms: 250,
            behind_commit_ms: 1_000,
            beacon_ms: crate::limits::BEACON_INTERVAL_MS,
            checkpoint_round_ms: 30_000,
            progress_ms: 2_000,
            idle_commit_ms: 60_000,
            stable_read_ms: 500,
            poll_wait_ms: 100,
            unstored_bytes_max: crate::limits::UNSTORED_BYTES_MAX,
            unfolded_bytes_max: crate::limits::UNFOLDED_BYTES_MAX,
            transaction_bytes_max: crate::limits::TRANSACTION_OUTPUT_BYTES_MAX,
        }
    }
}

/// What an engine asks its shell to do.
#[derive(Debug, Clone)]
pub enum Command {
    Log(LogCommand),
    Store(StoreCommand),
}

/// Why an engine is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to, and has left the group.
    Left,
    /// It must not go on: what, where, what to do.
    Fatal(String),
}

/// Runs the folds of several partitions side by side, or one after the other where results must not depend on
/// threads.
pub trait Executor {
    fn each<T: Send>(&self, items: Vec<T>, work: impl Fn(T) + Send + Sync);
}

/// One after the other: what the simulator uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sequential;

impl Executor for Sequential {
    fn each<T: Send>(&self, items: Vec<T>, work: impl Fn(T) + Send + Sync) {
        items.into_iter().for_each(work);
    }
}

/// The state of the transactional producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Producer {
    /// To be opened once this time has come.
    Closed {
        retry_at_ms: i64,
    },
    Opening,
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    Asked,
    Sent,
}

#[derive(Debug)]
struct Assignment {
    id: AssignmentId,
    member: String,
    partitions: Vec<PartitionId>,
}

/// The transaction that is under way, and what follows from its commit. `None`: what it was for has been
/// dropped.
#[derive(Debug)]
struct InFlight {
    id: u64,
    assignment: AssignmentId,
    purpose: Option<Purpose>,
}

#[derive(Debug)]
enum Purpose {
    Batch {
        number: u64,
        parts: Vec<(PartitionId, Part)>,
    },
    /// First offsets of partitions that nobody has owned.
    Claim(Vec<PartitionId>),
    /// Offsets only: are we still a member?
    Proof,
    /// Offsets only: their metadata follows what is stored, so that retention never passes it.
    Idle,
}

/// One processor in one pod; see the module's documentation for the contract.
pub struct Engine<F> {
    config: EngineConfig,
    now: Now,
    started_ms: i64,
    commands: VecDeque<Command>,
    last_id: u64,
    exit: Option<Exit>,

    producer: Producer,
    topic: Option<TopicDescription>,
    joined: bool,
    assignment: Option<Assignment>,
    /// `Release` is owed.
    revoking: bool,
    leaving: Leaving,

    claim: Option<Claim>,
    bounds_asked: BTreeSet<RequestId>,
    openings: BTreeMap<PartitionId, Opening<F>>,
    tasks: BTreeMap<PartitionId, Task<F>>,
    in_flight: Option<InFlight>,
    /// The number of the open batch, and since when it has something in it.
    batch: u64,
    open_since_ms: Option<i64>,
    /// Batches that were closed since the partitions were taken over.
    closed: u32,
    /// When the last transaction was sent.
    sent_ms: i64,
    polling: bool,
    /// Polls brought so much that the log is ahead of this engine: since when, and how long that is believed.
    behind_since_ms: i64,
    behind_until_ms: i64,

    /// Questions to the store that are not answered, and those to be asked again.
    pending: BTreeMap<RequestId, Pending>,
    retries: BTreeSet<(i64, RequestId)>,
    /// Bytes of writes that are not acknowledged.
    writing_bytes: usize,
    checkpointing: BTreeMap<(PartitionId, u32), Checkpointing>,
    progress: BTreeMap<PartitionId, ProgressPace>,
    beacons: BTreeMap<PartitionId, BeaconPace>,

    /// When operators' decisions are looked for next, and the last one seen of each partition, by its base.
    next_look_ms: i64,
    seen_decisions: BTreeMap<PartitionId, i64>,

    /// After a pause: no row is written until a transaction has proved that the partitions are still ours.
    unproved: bool,
    held: Vec<RequestId>,
    fence_question: Option<RequestId>,
    /// When this name was fenced while the broker listed its member.
    fenced_ms: Vec<i64>,
    restores: u64,
    last_trouble: Option<String>,
}

impl<F: Fold> Engine<F> {
    #[must_use]
    pub fn new(config: EngineConfig, now: Now) -> Self {
        Self {
            config,
            now,
            started_ms: now.boot_ms,
            commands: VecDeque::new(),
            last_id: 0,
            exit: None,
            producer: Producer::Closed { retry_at_ms: now.boot_ms },
            topic: None,
            joined: false,
            assignment: None,
            revoking: false,
            leaving: Leaving::No,
            claim: None,
            bounds_asked: BTreeSet::new(),
            openings: BTreeMap::new(),
            tasks: BTreeMap::new(),
            in_flight: None,
            batch: 1,
            open_since_ms: None,
            closed: 0,
            sent_ms: now.boot_ms,
            polling: false,
            behind_since_ms: now.boot_ms,
            behind_until_ms: now.boot_ms,
            pending: BTreeMap::new(),
            retries: BTreeSet::new(),
            writing_bytes: 0,
            checkpointing: BTreeMap::new(),
            progress: BTreeMap::new(),
            beacons: BTreeMap::new(),
            next_look_ms: now.boot_ms,
            seen_decisions: BTreeMap::new(),
            unproved: false,
            held: Vec::new(),
            fence_question: None,
            fenced_ms: Vec::new(),
            restores: 0,
            last_trouble: None,
        }
    }

    /// Takes an event of the log.
    pub fn handle_log(&mut self, event: LogEvent, now: Now) {
        self.observe(now);
        match event {
            LogEvent::ProducerOpened => self.producer = Producer::Open,
            LogEvent::ProducerFailed { error } => self.producer_failed(&error),
            LogEvent::Assigned { assignment, member, partitions } => {
                self.assigned(assignment, member, partitions)
            }
            LogEvent::Revoking { .. } => {
                self.revoking = true;
                self.drop_partitions();
            }
            LogEvent::Lost { .. } if mutant::is(Mutant::LostTakenForRevoked) => {}
            LogEvent::Lost { .. } => {
                self.assignment = None;
                self.drop_partitions();
            }
            LogEvent::Left => self.exit = Some(Exit::Left),
            LogEvent::Described { request, result } => self.described(request, result),
            LogEvent::OffsetsRead { request, result } => self.offsets_read(request, result),
            LogEvent::BoundsRead { request, result } => self.bounds_answered(request, result),
            LogEvent::MembersListed { request, result } => self.members_listed(request, result),
            LogEvent::NameFenced { name, result, .. } => self.name_fenced(&name, result),
            LogEvent::Polled { chunks } => {
                self.polling = false;
                let records: usize = chunks.iter().map(Chunk::len).sum();
                let bytes: usize = chunks.iter().map(Chunk::size_bytes).sum();
                if records >= BEHIND_RECORDS || bytes >= BEHIND_BYTES {
                    if now.boot_ms >= self.behind_until_ms {
                        self.behind_since_ms = now.boot_ms;
                    }
                    self.behind_until_ms = now.boot_ms + BEHIND_MS;
                }
                for chunk in chunks {
                    if let Some(task) = self.tasks.get_mut(&chunk.partition) {
                        task.enqueue(chunk);
                    }
                }
                self.poll();
            }
            LogEvent::OutOfRange { partition, fetch } => self.out_of_range(partition, fetch),
            LogEvent::TransactionEnded { id, outcome } => self.transaction_ended(id, outcome),
            LogEvent::BeaconAppended { partition, result } => self.beacon_appended(partition, result),
            LogEvent::Failed { error } => self.log_failed(&error),
        }
    }

    /// Takes an event of the store.
    pub fn handle_store(&mut self, event: StoreEvent, now: Now) {
        self.observe(now);
        match event {
            StoreEvent::Written { request } => self.written(request),
            StoreEvent::Rows { request, rows } => self.rows_read(request, rows),
            StoreEvent::Failed { request, error } => self.store_failed(request, error),
        }
    }

    /// Does what can be done now: bounded work, never waiting.
    pub fn turn(&mut self, now: Now, executor: &impl Executor) {
        self.observe(now);
        if self.exit.is_some() {
            return;
        }
        mutant::configured(&self.config.parameters);
        self.retry_requests();
        self.start();
        self.continue_claim();
        self.look_for_decisions();
        self.restore_buckets(executor);
        self.fold(executor);
        self.adjust_readings();
        self.transact();
        self.write_progress();
        self.send_beacons();
        self.poll();
    }

    /// Asks the engine to finish: it ends the transaction under way, leaves the group and exits.
    pub fn shut_down(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Asked;
        }
    }

    /// What the shell is to do next.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Bytes of committed rows that the store has not acknowledged.
    #[must_use]
    pub fn owed_bytes(&self) -> usize {
        self.unstored_bytes()
    }

    /// Bytes of records that were read and are not folded.
    #[must_use]
    pub fn unfolded_bytes(&self) -> usize {
        self.tasks.values().map(Task::queued_bytes).sum()
    }

    #[must_use]
    pub fn exit(&self) -> Option<&Exit> {
        self.exit.as_ref()
    }

    /// Whether no transaction is under way and the store owes nothing, nor will owe anything of what was
    /// folded so far.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let will_owe = |part: &Part| !part.output.rows.is_empty() || !part.output.refreshes.is_empty();
        let is_stored = |task: &Task<F>| task.is_stored() && !will_owe(&task.open);
        self.in_flight.is_none() && self.tasks.values().all(is_stored)
    }

    /// When [`Engine::turn`] has something to do at the latest, on the boot-time clock. What was due already
    /// and was not done by the last turn waits for an event, not for time.
    #[must_use]
    pub fn next_wake_ms(&self) -> i64 {
        let batch = self.open_since_ms.map(|since_ms| since_ms + self.batch_age_ms());
        let behind = self.open_since_ms.map(|_| self.behind_until_ms);
        let retry = self.retries.first().map(|(due_ms, _)| *due_ms);
        let claim = match &self.claim {
            Some(Claim::Waiting { until_ms }) => Some(*until_ms),
            _ => None,
        };
        let producer = match self.producer {
            Producer::Closed { retry_at_ms } => Some(retry_at_ms),
            Producer::Opening | Producer::Open => None,
        };
        let beacons = self.beacons.values().map(|pace| pace.next_at_ms);
        let now_ms = self.now.boot_ms;
        let dues = [batch, behind, retry, claim, producer].into_iter().flatten().chain(beacons);
        dues.filter(|due_ms| *due_ms > now_ms).min().unwrap_or(i64::MAX).min(now_ms + 1_000)
    }

    /// After a pause longer than the session timeout, others may own what we believe to own.
    fn observe(&mut self, now: Now) {
        let paused = now.boot_ms - self.now.boot_ms > self.config.session_timeout_ms;
        self.now = now;
        if paused && !self.tasks.is_empty() {
            self.unproved = !mutant::is(Mutant::OwnershipNotProved);
            self.trouble("this pod stood still for longer than its session timeout; it proves its ownership");
        } else if paused && !self.openings.is_empty() {
            self.drop_partitions();
            self.claim_again(0);
        }
    }

    /// Brings this member into its group, and out of it.
    fn start(&mut self) {
        if self.revoking && self.in_flight.is_none() {
            self.revoking = false;
            self.assignment = None;
            self.claim = None;
            self.log(LogCommand::Release);
        }
        if self.leaving == Leaving::Asked && self.in_flight.is_none() {
            self.leaving = Leaving::Sent;
            self.drop_partitions();
            self.log(LogCommand::Leave);
        }
        if self.leaving != Leaving::No {
            return;
        }
        if let Producer::Closed { retry_at_ms } = self.producer
            && retry_at_ms <= self.now.boot_ms
            && self.in_flight.is_none()
        {
            self.producer = Producer::Opening;
            self.log(LogCommand::OpenProducer { name: self.config.name.clone() });
        }
        if self.producer == Producer::Open && !self.joined {
            // Only now: what an older life of this name left open is aborted.
            self.joined = true;
            self.log(LogCommand::Join);
        }
    }

    fn setup(&self, partition: PartitionId, generation: i32) -> Setup {
        let partitions = self.assignment.as_ref().map_or(1, |assignment| assignment.partitions.len());
        Setup {
            topology: Arc::clone(&self.config.topology),
            group: Arc::clone(&self.config.group),
            partition,
            generation,
            retention: self.config.retention,
            state_bytes_max: self.config.state_bytes_max / partitions.max(1),
            large_group: self.config.large_group,
        }
    }

    fn log(&mut self, command: LogCommand) {
        self.commands.push_back(Command::Log(command));
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn trouble(&mut self, what: impl Into<String>) {
        self.last_trouble = Some(what.into());
    }

    fn fatal(&mut self, sentence: String) {
        self.exit.get_or_insert(Exit::Fatal(sentence));
    }
}

#[cfg(test)]
mod tests;
