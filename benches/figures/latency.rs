//! How long a transition takes, against an echo of the bare transactional loop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow, ensure};

use crate::{
    echo::{Echo, INPUT, OUTPUTS, Seen, Watch},
    load::{BEAT_EVERY_S, Changes, HEARTBEATS, Load, Outgoing, Sender, paced},
    product,
    suite::Suite,
    table::quantile,
    warmth::{Round, Rounds},
};

const SESSIONS: u64 = 200_000;
/// Seconds of one phase; with both, every session still beats within its lease.
const SECONDS: u64 = 20;
/// What comes at first is no part of it.
const WARM_UP_S: u64 = 2;
const TRANSITIONS: &str = "presence";
/// Until what is under way has become visible.
const SETTLE: Duration = Duration::from_secs(2);

/// A transition is published as two records.
fn copies(value: &[u8]) -> usize {
    if value.windows(6).rev().any(|window| window == b"\"busy\"") { 2 } else { 0 }
}

pub fn run(suite: &Suite) -> Result<()> {
    let mut deployment = suite.deployment("latency", "")?;
    let worker = product::start(&mut deployment)?;
    deployment.wait_ready(worker)?;
    let kafka = deployment.kafka.clone();
    let load = Load::new(SESSIONS, 0);
    let echo = Echo::start(&kafka, load.partitions, copies)?;
    let sender = Sender::new(&kafka, 1)?;
    for index in 0..load.sessions {
        let (key, value) = (load.user(index), load.beat(index, 0, Changes::OnePercent));
        sender.send(Outgoing::new(HEARTBEATS, load.partition(index), &key, &value))?;
    }
    sender.flush()?;
    thread::sleep(SETTLE);
    product::wait_stored(&deployment.workers[worker].address)?;

    let seconds = suite.scaled(SECONDS, 6).min(SECONDS);
    let (mut second, mut p50, mut p99) = (BEAT_EVERY_S, Vec::new(), Vec::new());
    for round in Rounds::new(suite)? {
        let Round { number: round, counted } = round?;
        let mut phase = |input: &str, output: &str| {
            let begun = second;
            let measured = measure(&kafka, &sender, &load, second..second + seconds, input, output);
            second = begun + if input == HEARTBEATS { seconds } else { 0 };
            measured
        };
        let mut bare = phase(INPUT, OUTPUTS[0])?;
        let mut worker = phase(HEARTBEATS, TRANSITIONS)?;
        let [worker_p50, worker_p99] = [0.5, 0.99].map(|share| quantile(&mut worker, share));
        let [bare_p50, bare_p99] = [0.5, 0.99].map(|share| quantile(&mut bare, share));
        eprintln!(
            "  round {round}: worker p50 {worker_p50:.1} p99 {worker_p99:.1} ms ({}), echo {bare_p50:.1} {bare_p99:.1} ({})",
            worker.len(),
            bare.len()
        );
        if counted.is_some() {
            p50.push((worker_p50, bare_p50));
            p99.push((worker_p99, bare_p99));
        }
    }
    echo.stop()?;
    product::stop(&mut deployment, worker)?;
    suite.record("transition_p50_vs_echo", p50)?;
    suite.record("transition_p99_vs_echo", p99)
}

/// Sends the beats of some seconds at their pace; how long each change took to become visible, in ms.
fn measure(
    kafka: &str,
    sender: &Sender,
    load: &Load,
    seconds: std::ops::Range<u64>,
    input: &str,
    output: &str,
) -> Result<Vec<f64>> {
    let watch = Watch::start(kafka, output, load.partitions)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let watching = thread::spawn(move || -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        while !stopped.load(Ordering::Acquire) {
            seen.extend(watch.next(Duration::from_millis(50))?);
        }
        Ok(seen)
    });
    let due: Vec<(u64, u64)> =
        seconds.clone().flat_map(|second| load.due(second).map(move |index| (second, index))).collect();
    let per_second = load.sessions as f64 / BEAT_EVERY_S as f64;
    sender.take_appended();
    paced(per_second, due.len() as u64, |at| {
        let (second, index) = due[at as usize];
        let round = second / BEAT_EVERY_S;
        let (key, value) = (load.user(index), load.beat(index, round, Changes::OnePercent));
        let noted = Load::is_change(index, round) && second >= seconds.start + WARM_UP_S;
        sender.send(Outgoing { noted, ..Outgoing::new(input, load.partition(index), &key, &value) })
    })?;
    sender.flush()?;
    thread::sleep(SETTLE);
    stop.store(true, Ordering::Release);
    let seen = watching.join().map_err(|_| anyhow!("the watching thread panicked"))??;
    let appended = sender.take_appended();
    let visible = seen.iter().filter_map(|seen| Some((appended.get(&seen.origin()?)?, seen.at)));
    let times: Vec<f64> =
        visible.map(|(sent, at)| at.saturating_duration_since(*sent).as_secs_f64() * 1e3).collect();
    ensure!(
        times.len() * 100 >= appended.len() * 98,
        "{output} showed {} of {} changes",
        times.len(),
        appended.len()
    );
    Ok(times)
}
