//! A great many live leases on the real servers, and one thing after the other stands still for longer than a
//! lease: the broker, the producers, the worker, the database. Nobody who beats may be put offline meanwhile,
//! nor within a lease after; those who fall silent for good as it begins must be, which shows that the watch
//! sees who goes.
//!
//! `sim/leases.rs` is the same for ten minutes of virtual time. Clocks that jump are there alone: the real
//! servers take the machine's.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use heartline::record::transition::{Cause, Status};
use libtest_mimic::Failed;
use rustix::process::Signal;
use serde_json::Value;

use super::{
    case::{Case, Need},
    deployment::{Deployment, get},
    servers::Servers,
    watch::{Seen, Watch},
};

mod gateways;

use gateways::{Gateways, LEAVER, LEAVERS};

const MILLION: Size =
    Size { leases: 1_000_000, lease: Duration::from_secs(90), stop: Duration::from_secs(120) };
const SHORT: Size = Size { leases: 20_000, lease: Duration::from_secs(6), stop: Duration::from_secs(10) };
/// A million users take a minute or two of the database's time when they come.
const JOIN_LIMIT: Duration = Duration::from_secs(900);
/// How long after everything is back, and a lease, the worker may need until those who left are gone: the
/// brake waits for a lease once producers are back, and a loaded machine reads what it has missed.
const LEAVE_LIMIT: Duration = Duration::from_secs(300);
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Records that are on their way while nothing lags: a second of a million's.
const LAG_RECORDS: i64 = 350;
const SAY_EVERY: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy)]
struct Size {
    leases: u32,
    lease: Duration,
    stop: Duration,
}

/// What stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Frozen: connections stay open and nothing answers. What is beaten meanwhile the gateways hold.
    Broker,
    /// The gateways say nothing.
    Producers,
    /// The worker is frozen, and out of its group long before it goes on.
    Consumers,
    /// Frozen as well.
    Database,
}

