//! What the product sets on every Kafka client, and what it does not let anybody set.

use std::{collections::BTreeMap, fmt, time::Duration};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};
use thiserror::Error;

use crate::topology::Topic;

/// Keys that would break a promise, with the promise.
pub const REFUSED: [(&str, &str); 37] = [
    ("bootstrap.servers", "set [kafka] brokers"),
    ("metadata.broker.list", "set [kafka] brokers"),
    (
        "client.id",
        "it is the name of the member's producer, by which successors tell the living from the dead",
    ),
    ("group.id", "it is [kafka] group_prefix and the processor's name"),
    ("group.instance.id", "a static member rejoins without a new generation, which is what fences a zombie"),
    ("group.protocol", "only the classic protocol tells the member before a generation ends"),
    ("group.remote.assignor", "only the classic protocol tells the member before a generation ends"),
    ("partition.assignment.strategy", "only an eager assignor tells the member before a generation ends"),
    ("session.timeout.ms", "set [kafka] session_timeout"),
    ("heartbeat.interval.ms", "it follows [kafka] session_timeout"),
    ("max.poll.interval.ms", "the member's own thread polls; a revocation may take the session timeout"),
    ("isolation.level", "uncommitted records would be folded as facts"),
    ("enable.auto.commit", "offsets are committed in the transaction that publishes their records"),
    ("auto.commit.interval.ms", "offsets are committed in the transaction that publishes their records"),
    ("enable.auto.offset.store", "offsets are committed in the transaction that publishes their records"),
    ("auto.offset.reset", "a position that is gone must halt its partition, not move it"),
    ("enable.partition.eof", "the end of a partition is no record"),
    ("allow.auto.create.topics", "topics are made by `heartline topics apply`"),
    ("transactional.id", "it is the instance's own name"),
    ("transaction.timeout.ms", "set [kafka] transaction_timeout"),
    ("enable.idempotence", "a retry could write a record twice"),
    ("enable.gapless.guarantee", "the transaction already guarantees it"),
    ("acks", "a record counts once all replicas in sync have it"),
    ("request.required.acks", "a record counts once all replicas in sync have it"),
    ("max.in.flight.requests.per.connection", "more than five would break the order within a partition"),
    ("max.in.flight", "more than five would break the order within a partition"),
    ("partitioner", "the partition of a key is a decision of the core"),
    ("message.timeout.ms", "it follows [kafka] transaction_timeout"),
    ("delivery.timeout.ms", "it follows [kafka] transaction_timeout"),
    ("socket.timeout.ms", "it follows [kafka] transaction_timeout"),
    ("retries", "an append is given up by time, not by count"),
    ("message.send.max.retries", "an append is given up by time, not by count"),
    ("fetch.queue.backoff.ms", "second-long gaps open when it is large"),
    ("delivery.report.only.error", "an append is answered by the report of its delivery"),
    ("message.max.bytes", "the topic's max.message.bytes decides what is too large"),
    ("topic.metadata.propagation.max.ms", "a missing topic must be said before the transaction times out"),
    ("log.queue", "librdkafka's log goes to the product's own"),
];

