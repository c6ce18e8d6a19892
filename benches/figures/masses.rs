//! Everybody comes, and everybody leaves, at once.

use std::time::Instant;

use anyhow::Result;

use crate::{
    echo::{Echo, INPUT, OUTPUTS, Watch},
    load::{Changes, HEARTBEATS, Load, Outgoing, Sender},
    product,
    suite::Suite,
    warmth::{Round, Rounds},
};

const USERS: u64 = 200_000;
const TRANSITIONS: &str = "presence";

pub fn run(suite: &Suite) -> Result<()> {
    let mut deployment = suite.deployment("masses", "")?;
    let worker = product::start(&mut deployment)?;
    deployment.wait_ready(worker)?;
    let kafka = deployment.kafka.clone();
    let address = deployment.workers[worker].address.clone();
    let users = suite.scaled(USERS, 5_000);
    let partitions = Load::new(1, 0).partitions;
    // A join and a leave are published as three records each.
    let echo = Echo::start(&kafka, partitions, |_| OUTPUTS.len())?;
    let sender = Sender::new(&kafka, 5)?;
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for round in Rounds::new(suite)? {
        let Round { number: round, counted } = round?;
        // Users that were never seen: each is looked for in the store.
        let load = Load::new(users, round as u64 * USERS);
        let at_once = |input: &str, output: &str, value: &dyn Fn(u64) -> String| -> Result<f64> {
            let watch = Watch::start(&kafka, output, partitions)?;
            let begun = Instant::now();
            for index in 0..users {
                let (key, value) = (load.user(index), value(index));
                sender.send(Outgoing::new(input, load.partition(index), &key, &value))?;
            }
            watch.count(users)?;
            Ok(users as f64 / begun.elapsed().as_secs_f64())
        };
        let join = |index| load.beat(index, 0, Changes::None);
        let leave = |index| load.goodbye(index, 1);
        let bare = at_once(INPUT, OUTPUTS[0], &join)?;
        let joined = at_once(HEARTBEATS, TRANSITIONS, &join)?;
        product::wait_stored(&address)?;
        let bare_leave = at_once(INPUT, OUTPUTS[0], &leave)?;
        let left = at_once(HEARTBEATS, TRANSITIONS, &leave)?;
        product::wait_stored(&address)?;
        eprintln!(
            "  round {round}: join {joined:.0}/s, leave {left:.0}/s; echo {bare:.0}/s, {bare_leave:.0}/s"
        );
        if counted.is_some() {
            joins.push((joined, bare));
            leaves.push((left, bare_leave));
        }
    }
    echo.stop()?;
    product::stop(&mut deployment, worker)?;
    suite.record("mass_join", joins)?;
    suite.record("mass_expiry", leaves)
}
