//! The cluster's topics against the topology: what differs, and making it so without ever taking anything
//! away.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    config::FromClientConfigAndContext,
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use tokio::time::{Instant, sleep};

use crate::{
    log::{ErrorClass, LogError},
    topology::{Cleanup, Topic, TopicSpec, Topology},
};

use super::{config::Connection, context::Logged, error, native};

/// How long one question or change may take.
const LIMIT: Duration = Duration::from_secs(10);
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// One thing in which the cluster's topics are not as the topology says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicDifference {
    Missing { topic: Topic, partitions: u32, replication: u16 },
    Partitions { topic: Topic, found: u32, wanted: u32 },
    Replication { topic: Topic, found: u32, wanted: u32 },
    Setting { topic: Topic, key: &'static str, found: Option<String>, wanted: String },
}

impl TopicDifference {
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Self::Missing { topic, .. }
            | Self::Partitions { topic, .. }
            | Self::Replication { topic, .. }
            | Self::Setting { topic, .. } => *topic,
        }
    }

    /// Whether `topics apply` removes it. Partition counts and replicas are for people: changing a count
    /// moves keys.
    #[must_use]
    pub fn is_applicable(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Setting { .. })
    }

    /// What `topics apply` has done about it.
    #[must_use]
    pub fn done(&self) -> Option<String> {
        match self {
            Self::Missing { topic, partitions, replication } => Some(format!(
                "made topic '{topic}' with {partitions} partitions, {replication} replica(s) each"
            )),
            Self::Setting { topic, key, found, wanted } => {
                let before = found.as_deref().unwrap_or("unknown");
                Some(format!("topic '{topic}': set {key} to {wanted}, it was {before}"))
            }
            Self::Partitions { .. } | Self::Replication { .. } => None,
        }
    }

    /// Whether a worker may run in spite of it.
    #[must_use]
    pub fn is_tolerable(&self) -> bool {
        matches!(self, Self::Replication { .. })
    }
}

impl fmt::Display for TopicDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { topic, partitions, replication } => write!(
                f,
                "topic '{topic}' does not exist; `heartline topics apply` makes it with {partitions} partitions, \
                 {replication} replica(s) each"
            ),
            Self::Partitions { topic, found, wanted } if found < wanted => write!(
                f,
                "topic '{topic}' has {found} partitions, the topology says {wanted}; it is never changed here, \
                 because keys would move: set the topology to {found}"
            ),
            Self::Partitions { topic, found, wanted } => write!(
                f,
                "topic '{topic}' has {found} partitions, more than the {wanted} of the topology, and a topic cannot \
                 shrink: set the topology to {found}"
            ),
            Self::Replication { topic, found, wanted } => write!(
                f,
                "topic '{topic}' has {found} replica(s) a partition, the topology says {wanted}; \
                 move them with Kafka's own kafka-reassign-partitions"
            ),
            Self::Setting { topic, key, found, wanted } => write!(
                f,
                "topic '{topic}': {key} is {}, the topology says {wanted}; `heartline topics apply` sets it",
                found.as_deref().unwrap_or("unknown")
            ),
        }
    }
}

/// A topic as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Found {
    partitions: u32,
    /// The least of any partition.
    replication: u32,
    settings: BTreeMap<String, String>,
}

/// Compares and changes a cluster's topics.
pub struct KafkaTopicAdmin {
    connection: Connection,
    client: Arc<AdminClient<Logged>>,
}

impl KafkaTopicAdmin {
    /// Opens the client; nothing is asked of the cluster yet.
    pub fn new(connection: Connection) -> Result<Self, LogError> {
        let client = AdminClient::from_config_and_context(&connection.admin(), Logged)
            .map(Arc::new)
            .map_err(|failure| error::explain("opening a client", connection.brokers(), &failure))?;
        Ok(Self { connection, client })
    }

