//! `check --live` on a broker that denies: it says which rights a worker lacks, and with those that it names,
//! and no others, a worker runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context as _, Result, ensure};

use heartline::topology::{ProcessorKind, Topic};

use super::{
    case::{Case, Need},
    deployment::{Deployment, fresh},
    servers::{ADMIN, Server, Servers, WORKER, grant},
};

pub fn cases() -> Vec<Case> {
    vec![Case::real(
        "rights_that_a_worker_lacks_are_named_and_with_those_it_runs",
        Need::FurtherBroker,
        |servers| {
            let _running = servers.shared();
            rights(servers).map_err(|error| format!("{error:#}").into())
        },
    )]
}

fn rights(servers: &Servers) -> Result<()> {
    let guarded = servers.start_guarded_kafka()?;
    let name = fresh("rights")?;
    let admin = deployment(servers, &guarded, &name, ADMIN)?;
    admin.succeed(&["topics", "apply"])?;
    admin.succeed(&["schema", "apply"])?;
    let told = admin.succeed(&["check", "--live"])?;
    ensure!(told.contains("ok    rights in Kafka: all that a worker needs\n"), "{told}");

    let mut worker = deployment(servers, &guarded, &name, WORKER)?;
    let (topics, rest) = (on_topics(), on_others(&name));
    let commands = denied(&worker, &topics | &rest)?;
    // What is granted is lacking no more, and what is not still is.
    granted(&guarded, commands.iter().filter(|command| command.contains("--topic ")))?;
    let commands = denied(&worker, rest)?;
    granted(&guarded, commands.iter())?;
    let told = worker.succeed(&["check", "--live"])?;
    ensure!(told.lines().all(|line| line.starts_with("ok    ")), "{told}");
    let index = worker.start_worker()?;
    worker.wait_ready(index)
}

/// What is lacking: the resource as it is named, and the right.
type Rights = BTreeSet<(String, &'static str)>;

fn on_topics() -> Rights {
    let mut rights = Rights::new();
    for processor in ProcessorKind::ALL {
        let mut add = |topic: Topic, right| rights.insert((format!("topic '{topic}'"), right));
        for right in ["Read", "DescribeConfigs"] {
            add(processor.input(), right);
        }
        for topic in processor.outputs() {
            add(*topic, "Write");
            add(*topic, "DescribeConfigs");
        }
    }
    // For those who listen to live events.
    rights.insert((format!("topic '{}'", Topic::Presence), "Read"));
    rights
}

fn on_others(prefix: &str) -> Rights {
    let groups = ProcessorKind::ALL.map(|processor| format!("{prefix}.{processor}"));
    let both = groups.iter().flat_map(|group| {
        [(format!("group '{group}'"), "Read"), (format!("transactional ids '{group}.…'"), "Write")]
    });
    both.collect()
}

fn deployment(servers: &Servers, guarded: &Server, name: &str, user: &str) -> Result<Deployment> {
    let (kafka, cql) = (guarded.address(), servers.cql.address());
    let config = format!(
        "[kafka]\nbrokers = [\"{kafka}\"]\ngroup_prefix = \"{name}\"\n\
         [kafka.librdkafka]\n\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.mechanisms\" = \"PLAIN\"\n\
         \"sasl.username\" = \"{user}\"\n\"sasl.password_file\" = \"password\"\n\
         [store]\nnodes = [\"{cql}\"]\nkeyspace = \"{name}\"\n"
    );
    let mut deployment = Deployment::of(&format!("{name}_{user}"), kafka, &config)?;
    fs::write(deployment.folder.join("password"), user)?;
    deployment.keyspace = name.to_owned();
    Ok(deployment)
}

/// Checks that these rights are said to be missing, a line each, and nothing else; the commands that grant
/// them.
fn denied(worker: &Deployment, due: Rights) -> Result<Vec<String>> {
    let output = worker.command(&["check", "--live"])?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(78), "{}: {told}", output.status);
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("FAIL")).collect();
    let told_of = |line: &&str| {
        let (what, rest) =
            line.strip_prefix("FAIL  rights in Kafka: ")?.split_once(": the principal lacks ")?;
        Some((what.to_owned(), rest.split_once(';')?.0.to_owned()))
    };
    let found: BTreeSet<_> = lines.iter().filter_map(told_of).collect();
    let due: BTreeSet<_> = due.into_iter().map(|(what, right)| (what, right.to_owned())).collect();
    ensure!(found == due && lines.len() == due.len(), "{told}\nexpected: {due:?}");
    let command = |line: &&str| line.split('`').nth(1).map(str::to_owned).context("a command");
    lines.iter().map(command).collect()
}

/// Grants what the commands say, in as few runs of Kafka's tool as there are different sets of operations.
fn granted<'a>(guarded: &Server, commands: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut resources: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for command in commands {
        let grant = command.strip_prefix("kafka-acls --add --allow-principal User:… --operation ");
        let (operation, resource) = grant.and_then(|rest| rest.split_once(' ')).context("a grant")?;
        resources.entry(resource).or_default().push(operation);
    }
    let mut runs: BTreeMap<(bool, Vec<&str>), Vec<&str>> = BTreeMap::new();
    for (resource, operations) in resources {
        let is_prefix = resource.contains("--resource-pattern-type prefixed");
        let words = resource.trim_end_matches(" --resource-pattern-type prefixed").split(' ');
        runs.entry((is_prefix, operations)).or_default().extend(words);
    }
    for ((is_prefix, operations), resources) in runs {
        let principal = format!("User:{WORKER}");
        let mut arguments = vec!["--add", "--force", "--allow-principal", &principal];
        arguments.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        arguments.extend(resources);
        if is_prefix {
            arguments.extend(["--resource-pattern-type", "prefixed"]);
        }
        grant(guarded, &arguments)?;
    }
    Ok(())
}
