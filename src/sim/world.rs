//! A whole deployment of all four processors: machines with engines, clients, disasters and the checks after
//! every step.
//!
//! [`run`] plays one seed: first with faults throughout (safety), then without (liveness: everything owed is
//! out and nothing lags within [`RECOVERY_MS`]). What must never be false is in [`checks`]; what a prefix of
//! the log must have brought about is folded anew from the log in [`reference`](mod@reference) and, for the
//! timeline, said once more without the product's code in [`oracle`]; all are compared at the end.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use fastrand::Rng;

use super::{Delivery, Fault, Keep, Network, PodEvent, PodId, Settings, coverage::Coverage};
use crate::{
    engine::{Command, Exit},
    log::{AssignmentId, LogCommand, LogEvent},
    topology::Topic,
};

pub mod act;
mod aiming;
mod bounds;
pub mod case;
pub mod checks;
pub mod clients;
mod conduct;
pub mod machine;
mod meddling;
mod newer;
pub mod oracle;
pub mod plan;
mod recovery;
pub mod reference;
mod sharing;
pub mod shrink;

use act::Act;
use aiming::Aiming;
use bounds::exceeded;
use checks::{Checks, projections::projections_agree};
use clients::Clients;
use conduct::Asked;
use machine::{Groups, Machine, PROCESSORS};
use plan::Plan;
use recovery::Recovery;

/// After the last fault everything owed must be out within this time.
pub const RECOVERY_MS: u64 = 60_000;
/// Microseconds of the wall clock at virtual time 0.
const WALL_US: i64 = 1_760_000_000_000_000;
/// Of virtual time between two comparisons of what presence says in several places.
const PROJECTIONS_EVERY_MS: u64 = 5_000;
/// Of what is said about a violation: contents may be large.
const WHAT_BYTES_MAX: usize = 2_000;
const DAY_MS: i64 = 86_400_000;

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
    /// Messages that have a number, and the entries they became.
    pub messages: u64,
    pub entries: u64,
    /// Rows that were read during the run and held against what they must say.
    pub rows_read: u64,
    pub restores: u64,
    pub lives: u64,
    /// After the last fault, until everybody was ready, nothing was owed and nothing lagged.
    pub recovery_ms: u64,
    pub digest: u64,
    /// How often each fault struck, in the order of [`Fault::ALL`], and at which steps.
    pub struck: Vec<u64>,
    pub coverage: Coverage,
}

impl Summary {
    /// Adds what another run did.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.faults += other.faults;
        self.records += other.records;
        self.transitions += other.transitions;
        self.messages += other.messages;
        self.entries += other.entries;
        self.rows_read += other.rows_read;
        self.restores += other.restores;
        self.lives += other.lives;
        self.recovery_ms = self.recovery_ms.max(other.recovery_ms);
        self.struck.resize(Fault::ALL.len(), 0);
        self.struck.iter_mut().zip(&other.struck).for_each(|(sum, struck)| *sum += struck);
        self.coverage.add(&other.coverage);
    }
}

/// A deployment on its way.
pub struct World {
    plan: Plan,
    network: Network,
    groups: Groups,
    random: Rng,
    machines: Vec<Machine>,
    clients: Clients,
    checks: Checks,
    next_disaster_ms: u64,
    /// The assignment that a pod knows to be its own.
    assigned: BTreeMap<PodId, AssignmentId>,
    asked: Asked,
    aiming: Aiming,
    /// What an engine asked for and must not.
    misconduct: Option<String>,
    /// When the projections of presence are compared next, once nothing is owed.
    next_projections_ms: u64,
    recovery: Option<Recovery>,
    /// After some crashes a successor is struck down in its first transaction.
    ambush: Ambush,
    restores: u64,
    /// Lives of machines.
    lives: u64,
    /// What happens instead of what would be drawn.
    script: Option<VecDeque<(u64, Act)>>,
    /// What happened, where that is kept.
    acts: Option<Vec<(u64, Act)>>,
    /// What happens at the end is drawn from numbers of its own: a repeated run has drawn nothing before.
    endings: Rng,
}

/// Who takes over from a machine that crashed may be next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ambush {
    No,
    /// Whoever is assigned something next.
    Waiting,
    Of(PodId),
    /// The machine has begun its first transaction.
    Sprung(usize),
}

/// Plays one seed with the plan that the seed draws; no transcript is kept.
pub fn run(seed: u64) -> Result<Summary, Violation> {
    World::new(Plan::draw(seed), Keep::Nothing).play()
}

/// Plays one seed and keeps what happened, line by line.
pub fn trace(seed: u64) -> (String, Result<Summary, Violation>) {
    let mut world = World::new(Plan::draw(seed), Keep::Lines);
    let result = world.play();
    (world.transcript().to_owned(), result)
}

