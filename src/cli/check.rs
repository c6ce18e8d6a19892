//! `heartline check`: every item on its own line, with what to do where it fails.

use clap::Args;
use serde_json::{Value, json};

use super::{CliError, Exit, Global, connect, output};
use crate::{config::Config, cql::schema, table::TABLES, topology::Topology};

#[derive(Debug, Args)]
pub struct Check {
    /// Also ask the brokers and the database
    #[arg(long)]
    live: bool,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
struct Item {
    name: &'static str,
    result: Result<String, CliError>,
}

impl Check {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let (config, topology) = (global.config(&[]), global.topology());
        let mut items = vec![
            Item { name: "configuration", result: config.as_ref().map(said).map_err(Clone::clone) },
            Item {
                name: "topology",
                result: topology
                    .as_ref()
                    .map(|topology| format!("{} topics", topology.topics().count()))
                    .map_err(Clone::clone),
            },
        ];
        if let (true, Ok(config), Ok(topology)) = (self.live, &config, &topology) {
            let (topics, tables) = tokio::join!(topics(config, topology), tables(config));
            items.push(Item { name: "topics", result: topics });
            items.push(Item { name: "tables", result: tables });
        }
        self.report(&items)?;
        let worst = items.iter().filter_map(|item| item.result.as_ref().err()).map(|error| error.exit).max();
        match worst {
            None => Ok(()),
            Some(exit) => {
                Err(CliError { exit, message: "not everything is as it must be; see above".to_owned() })
            }
        }
    }

    fn report(&self, items: &[Item]) -> Result<(), CliError> {
        if self.json {
            let item = |item: &Item| match &item.result {
                Ok(said) => json!({"item": item.name, "ok": true, "message": said}),
                Err(error) => json!({"item": item.name, "ok": false, "message": error.message}),
            };
            let list: Vec<Value> = items.iter().map(item).collect();
            return output::line(&json!({"items": list}).to_string());
        }
        for item in items {
            match &item.result {
                Ok(said) => output::line(&format!("ok    {}: {said}", item.name))?,
                Err(error) => {
                    for line in error.message.lines() {
                        output::line(&format!("FAIL  {}: {line}", item.name))?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn said(config: &Config) -> String {
    format!(
        "brokers {}, nodes {}, keyspace {}",
        config.kafka.connection.brokers(),
        config.store.nodes.join(","),
        config.store.keyspace
    )
}

/// Reaches the brokers, and holds their topics to the topology.
async fn topics(config: &Config, topology: &Topology) -> Result<String, CliError> {
    let differences = connect::topic_admin(config)?.plan(topology).await?;
    let (tolerable, fatal): (Vec<_>, Vec<_>) =
        differences.iter().partition(|difference| difference.is_tolerable());
    let lines = |list: Vec<_>| list.iter().map(ToString::to_string).collect::<Vec<String>>().join("\n");
    match (fatal.is_empty(), tolerable.is_empty()) {
        (true, true) => Ok("as the topology says".to_owned()),
        (true, false) => Ok(format!("usable; {}", lines(tolerable))),
        (false, _) => Err(CliError { exit: Exit::Mismatch, message: lines(fatal) }),
    }
}

/// Reaches the database, and holds its tables to this program.
async fn tables(config: &Config) -> Result<String, CliError> {
    let cql = connect::cql(config).await?;
    schema::check(&cql, TABLES).await?;
    Ok(format!("keyspace {} is as this program needs it", config.store.keyspace))
}
