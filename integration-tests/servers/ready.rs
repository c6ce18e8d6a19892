//! Whether a server answers, not merely whether its port is open.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rdkafka::{
    ClientConfig,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _},
};
use scylla::client::session_builder::SessionBuilder;

use super::kafka::ADMIN;

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The broker at `address` answers for every partition that there is: after a restart it tells of topics
/// before it leads them.
pub fn kafka(address: &str) -> Result<()> {
    answers(address, &mut ClientConfig::new())
}

/// The same of a guarded one.
pub fn guarded_kafka(address: &str) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("security.protocol", "sasl_plaintext").set("sasl.mechanisms", "PLAIN");
    answers(address, config.set("sasl.username", ADMIN).set("sasl.password", ADMIN))
}

fn answers(address: &str, config: &mut ClientConfig) -> Result<()> {
    let client: BaseConsumer = config
        .set("bootstrap.servers", address)
        .set("reconnect.backoff.max.ms", "500")
        .set_log_level(RDKafkaLogLevel::Emerg)
        .create()?;
    let metadata = client.fetch_metadata(None, ATTEMPT_TIMEOUT)?;
    if metadata.brokers().is_empty() {
        bail!("it knows no broker yet");
    }
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            let name = topic.name();
            client
                .fetch_watermarks(name, partition.id(), ATTEMPT_TIMEOUT)
                .with_context(|| format!("asking for {name}/{}", partition.id()))?;
        }
    }
    Ok(())
}

/// The database at `address` answers a query.
pub fn cql(address: &str) -> Result<()> {
    let query = async {
        let session = SessionBuilder::new().known_node(address).build().await?;
        session.query_unpaged("SELECT release_version FROM system.local", ()).await?;
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(ATTEMPT_TIMEOUT, query).await.map_err(|_| anyhow!("no answer"))?
    })
}
