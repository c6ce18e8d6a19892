//! What the log and the rows say afterwards, against what the crowd did.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, ensure};
use heartline::{
    limits::BEACON_STEP_MS_MAX,
    record::transition::{Cause, Status, TransitionView},
};
use serde_json::Value;

use super::{
    super::{
        deployment::{get, request},
        watch::{always_online, chains},
    },
    crowd::{Deeds, LEASE_MAX, Role},
    process::{Life, Up, records},
};

/// What the design allows beyond a lease, in healthy time.
const DETECTION_MS: i64 = 3_000;

pub fn judge(up: &Up, deeds: &Deeds) -> Result<()> {
    // First the rows: once everybody beats on, their versions say how many transitions there are.
    let rows = presence(up.address(), deeds)?;
    let count = rows.values().map(|(_, version)| *version as usize).sum();
    let records = records(up.address(), "presence", count)?;
    let mut announced = BTreeMap::new();
    let mut transitions = Vec::new();
    for record in records {
        let transition = TransitionView::decode(record.value.get().as_bytes())
            .map_err(|refusal| anyhow!("{}: {}", refusal.message, record.value))?;
        announced.insert((transition.user.clone(), transition.version), record.time);
        transitions.push(transition);
    }
    let chains = chains(transitions)?;
    let steady = deeds.iter().filter(|(_, deed)| deed.role == Role::Steady);
    always_online(&chains, &steady.map(|(user, _)| user.clone()).collect::<Vec<_>>())?;
    for (user, deed) in deeds {
        let chain = chains.get(user).map(Vec::as_slice).unwrap_or_default();
        let mut expected = deed.announced.clone();
        if matches!(deed.role, Role::Leaver { .. }) {
            expected.push(Status::Offline);
        }
        let found: Vec<_> = chain.iter().map(|transition| transition.to).collect();
        ensure!(found == expected, "{user} ({:?}): expected {expected:?}, found {chain:?}", deed.role);
        let last = chain.last().with_context(|| format!("{user} was never announced"))?;
        let row = rows.get(user).with_context(|| format!("{user} has no row"))?;
        let due = (last.to.name().to_owned(), last.version);
        ensure!(*row == due, "{user}: the row says {row:?}, the last transition {due:?}");
        for offline in chain.iter().filter(|transition| transition.to == Status::Offline) {
            let published_ms = announced[&(user.clone(), offline.version)];
            let in_time = if deed.role == Role::Comer { said_goodbye } else { ran_out };
            in_time(up, offline, deed.lease_ms, published_ms).with_context(|| format!("{offline:?}"))?;
        }
    }
    let advanced_ms = lease_clocks(up.address())?;
    report(up, chains.len(), count, advanced_ms);
    let least_ms = 3 * LEASE_MAX.as_millis() as i64;
    ensure!(advanced_ms >= least_ms, "vacuous: a lease clock came to {advanced_ms} ms, below {least_ms} ms");
    Ok(())
}

fn said_goodbye(_: &Up, offline: &TransitionView, _: i64, _: i64) -> Result<()> {
    ensure!(offline.cause == Cause::Goodbye, "a user who said goodbye left otherwise");
    Ok(())
}

/// A lease runs out neither before its time nor much after it, where time is that in which the process could
/// work.
fn ran_out(up: &Up, offline: &TransitionView, lease_ms: i64, published_ms: i64) -> Result<()> {
    ensure!(offline.cause == Cause::Expired, "a user who fell silent left otherwise");
    let beat_ms = offline.last_seen;
    // The beat counts from the beacon before it, and the next beacon may add as much as one step.
    let lived_ms = time(up, beat_ms, offline.detected_at, |life| life.spawned_ms);
    ensure!(
        lived_ms >= lease_ms - BEACON_STEP_MS_MAX,
        "it ended after {lived_ms} ms of a lease of {lease_ms} ms"
    );
    let healthy_ms = time(up, beat_ms, published_ms, |life| life.ready_ms);
    // The clock stands still from the last beacon before an interruption to the first one after it.
    let interruptions = interruptions(up, beat_ms, published_ms);
    let late_ms = lease_ms + DETECTION_MS + interruptions * BEACON_STEP_MS_MAX;
    ensure!(healthy_ms <= late_ms, "it ended after {healthy_ms} ms, with a lease of {lease_ms} ms");
    Ok(())
}

/// Milliseconds between two moments in which the process lived, each life counted from `since`, and was not
/// frozen.
fn time(up: &Up, from_ms: i64, to_ms: i64, since: fn(&Life) -> i64) -> i64 {
    let overlap = |(begin, end): (i64, i64)| (end.min(to_ms) - begin.max(from_ms)).max(0);
    let lived: i64 = up.lives().iter().map(|life| overlap((since(life), life.ended_ms))).sum();
    lived - up.frozen().iter().copied().map(overlap).sum::<i64>()
}

fn interruptions(up: &Up, from_ms: i64, to_ms: i64) -> i64 {
    let ends = up.lives().iter().map(|life| life.ended_ms).chain(up.frozen().iter().map(|(from, _)| *from));
    ends.filter(|at_ms| (from_ms..to_ms).contains(at_ms)).count() as i64
}

/// Status and version of everybody's row.
fn presence(address: &str, deeds: &Deeds) -> Result<BTreeMap<String, (String, u64)>> {
    let users: Vec<_> = deeds.keys().collect();
    let question = serde_json::json!({ "users": users }).to_string();
    let answer: Value = serde_json::from_str(&request(address, "POST", "/v1/presence/query", &question)?)?;
    let users = answer["users"].as_array().context("an answer without users")?;
    let row = |user: &Value| {
        let name = user["user"].as_str()?.to_owned();
        Some((name, (user["status"].as_str()?.to_owned(), user["version"].as_u64()?)))
    };
    users.iter().map(|user| row(user).with_context(|| format!("a row without a version: {user}"))).collect()
}

/// The lease clock that came least far; only presence has one.
fn lease_clocks(address: &str) -> Result<i64> {
    let answer: Value = serde_json::from_str(&get(address, "/v1/partitions")?)?;
    let partitions = answer["partitions"].as_array().context("an answer without partitions")?;
    let presence = partitions.iter().filter(|partition| partition["processor"] == "presence");
    let clocks = presence.map(|partition| partition["lease_clock_ms"].as_i64());
    clocks.min().flatten().context("a partition without a lease clock")
}

fn report(up: &Up, users: usize, transitions: usize, advanced_ms: i64) {
    let ready: Vec<_> = up.lives().iter().map(|life| life.ready_ms - life.spawned_ms).collect();
    println!(
        "embedded: {users} users, {transitions} transitions, {} lives, {} freezes, \
         lease clocks at {advanced_ms} ms or more\nready after {ready:?} ms (debug build)",
        up.lives().len(),
        up.frozen().len(),
    );
}
