//! Memory stays within its bound: a backlog of records at the size limit on many partitions, and the database
//! away while it is read.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use heartline::{
    limits::{
        BODY_BYTES_MAX, POLL_BYTES_MAX, SEND_BYTES_MAX, TRANSACTION_OUTPUT_BYTES_MAX, UNFOLDED_BYTES_MAX,
        UNSTORED_BYTES_MAX,
    },
    topology::{ProcessorKind, Topic, Topology},
};
use libtest_mimic::Failed;
use rdkafka::{
    error::KafkaError,
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};
use serde_json::Value;

use super::{
    case::{Case, Need},
    deployment::{Deployment, get, lasting_client, until},
    servers::Servers,
};

const MIB: usize = 1024 * 1024;
/// What a reader has fetched and the engine has not polled, and one fetch.
const FETCHED_BYTES: usize = 9 * MIB;
/// The program, its threads, the clients of Kafka and the driver, and what the allocator keeps.
const PROGRAM_BYTES: usize = 192 * MIB;
const PARTITIONS: u32 = 64;
const CONVERSATIONS: usize = 1_000;
const DONE_WITHIN: Duration = Duration::from_secs(1_800);

/// What a worker may hold beside its state, from the limits: each engine what is fetched, polled and not
/// folded; the outputs of the open transaction and of the one in flight, once its own and once with the
/// producer; the rows that wait for the store and those of two transactions, once its own and once on their
/// way.
fn bound_bytes() -> usize {
    let records = FETCHED_BYTES + UNFOLDED_BYTES_MAX + POLL_BYTES_MAX;
    let outputs = 2 * 2 * TRANSACTION_OUTPUT_BYTES_MAX;
    let rows = 2 * (UNSTORED_BYTES_MAX + 2 * TRANSACTION_OUTPUT_BYTES_MAX);
    ProcessorKind::ALL.len() * (records + outputs + rows) + PROGRAM_BYTES
}

pub fn cases() -> Vec<Case> {
    let case = |name: &str, backlog_bytes: usize, away: Duration| {
        Case::real(name, Need::OwnServers, move |servers| {
            let _alone = servers.exclusive();
            play(servers, backlog_bytes, away).map_err(|error| Failed::from(format!("{error:#}")))
        })
        .long()
    };
    vec![
        case(
            "two_gigabytes_of_backlog_and_five_minutes_without_database_stay_within_the_bound",
            2_000_000_000,
            Duration::from_secs(300),
        ),
        case(
            "a_quarter_of_a_gigabyte_and_half_a_minute_without_database_stay_within_the_bound",
            250_000_000,
            Duration::from_secs(30),
        ),
    ]
}

fn play(servers: &Servers, backlog_bytes: usize, away: Duration) -> Result<()> {
    let mut deployment = Deployment::bare(servers, "memory", "")?;
    let topology = deployment.folder.join("topology.toml");
    let sends = "[topics.sends]\npartitions = ";
    let shipped =
        include_str!("../topology.toml").replace(&format!("{sends}8"), &format!("{sends}{PARTITIONS}"));
    fs::write(&topology, shipped)?;
    let topology = topology.to_str().context("a path of text")?.to_owned();
    deployment.succeed(&["topics", "apply", "--topology", &topology])?;
    deployment.succeed(&["schema", "apply", "--topology", &topology])?;
    let records = write_backlog(&deployment.kafka, backlog_bytes)?;
    let worker = deployment.start_worker_with(&["--topology", &topology])?;
    until("the backlog is being read", Duration::from_secs(120), || {
        Ok(positions(&deployment, worker).is_ok_and(|seen| seen.sent > 0).then_some(()))
    })?;
    servers.cql.stop()?;
    thread::sleep(away);
    let stalled = peak_bytes(deployment.workers[worker].pid())?;
    let behind = positions(&deployment, worker)?;
    servers.cql.start()?;
    ensure!(behind.sent < records, "vacuous: all {records} records were read before the database was away");
    let mut still = Instant::now();
    let mut last = behind;
    until("the backlog is done", DONE_WITHIN, || {
        let seen = positions(&deployment, worker)?;
        if seen != last || seen.sent < records || !seen.stored {
            (last, still) = (seen, Instant::now());
        }
        Ok((still.elapsed() > Duration::from_secs(5)).then_some(()))
    })?;
    let (peak, bound) = (peak_bytes(deployment.workers[worker].pid())?, bound_bytes());
    eprintln!(
        "{records} records of {SEND_BYTES_MAX} bytes on {PARTITIONS} partitions, {away:?} without a database: \
         at most {} MiB while it was away, {} MiB in all; the bound is {} MiB beside the state",
        stalled / MIB,
        peak / MIB,
        bound / MIB
    );
    ensure!(peak <= bound, "{peak} bytes, allowed are {bound}");
    Ok(())
}

/// Records of messages as large as they may be, with bodies that are.
fn write_backlog(kafka: &str, backlog_bytes: usize) -> Result<i64> {
    let producer: ThreadedProducer<DefaultProducerContext> = lasting_client(kafka)
        .set("queue.buffering.max.kbytes", "65536")
        .set("message.timeout.ms", "600000")
        .create()?;
    let topology = Topology::uniform(PARTITIONS, PARTITIONS);
    let records = backlog_bytes / SEND_BYTES_MAX;
    let body = "b".repeat(BODY_BYTES_MAX - 2);
    for number in 0..records {
        let conversation = format!("group/g-{}", number % CONVERSATIONS);
        let head = format!(
            r#"{{"v":1,"type":"message","conversation":"{conversation}","sender":"alice",
            "client_id":"c-{number}","body":"{body}","unknown":""#
        );
        let value = format!("{head}{}\"}}", "x".repeat(SEND_BYTES_MAX - head.len() - 2));
        let partition = topology.place(Topic::Sends, conversation.as_bytes()) as i32;
        loop {
            let record = BaseRecord::to(Topic::Sends.name()).partition(partition);
            match producer.send(record.key(&conversation).payload(&value)) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(Code::QueueFull), _)) => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
    producer.flush(Duration::from_secs(600))?;
    Ok(records as i64)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Positions {
    /// Records of sends that are committed.
    sent: i64,
    /// Of the timeline: everything that is committed is stored.
    stored: bool,
    committed: Vec<Value>,
}

fn positions(deployment: &Deployment, worker: usize) -> Result<Positions> {
    let answer = get(&deployment.workers[worker].address, "/v1/partitions")?;
    let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
    let mut seen = Positions { sent: 0, stored: true, committed: Vec::new() };
    for partition in answer["partitions"].as_array().into_iter().flatten() {
        if partition["processor"] == "presence" {
            continue;
        }
        if partition["processor"] == "conversation" {
            seen.sent += partition["committed"].as_i64().unwrap_or(0);
        }
        seen.stored &= partition["committed"] == partition["stored"];
        seen.committed.push(partition["committed"].clone());
    }
    Ok(seen)
}

/// The most that a process has had in memory.
fn peak_bytes(pid: u32) -> Result<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM of a process")?;
    let kib: usize = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}
