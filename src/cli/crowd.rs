//! The demo's crowd: users that come, go, idle, fall silent and chat, from one seed.

use std::{fmt::Write, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    client::{StoreClient, TopicClient},
    http::{
        ingest::place,
        now_ms,
        timeline::{ReadError, Timeline},
    },
    limits::READ_COUNT_DEFAULT,
    topology::{Topic, Topology},
};
use chat::{Chat, receipt};

mod chat;

const TURN_EVERY: Duration = Duration::from_secs(1);
const SEED: u64 = 0x4845_4152_544c_494e;
/// Short, so that silence is noticed while somebody watches.
const LEASE_MS: u32 = 15_000;
/// Turns between two beats of a session.
const BEAT_EVERY: u32 = 5;
const DEVICES: [&str; 3] = ["ios", "android", "web"];
const TEXTS: [&str; 4] = ["at lunch", "on the train", "in a meeting", "back soon"];

/// Lets the crowd act every second until `shutdown`.
pub async fn run(
    users: u32,
    topology: Arc<Topology>,
    topics: Arc<dyn TopicClient>,
    store: Arc<dyn StoreClient>,
    mut shutdown: watch::Receiver<bool>,
) {
    // Sessions of an earlier demo have lower epochs, so that these count.
    let epoch_ms = now_ms();
    let mut crowd = Crowd::new(users, SEED, epoch_ms);
    let mut chat = Chat::new(users, SEED, epoch_ms);
    let timeline = Timeline::new(&*store, &topology);
    let mut turns = tokio::time::interval(TURN_EVERY);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
        let beats = crowd.turn();
        let sends = chat.turn(|index| crowd.is_there(index));
        let mut values: Vec<(Topic, String)> =
            beats.into_iter().map(|value| (Topic::Heartbeats, value)).collect();
        values.extend(sends.into_iter().map(|value| (Topic::Sends, value)));
        for user in chat.readers() {
            match look(timeline, &user).await {
                Ok(receipt) => values.extend(receipt.map(|value| (Topic::Receipts, value))),
                Err(error) => tracing::warn!(%error, "an inbox of the demo cannot be read"),
            }
        }
        let placed =
            values.into_iter().filter_map(|(topic, value)| place(&topology, topic, &value.into()).ok());
        let records = placed.flat_map(|placed| placed.records).collect();
        if let Err(error) = topics.append(records).await {
            tracing::warn!(%error, "the demo's records were not taken");
        }
    }
}

/// A user reads on where it has stopped; the receipt that says so.
async fn look(timeline: Timeline<'_>, user: &str) -> Result<Option<String>, ReadError> {
    let read = timeline.cursors(user, "").await?.inbox;
    let page = timeline.sync(user, read, READ_COUNT_DEFAULT).await?;
    Ok(receipt(user, &page))
}

struct Crowd {
    random: fastrand::Rng,
    epoch_ms: i64,
    people: Vec<Person>,
}

#[derive(Default)]
struct Person {
    /// Whether it beats; a person that fell silent does not, and its lease runs out.
    beating: bool,
    counter: u32,
    idle_turns: u32,
    phase: u32,
}

impl Crowd {
    fn new(users: u32, seed: u64, epoch_ms: i64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let people = (0..users).map(|_| Person { phase: random.u32(..BEAT_EVERY), ..Person::default() });
        Self { people: people.collect(), random, epoch_ms }
    }

    fn is_there(&self, index: usize) -> bool {
        self.people.get(index).is_some_and(|person| person.beating)
    }

    /// What the crowd sends within a second.
    fn turn(&mut self) -> Vec<String> {
        let mut values = Vec::new();
        for (index, person) in self.people.iter_mut().enumerate() {
            let user = format!("user-{}", index + 1);
            let session = format!("\"user\":\"{user}\",\"session\":\"s-1\",\"epoch\":{}", self.epoch_ms);
            person.phase = (person.phase + 1) % BEAT_EVERY;
            let chance = self.random.u32(..1_000);
            if !person.beating {
                // About a quarter of a minute away.
                if chance >= 60 {
                    continue;
                }
                (person.beating, person.idle_turns, person.phase) = (true, 0, 0);
            }
            person.idle_turns += 1;
            person.counter += 1;
            let counter = person.counter;
            match chance {
                // Says goodbye.
                0..8 => {
                    person.beating = false;
                    values.push(format!("{{\"v\":1,\"type\":\"goodbye\",{session},\"counter\":{counter}}}"));
                    continue;
                }
                // Is cut off.
                8..13 => {
                    person.beating = false;
                    continue;
                }
                13..18 => {
                    let text = TEXTS[self.random.usize(..TEXTS.len())];
                    values.push(format!(
                        "{{\"v\":1,\"type\":\"status\",\"user\":\"{user}\",\"status_text\":\"{text}\"}}"
                    ));
                }
                // Touches the device again.
                18..60 => person.idle_turns = 0,
                _ => {}
            }
            if person.phase == 0 {
                let (device, gateway) = (DEVICES[index % DEVICES.len()], index % 4);
                // A second of the demo's idleness stands for a quarter of a minute.
                let idle_ms = u64::from(person.idle_turns) * 15_000;
                let mut beat = format!("{{\"v\":1,\"type\":\"heartbeat\",{session},\"counter\":{counter}");
                // Writing to a String cannot fail.
                let _ = write!(
                    beat,
                    ",\"device\":\"{device}\",\"gateway\":\"gw-{gateway}\",\"lease_ms\":{LEASE_MS}"
                );
                let _ = write!(beat, ",\"idle_ms\":{idle_ms},\"busy\":{}}}", chance > 980);
                values.push(beat);
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Crowd;
    use crate::record::heartbeats::{Input, decode};

    fn hour(seed: u64) -> Vec<String> {
        let mut crowd = Crowd::new(20, seed, 1);
        (0..600).flat_map(|_| crowd.turn()).collect()
    }

    #[test]
    fn the_crowd_sends_valid_records_of_every_kind() {
        let mut kinds = BTreeSet::new();
        for value in hour(1) {
            kinds.insert(match decode(Some(value.as_bytes())) {
                Ok(Input::Heartbeat(beat)) if beat.idle_ms == crate::record::heartbeats::Field::Given(0) => {
                    "active"
                }
                Ok(Input::Heartbeat(_)) => "heartbeat",
                Ok(Input::Goodbye(_)) => "goodbye",
                Ok(Input::Status(_)) => "status",
                other => panic!("{value}: {other:?}"),
            });
        }
        assert_eq!(kinds, BTreeSet::from(["active", "heartbeat", "goodbye", "status"]));
    }

    #[test]
    fn the_same_seed_is_the_same_crowd() {
        assert_eq!(hour(7), hour(7));
        assert_ne!(hour(7), hour(8));
    }
}
