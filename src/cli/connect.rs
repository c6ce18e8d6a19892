//! Where the parts meet: from a configuration to the servers behind it, and to the worker.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::CliError;
use crate::{
    client::{StoreClient, TopicClient},
    config::Config,
    cql::{self, Cql, CqlClient, CqlConfig, CqlStore},
    embedded::{Database, EmbeddedLog, EmbeddedStore, EmbeddedStoreClient, EmbeddedTopics},
    engine::{EngineConfig, Exit, Pace},
    http::status::Status,
    kafka::{KafkaLog, KafkaTopics, config::KafkaConfig, topics::KafkaTopicAdmin},
    limits::{LARGE_GROUP_RECIPIENTS, STATE_BYTES_MAX},
    log::PartitionId,
    processor::{Fold, conversation::Conversation, cursor::Cursor, inbox::Inbox, presence::Presence},
    topology::{ProcessorKind, Topology},
    worker::{Worker, report},
};

/// How often the log is asked how far it reaches, and the status that others see is renewed, once the start
/// is some seconds ago.
const READ_ENDS_EVERY: Duration = Duration::from_secs(2);
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// How long a command tries to reach the database.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// What the worker works on.
pub enum Backend {
    Embedded(Arc<Database>),
    Servers { config: Box<Config>, cql: Cql },
}

/// The next offset of every partition of each processor's input.
type Ends = BTreeMap<ProcessorKind, BTreeMap<u32, i64>>;

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

/// The member of a processor's group that a worker with this configuration is.
pub fn member(config: &Config, processor: ProcessorKind) -> Result<KafkaConfig, CliError> {
    let kafka = &config.kafka;
    let group = format!("{}.{processor}", kafka.group_prefix);
    let (session, transaction) = (kafka.session_timeout, kafka.transaction_timeout);
    KafkaConfig::new(kafka.connection.clone(), group, processor.input(), session, transaction)
        .map_err(|error| CliError::config(error.to_string()))
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
pub async fn work(mut work: Work) -> Result<(), CliError> {
    let (topics, _) = work.backend.clients()?;
    let mut workers = Vec::new();
    for processor in &work.processors {
        workers.push((*processor, start(*processor, &work)?));
    }
    let (told, ends) = watch::channel(Ends::new());
    let reading = tokio::spawn(read_ends(topics, work.processors.clone(), told));
    let begun = Instant::now();
    let mut report_at = begun;
    let mut halts = Halts::default();
    while !workers.iter().any(|(_, worker)| worker.is_finished()) {
        tokio::select! {
            _ = work.shutdown.wait_for(|down| *down) => break,
            () = sleep_until(report_at) => {
                for (processor, worker) in &workers {
                    report::tell(&work.status, worker, ends.borrow().get(processor));
                    halts.log(*processor, worker);
                }
                report_at = Instant::now() + report::pause(begun.elapsed(), REPORT_EVERY);
            }
        }
    }
    reading.abort();
    for (_, worker) in &workers {
        worker.stop();
    }
    let joined = tokio::task::spawn_blocking(move || {
        workers.into_iter().map(|(_, worker)| worker.join()).collect::<Vec<_>>()
    });
    let exits = joined.await.map_err(|error| CliError::internal(error.to_string()))?;
    exits.into_iter().try_for_each(|exit| match exit {
        Exit::Left => Ok(()),
        Exit::Fatal(sentence) => Err(CliError::internal(sentence)),
    })
}

/// Asks the log again and again how far it reaches, beside everything else: a broker that is away answers
/// late. Without an answer the lag is shown as of the last one.
async fn read_ends(topics: Arc<dyn TopicClient>, processors: Vec<ProcessorKind>, told: watch::Sender<Ends>) {
    let mut every = tokio::time::interval(READ_ENDS_EVERY);
    loop {
        every.tick().await;
        for processor in &processors {
            if let Ok(bounds) = topics.bounds(processor.input()).await {
                let next = bounds.into_iter().map(|(partition, bounds)| (partition, bounds.end)).collect();
                told.send_modify(|ends| _ = ends.insert(*processor, next));
            }
        }
    }
}

/// The partitions that stand still: each is logged once, when it halts.
#[derive(Default)]
struct Halts(BTreeMap<(ProcessorKind, PartitionId), String>);

impl Halts {
    fn log(&mut self, processor: ProcessorKind, worker: &Worker) {
        let partitions = worker.status().partitions;
        let halted = partitions.into_iter().filter_map(|status| Some((status.partition, status.halted?)));
        let halted: BTreeMap<_, _> = halted.map(|(id, sentence)| ((processor, id), sentence)).collect();
        for (id, sentence) in &halted {
            if self.0.get(id) != Some(sentence) {
                tracing::error!(%processor, "{sentence}");
            }
        }
        self.0.retain(|(kind, _), _| *kind != processor);
        self.0.extend(halted);
    }
}

fn start(processor: ProcessorKind, work: &Work) -> Result<Worker, CliError> {
    match processor {
        ProcessorKind::Presence => start_fold::<Presence>(work),
        ProcessorKind::Conversation => start_fold::<Conversation>(work),
        ProcessorKind::Inbox => start_fold::<Inbox>(work),
        ProcessorKind::Cursor => start_fold::<Cursor>(work),
    }
}

fn start_fold<F: Fold>(work: &Work) -> Result<Worker, CliError> {
    let kafka = &work.config.kafka;
    let group: Arc<str> = format!("{}.{}", kafka.group_prefix, F::KIND).into();
    let name = match &work.backend {
        // One process owns the folder, so that one name serves all its lives.
        Backend::Embedded(_) => group.to_string(),
        Backend::Servers { .. } => format!("{group}.{}", kafka.instance),
    };
    let engine = EngineConfig {
        topology: work.topology.clone(),
        group: group.clone(),
        name,
        incarnation: uuid::Uuid::now_v7().simple().to_string(),
        parameters: work.config.presence.clone(),
        retention: work.config.retention,
        state_bytes_max: STATE_BYTES_MAX,
        large_group: LARGE_GROUP_RECIPIENTS,
        session_timeout_ms: i64::try_from(kafka.session_timeout.as_millis()).unwrap_or(i64::MAX),
        pace: Pace::default(),
    };
    let spawned = match &work.backend {
        Backend::Embedded(database) => {
            let database = database.clone();
            Worker::spawn::<F, _, _, _>(engine, move |waker| {
                let log = EmbeddedLog::start(&database, &group, F::KIND.input(), waker.clone());
                let log = log.map_err(|error| format!("cannot start the log's thread: {error}"))?;
                let store = EmbeddedStore::start(&database, waker);
                Ok((log, store.map_err(|error| format!("cannot start the store's thread: {error}"))?))
            })
        }
        Backend::Servers { config, cql } => {
            let kafka = member(config, F::KIND)?;
            let (cql, runtime) = (cql.clone(), Handle::current());
            Worker::spawn::<F, _, _, _>(engine, move |waker| {
                let log = KafkaLog::new(kafka, waker.clone()).map_err(|error| error.message)?;
                Ok((log, CqlStore::new(cql, runtime, waker)))
            })
        }
    };
    spawned.map_err(|error| CliError::internal(format!("cannot start the engine's thread: {error}")))
}
