//! A great many live leases, and a deployment in which one thing after the other stands still for ten
//! minutes: the broker, the producers, the consumers, the database; then clocks that jump by an hour. Nobody
//! may be put offline while it lasts, nor within two leases after.
//!
//! Presence alone runs here, on two pods with the real engine and fold, and what is looked at is its topic:
//! the world's oracle keeps everything that was ever said and is made for small deployments.

use std::{fmt, sync::Arc};

use super::{Delivery, Keep, Network, PodEvent, PodId, Settings, log::GroupNo};
use crate::{
    engine::{Command, Engine, EngineConfig, EngineStatus, Now, Pace, Sequential},
    limits::STATE_BYTES_MAX,
    log::{Committed, Offset, PartitionId},
    processor::{Retention, presence::Presence},
    record::beacon::Parameters,
    task::metadata::OffsetMetadata,
    topology::{Topic, Topology},
};

mod gateways;

use gateways::Gateways;

const GROUP: &str = "heartline.presence";
const PODS: usize = 2;
/// Partitions of the topics, and buckets of all of them.
const PARTITIONS: u32 = 8;
const BUCKETS: u32 = 64;
/// How long something stands still, and how far a clock jumps.
const STOP_MS: u64 = 600_000;
const JUMP_MS: i64 = 3_600_000;
/// Sessions come within this time; after it all of them are there.
const ARRIVAL_MS: u64 = 60_000;
/// For so long after a stop nobody may be put offline: two leases.
const AFTER_MS: u64 = 180_000;
/// Microseconds of the wall clock at virtual time 0.
const WALL_US: i64 = 1_760_000_000_000_000;

/// What stands still, or jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Broker,
    Producers,
    Consumers,
    Database,
    /// The clocks of the broker and of the pods go an hour forward, and back after ten minutes.
    Clocks,
}

impl Stop {
    pub const ALL: [Self; 5] = [Self::Broker, Self::Producers, Self::Consumers, Self::Database, Self::Clocks];
}

/// What a stop brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub stop: Stop,
    /// Transitions to offline while it lasted, and after.
    pub offline_during: u64,
    pub offline_after: u64,
    /// Sessions that are live in the end, in the folds of all pods.
    pub live: u64,
    /// Beats that the log took meanwhile, and how often state was restored so far.
    pub beats: u64,
    pub restores: u64,
}

impl Outcome {
    /// Whether every lease lived through it.
    #[must_use]
    pub fn is_good(&self, leases: u32) -> bool {
        (self.offline_during, self.offline_after, self.live) == (0, 0, u64::from(leases))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stop, offline_during, offline_after, live, beats, restores } = self;
        write!(
            f,
            "{stop:?}: {offline_during} offline during, {offline_after} after; {live} live, {beats} beats, \
             {restores} restores"
        )
    }
}

/// A deployment of presence alone.
pub struct Leases {
    network: Network,
    group: GroupNo,
    pods: Vec<Pod>,
    gateways: Gateways,
    /// Up to where each partition of `presence` was looked at.
    seen: Vec<Offset>,
    online: u64,
    offline: u64,
}

struct Pod {
    id: PodId,
    engine: Engine<Presence>,
    wall_us: i64,
}

impl Leases {
    /// A deployment with this many sessions, each of a user of its own, all of which have come.
    pub fn new(seed: u64, leases: u32) -> Result<Self, String> {
        let topology = Arc::new(Topology::uniform(PARTITIONS, BUCKETS));
        let settings = Settings { keep: Keep::Nothing, ..Settings::default() };
        let mut network = Network::new(seed, &topology, settings);
        let group = network.group(GROUP, Topic::Heartbeats);
        let pods = (0..PODS).map(|_| Pod::new(&mut network, &topology)).collect();
        let mut deployment = Self {
            gateways: Gateways::new(&topology, leases, ARRIVAL_MS),
            network,
            group,
            pods,
            seen: vec![0; PARTITIONS as usize],
            online: 0,
            offline: 0,
        };
        (0..PODS).for_each(|pod| deployment.turn(pod));
        deployment.advance(ARRIVAL_MS + AFTER_MS)?;
        match (deployment.live(), deployment.online, deployment.offline) {
            (live, online, 0) if live == u64::from(leases) && online == live => Ok(deployment),
            (live, online, offline) => {
                Err(format!("of {leases} sessions {live} live; {online} came online, {offline} went offline"))
            }
        }
    }

    /// Lets something stand still for a while, and then go on.
    pub fn stop(&mut self, stop: Stop) -> Result<Outcome, String> {
        let (start_ms, beats) = (self.network.now_ms(), self.gateways.beats());
        let end_ms = start_ms + STOP_MS;
        match stop {
            Stop::Broker => self.network.outage(STOP_MS),
            Stop::Database => self.network.stall_store(STOP_MS),
            Stop::Producers => self.gateways.fall_silent(end_ms),
            Stop::Consumers => self.pods.iter().for_each(|pod| self.network.pause(pod.id)),
            Stop::Clocks => self.jump(JUMP_MS),
        }
        let before = self.offline;
        self.advance(end_ms)?;
        match stop {
            Stop::Consumers => self.pods.iter().for_each(|pod| self.network.resume(pod.id)),
            Stop::Clocks => self.jump(-JUMP_MS),
            Stop::Broker | Stop::Database | Stop::Producers => {}
        }
        let during = self.offline;
        self.advance(end_ms + AFTER_MS)?;
        Ok(Outcome {
            stop,
            offline_during: during - before,
            offline_after: self.offline - during,
            live: self.live(),
            beats: self.gateways.beats() - beats,
            restores: self.statuses().map(|status| status.restores).sum(),
        })
    }