/// KiB that a reader holds of what it fetched and the engine has not polled, all partitions together, give or
/// take one fetch.
const PREFETCH_KIB: u32 = 8 * 1024;
/// Records that it holds, likewise: small ones weigh more than their bytes.
const PREFETCH_RECORDS: u32 = 50_000;
/// Compressed bytes of one fetch, and of one partition in it (a larger batch still comes, alone). librdkafka
/// unpacks a whole fetch at once, with some 500 bytes about every record, so these bound what it holds beyond
/// the two above: measured 87 MiB in all while nobody polled 115-byte records that compress thirtyfold.
const FETCH_BYTES: u32 = 1024 * 1024;
const PARTITION_FETCH_BYTES: u32 = 128 * 1024;
/// Milliseconds a broker may hold a fetch that finds nothing. A partition that is fetched anew waits for the
/// fetch under way on its connection, so this bounds the delay of the first record after an assignment.
const FETCH_WAIT_MS: u32 = 100;
/// Bytes of one record that a producer takes. The topic's `max.message.bytes` decides, not the client.
const RECORD_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// KiB that a plain producer holds of what the broker has not acknowledged; above, appending waits.
const UNACKNOWLEDGED_KIB: u32 = 32 * 1024;
/// Settings that librdkafka knows by two names.
const LINGER: [&str; 2] = ["linger.ms", "queue.buffering.max.ms"];
const PARTITION_FETCH: [&str; 2] = ["fetch.message.max.bytes", "max.partition.fetch.bytes"];
const COMPRESSION: [&str; 2] = ["compression.codec", "compression.type"];
/// Milliseconds until an append of a plain producer is given up.
pub const APPEND_TIMEOUT_MS: u64 = 5_000;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KafkaConfigError {
    #[error("[kafka] brokers is empty; name at least one as host:port")]
    NoBrokers,
    #[error("[kafka.librdkafka] {key} cannot be set: {reason}")]
    Refused { key: String, reason: &'static str },
    #[error(
        "[kafka] transaction_timeout ({transaction_ms} ms) must be at least 2 s and below session_timeout \
         ({session_ms} ms), or a zombie's transaction outlives its membership"
    )]
    Timeouts { transaction_ms: u128, session_ms: u128 },
}

/// How to reach a cluster. The values of the extra properties, secrets among them, are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    brokers: String,
    properties: BTreeMap<String, String>,
}

impl Connection {
    /// `properties` are handed to librdkafka as they are: TLS, SASL, tuning. Those in [`REFUSED`] are errors.
    pub fn new(brokers: &[String], properties: BTreeMap<String, String>) -> Result<Self, KafkaConfigError> {
        if brokers.is_empty() || brokers.iter().any(|broker| broker.trim().is_empty()) {
            return Err(KafkaConfigError::NoBrokers);
        }
        for key in properties.keys() {
            if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| refused == key) {
                return Err(KafkaConfigError::Refused { key: key.clone(), reason });
            }
        }
        Ok(Self { brokers: brokers.join(","), properties })
    }

    /// The brokers as librdkafka takes them: comma separated.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// What every client has in common.
    fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Warning);
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers).set("client.id", client_id);
        tune(&mut config, "reconnect.backoff.ms", 50);
        tune(&mut config, "reconnect.backoff.max.ms", 1_000);
        config
    }

    /// For questions about the cluster and its topics.
    #[must_use]
    pub fn admin(&self) -> ClientConfig {
        let mut config = self.client("heartline-admin");
        config.set("socket.timeout.ms", "5000");
        config
    }

    /// A consumer that never joins its group: it reads from explicit positions and asks for the group's
    /// offsets.
    #[must_use]
    pub fn reader(&self, client_id: &str, group: &str, isolation: Isolation) -> ClientConfig {
        let mut config = self.client(client_id);
        // Its member says the same; a reader has nothing to add to the log.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        consumer_promises(&mut config, group);
        config
            .set("isolation.level", isolation.name())
            .set("socket.timeout.ms", "10000")
            .set("fetch.queue.backoff.ms", "2");
        tune(&mut config, "fetch.wait.max.ms", FETCH_WAIT_MS);
        tune(&mut config, "fetch.max.bytes", FETCH_BYTES);
        tune(&mut config, PARTITION_FETCH[0], PARTITION_FETCH_BYTES);
        tune(&mut config, "queued.min.messages", PREFETCH_RECORDS);
        tune(&mut config, "queued.max.messages.kbytes", PREFETCH_KIB);
        config
    }

    /// A plain idempotent producer: beacons, and records from outside of the engine.
    #[must_use]
    pub fn plain_producer(&self, client_id: &str) -> ClientConfig {
        let mut config = self.client(client_id);
        producer_promises(&mut config);
        config
            .set("message.timeout.ms", APPEND_TIMEOUT_MS.to_string())
            .set("socket.timeout.ms", (APPEND_TIMEOUT_MS / 2).to_string());
        tune(&mut config, "queue.buffering.max.kbytes", UNACKNOWLEDGED_KIB);
        tune(&mut config, LINGER[0], 2);
        config
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("brokers", &self.brokers)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Also makes offset reads stable: they do not answer while a transaction with offsets is open.
    Committed,
    Uncommitted,
}

