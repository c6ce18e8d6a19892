//! A whole deployment of the presence processor: pods with engines, clients, disasters and the checks after
//! every step.
//!
//! [`run`] plays one seed: first with faults throughout (safety), then without (liveness: everything owed is
//! out and nothing lags within [`RECOVERY_MS`]). What must never be false is in [`checks`]; what a prefix of
//! the log must have brought about is folded anew from the log in [`reference`](mod@reference) and compared
//! at the end.

use std::fmt;

use fastrand::Rng;

use super::{Delivery, Keep, Network, PodEvent, PodId, Settings, log::GroupNo};
use crate::{
    engine::{Command, Engine, EngineConfig, Exit, Now, Pace, Sequential},
    processor::{Retention, presence::Presence},
    topology::Topic,
};

pub mod checks;
pub mod clients;
pub mod plan;
pub mod reference;

use checks::Checks;
use clients::Clients;
use plan::{Disaster, Plan};

/// The consumer group of every pod.
pub const GROUP: &str = "heartline.presence";
/// After the last fault everything owed must be out within this time.
pub const RECOVERY_MS: u64 = 60_000;
/// Microseconds of the wall clock at virtual time 0.
const WALL_US: i64 = 1_760_000_000_000_000;

/// What was seen to be false, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub seed: u64,
    pub at_ms: u64,
    pub step: u64,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at_ms, step, what } = self;
        write!(f, "seed {seed}, step {step}, {at_ms} ms: {what}")
    }
}

/// What a run did, so that a vacuous one can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    pub steps: u64,
    pub faults: u64,
    pub records: u64,
    pub transitions: u64,
    pub restores: u64,
    pub lives: u64,
    pub digest: u64,
}

/// One pod of the deployment.
struct Pod {
    id: PodId,
    engine: Option<Engine<Presence>>,
    /// Its boot-time clock and its wall clock against virtual time.
    boot_ms: i64,
    wall_us: i64,
    /// When it is to be started (again).
    start_at_ms: Option<u64>,
    resume_at_ms: Option<u64>,
}

/// A deployment on its way.
pub struct World {
    plan: Plan,
    network: Network,
    group: GroupNo,
    random: Rng,
    pods: Vec<Pod>,
    clients: Clients,
    checks: Checks,
    next_disaster_ms: u64,
    restores: u64,
    lives: u64,
}

/// Plays one seed with the plan that the seed draws.
pub fn run(seed: u64) -> Result<Summary, Violation> {
    World::new(Plan::draw(seed), Keep::Digest).play()
}

impl World {
    #[must_use]
    pub fn new(plan: Plan, keep: Keep) -> Self {
        let settings = Settings { keep, ..Settings::default() };
        let mut network = Network::new(plan.seed, &plan.topology, settings);
        let group = network.group(GROUP, Topic::Heartbeats);
        for (fault, per_million) in &plan.rates {
            network.faults_mut().rate(*fault, *per_million);
        }
        let mut random = Rng::with_seed(plan.seed ^ 0x77_6f72_6c64);
        let pods = (0..plan.pods)
            .map(|_| Pod {
                id: network.add_pod(GROUP, Topic::Heartbeats),
                engine: None,
                boot_ms: random.i64(0..10_000_000),
                wall_us: WALL_US + random.i64(-5_000_000..5_000_000),
                start_at_ms: Some(random.u64(0..3_000)),
                resume_at_ms: None,
            })
            .collect();
        Self {
            clients: Clients::new(&plan),
            checks: Checks::new(&plan),
            next_disaster_ms: random.u64(5_000..15_000),
            plan,
            network,
            group,
            random,
            pods,
            restores: 0,
            lives: 0,
        }
    }