impl World {
    #[must_use]
    pub fn new(plan: Plan, keep: Keep) -> Self {
        let settings = Settings {
            keep,
            transaction_ms: plan.transaction_ms,
            rebalance_ms: plan.rebalance_ms,
            store_ms: 1..=plan.store_ms,
            ..Settings::default()
        };
        let mut network = Network::new(plan.delays, &plan.topology, settings);
        let groups = Groups::new(&mut network);
        for (fault, per_million) in &plan.rates {
            network.faults_mut().rate(*fault, *per_million);
        }
        for aim in plan.aims.iter().filter(|aim| aim.fault.strikes_calls()) {
            network.faults_mut().aim(aim.fault, aim.step);
        }
        for (fault, call) in &plan.call_aims {
            network.faults_mut().aim_at_calls(*fault, *call);
        }
        let mut random = Rng::with_seed(plan.seed ^ 0x77_6f72_6c64);
        let machines = (0..plan.machines)
            .map(|_| {
                let boot_ms = random.i64(0..10_000_000);
                let wall_us = WALL_US + random.i64(-5_000_000..5_000_000);
                Machine::new(&mut network, boot_ms, wall_us, random.u64(0..3_000))
            })
            .collect();
        Self {
            clients: Clients::new(&plan),
            checks: Checks::new(&plan, groups),
            next_projections_ms: 0,
            recovery: None,
            next_disaster_ms: random.u64(5_000..15_000),
            assigned: BTreeMap::new(),
            asked: Asked::default(),
            aiming: Aiming::new(&plan.aims),
            misconduct: None,
            endings: Rng::with_seed(plan.seed ^ 0x65_6e64_696e_6773),
            plan,
            network,
            groups,
            random,
            machines,
            ambush: Ambush::No,
            restores: 0,
            lives: 0,
            script: None,
            acts: None,
        }
    }

    /// Safety, then liveness, then the comparison with what must have come about.
    pub fn play(&mut self) -> Result<Summary, Violation> {
        while self.network.now_ms() < self.plan.faulty_ms {
            self.advance(true)?;
        }
        self.network.faults_mut().cease();
        self.network.set_store_ms(Settings::default().store_ms);
        if self.plan.ends_sessions {
            self.clients.stop();
        }
        let former = self.offsets();
        self.begin_recovery();
        let end_ms = self.network.now_ms() + RECOVERY_MS;
        for machine in &mut self.machines {
            machine.resume_at_ms.get_or_insert(0);
            if machine.has_left(&self.network) {
                self.restores += machine.end(&mut self.network, Network::stop);
                machine.start_at_ms.get_or_insert(0);
            }
        }
        while self.network.now_ms() < end_ms {
            self.advance(false)?;
            self.follow_recovery()?;
        }
        self.clients.stop();
        while self.network.now_ms() < end_ms + 2_000 {
            self.advance(false)?;
            self.follow_recovery()?;
        }
        self.settle(end_ms + 12_000)?;
        let verdict = self.checks.compare(&self.plan, &self.network);
        verdict.map_err(|what| self.violation(what))?;
        if self.plan.meddles {
            self.meddle(former)?;
        } else if self.plan.stable_names {
            self.share_a_name()?;
        }
        Ok(self.summary())
    }

    /// Goes on until no transaction is open and no row is owed: a moment at which rows and records can be
    /// compared.
    fn settle(&mut self, limit_ms: u64) -> Result<(), Violation> {
        loop {
            if self.machines.iter().all(Machine::is_settled) && self.network.broker().is_settled() {
                return Ok(());
            }
            if self.network.now_ms() > limit_ms {
                let missing: Vec<_> = self.machines.iter().map(Machine::missing).collect();
                return Err(
                    self.violation(format!("nothing settles after the faults have ceased: {missing:?}"))
                );
            }
            self.advance(false)?;
        }
    }

