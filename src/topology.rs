//! Who reads what, which processor, where it goes: the graph as data.

use std::{collections::BTreeMap, fmt};

use crate::id;

pub mod file;

/// A topic of the product. The names are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    Heartbeats,
    Sends,
    Receipts,
    Deliveries,
    Presence,
    PresenceState,
    Sessions,
    Inbox,
    Cursors,
    DeadLetters,
}

impl Topic {
    pub const ALL: [Self; 10] = [
        Self::Heartbeats,
        Self::Sends,
        Self::Receipts,
        Self::Deliveries,
        Self::Presence,
        Self::PresenceState,
        Self::Sessions,
        Self::Inbox,
        Self::Cursors,
        Self::DeadLetters,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heartbeats => "heartbeats",
            Self::Sends => "sends",
            Self::Receipts => "receipts",
            Self::Deliveries => "deliveries",
            Self::Presence => "presence",
            Self::PresenceState => "presence-state",
            Self::Sessions => "sessions",
            Self::Inbox => "inbox",
            Self::Cursors => "cursors",
            Self::DeadLetters => "dead-letters",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// Whether a processor reads it; the log gives its records their time.
    #[must_use]
    pub const fn is_input(self) -> bool {
        matches!(self, Self::Heartbeats | Self::Sends | Self::Receipts | Self::Deliveries)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A processor: one loop, one consumer group, one input topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessorKind {
    Presence,
    Conversation,
    Inbox,
    Cursor,
}

impl ProcessorKind {
    pub const ALL: [Self; 4] = [Self::Presence, Self::Conversation, Self::Inbox, Self::Cursor];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Conversation => "conversation",
            Self::Inbox => "inbox",
            Self::Cursor => "cursor",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    #[must_use]
    pub const fn input(self) -> Topic {
        match self {
            Self::Presence => Topic::Heartbeats,
            Self::Conversation => Topic::Sends,
            Self::Inbox => Topic::Deliveries,
            Self::Cursor => Topic::Receipts,
        }
    }

    /// What it publishes, dead letters and forwarded records included.
    #[must_use]
    pub const fn outputs(self) -> &'static [Topic] {
        match self {
            Self::Presence => &[
                Topic::Heartbeats,
                Topic::Presence,
                Topic::PresenceState,
                Topic::Sessions,
                Topic::DeadLetters,
            ],
            Self::Conversation => &[Topic::Sends, Topic::Deliveries, Topic::DeadLetters],
            Self::Inbox => &[Topic::Inbox, Topic::DeadLetters],
            Self::Cursor => &[Topic::Receipts, Topic::Cursors, Topic::DeadLetters],
        }
    }

    /// Whether its tables are partitioned by buckets; those of conversations are by conversation.
    #[must_use]
    pub const fn has_buckets(self) -> bool {
        !matches!(self, Self::Conversation)
    }
}

impl fmt::Display for ProcessorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happens to old records of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Gone after this many milliseconds.
    Delete { retention_ms: u64 },
    /// The last record of every key is kept.
    Compact,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub partitions: u32,
    pub replication: u16,
    pub cleanup: Cleanup,
}

/// The checked graph: counts are at least 1, every topic of every processor is there, buckets divide evenly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    topics: BTreeMap<Topic, TopicSpec>,
    buckets: BTreeMap<ProcessorKind, u32>,
}

impl Topology {
    /// The specification of a topic, if the topology has it.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> Option<&TopicSpec> {
        self.topics.get(&topic)
    }

    pub fn topics(&self) -> impl Iterator<Item = (Topic, &TopicSpec)> {
        self.topics.iter().map(|(topic, spec)| (*topic, spec))
    }

    /// Partitions of a topic that the topology has.
    ///
    /// # Panics
    /// When it does not: a processor's topics are checked when the topology is made.
    #[must_use]
    pub fn partitions(&self, topic: Topic) -> u32 {
        self.topics
            .get(&topic)
            .map_or_else(|| panic!("topic {topic} is in the checked topology"), |spec| spec.partitions)
    }

    /// Database partitions of a processor's tables.
    ///
    /// # Panics
    /// When the topology lacks the processor, which its check refuses.
    #[must_use]
    pub fn buckets(&self, processor: ProcessorKind) -> u32 {
        self.buckets
            .get(&processor)
            .copied()
            .unwrap_or_else(|| panic!("processor {processor} is in the checked topology"))
    }

    /// The bucket of `key` in the tables of `processor`.
    #[must_use]
    pub fn bucket(&self, processor: ProcessorKind, key: &[u8]) -> u32 {
        id::bucket_of(key, self.buckets(processor))
    }

    /// The partition of `key` in `topic`.
    #[must_use]
    pub fn place(&self, topic: Topic, key: &[u8]) -> u32 {
        id::partition_of(key, self.partitions(topic))
    }
}
