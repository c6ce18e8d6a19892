//! What transactions cost: the same worker with them and without, at twenty commits a second.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::Result;
use heartline::processor::presence::Presence;

use crate::{
    bare::{self, Positions},
    inside::{Inside, Processor, Transactions},
    load::{BEAT_EVERY_S, Backlog, Changes, Form, HEARTBEATS, Load, ago_ms},
    proc,
    product::{self, Processes},
    suite::Suite,
};

const SESSIONS: u64 = 200_000;
/// Seconds of record time in a round's backlog: 3 M beats, some forty commits.
const SECONDS: u64 = 450;
const COMMITS_PER_S: u32 = 20;
/// Cheap, and the difference is small.
const ROUNDS_FACTOR: usize = 3;

pub fn run(suite: &Suite) -> Result<()> {
    let servers = suite.servers()?;
    let deployment = suite.deployment("transactions", "")?;
    let (broker, _) = Processes::servers(servers)?;
    let inside = Inside::new(servers)?;
    let start = |what: &str, transactions| -> Result<Processor> {
        let prefix = format!("{}_{what}", deployment.keyspace);
        let processor = inside.start::<Presence>(&prefix, &inside.connect(&prefix)?, transactions)?;
        processor.gate.close();
        processor.gate.pace(Duration::from_secs(1) / COMMITS_PER_S);
        Ok(processor)
    };
    let sides = [start("on", Transactions::On)?, start("off", Transactions::Off)?];
    let groups = ["on", "off"].map(|what| format!("{}_{what}.presence", deployment.keyspace));
    let load = Load::new(SESSIONS, 0);
    let partitions = load.partitions;
    let mut backlog = Backlog::new(&deployment.kafka, &groups[0], load, ago_ms()?)?;
    backlog.also_beacons_of(&groups[1]);
    let mut write = |seconds| -> Result<(u64, Positions)> {
        let write = || backlog.write(seconds, Form::Single, Changes::OnePercent);
        let beats = product::with_record_time(&deployment, write)?;
        Ok((beats, bare::ends(&deployment.kafka, HEARTBEATS, partitions)?))
    };
    // Everybody joins; and once more, so that all is warm.
    for _ in 0..2 {
        let (_, until) = write(BEAT_EVERY_S)?;
        sides.iter().try_for_each(|side| catch_up(side, &until, broker).map(drop))?;
    }
    let (seconds, mut rounds) = (suite.scaled(SECONDS, BEAT_EVERY_S), Vec::new());
    for round in 0..ROUNDS_FACTOR * suite.rounds() {
        let (beats, until) = write(seconds)?;
        let us =
            |side: &Processor| anyhow::Ok(catch_up(side, &until, broker)?.map(|cost| cost / beats as f64));
        // Who comes first changes.
        let (on, off): ([f64; 2], [f64; 2]) = match round % 2 {
            0 => (us(&sides[0])?, us(&sides[1])?),
            _ => {
                let off = us(&sides[1])?;
                (us(&sides[0])?, off)
            }
        };
        let commits = beats as f64 * on[1];
        eprintln!(
            "  round {round}: with {:.3} core-us a beat, without {:.3}; {commits:.0} commits",
            on[0], off[0]
        );
        rounds.push((off[0], on[0]));
    }
    for side in sides {
        side.stop()?;
    }
    suite.record("transactions_on_vs_off", rounds)
}

/// Core microseconds of worker and broker until all is committed and stored, and commits.
fn catch_up(side: &Processor, until: &Positions, broker: u32) -> Result<[f64; 2]> {
    let cpu = || anyhow::Ok(proc::own_cpu_s()? + proc::cpu_s(broker)?);
    let commits = || side.seen.commits.load(Ordering::Relaxed);
    let before = (cpu()?, commits());
    side.gate.open();
    side.wait_committed(until)?;
    side.gate.close();
    Ok([(cpu()? - before.0) * 1e6, (commits() - before.1) as f64])
}
