//! `heartline check`: every item on its own line, with what to do where it fails.

use clap::Args;
use serde_json::{Value, json};

use super::{CliError, Exit, Global, connect, output};
use crate::{
    config::Config,
    cql::{self, schema},
    kafka::{
        rights::{self, Lacking},
        topics::TopicDifference,
    },
    table::TABLES,
    topology::{ProcessorKind, Topic, Topology},
};

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
            let (kafka, store) = tokio::join!(kafka(config, topology), store(config));
            items.extend(kafka);
            items.extend(store);
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

/// Reaches the brokers, holds their topics to the topology, and asks what a worker may do there.
async fn kafka(config: &Config, topology: &Topology) -> Vec<Item> {
    let differences = match connect::topic_admin(config) {
        Ok(admin) => admin.plan(topology).await.map_err(CliError::from),
        Err(error) => Err(error),
    };
    if differences.as_ref().is_err_and(|error| error.exit == Exit::Unavailable) {
        return vec![Item { name: "topics", result: differences.map(|_| String::new()) }];
    }
    let lacking = lacking(config).await;
    let hidden = lacking.as_ref().map(|lacking| lacking.hidden.clone()).unwrap_or_default();
    let topics = differences.and_then(|differences| judged(&differences, &hidden));
    let rights = lacking.and_then(|lacking| granted(&lacking.rights));
    vec![Item { name: "topics", result: topics }, Item { name: "rights in Kafka", result: rights }]
}

async fn lacking(config: &Config) -> Result<Lacking, CliError> {
    let mut all = Lacking::default();
    for processor in ProcessorKind::ALL {
        let lacking = rights::lacking(&connect::member(config, processor)?, processor).await?;
        // Processors share topics.
        let new = lacking.rights.into_iter().filter(|right| !all.rights.contains(right));
        let new: Vec<_> = new.collect();
        all.rights.extend(new);
        all.hidden.extend(lacking.hidden);
    }
    Ok(all)
}

/// Topics that the principal may not see only look as if they were missing: its rights are told about
/// elsewhere.
fn judged(differences: &[TopicDifference], hidden: &[Topic]) -> Result<String, CliError> {
    let is_known = |difference: &&TopicDifference| {
        !(matches!(difference, TopicDifference::Missing { .. }) && hidden.contains(&difference.topic()))
    };
    let (tolerable, fatal): (Vec<_>, Vec<_>) =
        differences.iter().filter(is_known).partition(|difference| difference.is_tolerable());
    match (fatal.is_empty(), tolerable.is_empty()) {
        (true, true) if hidden.is_empty() => Ok("as the topology says".to_owned()),
        (true, true) => Ok("those that may be seen are as the topology says".to_owned()),
        (true, false) => Ok(format!("usable; {}", lines(&tolerable))),
        (false, _) => Err(CliError::mismatch(lines(&fatal))),
    }
}

fn granted<T: ToString>(missing: &[T]) -> Result<String, CliError> {
    match missing.is_empty() {
        true => Ok("all that a worker needs".to_owned()),
        false => Err(CliError::mismatch(lines(missing))),
    }
}

fn lines<T: ToString>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<String>>().join("\n")
}

/// Reaches the database, holds its tables to this program, and asks what a worker may do with them.
async fn store(config: &Config) -> Vec<Item> {
    let keyspace = &config.store.keyspace;
    let cql = match connect::cql(config).await {
        Ok(cql) => cql,
        Err(error) => return vec![Item { name: "tables", result: Err(error) }],
    };
    if let Err(error) = schema::check(&cql, TABLES).await {
        return vec![Item { name: "tables", result: Err(error.into()) }];
    }
    let tables = Ok(format!("keyspace {keyspace} is as this program needs it"));
    let user = config.store.credentials.as_ref().map_or("anonymous", |user| &user.username);
    let missing = cql::rights::lacking(&cql, TABLES, user).await;
    let rights = missing.map_err(CliError::from).and_then(|missing| granted(&missing));
    vec![Item { name: "tables", result: tables }, Item { name: "rights in the store", result: rights }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(topic: Topic) -> TopicDifference {
        TopicDifference::Missing { topic, partitions: 8, replication: 1 }
    }

    #[test]
    fn a_topic_that_may_not_be_seen_is_not_told_to_be_made() {
        let differences = [missing(Topic::Presence), missing(Topic::Sessions)];
        let told = judged(&differences, &[Topic::Presence]).expect_err("sessions is missing");
        assert!(told.message.contains("'sessions'") && !told.message.contains("'presence'"), "{told:?}");
        let told = judged(&differences[..1], &[Topic::Presence]).expect("the rest is there");
        assert!(told.contains("may be seen"), "{told}");
        // It is seen, and another partition count is no matter of rights.
        let other = [TopicDifference::Partitions { topic: Topic::Presence, found: 4, wanted: 8 }];
        assert!(judged(&other, &[Topic::Presence]).is_err());
    }

    #[test]
    fn every_missing_right_has_a_line_of_its_own() {
        assert!(granted::<String>(&[]).is_ok());
        let told = granted(&["one", "two"]).expect_err("two are missing");
        assert_eq!((told.exit, &*told.message), (Exit::Mismatch, "one\ntwo"));
    }
}
