//! The thread that is the group's member: joins, hears of rebalances, leaves. It reads nothing.
//!
//! The assignor is eager `range` under the classic protocol: the generation cannot end before the
//! revocation's callback has returned, so the callback waits there until the engine has finished its
//! transaction and sends `Release`. The group metadata is captured in the assignment's callback, under a new
//! [`AssignmentId`], and never refreshed: a transaction of an earlier assignment carries its own generation,
//! which the broker refuses.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata},
    error::KafkaError,
    types::{RDKafkaErrorCode as Code, RDKafkaRespErr},
};

use crate::log::{AssignmentId, ErrorClass, LogError, LogEvent, PartitionId};

use super::{
    config::KafkaConfig,
    context::{pass_error, pass_line},
    error,
    events::Events,
    native,
    reader::{ReaderCommand, ReaderHandle},
};

/// How long one turn of the thread waits for an event of the group.
const TURN: Duration = Duration::from_millis(50);
/// Assignments whose metadata is kept: a transaction of an older one is refused without asking the broker.
const GENERATIONS_MAX: usize = 4;

/// The group metadata captured at each of the latest assignments.
#[derive(Clone, Default)]
pub struct Generations(Arc<Mutex<BTreeMap<AssignmentId, Arc<ConsumerGroupMetadata>>>>);

impl Generations {
    #[must_use]
    pub fn get(&self, assignment: AssignmentId) -> Option<Arc<ConsumerGroupMetadata>> {
        locked(&self.0).get(&assignment).cloned()
    }

    fn add(&self, metadata: ConsumerGroupMetadata) -> AssignmentId {
        let mut all = locked(&self.0);
        let assignment = all.last_key_value().map_or(1, |(last, _)| last + 1);
        all.insert(assignment, Arc::new(metadata));
        while all.len() > GENERATIONS_MAX {
            all.pop_first();
        }
        assignment
    }
}

pub enum MemberCommand {
    /// Joins under this client id.
    Join {
        client_id: String,
    },
    Close,
}

/// The way to the member's thread.
pub struct MemberHandle {
    commands: mpsc::Sender<MemberCommand>,
    gate: Arc<Gate>,
}

impl MemberHandle {
    pub fn join(&self, client_id: String) {
        // A thread that has ended was told to.
        let _ = self.commands.send(MemberCommand::Join { client_id });
    }

    pub fn release(&self) {
        self.gate.open();
    }

    /// Ends a wait for `Release` too: who closes has nothing left to finish.
    pub fn close(&self) {
        let _ = self.commands.send(MemberCommand::Close);
        self.gate.open_for_good();
    }
}

/// Starts the member's thread; it joins when told to.
pub fn start(
    config: KafkaConfig,
    generations: Generations,
    reader: ReaderHandle,
    events: Events,
) -> Result<(MemberHandle, thread::JoinHandle<()>), LogError> {
    let (sender, commands) = mpsc::channel();
    let gate = Arc::new(Gate::default());
    let handle = MemberHandle { commands: sender, gate: Arc::clone(&gate) };
    let thread = thread::Builder::new()
        .name("kafka-member".to_owned())
        .spawn(move || run(&config, &commands, &generations, &gate, &reader, &events))
        .map_err(|error| {
            LogError::fatal(format!("cannot start the thread of the group's member: {error}"))
        })?;
    Ok((handle, thread))
}

