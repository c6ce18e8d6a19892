//! How many requests the database sees, on a live worker.

use std::{thread, time::Duration};

use anyhow::Result;

use crate::{
    load::{BEAT_EVERY_S, Changes, HEARTBEATS, Load, Outgoing, Sender, paced},
    product,
    suite::Suite,
};

/// 1,562 a bucket.
const SESSIONS: u64 = 200_000;
/// Two rounds of checkpoints.
const SECONDS: u64 = 60;
const REQUESTS: &str = "heartline_store_requests_total";
/// Until the checkpoints that the joins made due have their turns.
const SETTLE: Duration = Duration::from_secs(5);

pub fn run(suite: &Suite) -> Result<()> {
    let mut deployment = suite.deployment("requests", "")?;
    let worker = product::start(&mut deployment)?;
    deployment.wait_ready(worker)?;
    let address = deployment.workers[worker].address.clone();
    let sender = Sender::new(&deployment.kafka, 5)?;
    let per_second = SESSIONS as f64 / BEAT_EVERY_S as f64;

    // Sessions that come and go at the pace at which the standard load's would come.
    let passing = Load::new(suite.scaled(SESSIONS, 7_000), 1_000_000_000);
    let before = product::metric(&address, REQUESTS, "")?;
    for round in 0..2 {
        paced(per_second, passing.sessions, |index| {
            let value = match round {
                0 => passing.beat(index, 0, Changes::None),
                _ => passing.goodbye(index, 1),
            };
            sender.send(Outgoing::new(HEARTBEATS, passing.partition(index), &passing.user(index), &value))
        })?;
    }
    sender.flush()?;
    thread::sleep(Duration::from_secs(1));
    product::wait_live(&address, 0)?;
    product::wait_stored(&address)?;
    let requests = product::metric(&address, REQUESTS, "")? - before;
    suite.record("requests_per_session", vec![(requests / passing.sessions as f64, 1.0)])?;
    if !suite.wants("requests_per_heartbeat") {
        return Ok(());
    }

    let load = Load::new(SESSIONS, 0);
    let beat = |second: u64, index: u64| {
        let value = load.beat(index, second / BEAT_EVERY_S, Changes::None);
        sender.send(Outgoing::new(HEARTBEATS, load.partition(index), &load.user(index), &value))
    };
    for second in 0..BEAT_EVERY_S {
        load.due(second).try_for_each(|index| beat(second, index))?;
    }
    sender.flush()?;
    product::wait_live(&address, SESSIONS)?;
    thread::sleep(SETTLE);
    product::wait_stored(&address)?;
    let seconds = suite.scaled(SECONDS, 30);
    let due: Vec<(u64, u64)> = (BEAT_EVERY_S..BEAT_EVERY_S + seconds)
        .flat_map(|second| load.due(second).map(move |index| (second, index)))
        .collect();
    let before = product::metric(&address, REQUESTS, "")?;
    let late = paced(per_second, due.len() as u64, |at| {
        let (second, index) = due[at as usize];
        beat(second, index)
    })?;
    sender.flush()?;
    let requests = product::metric(&address, REQUESTS, "")? - before;
    suite.record("requests_per_heartbeat", vec![(requests / due.len() as f64, 1.0)])?;
    suite.note(format!(
        "requests_per_heartbeat: {requests:.0} requests in {seconds} s of {} beats, none later than {late:.1?}",
        due.len()
    ));
    product::stop(&mut deployment, worker)
}
