//! What the brokers let this program's principal do, as they say themselves. Brokers without an authorizer
//! allow everything.
//!
//! Topics and groups are asked about with `DescribeTopics` and `DescribeConsumerGroups`; that changes
//! nothing.
//! There is no such question about transactional ids: one of this program's own is opened, as a worker's are.
//! The transaction coordinator remembers it, as any, for a week.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use rdkafka::{admin::AdminClient, config::FromClientConfigAndContext, types::RDKafkaErrorCode as Code};

use crate::{
    log::{ErrorClass, LogError},
    topology::{ProcessorKind, Topic},
};

use super::{
    config::KafkaConfig,
    context::Logged,
    error,
    native::{self, NativeError},
    producer,
};

/// How long one question may take, how long it is asked again where a coordinator is only about to be one,
/// and the pause before that.
const LIMIT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
/// Ends the transactional id that is opened to see whether that is allowed. No pod is named so by accident.
const PROBE: &str = "heartline-check";

/// What a principal may be allowed, in Kafka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    Read,
    Write,
    Describe,
    DescribeConfigs,
}

impl Right {
    /// The number that the protocol has for it.
    const fn code(self) -> i32 {
        match self {
            Self::Read => 3,
            Self::Write => 4,
            Self::Describe => 8,
            Self::DescribeConfigs => 10,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Describe => "Describe",
            Self::DescribeConfigs => "DescribeConfigs",
        }
    }
}

/// What a right is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Topic(Topic),
    Group(String),
    /// All ids that begin so: pods have names of their own, and open those of dead ones.
    TransactionalIds {
        prefix: String,
    },
}

/// A right that a worker needs and does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRight {
    pub resource: Resource,
    pub right: Right,
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let right = self.right.name();
        let (what, option) = match &self.resource {
            Resource::Topic(topic) => (format!("topic '{topic}'"), format!("--topic {topic}")),
            Resource::Group(group) => (format!("group '{group}'"), format!("--group {group}")),
            Resource::TransactionalIds { prefix } => (
                format!("transactional ids '{prefix}…'"),
                format!("--transactional-id {prefix} --resource-pattern-type prefixed"),
            ),
        };
        write!(
            f,
            "{what}: the principal lacks {right}; grant it with `kafka-acls --add --allow-principal User:… \
             --operation {right} {option}`"
        )
    }
}

/// What a worker lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacking {
    pub rights: Vec<MissingRight>,
    /// Topics that may not even be seen: in a list of topics they look as if they did not exist.
    pub hidden: Vec<Topic>,
}

/// Asks what a worker of this processor lacks. Topics that are not there lack nothing.
///
/// # Errors
/// When the brokers do not answer; a right that is denied is none.
pub async fn lacking(config: &KafkaConfig, processor: ProcessorKind) -> Result<Lacking, LogError> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || ask(&config, processor))
        .await
        .unwrap_or_else(|error| Err(LogError::fatal(format!("asking for rights: {error}"))))
}

/// The topics that a worker touches, and what it does with each. Whoever may read or write may describe.
fn needs(processor: ProcessorKind) -> Vec<(Topic, Vec<Right>)> {
    let mut topics = processor.outputs().to_vec();
    topics.push(processor.input());
    topics.sort_unstable();
    topics.dedup();
    let rights = |topic: Topic| {
        // Live events follow the transitions.
        let read = topic == processor.input() || topic == Topic::Presence;
        let write = processor.outputs().contains(&topic);
        let wanted = [(read, Right::Read), (write, Right::Write)].into_iter();
        let wanted = wanted.filter_map(|(wanted, right)| wanted.then_some(right));
        wanted.chain([Right::Describe, Right::DescribeConfigs]).collect()
    };
    topics.into_iter().map(|topic| (topic, rights(topic))).collect()
}

fn ask(config: &KafkaConfig, processor: ProcessorKind) -> Result<Lacking, LogError> {
    let brokers = config.connection.brokers();
    let client = AdminClient::from_config_and_context(&config.connection.admin(), Logged)
        .map_err(|failure| error::explain("opening a client", brokers, &failure))?;
    let refused =
        |doing: &str, failure: NativeError| error::explain_code(doing, brokers, failure.code, &failure.text);
    let mut lacking = Lacking::default();
    for (topic, wanted) in needs(processor) {
        let allowed = patiently(|| native::allowed_on_topic(client.inner(), topic.name(), LIMIT));
        if allowed.as_ref().is_err_and(|failure| failure.code == Code::TopicAuthorizationFailed) {
            lacking.hidden.push(topic);
        }
        let missing = missing(allowed, &wanted)
            .map_err(|failure| refused(&format!("asking for the rights on topic '{topic}'"), failure))?;
        let missing = missing.into_iter();
        lacking.rights.extend(missing.map(|right| MissingRight { resource: Resource::Topic(topic), right }));
    }
    let group = &config.group;
    let allowed = patiently(|| native::allowed_on_group(client.inner(), group, LIMIT));
    let missing = missing(allowed, &[Right::Read, Right::Describe])
        .map_err(|failure| refused(&format!("asking for the rights on group '{group}'"), failure))?;
    let resource = || Resource::Group(group.clone());
    lacking.rights.extend(missing.into_iter().map(|right| MissingRight { resource: resource(), right }));
    if !may_transact(config)? {
        let resource = Resource::TransactionalIds { prefix: format!("{group}.") };
        lacking.rights.push(MissingRight { resource, right: Right::Write });
    }
    Ok(lacking)
}

/// Asks again what a broker could not answer just then.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, NativeError>) -> Result<T, NativeError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Err(failure)
                if error::class_of(failure.code) == ErrorClass::Retriable && Instant::now() < until =>
            {
                thread::sleep(PAUSE);
            }
            answer => return answer,
        }
    }
}

/// Which of the wanted rights are not among those that were answered. A broker that does not say lacks
/// nothing; one that denies the question itself denies all of them.
fn missing(
    allowed: Result<Option<Vec<i32>>, NativeError>,
    wanted: &[Right],
) -> Result<Vec<Right>, NativeError> {
    let allowed = match allowed {
        Ok(allowed) => allowed,
        Err(failure) => match failure.code {
            Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed => Some(Vec::new()),
            Code::UnknownTopicOrPartition => None,
            _ => return Err(failure),
        },
    };
    let Some(allowed) = allowed else { return Ok(Vec::new()) };
    let is_missing = |right: &Right| !allowed.contains(&right.code());
    let mut missing: Vec<Right> = wanted.iter().copied().filter(is_missing).collect();
    if missing.iter().any(|right| matches!(right, Right::Read | Right::Write)) {
        // It comes with either of them.
        missing.retain(|right| *right != Right::Describe);
    }
    Ok(missing)
}

fn may_transact(config: &KafkaConfig) -> Result<bool, LogError> {
    let name = format!("{}.{PROBE}", config.group);
    match producer::initialized(config, &name) {
        Ok(_) => Ok(true),
        Err(failure) => match failure.rdkafka_error_code() {
            Some(Code::TransactionalIdAuthorizationFailed) => Ok(false),
            _ => Err(error::explain(
                &format!("opening transactional id '{name}'"),
                config.connection.brokers(),
                &failure,
            )),
        },
    }
}

#[cfg(test)]
mod tests;
