//! What a group has committed, read from outside of it.

use std::time::Duration;

use rdkafka::{config::FromClientConfigAndContext, consumer::BaseConsumer, error::KafkaError};

use super::{
    config::{Connection, Isolation},
    context::Logged,
    error,
    questions::committed,
};
use crate::{
    log::{Committed, LogError, PartitionId},
    topology::Topic,
};

const LIMIT: Duration = Duration::from_secs(10);

/// The committed offsets of a group with their metadata, `None` where there is none. Blocks.
pub fn group_offsets(
    connection: &Connection,
    group: &str,
    topic: Topic,
    partitions: u32,
) -> Result<Vec<(PartitionId, Option<Committed>)>, LogError> {
    let explain = |failure: KafkaError| {
        let doing = format!("reading the offsets of group '{group}' in '{topic}'");
        error::explain(&doing, connection.brokers(), &failure)
    };
    let client: BaseConsumer<Logged> =
        BaseConsumer::from_config_and_context(&connection.reader(group, group, Isolation::Committed), Logged)
            .map_err(explain)?;
    let partitions: Vec<_> = (0..partitions).collect();
    committed(&client, topic.name(), &partitions, LIMIT).map_err(explain)
}
