//! `check --live` on a broker that denies: it says which rights a worker lacks, and with those that it names,
//! and no others, a worker runs.

use std::fs;

use anyhow::{Context as _, Result, ensure};

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
    let due = [
        ("topic 'heartbeats'", "Read"),
        ("topic 'heartbeats'", "Write"),
        ("topic 'heartbeats'", "DescribeConfigs"),
        ("topic 'presence'", "Read"),
        ("topic 'presence'", "Write"),
        ("topic 'presence'", "DescribeConfigs"),
        ("topic 'presence-state'", "Write"),
        ("topic 'presence-state'", "DescribeConfigs"),
        ("topic 'sessions'", "Write"),
        ("topic 'sessions'", "DescribeConfigs"),
        ("topic 'dead-letters'", "Write"),
        ("topic 'dead-letters'", "DescribeConfigs"),
        ("group '", "Read"),
        ("transactional ids '", "Write"),
    ];
    let commands = denied(&worker, &due)?;
    // What is granted is lacking no more, and what is not still is.
    granted(&guarded, commands.iter().filter(|command| command.contains("--topic ")))?;
    let rest = denied(&worker, &due[12..])?;
    ensure!(rest == commands[12..], "{rest:?}");
    granted(&guarded, rest.iter())?;
    let told = worker.succeed(&["check", "--live"])?;
    ensure!(told.lines().all(|line| line.starts_with("ok    ")), "{told}");
    let index = worker.start_worker()?;
    worker.wait_ready(index)
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
fn denied(worker: &Deployment, due: &[(&str, &str)]) -> Result<Vec<String>> {
    let output = worker.command(&["check", "--live"])?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(78), "{}: {told}", output.status);
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("FAIL")).collect();
    let fits = |(line, (what, right)): (&&str, &(&str, &str))| {
        line.starts_with(&format!("FAIL  rights in Kafka: {what}"))
            && line.contains(&format!(": the principal lacks {right};"))
    };
    ensure!(lines.len() == due.len() && lines.iter().zip(due).all(fits), "{told}");
    let command = |line: &&str| line.split('`').nth(1).map(str::to_owned).context("a command");
    lines.iter().map(command).collect()
}

/// Runs the commands as they are told, in as few runs of Kafka's tool as what they are about.
fn granted<'a>(guarded: &Server, commands: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut grants: Vec<(String, Vec<&str>)> = Vec::new();
    for command in commands {
        let words = command.strip_prefix("kafka-acls --add --allow-principal User:… ").context("a grant")?;
        let words: Vec<&str> = words.split(' ').collect();
        let (operation, resource) = words.split_at(2);
        let resource = resource.join(" ");
        match grants.iter_mut().find(|(about, _)| *about == resource) {
            Some((_, operations)) => operations.extend(operation),
            None => grants.push((resource, operation.to_vec())),
        }
    }
    for (resource, operations) in &grants {
        let principal = format!("User:{WORKER}");
        let mut arguments = vec!["--add", "--force", "--allow-principal", &principal];
        arguments.extend(operations);
        arguments.extend(resource.split(' '));
        grant(guarded, &arguments)?;
    }
    Ok(())
}