    /// Safety, then liveness, then the comparison with the reference.
    pub fn play(mut self) -> Result<Summary, Violation> {
        while self.network.now_ms() < self.plan.faulty_ms {
            self.advance(true)?;
        }
        self.network.faults_mut().cease();
        self.clients.stop();
        let end_ms = self.network.now_ms() + RECOVERY_MS;
        for index in 0..self.pods.len() {
            self.pods[index].resume_at_ms.get_or_insert(0);
            if !self.network.is_alive(self.pods[index].id) {
                self.pods[index].start_at_ms.get_or_insert(0);
            }
        }
        while self.network.now_ms() < end_ms {
            self.advance(false)?;
        }
        self.settle(end_ms + 10_000)?;
        let verdict = self.checks.compare(&self.plan, &self.network, self.group);
        verdict.map_err(|what| self.violation(what))?;
        Ok(self.summary())
    }

    /// Goes on until no transaction is open and no row is owed: a moment at which rows and records can be
    /// compared.
    fn settle(&mut self, limit_ms: u64) -> Result<(), Violation> {
        loop {
            let stored = self.pods.iter().all(|pod| pod.engine.as_ref().is_some_and(Engine::is_settled));
            if stored && self.network.broker().is_settled() {
                return Ok(());
            }
            if self.network.now_ms() > limit_ms {
                let open: Vec<_> = self
                    .pods
                    .iter()
                    .map(|pod| pod.engine.as_ref().map(|engine| format!("{:?}", engine.status().missing)))
                    .collect();
                return Err(self.violation(format!("nothing settles after the faults have ceased: {open:?}")));
            }
            self.advance(false)?;
        }
    }

    /// One step: the next delivery, or what the world itself does at its time.
    fn advance(&mut self, faulty: bool) -> Result<(), Violation> {
        let disaster_ms = if faulty { self.next_disaster_ms } else { u64::MAX };
        let starts = self.pods.iter().flat_map(|pod| [pod.start_at_ms, pod.resume_at_ms]).flatten().min();
        let horizon_ms = self.network.now_ms() + 1_000;
        let limit_ms = [self.clients.next_ms(), disaster_ms, starts.unwrap_or(u64::MAX), horizon_ms];
        let limit_ms = limit_ms.into_iter().min().unwrap_or(horizon_ms);
        match self.network.next_event_until(limit_ms) {
            Some((_, delivery)) => self.deliver(delivery),
            None => {
                let now_ms = self.network.now_ms();
                self.raise_pods(now_ms);
                if self.clients.next_ms() <= now_ms {
                    self.clients.act(now_ms, &mut self.network);
                }
                if disaster_ms <= now_ms {
                    self.strike(now_ms);
                }
            }
        }
        self.checks.after_step(&self.network, self.group).map_err(|what| self.violation(what))
    }

    fn deliver(&mut self, delivery: Delivery) {
        let index = self.pods.iter().position(|pod| pod.id == delivery.pod);
        let Some(index) = index else { return };
        let now = self.now_of(index);
        if let Some(engine) = &mut self.pods[index].engine {
            match delivery.event {
                PodEvent::Log(event) => engine.handle_log(event, now),
                PodEvent::Store(event) => engine.handle_store(event, now),
                PodEvent::Timer => {}
            }
        }
        self.turn(index);
    }

    fn now_of(&self, index: usize) -> Now {
        let (pod, now_ms) = (&self.pods[index], self.network.now_ms() as i64);
        Now { boot_ms: pod.boot_ms + now_ms, wall_us: pod.wall_us + now_ms * 1_000 }
    }

    fn turn(&mut self, index: usize) {
        let now = self.now_of(index);
        let Pod { id, engine, boot_ms, start_at_ms, .. } = &mut self.pods[index];
        let Some(running) = engine else { return };
        running.turn(now, &Sequential);
        while let Some(command) = running.poll_command() {
            match command {
                Command::Log(command) => self.network.submit_log(*id, command),
                Command::Store(command) => self.network.submit_store(*id, command),
            }
        }
        if let Some(exit) = running.exit() {
            if let Exit::Fatal(why) = exit {
                let now_ms = self.network.now_ms();
                self.network.transcript_mut().line(format_args!("{now_ms} pod-{} exits: {why}", id.0));
            }
            self.restores += running.status().restores;
            *engine = None;
            *start_at_ms = Some(self.network.now_ms() + 1_000);
            self.network.stop(*id);
        } else {
            let wake_ms = (running.next_wake_ms() - *boot_ms).max(0) as u64;
            self.network.timer(*id, wake_ms);
        }
    }