    /// One step: the next delivery, or what the world itself does at its time.
    fn advance(&mut self, faulty: bool) -> Result<(), Violation> {
        let act_ms = if faulty { self.next_act_ms() } else { u64::MAX };
        let starts = self.machines.iter().flat_map(|machine| [machine.start_at_ms, machine.resume_at_ms]);
        let starts_ms = starts.flatten().min().unwrap_or(u64::MAX);
        // Faults end on time, whoever is awake then: a repeated run has fewer who are.
        let end_ms = if faulty { self.plan.faulty_ms } else { u64::MAX };
        let horizon_ms = end_ms.min(self.network.now_ms() + 1_000);
        let limits_ms = [self.clients.next_ms(), act_ms, starts_ms, self.checks.next_look_ms()];
        let limit_ms = limits_ms.into_iter().fold(horizon_ms, u64::min);
        let mut looked = Ok(());
        match self.network.next_event_until(limit_ms) {
            Some((_, delivery)) => {
                let pod = delivery.pod;
                self.deliver(delivery);
                if faulty {
                    self.seek(pod);
                }
            }
            None => {
                let now_ms = self.network.now_ms();
                let raised = self.raise_machines(now_ms);
                if self.clients.next_ms() <= now_ms {
                    self.clients.act(now_ms, &mut self.network);
                }
                // What machines do that have just begun comes first, in a repeated run as well.
                if act_ms <= now_ms && !raised {
                    self.act(now_ms);
                }
                if self.checks.next_look_ms() <= now_ms {
                    looked = self.checks.look(&self.network);
                }
            }
        }
        if let Some(what) = self.misconduct.take() {
            return Err(self.violation(what));
        }
        let mut checked = looked.and_then(|()| self.checks.after_step(&self.network));
        if self.next_projections_ms <= self.network.now_ms() && self.owes_nothing() {
            self.next_projections_ms = self.network.now_ms() + PROJECTIONS_EVERY_MS;
            checked = checked.and_then(|()| projections_agree(&self.network));
        }
        checked.map_err(|what| self.violation(what))
    }

    /// Whether everybody is ready and all that is visible is in the store. What belongs to a member that is
    /// dead, which its group does not know yet, is owed by nobody who could say so.
    fn owes_nothing(&self) -> bool {
        let is_quiet = |machine: &Machine| machine.is_settled() && machine.is_ready();
        if !self.network.broker().is_settled() || !self.machines.iter().all(is_quiet) {
            return false;
        }
        let held: BTreeSet<_> = self.machines.iter().flat_map(Machine::presence_partitions).collect();
        held.len() == self.plan.topology.partitions(Topic::Heartbeats) as usize
    }

    fn deliver(&mut self, delivery: Delivery) {
        let (machine, member) = place(delivery.pod);
        let pod = delivery.pod;
        let mut must_exit = false;
        if let PodEvent::Log(event) = &delivery.event {
            self.notice(pod, event);
            must_exit = self.asked.must_exit(pod, event);
        }
        let now = self.machines[machine].now(self.network.now_ms());
        if let Some(engine) = &mut self.machines[machine].members[member].engine {
            match delivery.event {
                PodEvent::Log(event) => engine.handle_log(event, now),
                PodEvent::Store(event) => engine.handle_store(event, now),
                PodEvent::Timer => {}
            }
            if must_exit && engine.exit().is_none() {
                let what = format!("pod-{} goes on after an error that nobody knows", pod.0);
                self.misconduct.get_or_insert(what);
            }
        }
        self.turn(machine, member);
    }

    /// What a pod is told of its assignment.
    fn notice(&mut self, pod: PodId, event: &LogEvent) {
        match event {
            LogEvent::Assigned { assignment, partitions, .. } => {
                self.assigned.insert(pod, *assignment);
                if self.ambush == Ambush::Waiting && !partitions.is_empty() {
                    self.ambush = Ambush::Of(pod);
                }
            }
            LogEvent::Revoking { .. } | LogEvent::Lost { .. } => {
                self.assigned.remove(&pod);
            }
            _ => {}
        }
    }

    /// As a worker does it: what an engine wants is carried out before its turn as well.
    fn turn(&mut self, index: usize, member: usize) {
        self.carry_out(index, member);
        let now_ms = self.network.now_ms();
        let machine = &mut self.machines[index];
        let now = machine.now(now_ms);
        let Some(running) = &mut machine.members[member].engine else { return };
        running.turn(now);
        self.carry_out(index, member);
        let machine = &mut self.machines[index];
        let boot_ms = machine.boot_ms;
        let machine::Member { pod, engine: Some(running), .. } = &mut machine.members[member] else { return };
        if let Some(exit) = running.exit() {
            if *exit == Exit::Left {
                return self.left(index, member);
            }
            if let Exit::Fatal(why) = exit {
                self.network.transcript_mut().line(format_args!("{now_ms} pod-{} exits: {why}", pod.0));
            }
            // One engine that must not go on ends the process.
            self.restores += machine.end(&mut self.network, Network::stop);
            machine.start_at_ms = Some(now_ms + 1_000);
        } else {
            let wake_ms = (running.next_wake_ms() - boot_ms).max(0) as u64;
            self.network.timer(*pod, wake_ms);
        }
    }

