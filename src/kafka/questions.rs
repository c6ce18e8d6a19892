//! Questions about the topic and the group, each asked in a thread of its own.
//!
//! They come with assignments, a handful at a time, and some of them wait for a broker on purpose (a stable
//! offset read waits for open transactions): none may hold up another.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset as KafkaOffset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

use crate::log::{
    Bounds, Committed, LogCommand, LogError, LogEvent, Member, PartitionId, RequestId, TopicDescription,
};

use super::{
    config::{Isolation, KafkaConfig},
    context::Logged,
    error,
    events::Events,
    native, producer,
};

/// How long a question without a limit of its own may take.
const LIMIT: Duration = Duration::from_secs(5);
/// A broker that has just started, or has not heard yet of a topic that was just made, says that there is
/// none: it is asked again for so long, with a pause.
const HEARSAY_LIMIT: Duration = Duration::from_secs(3);
const HEARSAY_PAUSE: Duration = Duration::from_millis(200);

/// Asks on behalf of one member.
#[derive(Clone)]
pub struct Questions {
    config: KafkaConfig,
    /// Reads committed records, and therefore stable offsets.
    stable: Arc<BaseConsumer<Logged>>,
    /// Reads offsets beside an open transaction; made when first needed, which is rare.
    unstable: Arc<Mutex<Option<Arc<BaseConsumer<Logged>>>>>,
    events: Events,
}

impl Questions {
    #[must_use]
    pub fn new(config: KafkaConfig, stable: Arc<BaseConsumer<Logged>>, events: Events) -> Self {
        Self { config, stable, unstable: Arc::default(), events }
    }

    /// Asks `command` in a thread; the answer is an event. Commands that are no questions are not for here.
    pub fn ask(&self, command: LogCommand) {
        let asked = self.clone();
        let spawned = thread::Builder::new().name("kafka-question".to_owned()).spawn(move || {
            if let Some(answer) = asked.answer(command) {
                let events = asked.events.clone();
                // Clients first: whoever gets the answer to its last question may end the process.
                drop(asked);
                events.emit(answer);
            }
        });
        if let Err(failure) = spawned {
            self.events.fail(LogError::fatal(format!("cannot start a thread for a question: {failure}")));
        }
    }

    fn answer(&self, command: LogCommand) -> Option<LogEvent> {
        Some(match command {
            LogCommand::Describe { request } => LogEvent::Described { request, result: self.describe() },
            LogCommand::ReadOffsets { request, partitions, stable, limit_ms } => {
                self.read_offsets(request, &partitions, stable, Duration::from_millis(limit_ms))
            }
            LogCommand::ReadBounds { request, partitions } => {
                let result = bounds(&self.stable, self.config.input.name(), &partitions, LIMIT)
                    .map_err(|failure| self.explain("reading the bounds of", &failure));
                LogEvent::BoundsRead { request, result }
            }
            LogCommand::ListMembers { request } => {
                LogEvent::MembersListed { request, result: self.members() }
            }
            LogCommand::FenceName { request, name } => {
                // Its `init_transactions` is all there is to do.
                let result = producer::open(&self.config, &name).map(drop);
                LogEvent::NameFenced { request, name, result }
            }
            _ => return None,
        })
    }

    fn describe(&self) -> Result<TopicDescription, LogError> {
        let (topic, brokers) = (self.config.input.name(), self.config.connection.brokers());
        let ask = || native::describe_topic(self.stable.client(), topic, LIMIT);
        let found = insist(ask, || !self.events.is_leaving()).map_err(|failure| {
            let doing = format!("describing topic '{topic}'");
            error::explain_code(&doing, brokers, failure.code, &failure.text)
        })?;
        found.ok_or_else(|| {
            LogError::fatal(format!(
                "topic '{topic}' does not exist at {brokers}; run `heartline topics apply`"
            ))
        })
    }

    fn read_offsets(
        &self,
        request: RequestId,
        partitions: &[PartitionId],
        stable: bool,
        limit: Duration,
    ) -> LogEvent {
        let result = match stable {
            true => Ok(Arc::clone(&self.stable)),
            false => self.unstable(),
        };
        let result = result
            .and_then(|client| committed(&client, self.config.input.name(), partitions, limit))
            .map_err(|failure| self.explain("reading the group's offsets of", &failure));
        LogEvent::OffsetsRead { request, result }
    }

    fn unstable(&self) -> Result<Arc<BaseConsumer<Logged>>, KafkaError> {
        let mut client = self.unstable.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(Arc::clone(client));
        }
        let made = Arc::new(BaseConsumer::from_config_and_context(
            &self.config.reader(Isolation::Uncommitted),
            Logged,
        )?);
        *client = Some(Arc::clone(&made));
        Ok(made)
    }

    fn members(&self) -> Result<Vec<Member>, LogError> {
        let list = self
            .stable
            .fetch_group_list(Some(&self.config.group), LIMIT)
            .map_err(|failure| self.explain("listing the members of the group of", &failure))?;
        // The wrapper does not pass on that describing it failed, as while its coordinator moves; it leaves
        // no state then. An empty list would mean that everybody is dead, and have the living fenced.
        if list.groups().iter().any(|group| group.state().is_empty()) {
            return Err(LogError::retriable(format!(
                "listing the members of group '{}': its coordinator does not tell them now",
                self.config.group
            )));
        }
        let member = |member: &rdkafka::groups::GroupMemberInfo| Member {
            id: member.id().to_owned(),
            client_id: member.client_id().to_owned(),
        };
        Ok(list.groups().iter().flat_map(|group| group.members().iter().map(member)).collect())
    }

    fn explain(&self, doing: &str, failure: &KafkaError) -> LogError {
        let doing = format!("{doing} '{}' (group '{}')", self.config.input, self.config.group);
        error::explain(&doing, self.config.connection.brokers(), failure)
    }
}

/// Asks until there is something, the time for hearsay is up, or nobody wants to know any more.
pub fn insist<T, E>(
    mut ask: impl FnMut() -> Result<Option<T>, E>,
    goes_on: impl Fn() -> bool,
) -> Result<Option<T>, E> {
    let until = Instant::now() + HEARSAY_LIMIT;
    loop {
        let answer = ask()?;
        if answer.is_some() || Instant::now() >= until || !goes_on() {
            return Ok(answer);
        }
        thread::sleep(HEARSAY_PAUSE);
    }
}

pub(super) fn committed(
    client: &BaseConsumer<Logged>,
    topic: &str,
    partitions: &[PartitionId],
    limit: Duration,
) -> Result<Vec<(PartitionId, Option<Committed>)>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition as i32);
    }
    let list = client.committed_offsets(list, limit)?;
    let mut found = Vec::with_capacity(partitions.len());
    for element in list.elements() {
        element.error()?;
        let committed = match element.offset() {
            KafkaOffset::Offset(offset) => {
                Some(Committed { offset, metadata: element.metadata().to_owned() })
            }
            _ => None,
        };
        found.push((element.partition().try_into().unwrap_or(PartitionId::MAX), committed));
    }
    Ok(found)
}

/// First and next offsets, each partition asked of its leader.
pub fn bounds(
    client: &BaseConsumer<Logged>,
    topic: &str,
    partitions: &[PartitionId],
    limit: Duration,
) -> Result<Vec<(PartitionId, Bounds)>, KafkaError> {
    partitions
        .iter()
        .map(|partition| {
            let (first, end) = client.fetch_watermarks(topic, *partition as i32, limit)?;
            Ok((*partition, Bounds { first, end }))
        })
        .collect()
}
