//! What clients must have left behind: judged from the topics by an oracle that shares nothing with the
//! folds, read from the database with plain CQL, and compared with a rebuild from the topics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use heartline::{
    client::TailRecord,
    record::dead_letter,
    sim::{
        log::partition::{CommittedRecord, Content},
        world::oracle::Oracle,
    },
    topology::{ProcessorKind, Topic, Topology},
};
use serde_json::Value;

use super::{
    chat::Said,
    deployment::{Deployment, get},
    rows::Tables,
};

/// The tables that follow from the log and from nothing else; `progress` and the choice of checkpointed
/// moments don't.
const TABLES: [&str; 7] =
    ["presence", "conversations", "messages", "inbox", "inbox_windows", "inbox_heads", "cursors"];
const SETTLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Nothing moves for so long: everything that was said has arrived.
const QUIET: Duration = Duration::from_secs(3);

/// Waits until the workers owe nothing: what is committed is stored, and neither moves any more.
pub fn settle(deployment: &Deployment, workers: &[usize]) -> Result<()> {
    let begun = Instant::now();
    let (mut last, mut since) = (Vec::new(), Instant::now());
    loop {
        let mut positions = Vec::new();
        let mut stored = true;
        for index in workers {
            let answer = get(&deployment.workers[*index].address, "/v1/partitions")?;
            let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
            for partition in answer["partitions"].as_array().into_iter().flatten() {
                // Beacons keep presence moving.
                if partition["processor"] != "presence" {
                    stored &= partition["committed"] == partition["stored"];
                    positions.push(partition["committed"].clone());
                }
            }
        }
        if !stored || positions.is_empty() || positions != last {
            (last, since) = (positions, Instant::now());
        }
        if since.elapsed() >= QUIET {
            return Ok(());
        }
        ensure!(begun.elapsed() < SETTLE_TIMEOUT, "the timeline does not settle: {last:?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Judges what is there. The workers have ended.
pub fn judge(deployment: &Deployment, cql: &str, said: &Said) -> Result<()> {
    let other = format!("{}_rebuilt", deployment.keyspace);
    let rebuilt = deployment.succeed(&["rebuild", "--keyspace", &other])?;
    let tables = Tables::connect(cql)?;
    let oracle = oracle(deployment)?;
    oracle.compare_recipients().map_err(|why| anyhow!(why))?;
    let (messages, entries, advances) = oracle.totals();
    letters_agree(deployment, &oracle)?;
    let announced = people_agree(deployment, &oracle)?;
    let read = |table| tables.described(&deployment.keyspace, table).map_err(|error| format!("{error:#}"));
    oracle.compare_presence(read).map_err(|why| anyhow!("the rows are not what the log says: {why}"))?;
    oracle.compare_tables(read).map_err(|why| anyhow!("the rows are not what the log says: {why}"))?;
    let mut counts = Vec::new();
    for table in TABLES {
        counts.push(format!("{table} {}", tables.same(table, &deployment.keyspace, &other)?));
    }
    eprintln!(
        "oracle: {messages} messages, {entries} entries, {advances} advances of cursors, {announced:?} transitions \
         and sessions' records, all cells as due"
    );
    eprintln!("{said:?}; the same rows after a rebuild: {}\n{}", counts.join(", "), rebuilt.trim());
    ensure!(said.repeated > 50 && said.conflicting > 10 && said.membership_changes > 20, "vacuous: {said:?}");
    Ok(())
}

/// What the inputs must have brought about, by the naive account that the simulator is judged with.
fn oracle(deployment: &Deployment) -> Result<Oracle> {
    let mut oracle = Oracle::new(&Arc::new(Topology::shipped()), &deployment.group);
    // Beacons come until the end; those above the committed position brought nothing about.
    let ends = deployment.committed_offsets(&deployment.group, Topic::Heartbeats)?;
    for kind in ProcessorKind::ALL {
        for record in deployment.committed(kind.input())? {
            let TailRecord { partition, offset, time_ms, key, value, headers } = record;
            if kind == ProcessorKind::Presence && ends.get(&partition).is_none_or(|end| offset >= *end) {
                continue;
            }
            let content = Content { key, value, headers };
            let record = CommittedRecord { offset, time_ms, content: &content };
            oracle.take(kind, partition, &record).map_err(|why| anyhow!("{kind}/{partition}: {why}"))?;
        }
    }
    Ok(oracle)
}

/// Every transition, state and record of a session is the one that is due, and none is missing; how many
/// there are.
fn people_agree(deployment: &Deployment, oracle: &Oracle) -> Result<(u64, u64)> {
    let due = oracle.presence_totals();
    for topic in [Topic::Presence, Topic::PresenceState, Topic::Sessions] {
        let mut seen = BTreeMap::<_, usize>::new();
        let mut count = 0;
        for TailRecord { key, value, headers, .. } in deployment.committed(topic)? {
            let index = seen.entry(key.clone()).or_default();
            let content = Content { key, value, headers };
            oracle.presence_record(topic, *index, &content).map_err(|why| anyhow!(why))?;
            (*index, count) = (*index + 1, count + 1);
        }
        let due = if topic == Topic::Sessions { due.1 } else { due.0 };
        ensure!(count == due, "{topic}: {due} records are due, {count} are there");
    }
    Ok(due)
}

/// One dead letter for every record that the oracle refuses, wholly or in part, with its reason; no other.
fn letters_agree(deployment: &Deployment, oracle: &Oracle) -> Result<()> {
    let topology = Topology::shipped();
    let mut due = BTreeSet::new();
    for kind in ProcessorKind::ALL {
        for partition in 0..topology.partitions(kind.input()) {
            let letters = oracle.account(kind, partition).letters.iter();
            let name = kind.input().name();
            due.extend(letters.map(|letter| {
                (name.to_owned(), partition.to_string(), letter.offset.to_string(), letter.reason.clone())
            }));
        }
    }
    let mut found = BTreeSet::new();
    for record in deployment.committed(Topic::DeadLetters)? {
        let header = |name: &str| {
            let header = record.headers.iter().find(|header| header.name == name);
            let value = header.and_then(|header| header.value.as_deref()).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        let letter = (
            header(dead_letter::TOPIC),
            header(dead_letter::PARTITION),
            header(dead_letter::OFFSET),
            header(dead_letter::REASON),
        );
        ensure!(found.insert(letter.clone()), "a dead letter twice: {letter:?}");
    }
    ensure!(due == found, "dead letters: {:?}", due.symmetric_difference(&found).take(5).collect::<Vec<_>>());
    Ok(())
}
