//! Where the parts meet: from a configuration to the servers behind it, and to the worker.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::CliError;
use crate::{
    client::{StoreClient, TopicClient},
    config::Config,
    cql::{self, Cql, CqlClient, CqlConfig},
    embedded::{Database, EmbeddedStoreClient, EmbeddedTopics},
    http::status::Status,
    kafka::{KafkaTopics, topics::KafkaTopicAdmin},
    topology::{ProcessorKind, Topology},
};

/// How long a command tries to reach the database.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// What the worker works on.
pub enum Backend {
    Embedded(Arc<Database>),
    Servers { config: Box<Config>, cql: Cql },
}

/// What stands on the log and the store without being a worker.
pub type Clients = (Arc<dyn TopicClient>, Arc<dyn StoreClient>);

/// A worker's task.
pub struct Work {
    pub backend: Backend,
    pub topology: Arc<Topology>,
    pub processors: Vec<ProcessorKind>,
    pub config: Config,
    pub status: Status,
    /// Turns true when the worker is to leave the group and end.
    pub shutdown: watch::Receiver<bool>,
}

/// Kafka's topics, for producing and following.
pub fn topics(config: &Config) -> Result<Arc<dyn TopicClient>, CliError> {
    Ok(Arc::new(KafkaTopics::new(config.kafka.connection.clone())?))
}

/// Kafka's topics, for comparing and making.
pub fn topic_admin(config: &Config) -> Result<KafkaTopicAdmin, CliError> {
    Ok(KafkaTopicAdmin::new(config.kafka.connection.clone())?)
}

/// A session with the database, for a command that somebody waits for; the keyspace need not exist yet.
pub async fn cql(config: &Config) -> Result<Cql, CliError> {
    Ok(cql::connect(&CqlConfig { connect_timeout: ASK_WITHIN, ..config.store.clone() }).await?)
}

/// The same for a worker, which may be started together with the database.
pub async fn cql_for_worker(config: &Config) -> Result<Cql, CliError> {
    Ok(cql::connect(&config.store).await?)
}

/// The store, for reading and writing outside of a worker.
pub async fn store(config: &Config) -> Result<Arc<dyn StoreClient>, CliError> {
    Ok(Arc::new(CqlClient::new(cql(config).await?)))
}

/// Opens the data folder of `up`.
pub async fn database(folder: &Path, topology: &Arc<Topology>) -> Result<Arc<Database>, CliError> {
    let (folder, topology) = (folder.to_owned(), topology.clone());
    let opened = tokio::task::spawn_blocking(move || Database::open(&folder, &topology)).await;
    Ok(opened.map_err(|error| CliError::internal(error.to_string()))??)
}

impl Backend {
    /// What HTTP stands on.
    pub fn clients(&self) -> Result<Clients, CliError> {
        Ok(match self {
            Self::Embedded(database) => {
                (Arc::new(EmbeddedTopics::new(database)), Arc::new(EmbeddedStoreClient::new(database)))
            }
            Self::Servers { config, cql } => (topics(config)?, Arc::new(CqlClient::new(cql.clone()))),
        })
    }
}

/// Runs the processors until `shutdown` turns true. An error is one that the worker cannot go on with.
pub async fn work(work: Work) -> Result<(), CliError> {
    let Work { backend, topology, processors, config, status, mut shutdown } = work;
    for processor in processors {
        let missing = "this build has no worker for it: records are kept, nothing is folded".to_owned();
        tracing::warn!(%processor, "{missing}");
        status.set_missing(&format!("{processor}.worker"), Some(missing));
    }
    // A sender that is gone means the same: nobody is left to say it.
    let _ = shutdown.wait_for(|down| *down).await;
    drop((backend, topology, config));
    Ok(())
}
