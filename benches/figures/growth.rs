//! Whether ten times the events take ten times as long.

use anyhow::Result;

use super::catch_up::World;
use crate::{
    load::{BEAT_EVERY_S, Changes, Form},
    suite::Suite,
};

const SESSIONS: u64 = 200_000;
/// 1 M beats of record time, five beats of every session.
const SECONDS: u64 = 5 * BEAT_EVERY_S;

pub fn run(suite: &Suite) -> Result<()> {
    let mut world = World::new(suite, "growth", SESSIONS)?;
    world.warm_up(suite, &[Form::Single])?;
    let (seconds, mut rounds) = (suite.scaled(SECONDS, BEAT_EVERY_S), Vec::new());
    for _ in 0..suite.rounds() {
        let mut times = [0.0; 2];
        for (time, factor) in times.iter_mut().zip([1, 10]) {
            let (from, until) = world.write(factor * seconds, Form::Single, Changes::OnePercent)?;
            let worker = world.catch_up(&until)?;
            let records: i64 = until.iter().zip(&from).map(|(until, from)| until - from).sum();
            // What was committed first is no part of the time, so that its share is added again.
            *time = worker.seconds * records as f64 / worker.records;
        }
        rounds.push(((times[1] - times[0]) / 9.0, times[0]));
    }
    suite.record("growth_events", rounds)
}