    /// What differs. Nothing means that a worker of this topology may run.
    pub async fn plan(&self, topology: &Topology) -> Result<Vec<TopicDifference>, LogError> {
        let found = self.describe(topology).await?;
        Ok(differences(topology, &found))
    }

    /// Makes topics that are missing and settings that differ. Returns what differed: that, and what is left
    /// to people.
    pub async fn apply(&self, topology: &Topology) -> Result<Vec<TopicDifference>, LogError> {
        let plan = self.plan(topology).await?;
        let mut settings: BTreeMap<Topic, Vec<(String, String)>> = BTreeMap::new();
        for difference in &plan {
            match difference {
                TopicDifference::Missing { topic, .. } => {
                    if let Some(spec) = topology.topic(*topic) {
                        self.create(*topic, spec).await?;
                    }
                }
                TopicDifference::Setting { topic, key, wanted, .. } => {
                    settings.entry(*topic).or_default().push(((*key).to_owned(), wanted.clone()));
                }
                TopicDifference::Partitions { .. } | TopicDifference::Replication { .. } => {}
            }
        }
        for (topic, settings) in settings {
            self.set(topic, settings).await?;
        }
        if plan.iter().any(TopicDifference::is_applicable) {
            self.settle(topology).await?;
        }
        Ok(plan)
    }

    /// Waits until the brokers tell what was applied: the controller answers before they have heard, and
    /// whoever comes next, such as a worker, would find it missing.
    async fn settle(&self, topology: &Topology) -> Result<(), LogError> {
        let until = Instant::now() + LIMIT;
        loop {
            match self.plan(topology).await {
                Ok(plan) if !plan.iter().any(TopicDifference::is_applicable) => return Ok(()),
                // A leader that is only about to be one, for example.
                Err(error) if error.class != ErrorClass::Retriable => return Err(error),
                Ok(_) | Err(_) => {}
            }
            if Instant::now() > until {
                return Err(LogError::retriable(format!(
                    "the topics were changed, and the brokers at {} do not tell so within {} s; look again with \
                     `heartline topics check`",
                    self.connection.brokers(),
                    LIMIT.as_secs()
                )));
            }
            sleep(SETTLE_PAUSE).await;
        }
    }

    async fn create(&self, topic: Topic, spec: &TopicSpec) -> Result<(), LogError> {
        let settings = settings_of(topic, spec);
        let replication = TopicReplication::Fixed(i32::from(spec.replication));
        let count = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
        let new = settings
            .iter()
            .fold(NewTopic::new(topic.name(), count, replication), |new, (key, value)| new.set(key, value));
        let doing = format!("creating topic '{topic}'");
        let options = AdminOptions::new().operation_timeout(Some(LIMIT)).request_timeout(Some(LIMIT));
        let results = self
            .client
            .create_topics([&new], &options)
            .await
            .map_err(|failure| error::explain(&doing, self.connection.brokers(), &failure))?;
        for result in results {
            match result {
                // Another pod may have been first.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(self.refused(&doing, code)),
            }
        }
        Ok(())
    }

    fn refused(&self, doing: &str, code: Code) -> LogError {
        let said = match code {
            Code::InvalidReplicationFactor => {
                "the cluster has too few brokers for the replication in topology.toml".to_owned()
            }
            code => code.to_string(),
        };
        error::explain_code(doing, self.connection.brokers(), code, &said)
    }

    async fn set(&self, topic: Topic, settings: Vec<(String, String)>) -> Result<(), LogError> {
        let client = Arc::clone(&self.client);
        let result = tokio::task::spawn_blocking(move || {
            native::set_topic_settings(client.inner(), topic.name(), &settings, LIMIT)
        })
        .await
        .map_err(|error| LogError::fatal(format!("changing topic '{topic}': {error}")))?;
        result.map_err(|failure| {
            let doing = format!("changing topic '{topic}'");
            error::explain_code(&doing, self.connection.brokers(), failure.code, &failure.text)
        })
    }