impl Isolation {
    const fn name(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

/// One member of one processor's group. Made by [`KafkaConfig::new`], so that its timeouts fit each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    pub(super) connection: Connection,
    pub(super) group: String,
    pub(super) input: Topic,
    pub(super) session_timeout: Duration,
    pub(super) transaction_timeout: Duration,
}

impl KafkaConfig {
    pub fn new(
        connection: Connection,
        group: impl Into<String>,
        input: Topic,
        session_timeout: Duration,
        transaction_timeout: Duration,
    ) -> Result<Self, KafkaConfigError> {
        if transaction_timeout < Duration::from_secs(2) || transaction_timeout >= session_timeout {
            return Err(KafkaConfigError::Timeouts {
                transaction_ms: transaction_timeout.as_millis(),
                session_ms: session_timeout.as_millis(),
            });
        }
        Ok(Self { connection, group: group.into(), input, session_timeout, transaction_timeout })
    }

    /// The consumer that is the member: it joins and hears of rebalances, and reads nothing.
    #[must_use]
    pub fn member(&self, name: &str) -> ClientConfig {
        let mut config = self.connection.client(name);
        consumer_promises(&mut config, &self.group);
        let session_ms = self.session_timeout.as_millis();
        config
            .set("isolation.level", Isolation::Committed.name())
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", session_ms.to_string())
            .set("heartbeat.interval.ms", (session_ms / 5).to_string())
            .set("max.poll.interval.ms", (10 * session_ms).max(300_000).to_string())
            .set("socket.timeout.ms", session_ms.max(1_000).to_string());
        config
    }

    #[must_use]
    pub fn reader(&self, isolation: Isolation) -> ClientConfig {
        self.connection.reader(&format!("{}.reader", self.group), &self.group, isolation)
    }

    /// The transactional producer. Its backoffs are short because they are paid within every transaction
    /// while the former one's markers are being written: 3.7 ms against 100 ms a transaction with
    /// librdkafka's own.
    ///
    /// No request is given up before the transaction is: librdkafka would send it again by itself, and the
    /// first copy, when it arrives, would end the next transaction of the same epoch. For the same reason it
    /// must tell of connections that end, see [`super::producer::Deliveries`].
    #[must_use]
    pub fn transactional_producer(&self, name: &str) -> ClientConfig {
        let mut config = self.connection.client(name);
        producer_promises(&mut config);
        let timeout_ms = self.transaction_timeout.as_millis();
        config
            .set("transactional.id", name)
            // What was delivered is said by the commit; a report for each record costs as much as the record.
            .set("delivery.report.only.error", "true")
            .set("transaction.timeout.ms", timeout_ms.to_string())
            .set("message.timeout.ms", (timeout_ms * 3 / 4).to_string())
            .set("socket.timeout.ms", timeout_ms.to_string());
        let debug = config.get("debug").map_or("broker".to_owned(), |debug| format!("{debug},broker"));
        config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
        tune(&mut config, "retry.backoff.ms", 2);
        tune(&mut config, "retry.backoff.max.ms", 20);
        tune(&mut config, "queue.buffering.max.messages", 1_000_000);
        tune(&mut config, LINGER[0], 1);
        config
    }
}

fn consumer_promises(config: &mut ClientConfig, group: &str) {
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "false")
        .set("allow.auto.create.topics", "false");
}

fn producer_promises(config: &mut ClientConfig) {
    config
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
        // How long a topic that the cluster does not know is hoped for before its records are refused.
        .set("topic.metadata.propagation.max.ms", "2000");
    tune(config, COMPRESSION[0], "lz4");
}

/// Sets what is good here and breaks nothing otherwise, unless the operator set it, under any of its names.
fn tune(config: &mut ClientConfig, key: &str, value: impl ToString) {
    let names = [LINGER, COMPRESSION, PARTITION_FETCH].into_iter().find(|names| names.contains(&key));
    let is_set =
        names.map_or(config.get(key).is_some(), |names| names.iter().any(|name| config.get(name).is_some()));
    if !is_set {
        config.set(key, value.to_string());
    }
}

#[cfg(test)]
mod tests;
