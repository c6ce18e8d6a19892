//! `heartline rebuild`: folds the topics from their start into another keyspace and publishes nothing.
//!
//! It recovers a lost database, and it is the proof that rows follow from the log: what the workers wrote and
//! what a rebuild writes are the same rows.

use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, Global, connect, output};
use crate::{
    client::{StoreClient, TailFrom, TopicClient},
    config::Config,
    cql::{self, CqlClient, CqlConfig, schema},
    kafka::offsets::group_offsets,
    limits::{LARGE_GROUP_RECIPIENTS, STATE_BYTES_MAX},
    log::PartitionId,
    processor::{Fold, Setup, conversation::Conversation, cursor::Cursor, inbox::Inbox, presence::Presence},
    table::progress::{PROGRESS_ENTRY, progress_query},
    task::{metadata::OffsetMetadata, opening::Start},
    topology::{ProcessorKind, Topology},
};
use partition::{Known, Replay};

mod partition;
mod reading;

#[derive(Debug, Args)]
pub struct Rebuild {
    /// The keyspace to write into: another one than that of the configuration, without rows of its own
    #[arg(long, value_name = "NAME")]
    keyspace: String,
    /// Only these processors, comma separated [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = super::run::processor)]
    processors: Vec<ProcessorKind>,
}

/// What a rebuild reads from and writes into.
struct Rebuilding {
    config: Config,
    topology: Arc<Topology>,
    topics: Arc<dyn TopicClient>,
    store: Arc<dyn StoreClient>,
}

impl Rebuild {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let config = global.config(&[])?;
        let topology = Arc::new(global.topology()?);
        if self.keyspace == config.store.keyspace {
            return Err(CliError::usage(format!(
                "keyspace {} is the one that workers write; name another with --keyspace",
                self.keyspace
            )));
        }
        let processors =
            if self.processors.is_empty() { ProcessorKind::ALL.to_vec() } else { self.processors };
        let target = CqlConfig { keyspace: self.keyspace.clone(), ..config.store.clone() };
        let cql = cql::connect(&target).await?;
        schema::apply(&cql).await?;
        let (topics, store) = (connect::topics(&config)?, Arc::new(CqlClient::new(cql)));
        let rebuilding = Rebuilding { config, topology, topics, store };
        for processor in &processors {
            rebuilding.is_empty(*processor, &self.keyspace).await?;
        }
        for processor in processors {
            let records = match processor {
                ProcessorKind::Presence => rebuilding.fold::<Presence>().await?,
                ProcessorKind::Conversation => rebuilding.fold::<Conversation>().await?,
                ProcessorKind::Inbox => rebuilding.fold::<Inbox>().await?,
                ProcessorKind::Cursor => rebuilding.fold::<Cursor>().await?,
            };
            output::line(&format!(
                "{processor}: {records} records of {} folded into {}",
                processor.input(),
                self.keyspace
            ))?;
        }
        Ok(())
    }
}

impl Rebuilding {
    /// Rows of another history would stay between those of this one.
    async fn is_empty(&self, processor: ProcessorKind, keyspace: &str) -> Result<(), CliError> {
        let topic = processor.input();
        for partition in 0..self.topology.partitions(topic) {
            let rows = self.store.read(progress_query(topic, partition, &[PROGRESS_ENTRY])).await?;
            if !rows.is_empty() {
                return Err(CliError::usage(format!(
                    "keyspace {keyspace} has rows of {topic}/{partition} already; drop it or name another"
                )));
            }
        }
        Ok(())
    }

    /// Folds every partition of a processor's input up to what its group has committed; how many records.
    async fn fold<F: Fold>(&self) -> Result<u64, CliError> {
        let mut replays = Vec::new();
        for known in self.known::<F>().await? {
            let setup = Setup {
                topology: Arc::clone(&self.topology),
                group: self.group(F::KIND).into(),
                partition: known.partition,
                generation: known.start.generation,
                retention: self.config.retention,
                state_bytes_max: STATE_BYTES_MAX / self.topology.partitions(F::KIND.input()) as usize,
                large_group: LARGE_GROUP_RECIPIENTS,
            };
            replays.push(Replay::<F>::new(setup, known, Arc::clone(&self.store))?);
        }
        let from = replays.iter().map(|replay| (replay.partition(), replay.position())).collect();
        let mut tail = self.topics.tail(F::KIND.input(), TailFrom::Positions(from)).await?;
        let left = replays.iter().map(Replay::left).sum();
        let progress = progress(F::KIND, left);
        reading::read_all(&mut tail, &mut replays, &progress).await?;
        for replay in &mut replays {
            replay.finish().await?;
        }
        progress.finish_and_clear();
        Ok(replays.iter().map(Replay::records).sum())
    }

    fn group(&self, processor: ProcessorKind) -> String {
        format!("{}.{processor}", self.config.kafka.group_prefix)
    }

    /// The partitions that a group has committed something in, from their start to there.
    async fn known<F: Fold>(&self) -> Result<Vec<Known>, CliError> {
        let (topic, group) = (F::KIND.input(), self.group(F::KIND));
        let (connection, partitions) =
            (self.config.kafka.connection.clone(), self.topology.partitions(topic));
        let offsets =
            tokio::task::spawn_blocking(move || group_offsets(&connection, &group, topic, partitions));
        let offsets = offsets.await.map_err(|error| CliError::internal(error.to_string()))??;
        let bounds = self.topics.bounds(topic).await?;
        let mut known = Vec::new();
        for (partition, committed) in offsets {
            let Some(committed) = committed else { continue };
            let metadata = OffsetMetadata::decode(&committed.metadata).ok_or_else(|| {
                CliError::mismatch(format!(
                    "the group's offset in {topic}/{partition} was not committed by a worker: \
                     put it back or adopt it first"
                ))
            })?;
            let bounds = bounds.iter().find(|(found, _)| *found == partition).map(|(_, bounds)| *bounds);
            let first = bounds.map_or(0, |bounds| bounds.first);
            if first > metadata.start {
                return Err(gone(F::KIND, partition, first, metadata.start));
            }
            let OffsetMetadata { start: stored, generation, base_us, topic_id, .. } = metadata;
            let start = Start {
                committed: committed.offset,
                stored,
                first: stored,
                generation,
                base_us,
                resume: None,
            };
            known.push(Known { partition, start, topic_id, partitions });
        }
        Ok(known)
    }
}

fn gone(processor: ProcessorKind, partition: PartitionId, first: i64, wanted: i64) -> CliError {
    let topic = processor.input();
    CliError::mismatch(format!(
        "{topic}/{partition} no longer reaches back to its start: it begins at {first}, and {wanted} is needed; \
         restore a backup of the database, which workers bring up to date from the log"
    ))
}

/// On a terminal only; indicatif hides itself elsewhere.
fn progress(processor: ProcessorKind, records: u64) -> ProgressBar {
    let style = format!("{processor}: {{bar:40}} {{pos}}/{{len}} {{per_sec}} {{eta_precise}} left");
    let bar = ProgressBar::new(records);
    match ProgressStyle::with_template(&style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