    async fn describe(&self, topology: &Topology) -> Result<BTreeMap<Topic, Found>, LogError> {
        let doing = "comparing the topics";
        let explain = |failure: KafkaError| error::explain(doing, self.connection.brokers(), &failure);
        let client = Arc::clone(&self.client);
        // All topics: asked for by name, a missing one might be created by the broker.
        let metadata = tokio::task::spawn_blocking(move || client.inner().fetch_metadata(None, LIMIT))
            .await
            .map_err(|error| LogError::fatal(format!("{doing}: {error}")))?
            .map_err(explain)?;
        let mut all = BTreeMap::new();
        for found in metadata.topics() {
            let Some(topic) = Topic::from_name(found.name()).filter(|topic| topology.topic(*topic).is_some())
            else {
                continue;
            };
            // One without a leader for now, for example: it would seem to have no partitions.
            if let Some(code) = found.error().map(Code::from) {
                return Err(explain(KafkaError::MetadataFetch(code)));
            }
            let replicas = found.partitions().iter().map(|partition| partition.replicas().len());
            let found = Found {
                partitions: found.partitions().len() as u32,
                replication: replicas.min().unwrap_or(0) as u32,
                settings: BTreeMap::new(),
            };
            all.insert(topic, found);
        }
        for (topic, found) in &mut all {
            found.settings = self.settings(*topic).await?;
        }
        Ok(all)
    }

    async fn settings(&self, topic: Topic) -> Result<BTreeMap<String, String>, LogError> {
        let doing = format!("reading the settings of topic '{topic}'");
        let options = AdminOptions::new().request_timeout(Some(LIMIT));
        let results = self
            .client
            .describe_configs([&ResourceSpecifier::Topic(topic.name())], &options)
            .await
            .map_err(|failure| error::explain(&doing, self.connection.brokers(), &failure))?;
        let mut settings = BTreeMap::new();
        for result in results {
            let resource = result.map_err(|code| self.refused(&doing, code))?;
            settings.extend(
                resource.entries.into_iter().filter_map(|entry| entry.value.map(|v| (entry.name, v))),
            );
        }
        Ok(settings)
    }
}

/// The settings a topic must have.
fn settings_of(topic: Topic, spec: &TopicSpec) -> Vec<(&'static str, String)> {
    let mut settings = match spec.cleanup {
        Cleanup::Delete { retention_ms } => {
            vec![("cleanup.policy", "delete".to_owned()), ("retention.ms", retention_ms.to_string())]
        }
        Cleanup::Compact => vec![("cleanup.policy", "compact".to_owned())],
    };
    if topic.is_input() {
        // The log gives records their time, and some legal zstd batches stall librdkafka for ever.
        settings.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        settings.push(("compression.type", "lz4".to_owned()));
    }
    if spec.replication >= 3 {
        // With one replica in sync, what `acks=all` acknowledged dies with one broker.
        settings.push(("min.insync.replicas", "2".to_owned()));
    }
    settings
}

fn differences(topology: &Topology, all: &BTreeMap<Topic, Found>) -> Vec<TopicDifference> {
    let mut differences = Vec::new();
    for (topic, spec) in topology.topics() {
        let (partitions, replication) = (spec.partitions, spec.replication);
        let Some(found) = all.get(&topic) else {
            differences.push(TopicDifference::Missing { topic, partitions, replication });
            continue;
        };
        if found.partitions != partitions {
            let (found, wanted) = (found.partitions, partitions);
            differences.push(TopicDifference::Partitions { topic, found, wanted });
        }
        if found.replication != u32::from(replication) {
            let (found, wanted) = (found.replication, u32::from(replication));
            differences.push(TopicDifference::Replication { topic, found, wanted });
        }
        for (key, wanted) in settings_of(topic, spec) {
            let found = found.settings.get(key).cloned();
            if found.as_ref() != Some(&wanted) {
                differences.push(TopicDifference::Setting { topic, key, found, wanted });
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests;