pub fn cases() -> Vec<Case> {
    let case = |name: &str, size: Size, stop: Stop| {
        Case::real(name, Need::OwnServers, move |servers| {
            let _alone = servers.exclusive();
            play(servers, size, stop).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let million = |name: &str, stop: Stop| case(name, MILLION, stop).long();
    vec![
        // The other stops are what the chaos tests do to few users.
        case("twenty_thousand_leases_outlive_gateways_that_are_cut_off", SHORT, Stop::Producers),
        million("a_million_leases_outlive_two_minutes_without_broker", Stop::Broker),
        million("a_million_leases_outlive_two_minutes_without_producers", Stop::Producers),
        million("a_million_leases_outlive_two_minutes_without_consumers", Stop::Consumers),
        million("a_million_leases_outlive_two_minutes_without_database", Stop::Database),
    ]
}

fn play(servers: &Servers, size: Size, stop: Stop) -> Result<()> {
    let leases = format!("[presence]\nlease = \"{}s\"\n", size.lease.as_secs());
    let mut deployment = Deployment::prepare(servers, "leases", &leases)?;
    let index = deployment.start_worker_with(&["--processors", "presence"])?;
    deployment.wait_ready(index)?;
    let watch = Watch::start_for(&deployment.kafka, |transition| transition.to == Status::Offline)?;
    let gateways = Gateways::start(&deployment.kafka, size.leases, size.lease / 3)?;
    let live = u64::from(size.leases);
    let is_there = |seen: &Presence, sessions: u64| {
        seen.sessions == sessions && seen.lag.is_some_and(|records| records <= LAG_RECORDS)
    };
    let everybody = live + u64::from(LEAVERS);
    let before = wait(&deployment, "all are there", JOIN_LIMIT, |seen| is_there(seen, everybody))?;
    let beaten = gateways.beats();

    gateways.leave();
    let from = Instant::now();
    begin(servers, &deployment, &gateways, stop)?;
    // Who is frozen would not answer.
    let asked = (stop != Stop::Consumers).then_some(&deployment);
    let last = hold(asked, &format!("{stop:?} away"), size.stop);
    end(servers, &deployment, &gateways, stop)?;
    let to = Instant::now();
    let back = presence(&deployment)?;
    hold(Some(&deployment), &format!("{stop:?} back"), size.lease);
    let beaten = gateways.beats() - beaten;

    let after = wait(&deployment, "who left is gone", LEAVE_LIMIT, |seen| is_there(seen, live))?;
    let offline = watch.stop_after(LEAVERS as usize, SEEN_WITHIN)?;
    gateways.stop()?;
    let slowest = judge(&offline, from, to)?;
    was_felt(stop, size, &before, last.as_ref().unwrap_or(&back))?;
    eprintln!(
        "{stop:?} stood still for {:?}: none of {live} offline during and after, {} live; all {LEAVERS} that \
         fell silent offline, the last {:?} after it began; {beaten} beats until a lease after it",
        to - from,
        after.sessions,
        slowest - from,
    );
    Ok(())
}

fn begin(servers: &Servers, deployment: &Deployment, gateways: &Gateways, stop: Stop) -> Result<()> {
    match stop {
        Stop::Broker => servers.kafka.pause(),
        Stop::Producers => {
            gateways.cut(true);
            Ok(())
        }
        Stop::Consumers => deployment.workers.iter().try_for_each(|worker| worker.signal(Signal::STOP)),
        Stop::Database => servers.cql.pause(),
    }
}

fn end(servers: &Servers, deployment: &Deployment, gateways: &Gateways, stop: Stop) -> Result<()> {
    match stop {
        Stop::Broker => servers.kafka.resume(),
        Stop::Producers => {
            gateways.cut(false);
            Ok(())
        }
        Stop::Consumers => deployment.workers.iter().try_for_each(|worker| worker.signal(Signal::CONT)),
        Stop::Database => servers.cql.resume(),
    }
}

/// What stood still was missed by the worker; otherwise the rest says nothing.
fn was_felt(stop: Stop, size: Size, before: &Presence, last: &Presence) -> Result<()> {
    // Who has lost its partitions has no lease clock that could advance.
    let clocks = last.clock_ms.zip(before.clock_ms);
    let advanced = clocks.map_or(0, |(last, before)| last.abs_diff(before));
    let advanced = Duration::from_millis(advanced);
    match stop {
        Stop::Broker | Stop::Consumers => ensure!(
            advanced < size.lease / 3,
            "vacuous: {stop:?} was away and the lease clocks advanced by {advanced:?}"
        ),
        Stop::Producers => ensure!(
            last.held >= u64::from(size.leases),
            "vacuous: the gateways were cut off and {} leases are held",
            last.held
        ),
        // Beats that change nothing need no row: the clocks go on, and those who left go.
        Stop::Database => {}
    }
    Ok(())
}

/// Who went offline is who fell silent, each once and by silence; when the last of them did.
fn judge(offline: &[Seen], from: Instant, to: Instant) -> Result<Instant> {
    let (left, falsely): (Vec<&Seen>, Vec<&Seen>) =
        offline.iter().partition(|seen| seen.transition.user.starts_with(LEAVER));
    let before = falsely.iter().filter(|seen| seen.at < from).count();
    let during = falsely.iter().filter(|seen| (from..to).contains(&seen.at)).count();
    ensure!(
        falsely.is_empty(),
        "falsely offline: {before} before, {during} during, {} after, such as {:?}",
        falsely.len() - before - during,
        falsely[0].transition
    );
    let users: BTreeSet<&str> = left.iter().map(|seen| seen.transition.user.as_str()).collect();
    ensure!(
        (users.len(), left.len()) == (LEAVERS as usize, LEAVERS as usize),
        "of {LEAVERS} that fell silent {} went offline, {} times",
        users.len(),
        left.len()
    );
    for seen in &left {
        let is_due = seen.transition.cause == Cause::Expired && seen.at > from;
        ensure!(is_due, "it beat until {:?} before it went: {:?}", from - seen.at, seen.transition);
    }
    left.iter().map(|seen| seen.at).max().context("nobody left")
}

/// What the worker tells of its partitions.
#[derive(Debug)]
struct Presence {
    sessions: u64,
    held: u64,
    /// Unknown while the broker does not say where its partitions end.
    lag: Option<i64>,
    /// Of the partition that has come least far, while the worker has any.
    clock_ms: Option<i64>,
}

fn presence(deployment: &Deployment) -> Result<Presence> {
    let mut seen = Presence { sessions: 0, held: 0, lag: Some(0), clock_ms: None };
    for worker in &deployment.workers {
        let answer = get(&worker.address, "/v1/partitions")?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        for partition in answer["partitions"].as_array().into_iter().flatten() {
            seen.sessions += partition["sessions"].as_u64().unwrap_or(0);
            seen.held += partition["brake"]["held"].as_u64().unwrap_or(0);
            seen.lag = seen.lag.zip(partition["lag"].as_i64()).map(|(sum, lag)| sum + lag);
            let clock_ms = partition["lease_clock_ms"].as_i64();
            seen.clock_ms = seen.clock_ms.into_iter().chain(clock_ms).min();
        }
    }
    Ok(seen)
}

/// Asks until what the worker tells is as wanted, and says how it stands.
fn wait(
    deployment: &Deployment,
    what: &str,
    limit: Duration,
    is_so: impl Fn(&Presence) -> bool,
) -> Result<Presence> {
    let begun = Instant::now();
    let mut said = begun;
    loop {
        let seen = presence(deployment)?;
        if is_so(&seen) {
            eprintln!("{what} after {:?}: {seen:?}", begun.elapsed());
            return Ok(seen);
        }
        ensure!(begun.elapsed() < limit, "after {limit:?} still not: {what}; {seen:?}");
        if said.elapsed() >= SAY_EVERY {
            eprintln!("not yet: {what}; {seen:?}");
            said = Instant::now();
        }
        thread::sleep(Duration::from_millis(250));
    }
}

/// Lets so much time pass, and says how it stands; what the worker that is asked told last.
fn hold(asked: Option<&Deployment>, what: &str, duration: Duration) -> Option<Presence> {
    let until = Instant::now() + duration;
    let mut last = None;
    loop {
        thread::sleep(until.saturating_duration_since(Instant::now()).min(SAY_EVERY));
        // That there is no answer is no failure here: what must be is asked for when the time is over.
        last = asked.and_then(|deployment| presence(deployment).ok()).or(last);
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return last;
        }
        eprintln!("{what}, for {rest:?} still; {last:?}");
    }
}
