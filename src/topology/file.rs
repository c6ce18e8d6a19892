//! `topology.toml`, as written and as checked.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::{Cleanup, ProcessorKind, Topic, TopicSpec, Topology};

/// The topology that the product ships.
pub const SHIPPED: &str = include_str!("../../topology.toml");

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopologyError {
    #[error("topology: {0}")]
    Syntax(String),
    #[error("topology: there is no topic '{0}'; the topics are {names}", names = topic_names())]
    UnknownTopic(String),
    #[error("topology: there is no processor '{0}' with buckets; those are presence, inbox, cursor")]
    UnknownProcessor(String),
    #[error("topology: topic '{0}' is missing; processor {1} needs it")]
    MissingTopic(Topic, ProcessorKind),
    #[error("topology: processor '{0}' is missing")]
    MissingProcessor(ProcessorKind),
    #[error("topology: topic '{0}': {1}")]
    BadTopic(Topic, String),
    #[error(
        "topology: processor {processor}: {buckets} buckets are no multiple of the {partitions} partitions of '{input}'"
    )]
    Buckets { processor: ProcessorKind, buckets: u32, partitions: u32, input: Topic },
}

/// Where and what, without the picture of the place that goes over several lines.
fn one_line(text: &str, error: &toml::de::Error) -> String {
    let what = error.message().replace('\n', ", ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {what}", before.matches('\n').count() + 1),
        None => what,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTopology {
    topics: BTreeMap<String, RawTopic>,
    processors: BTreeMap<String, RawProcessor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTopic {
    partitions: u32,
    replication: u16,
    cleanup: RawCleanup,
    retention: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum RawCleanup {
    Delete,
    Compact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProcessor {
    buckets: u32,
}

impl Topology {
    /// The topology that the product ships.
    ///
    /// # Panics
    /// Never: a test parses it.
    #[must_use]
    pub fn shipped() -> Self {
        Self::parse(SHIPPED).unwrap_or_else(|error| panic!("the shipped topology is valid: {error}"))
    }

    /// Parses and checks `topology.toml`.
    pub fn parse(text: &str) -> Result<Self, TopologyError> {
        let raw: RawTopology =
            toml::from_str(text).map_err(|error| TopologyError::Syntax(one_line(text, &error)))?;
        let mut topics = BTreeMap::new();
        for (name, raw) in raw.topics {
            let topic = Topic::from_name(&name).ok_or(TopologyError::UnknownTopic(name))?;
            topics.insert(topic, checked_topic(topic, &raw)?);
        }
        let mut buckets = BTreeMap::new();
        for (name, raw) in raw.processors {
            let kind = ProcessorKind::from_name(&name)
                .filter(|kind| kind.has_buckets())
                .ok_or(TopologyError::UnknownProcessor(name))?;
            buckets.insert(kind, raw.buckets);
        }
        for kind in ProcessorKind::ALL {
            let mut needed = kind.outputs().iter().copied().chain([kind.input()]);
            if let Some(topic) = needed.find(|topic| !topics.contains_key(topic)) {
                return Err(TopologyError::MissingTopic(topic, kind));
            }
            if !kind.has_buckets() {
                continue;
            }
            let buckets = *buckets.get(&kind).ok_or(TopologyError::MissingProcessor(kind))?;
            let (input, partitions) = (kind.input(), topics[&kind.input()].partitions);
            if buckets == 0 || buckets % partitions != 0 {
                return Err(TopologyError::Buckets { processor: kind, buckets, partitions, input });
            }
        }
        let counts = |topic: Topic| topics[&topic].partitions;
        if counts(Topic::Inbox) != counts(Topic::Deliveries) {
            let why = format!("partitions must be those of deliveries, {}", counts(Topic::Deliveries));
            return Err(TopologyError::BadTopic(Topic::Inbox, why));
        }
        Ok(Self { topics, buckets })
    }

    /// A small topology for tests and the simulator: every topic with `partitions` partitions.
    ///
    /// # Panics
    /// When a count is 0 or `buckets` is no multiple of `partitions`.
    #[must_use]
    pub fn uniform(partitions: u32, buckets: u32) -> Self {
        assert!(partitions > 0 && buckets > 0 && buckets.is_multiple_of(partitions), "buckets divide evenly");
        let spec =
            TopicSpec { partitions, replication: 1, cleanup: Cleanup::Delete { retention_ms: 86_400_000 } };
        Self {
            topics: Topic::ALL.into_iter().map(|topic| (topic, spec.clone())).collect(),
            buckets: ProcessorKind::ALL.into_iter().map(|kind| (kind, buckets)).collect(),
        }
    }

    /// The same but for one topic.
    #[cfg(all(test, feature = "edges"))]
    pub(crate) fn without(mut self, topic: Topic) -> Self {
        self.topics.remove(&topic);
        self
    }
}

fn checked_topic(topic: Topic, raw: &RawTopic) -> Result<TopicSpec, TopologyError> {
    let bad = |what: &str| TopologyError::BadTopic(topic, what.to_owned());
    if raw.partitions == 0 || raw.partitions > 10_000 {
        return Err(bad("partitions must be 1 to 10,000"));
    }
    if raw.replication == 0 {
        return Err(bad("replication must be at least 1"));
    }
    let cleanup = match (&raw.cleanup, &raw.retention) {
        (RawCleanup::Compact, None) => Cleanup::Compact,
        (RawCleanup::Compact, Some(_)) => return Err(bad("a compacted topic has no retention")),
        (RawCleanup::Delete, None) => return Err(bad("retention is missing, such as \"7d\"")),
        (RawCleanup::Delete, Some(text)) => Cleanup::Delete {
            retention_ms: parse_duration_ms(text)
                .ok_or_else(|| bad("retention is a number with ms, s, m, h or d"))?,
        },
    };
    Ok(TopicSpec { partitions: raw.partitions, replication: raw.replication, cleanup })
}

/// `90s`, `5m`, `12h`, `7d`, `250ms` in milliseconds.
#[must_use]
pub fn parse_duration_ms(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn topic_names() -> String {
    Topic::ALL.map(Topic::name).join(", ")
}

#[cfg(test)]
mod tests;
