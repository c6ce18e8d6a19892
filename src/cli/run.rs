//! `heartline run`: a worker on Kafka and the database.

use std::{net::SocketAddr, sync::Arc};

use clap::Args;

use super::{
    CliError, Global,
    connect::{self, Backend},
    serving::{self, Serving},
};
use crate::{cql::schema, kafka::topics::TopicDifference, table::tables_of, topology::ProcessorKind};

#[derive(Debug, Args)]
pub struct Run {
    /// Only these processors, comma separated [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = processor)]
    processors: Vec<ProcessorKind>,
    /// Address of the HTTP interface [default: http.listen of the configuration]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

impl Run {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let listen = self.listen.map(|address| format!("http.listen={address}"));
        let config = global.config(listen.as_slice())?;
        let topology = Arc::new(global.topology()?);
        let processors =
            if self.processors.is_empty() { ProcessorKind::ALL.to_vec() } else { self.processors };
        let listener = serving::listen(&config).await?;
        let differences = connect::topic_admin(&config)?.plan(&topology).await?;
        let fatal: Vec<String> = differences
            .iter()
            .filter(|difference| !difference.is_tolerable() && concerns(&processors, difference))
            .map(ToString::to_string)
            .collect();
        if !fatal.is_empty() {
            return Err(CliError::mismatch(format!(
                "the topics are not as they must be\n{}",
                fatal.join("\n")
            )));
        }
        let cql = connect::cql_for_worker(&config).await?;
        let mut tables: Vec<_> = processors.iter().flat_map(|kind| tables_of(*kind)).collect();
        tables.sort_by_key(|table| table.name);
        tables.dedup_by_key(|table| table.name);
        schema::check(&cql, &tables).await?;
        if let Some(warning) = cql.durability_warning().await {
            tracing::warn!("{warning}");
        }
        let backend = Backend::Servers { config: Box::new(config.clone()), cql };
        let instance = config.kafka.instance.clone();
        let serving = Serving::prepare(config, topology, processors.clone(), backend, listener)?;
        let names: Vec<&str> = processors.iter().map(|kind| kind.name()).collect();
        tracing::info!(http = %serving.address, instance, processors = names.join(","), "running");
        serving.run().await
    }
}

fn concerns(processors: &[ProcessorKind], difference: &TopicDifference) -> bool {
    let topic = difference.topic();
    processors.iter().any(|kind| kind.input() == topic || kind.outputs().contains(&topic))
}

pub(super) fn processor(name: &str) -> Result<ProcessorKind, String> {
    ProcessorKind::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = ProcessorKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("the processors are {}", names.join(", "))
    })
}