    /// Carries out what an engine wants, unless its machine crashes meanwhile.
    fn carry_out(&mut self, index: usize, member: usize) {
        let now_ms = self.network.now_ms();
        let is_newer = self.plan.newer_machine == Some(index);
        let machine::Member { pod, engine, .. } = &mut self.machines[index].members[member];
        let Some(running) = engine else { return };
        while let Some(command) = running.poll_command() {
            match command {
                Command::Log(mut command) => {
                    if is_newer && newer::write_as_newer(&mut command) {
                        self.network.bring_about_at(Fault::NewerFormat, *pod);
                    }
                    let begins = match &command {
                        LogCommand::Transact(begun) => Some(begun.assignment),
                        _ => None,
                    };
                    let foreign =
                        begins.is_some_and(|assignment| self.assigned.get(pod) != Some(&assignment));
                    let wrong = foreign.then_some("commits what is not its own");
                    if let Some(what) = wrong.or_else(|| exceeded(&self.plan, &**running, &command)) {
                        self.misconduct.get_or_insert(format!("pod-{} {what}", pod.0));
                    }
                    if begins.is_some() && self.ambush == Ambush::Of(*pod) {
                        self.ambush = Ambush::Sprung(index);
                        self.next_disaster_ms = now_ms + self.random.u64(0..100);
                    }
                    self.asked.submitted(*pod, &command);
                    self.network.submit_log(*pod, command);
                }
                Command::Store(command) => self.network.submit_store(*pod, command),
            }
            if let Some(down_ms) = self.network.dies_between_outputs(*pod) {
                return self.crash(index, down_ms);
            }
        }
    }

    /// Starts and resumes the machines whose time has come; whether there were any.
    fn raise_machines(&mut self, now_ms: u64) -> bool {
        let mut any = false;
        for index in 0..self.machines.len() {
            let machine = &mut self.machines[index];
            let due = |at_ms: &mut Option<u64>| at_ms.take_if(|at_ms| *at_ms <= now_ms).is_some();
            let (resumes, starts) = (due(&mut machine.resume_at_ms), due(&mut machine.start_at_ms));
            if resumes {
                for member in &machine.members {
                    self.asked.forget(member.pod);
                    self.network.resume(member.pod);
                }
            }
            if starts {
                self.lives += 1;
                machine.start(&mut self.network, &self.plan);
            }
            if resumes || starts {
                any = true;
                (0..PROCESSORS).for_each(|member| self.turn(index, member));
            }
        }
        any
    }

    /// When something happens to machines or servers next.
    fn next_act_ms(&self) -> u64 {
        match &self.script {
            Some(script) => script.front().map_or(u64::MAX, |(at_ms, _)| *at_ms),
            None if self.aiming.is_due() => self.network.now_ms(),
            None => self.next_disaster_ms,
        }
    }

    fn act(&mut self, now_ms: u64) {
        if self.script.is_some() {
            while self.next_act_ms() <= now_ms {
                let due = self.script.as_mut().and_then(VecDeque::pop_front);
                due.into_iter().for_each(|(_, act)| self.perform(act));
            }
            return;
        }
        let due = if self.aiming.is_due() {
            self.aimed_acts()
        } else {
            self.next_disaster_ms = now_ms + self.random.u64(2_000..self.plan.disaster_ms);
            self.draw_act().into_iter().collect()
        };
        for act in due {
            if let Some(acts) = &mut self.acts {
                acts.push((now_ms, act.clone()));
            }
            self.perform(act);
        }
    }

    fn violation(&self, mut what: String) -> Violation {
        if what.len() > WHAT_BYTES_MAX {
            let end = (0..=WHAT_BYTES_MAX).rev().find(|at| what.is_char_boundary(*at));
            what.truncate(end.unwrap_or(0));
            what.push('…');
        }
        let (seed, at_ms, step) = (self.plan.seed, self.network.now_ms(), self.network.steps());
        Violation { seed, at_ms, step, what }
    }

    fn summary(&self) -> Summary {
        Summary {
            steps: self.network.steps(),
            faults: self.network.faults().counts().map(|(_, count)| count).sum(),
            records: self.clients.sent(),
            transitions: self.checks.transitions(),
            messages: self.checks.messages(),
            entries: self.checks.entries(),
            rows_read: self.checks.rows_read(),
            restores: self.restores + self.machines.iter().map(Machine::restores).sum::<u64>(),
            lives: self.lives,
            recovery_ms: self.recovery.as_ref().and_then(|recovery| recovery.took_ms).unwrap_or(0),
            digest: self.network.transcript().digest(),
            struck: self.network.faults().counts().map(|(_, count)| count).collect(),
            coverage: self.network.faults().coverage().clone(),
        }
    }

    /// The lines of the run so far, where they are kept.
    #[must_use]
    pub fn transcript(&self) -> &str {
        self.network.transcript().text()
    }
}

/// The machine of a pod, and which of its members it is: pods are numbered machine by machine.
fn place(pod: PodId) -> (usize, usize) {
    let number = pod.0 as usize;
    (number / PROCESSORS, number % PROCESSORS)
}

#[cfg(test)]
mod tests;