    /// Starts and resumes the pods whose time has come.
    fn raise_pods(&mut self, now_ms: u64) {
        for index in 0..self.pods.len() {
            let id = self.pods[index].id;
            if self.pods[index].resume_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                self.pods[index].resume_at_ms = None;
                self.network.resume(id);
                self.turn(index);
            }
            if self.pods[index].start_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                self.pods[index].start_at_ms = None;
                let life = self.network.start(id);
                self.lives += 1;
                // Some deployments have stable names, as a stateful set has; others a new one with every
                // life.
                let name = match self.plan.stable_names {
                    true => format!("{GROUP}.pod-{}", id.0),
                    false => format!("{GROUP}.pod-{}.{life}", id.0),
                };
                let config = EngineConfig {
                    topology: self.plan.topology.clone(),
                    group: GROUP.into(),
                    name,
                    incarnation: format!("pod-{}.{life}", id.0),
                    parameters: self.plan.parameters.clone(),
                    retention: Retention::default(),
                    session_timeout_ms: Settings::default().session_ms as i64,
                    pace: Pace { checkpoint_round_ms: self.plan.checkpoint_round_ms, ..Pace::default() },
                };
                self.pods[index].engine = Some(Engine::new(config, self.now_of(index)));
                self.turn(index);
            }
        }
    }

    fn strike(&mut self, now_ms: u64) {
        self.next_disaster_ms = now_ms + self.random.u64(2_000..self.plan.disaster_ms);
        let Some(disaster) = self.random.choice(&self.plan.disasters).copied() else { return };
        let index = self.random.usize(0..self.pods.len());
        let id = self.pods[index].id;
        match disaster {
            Disaster::Crash if self.network.is_alive(id) => {
                self.restores += self.pods[index].engine.take().map_or(0, |engine| engine.status().restores);
                self.pods[index].resume_at_ms = None;
                self.network.crash(id);
                self.pods[index].start_at_ms = Some(now_ms + self.random.u64(100..25_000));
            }
            Disaster::Pause if self.network.is_running(id) => {
                self.network.pause(id);
                self.pods[index].resume_at_ms = Some(now_ms + self.random.u64(100..40_000));
            }
            Disaster::Crash | Disaster::Pause => {}
            Disaster::Rebalance => self.network.rebalance(self.group),
            Disaster::ExpireSession => self.network.expire_session(id),
            Disaster::Outage => self.network.outage(self.random.u64(500..30_000)),
            Disaster::StallStore => self.network.stall_store(self.random.u64(500..30_000)),
            Disaster::JumpClock => {
                self.network.jump_clock(self.random.i64(-60_000..60_000), self.random.bool())
            }
            Disaster::Silence => self.clients.fall_silent(now_ms + self.random.u64(1_000..40_000)),
            Disaster::Fence => {
                let life = self.lives.max(1);
                let name = match self.plan.stable_names {
                    true => format!("{GROUP}.pod-{}", id.0),
                    false => format!("{GROUP}.pod-{}.{}", id.0, self.random.u64(1..=life)),
                };
                self.network.fence(&name);
            }
        }
    }

    fn violation(&self, what: String) -> Violation {
        let (seed, at_ms, step) = (self.plan.seed, self.network.now_ms(), self.network.steps());
        Violation { seed, at_ms, step, what }
    }

    fn summary(&self) -> Summary {
        let restores = self.pods.iter().filter_map(|pod| pod.engine.as_ref());
        Summary {
            steps: self.network.steps(),
            faults: self.network.faults().counts().map(|(_, count)| count).sum(),
            records: self.clients.sent(),
            transitions: self.checks.transitions(),
            restores: self.restores + restores.map(|engine| engine.status().restores).sum::<u64>(),
            lives: self.lives,
            digest: self.network.transcript().digest(),
        }
    }

    /// The lines of the run so far, where they are kept.
    #[must_use]
    pub fn transcript(&self) -> &str {
        self.network.transcript().text()
    }
}

#[cfg(test)]
mod tests;