fn run(
    config: &KafkaConfig,
    commands: &mpsc::Receiver<MemberCommand>,
    generations: &Generations,
    gate: &Arc<Gate>,
    reader: &ReaderHandle,
    events: &Events,
) {
    let mut member: Option<BaseConsumer<MemberContext>> = None;
    loop {
        let command = match &member {
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => commands.recv_timeout(Duration::ZERO),
        };
        match command {
            Ok(MemberCommand::Join { client_id }) => {
                let context = MemberContext {
                    config: config.clone(),
                    generations: generations.clone(),
                    gate: Arc::clone(gate),
                    reader: reader.clone(),
                    events: events.clone(),
                    held: Mutex::default(),
                };
                match join(config, &client_id, context) {
                    Ok(joined) => member = Some(joined),
                    Err(error) => events.fail(error),
                }
            }
            // Dropping the consumer leaves the group.
            Ok(MemberCommand::Close) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(Err(failure)) = member.as_ref().and_then(|member| member.poll(TURN).map(|r| r.map(drop)))
        {
            report(config, events, &failure);
        }
    }
}

fn join(
    config: &KafkaConfig,
    client_id: &str,
    context: MemberContext,
) -> Result<BaseConsumer<MemberContext>, LogError> {
    let doing = format!("joining group '{}'", config.group);
    let explain = |failure: KafkaError| error::explain(&doing, config.connection.brokers(), &failure);
    let member =
        BaseConsumer::from_config_and_context(&config.member(client_id), context).map_err(explain)?;
    member.subscribe(&[config.input.name()]).map_err(explain)?;
    Ok(member)
}

/// An error that came instead of a record. librdkafka retries what can be retried by itself.
fn report(config: &KafkaConfig, events: &Events, failure: &KafkaError) {
    let error =
        error::explain(&format!("member of group '{}'", config.group), config.connection.brokers(), failure);
    match (error.class, failure.rdkafka_error_code()) {
        (ErrorClass::Retriable, _) => events.emit(LogEvent::Failed { error }),
        (_, Some(Code::PartitionEOF)) => {}
        _ => events.fail(error),
    }
}

struct MemberContext {
    config: KafkaConfig,
    generations: Generations,
    gate: Arc<Gate>,
    reader: ReaderHandle,
    events: Events,
    /// What the group gave us last.
    held: Mutex<Vec<PartitionId>>,
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        pass_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        pass_error(&error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, member: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(member, list),
            _ => self.revoked(member),
        };
        if let Err(failure) = result {
            let doing = format!("rebalance of group '{}'", self.config.group);
            self.events.fail(error::explain(&doing, self.config.connection.brokers(), &failure));
        }
    }
}

impl MemberContext {
    fn assigned(&self, member: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<(), KafkaError> {
        // Nothing is assigned to this client: the reader reads. The group does not care.
        member.assign(&TopicPartitionList::new())?;
        if self.events.is_leaving() {
            return Ok(());
        }
        let Some(metadata) = member.group_metadata() else {
            let message = format!("group '{}' gave no metadata with an assignment", self.config.group);
            self.events.fail(LogError::fatal(message));
            return Ok(());
        };
        let mut partitions: Vec<PartitionId> = list
            .elements_for_topic(self.config.input.name())
            .iter()
            .filter_map(|element| element.partition().try_into().ok())
            .collect();
        partitions.sort_unstable();
        locked(&self.held).clone_from(&partitions);
        let assignment = self.generations.add(metadata);
        self.events.emit(LogEvent::Assigned { assignment, member: native::member_id(member), partitions });
        Ok(())
    }

    fn revoked(&self, member: &BaseConsumer<Self>) -> Result<(), KafkaError> {
        let partitions = std::mem::take(&mut *locked(&self.held));
        if !partitions.is_empty() && !self.events.is_leaving() {
            if member.assignment_lost() {
                self.events.emit(LogEvent::Lost { partitions });
            } else {
                self.wait_for_release(member, partitions);
            }
        }
        self.reader.send(ReaderCommand::StopAll);
        member.unassign()
    }

    /// Holds the group's old generation until the engine lets go. Heartbeats go on meanwhile.
    fn wait_for_release(&self, member: &BaseConsumer<Self>, partitions: Vec<PartitionId>) {
        let until = Instant::now() + self.config.session_timeout;
        self.gate.close();
        self.events.emit(LogEvent::Revoking { partitions: partitions.clone() });
        while !self.gate.wait(TURN) {
            if member.assignment_lost() {
                self.gate.open();
                return self.events.emit(LogEvent::Lost { partitions });
            }
            if Instant::now() >= until {
                self.gate.open();
                self.events.fail(LogError {
                    class: ErrorClass::Restore,
                    message: format!(
                        "partitions {partitions:?} of '{}' were not released within {} ms; they are gone",
                        self.config.input,
                        self.config.session_timeout.as_millis()
                    ),
                });
                return self.events.emit(LogEvent::Lost { partitions });
            }
        }
    }
}

/// Closed while a revocation waits for `Release`. A `Release` that comes too late opens nothing that is open
/// already, and so cannot end the next wait.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_closed: bool,
    stays_open: bool,
}

impl Gate {
    fn close(&self) {
        let mut state = locked(&self.state);
        state.is_closed = !state.stays_open;
    }

    fn open(&self) {
        locked(&self.state).is_closed = false;
        self.changed.notify_all();
    }

    fn open_for_good(&self) {
        locked(&self.state).stays_open = true;
        self.open();
    }

    /// Whether it is open, after at most `wait`.
    fn wait(&self, wait: Duration) -> bool {
        let state = locked(&self.state);
        let waited = self.changed.wait_timeout_while(state, wait, |state| state.is_closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }
}

/// A panic elsewhere leaves these small values whole, so that a poisoned lock may be used on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
