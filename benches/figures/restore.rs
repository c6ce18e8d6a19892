//! How long a worker takes to restore, against what the same bytes take to be read.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use heartline::topology::{ProcessorKind, Topology};
use scylla::client::session_builder::SessionBuilder;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::catch_up::World;
use crate::{
    bare,
    load::{BEAT_EVERY_S, Changes, Form, HEARTBEATS},
    proc, product,
    real::deployment::get,
    suite::Suite,
    warmth::{Round, Rounds},
};

const SESSIONS: u64 = 1_000_000;
/// Every bucket has its turn once in 30 s; what is stored is said every two.
const CHECKPOINTS: Duration = Duration::from_secs(36);
const LIMIT: Duration = Duration::from_secs(300);
/// How long the database may flush and compact what the worker before wrote.
const IDLE_WITHIN: Duration = Duration::from_secs(60);
const IN_FLIGHT: usize = 64;

pub fn run(suite: &Suite) -> Result<()> {
    let mut world = World::new(suite, "restore", suite.scaled(SESSIONS, 10_000))?;
    let servers = suite.servers()?;
    // A worker that has just had every bucket's checkpoint taken, and then folds the beats of 30 s.
    thread::sleep(CHECKPOINTS);
    let (from, until) = world.write(BEAT_EVERY_S, Form::Single, Changes::None)?;
    let (worker, broker, cql) = (world.worker, world.processes.broker, world.processes.cql);
    world.catch_up(&until)?;
    product::stop(&mut world.deployment, worker)?;

    let (kafka, mut rounds) = (world.deployment.kafka.clone(), Vec::new());
    for round in Rounds::new(suite)? {
        let Round { number: round, counted } = round?;
        proc::wait_idle(cql, IDLE_WITHIN)?;
        let restored = restore(&mut world)?;
        proc::wait_idle(cql, IDLE_WITHIN)?;
        let drained = bare::batch_drain(&kafka, HEARTBEATS, &from, &until, broker)?.seconds;
        let (read, bytes) = read_blobs(servers.cql.address(), &world.deployment.keyspace)?;
        eprintln!(
            "  round {round}: restored in {restored:.2} s; drain {drained:.2} s, blobs {read:.2} s ({bytes} bytes)"
        );
        if counted.is_some() {
            rounds.push((restored, drained + read));
        }
    }
    suite.record("restore_vs_floor", rounds)
}

/// Seconds from the first partition that is being opened until the last one is live.
fn restore(world: &mut World) -> Result<f64> {
    let worker = product::start(&mut world.deployment)?;
    let address = world.deployment.workers[worker].address.clone();
    let (started, mut begun) = (Instant::now(), None);
    let seconds = loop {
        ensure!(started.elapsed() < LIMIT, "the worker does not restore within {LIMIT:?}");
        let phases = phases(&address).unwrap_or_default();
        if begun.is_none() && phases.iter().any(|phase| phase == "opening" || phase == "replaying") {
            begun = Some(Instant::now());
        }
        if !phases.is_empty() && phases.iter().all(|phase| phase == "live") {
            break begun.context("a partition that is being opened")?.elapsed().as_secs_f64();
        }
        thread::sleep(Duration::from_millis(5));
    };
    product::stop(&mut world.deployment, worker)?;
    Ok(seconds)
}

fn phases(address: &str) -> Result<Vec<String>> {
    let answer: Value = serde_json::from_str(&get(address, "/v1/partitions")?)?;
    let partitions = answer["partitions"].as_array().into_iter().flatten();
    Ok(partitions.filter_map(|partition| Some(partition["phase"].as_str()?.to_owned())).collect())
}

/// The chunks of the newest checkpoint of every bucket, with nothing made of them: seconds and bytes.
fn read_blobs(cql: &str, keyspace: &str) -> Result<(f64, u64)> {
    let buckets = Topology::shipped().buckets(ProcessorKind::Presence) as i32;
    Runtime::new()?.block_on(async {
        let session = SessionBuilder::new().known_node(cql).build().await?;
        let table = format!("{keyspace}.presence_checkpoints");
        let headers =
            format!("SELECT slot, origin FROM {table} WHERE bucket = ? AND slot IN (0, 1) AND chunk = -1");
        let headers = session.prepare(headers).await?;
        let chunks =
            session.prepare(format!("SELECT data FROM {table} WHERE bucket = ? AND slot = ? AND chunk >= 0"));
        let chunks = chunks.await?;
        let (begun, bytes) = (Instant::now(), AtomicU64::new(0));
        let (session, headers, chunks, bytes_read) = (&session, &headers, &chunks, &bytes);
        let read = |bucket: i32| async move {
            let found = session.execute_unpaged(headers, (bucket,)).await?.into_rows_result()?;
            let found = found.rows::<(i32, i64)>()?.collect::<Result<Vec<_>, _>>()?;
            let Some((slot, _)) = found.into_iter().max_by_key(|(_, origin)| *origin) else { return Ok(()) };
            let rows = session.execute_unpaged(chunks, (bucket, slot)).await?.into_rows_result()?;
            for row in rows.rows::<(&[u8],)>()? {
                bytes_read.fetch_add(row?.0.len() as u64, Ordering::Relaxed);
            }
            anyhow::Ok(())
        };
        futures_util::stream::iter(0..buckets)
            .map(read)
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>()
            .await?;
        Ok((begun.elapsed().as_secs_f64(), bytes.load(Ordering::Relaxed)))
    })
}