    fn jump(&mut self, by_ms: i64) {
        self.network.jump_clock(by_ms, true);
        self.pods.iter_mut().for_each(|pod| pod.wall_us += by_ms * 1_000);
    }

    /// Lets time pass, and counts who went offline meanwhile.
    fn advance(&mut self, until_ms: u64) -> Result<(), String> {
        while self.network.now_ms() < until_ms {
            let limit_ms = self.gateways.next_ms().min(until_ms);
            match self.network.next_event_until(limit_ms) {
                Some((_, delivery)) => self.deliver(delivery)?,
                None => {
                    if self.gateways.act(&mut self.network) {
                        self.look();
                        self.forget();
                    }
                }
            }
        }
        self.look();
        match self.network.breaches().first() {
            Some((pod, breach)) => Err(format!("pod-{} broke the log's contract: {breach:?}", pod.0)),
            None => Ok(()),
        }
    }

    fn deliver(&mut self, Delivery { pod, event, .. }: Delivery) -> Result<(), String> {
        let index = pod.0 as usize;
        let now = self.pods[index].now(self.network.now_ms());
        let engine = &mut self.pods[index].engine;
        match event {
            PodEvent::Log(event) => engine.handle_log(event, now),
            PodEvent::Store(event) => engine.handle_store(event, now),
            PodEvent::Timer => {}
        }
        self.turn(index);
        match self.pods[index].engine.exit() {
            Some(exit) => Err(format!("pod-{} exits: {exit:?}", pod.0)),
            None => Ok(()),
        }
    }

    fn turn(&mut self, index: usize) {
        let Pod { id, engine, .. } = &mut self.pods[index];
        carry_out(&mut self.network, *id, engine);
        let now = self.pods[index].now(self.network.now_ms());
        let Pod { id, engine, .. } = &mut self.pods[index];
        engine.turn(now, &Sequential);
        carry_out(&mut self.network, *id, engine);
        self.network.timer(*id, engine.next_wake_ms().max(0) as u64);
    }

    /// Takes in what became visible in `presence`.
    fn look(&mut self) {
        for (partition, seen) in (0..).zip(&mut self.seen) {
            let Some(log) = self.network.broker().partition(Topic::Presence, partition) else { continue };
            for record in log.committed(*seen) {
                let value = record.content.value.as_deref().unwrap_or_default();
                let says = |text: &[u8]| value.windows(text.len()).any(|window| window == text);
                self.offline += u64::from(says(br#""to":"offline""#));
                self.online += u64::from(says(br#""from":"offline""#));
            }
            *seen = log.stable_end();
        }
    }

    /// Gives back the memory of what nobody asks for any more: beats that are stored, transitions that were
    /// looked at.
    fn forget(&mut self) {
        for partition in 0..PARTITIONS {
            let stored = self.stored(partition);
            let seen = self.seen[partition as usize];
            self.network.with_broker(|broker, _| {
                broker.forget(Topic::Heartbeats, partition, stored);
                for topic in [Topic::Presence, Topic::PresenceState, Topic::Sessions] {
                    let end = broker.partition(topic, partition).map_or(0, |log| log.stable_end());
                    let below = if topic == Topic::Presence { seen } else { end };
                    broker.forget(topic, partition, below);
                }
            });
        }
    }

    /// Where a successor would begin.
    fn stored(&self, partition: PartitionId) -> Offset {
        let committed = self.network.broker().group_state(self.group).offset(partition);
        let metadata = |committed: &Committed| OffsetMetadata::decode(&committed.metadata);
        committed.and_then(metadata).map_or(0, |metadata| metadata.stored)
    }

    fn statuses(&self) -> impl Iterator<Item = EngineStatus> {
        self.pods.iter().map(|pod| pod.engine.status())
    }

    fn live(&self) -> u64 {
        self.statuses().flat_map(|status| status.partitions).map(|partition| partition.fold.sessions).sum()
    }
}

impl Pod {
    fn new(network: &mut Network, topology: &Arc<Topology>) -> Self {
        let id = network.add_pod(GROUP, Topic::Heartbeats);
        network.start(id);
        let name = format!("{GROUP}.pod-{}", id.0);
        let config = EngineConfig {
            topology: Arc::clone(topology),
            group: GROUP.into(),
            incarnation: name.clone(),
            name,
            parameters: Parameters::VERSION_1,
            retention: Retention::default(),
            state_bytes_max: STATE_BYTES_MAX,
            large_group: usize::MAX,
            session_timeout_ms: Settings::default().session_ms as i64,
            pace: Pace::default(),
        };
        let now = Now { boot_ms: 0, wall_us: WALL_US };
        Self { id, engine: Engine::new(config, now), wall_us: WALL_US }
    }

    fn now(&self, now_ms: u64) -> Now {
        let now_ms = now_ms as i64;
        Now { boot_ms: now_ms, wall_us: self.wall_us + now_ms * 1_000 }
    }
}

fn carry_out(network: &mut Network, pod: PodId, engine: &mut Engine<Presence>) {
    while let Some(command) = engine.poll_command() {
        match command {
            Command::Log(command) => network.submit_log(pod, command),
            Command::Store(command) => network.submit_store(pod, command),
        }
    }
}

#[cfg(test)]
mod tests;
