//! What a chat must have left behind: judged from the topics by an oracle that shares nothing with the folds, read
//! from the database with plain CQL, and compared with a rebuild from the topics.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    chat::Said,
    deployment::{Deployment, get},
    rows::Tables,
};

/// The tables that follow from the log and from nothing else; `progress` and the choice of checkpointed moments
/// don't.
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
    let mut counts = Vec::new();
    for table in TABLES {
        counts.push(format!("{table} {}", tables.same(table, &deployment.keyspace, &other)?));
    }
    eprintln!("{said:?}; the same rows after a rebuild: {}\n{}", counts.join(", "), rebuilt.trim());
    ensure!(said.repeated > 50 && said.conflicting > 10 && said.membership_changes > 20, "vacuous: {said:?}");
    Ok(())
}
