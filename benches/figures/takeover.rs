//! A worker is killed: how long until its successor says of a new user that it is online.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use heartline::record::transition::{Status, TransitionView};
use serde_json::Value;

use crate::{
    echo::Watch,
    load::{Changes, HEARTBEATS, Load, Outgoing, Sender},
    product,
    real::deployment::{Deployment, SESSION_TIMEOUT, get},
    suite::Suite,
};

const KILLS_PER_ROUND: usize = 4;
const LIMIT: Duration = Duration::from_secs(60);
const SEND_EVERY: Duration = Duration::from_millis(20);
const USERS: u64 = 100_000;

pub fn run(suite: &Suite) -> Result<()> {
    let mut deployment = suite.deployment("takeover", "")?;
    let sender = Sender::new(&deployment.kafka, 0)?;
    let load = Load::new(USERS, 0);
    let (mut next, mut times) = (0, Vec::new());
    let mut alive = [product::start(&mut deployment)?, product::start(&mut deployment)?];
    for kill in 0..suite.rounds() * KILLS_PER_ROUND {
        for worker in alive {
            deployment.wait_ready(worker)?;
        }
        settle(&deployment, &alive)?;
        let victim = kill % 2;
        let partitions = owned(&deployment, alive[victim])?;
        let watch = Watch::start(&deployment.kafka, "presence", load.partitions)?;
        let killed = Instant::now();
        deployment.workers[alive[victim]].kill9()?;
        let mut sent: BTreeMap<String, ()> = BTreeMap::new();
        let taken = loop {
            ensure!(killed.elapsed() < LIMIT, "nobody took over within {LIMIT:?}");
            // A new user of one of the victim's partitions.
            while !partitions.contains(&load.partition(next)) {
                next += 1;
            }
            let (key, value) = (load.user(next), load.beat(next, 0, Changes::None));
            sender.send(Outgoing::new(HEARTBEATS, load.partition(next), &key, &value))?;
            sent.insert(key, ());
            next += 1;
            let Some(seen) = watch.next(SEND_EVERY)? else { continue };
            let view = TransitionView::decode(&seen.value);
            let Ok(view) = view else { continue };
            if view.to == Status::Online && view.version == 1 && sent.contains_key(&view.user) {
                break seen.at - killed;
            }
        };
        eprintln!("  kill {kill}: {:.2} s", taken.as_secs_f64());
        times.push(taken.as_secs_f64());
        alive[victim] = product::start(&mut deployment)?;
    }
    for worker in alive {
        product::stop(&mut deployment, worker)?;
    }
    let longest = times.iter().copied().fold(0.0, f64::max);
    suite.record("takeover_minus_session", vec![(longest, SESSION_TIMEOUT.as_secs_f64())])?;
    let (count, median) = (times.len(), crate::table::median(times));
    suite.note(format!("takeover_minus_session: {count} kills, the median took {median:.2} s"));
    Ok(())
}

/// Waits until all partitions have an owner, and both workers have some.
fn settle(deployment: &Deployment, alive: &[usize; 2]) -> Result<()> {
    let begun = Instant::now();
    let (mut last, mut since) = (Vec::new(), Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        ensure!(begun.elapsed() < LIMIT, "the partitions do not settle");
        let now = [owned(deployment, alive[0])?, owned(deployment, alive[1])?].to_vec();
        if now != last || now.iter().any(Vec::is_empty) {
            (last, since) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn owned(deployment: &Deployment, worker: usize) -> Result<Vec<i32>> {
    let answer = get(&deployment.workers[worker].address, "/v1/partitions")?;
    let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
    let partitions = answer["partitions"].as_array().into_iter().flatten();
    let live = partitions.filter(|partition| partition["phase"] == "live");
    Ok(live.filter_map(|partition| Some(partition["partition"].as_i64()? as i32)).collect())
}
