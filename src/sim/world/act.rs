//! What happens to machines and servers now and then: drawn while a run goes on, or as a case has it.

use std::{fmt, str::SplitWhitespace};

use super::{
    Ambush, DAY_MS, World,
    machine::{Member, PROCESSORS, producer_name},
    plan::Disaster,
};
use crate::{
    sim::{Fault, Network, PodId},
    topology::ProcessorKind,
};

/// One disaster with all that was drawn for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Crash { machine: usize, down_ms: u64 },
    Pause { machine: usize, for_ms: u64 },
    Rebalance { kind: ProcessorKind },
    ExpireSession { pod: PodId },
    Outage { for_ms: u64 },
    StallStore { for_ms: u64 },
    JumpClock { by_ms: i64, may_step_back: bool },
    JumpPodClock { machine: usize, by_ms: i64 },
    Silence { for_ms: u64 },
    Fence { name: String },
    Retire { machine: usize, down_ms: u64 },
}

impl World {
    /// Draws what happens now, if anything.
    pub(super) fn draw_act(&mut self) -> Option<Act> {
        let disaster = self.random.choice(&self.plan.disasters).copied()?;
        let machine = self.random.usize(0..self.machines.len());
        let (disaster, machine) = match self.ambush {
            Ambush::Sprung(machine) => (Disaster::Crash, machine),
            _ => (disaster, machine),
        };
        self.ambush = if disaster == Disaster::Crash { Ambush::Waiting } else { Ambush::No };
        let kind = ProcessorKind::ALL[self.random.usize(0..PROCESSORS)];
        let members = &self.machines[machine].members;
        let (first, pod) = (members[0].pod, members[kind as usize].pod);
        let random = &mut self.random;
        Some(match disaster {
            Disaster::Crash if self.network.is_alive(first) => {
                Act::Crash { machine, down_ms: random.u64(100..25_000) }
            }
            Disaster::Pause if self.network.is_running(first) => {
                Act::Pause { machine, for_ms: random.u64(100..40_000) }
            }
            Disaster::Retire if self.network.is_running(first) => {
                Act::Retire { machine, down_ms: random.u64(100..10_000) }
            }
            Disaster::Crash | Disaster::Pause | Disaster::Retire => return None,
            Disaster::Rebalance => Act::Rebalance { kind },
            Disaster::ExpireSession => Act::ExpireSession { pod },
            Disaster::Outage => Act::Outage { for_ms: random.u64(500..30_000) },
            Disaster::StallStore => Act::StallStore { for_ms: random.u64(500..30_000) },
            Disaster::JumpClock => {
                Act::JumpClock { by_ms: random.i64(-60_000..60_000), may_step_back: random.bool() }
            }
            Disaster::LeapDays => {
                let days = *random.choice(&[1, 1, 7]).unwrap_or(&1);
                let by_ms = days * DAY_MS + random.i64(-60_000..60_000);
                Act::JumpClock { by_ms, may_step_back: random.bool() }
            }
            Disaster::JumpPodClock => Act::JumpPodClock { machine, by_ms: random.i64(-3_600_000..3_600_000) },
            Disaster::Silence => Act::Silence { for_ms: random.u64(1_000..40_000) },
            Disaster::Fence => {
                let life = random.u64(1..=self.lives.max(1)) as u32;
                Act::Fence { name: producer_name(&self.plan, kind, pod, life) }
            }
        })
    }

    /// Lets it happen. A case may name a machine that is down or that it has not: nothing happens then.
    pub(super) fn perform(&mut self, act: Act) {
        let now_ms = self.network.now_ms();
        match act {
            Act::Crash { machine, down_ms } => {
                if self.is_alive(machine) {
                    self.crash(machine, down_ms);
                }
            }
            Act::Pause { machine, for_ms } => {
                let Some(machine) = self.machines.get_mut(machine) else { return };
                if self.network.is_running(machine.members[0].pod) {
                    machine.members.iter().for_each(|member| self.network.pause(member.pod));
                    machine.resume_at_ms = Some(now_ms + for_ms);
                }
            }
            Act::Rebalance { kind } => self.network.rebalance(self.groups.of(kind)),
            Act::ExpireSession { pod } => {
                if (pod.0 as usize) < self.machines.len() * PROCESSORS {
                    self.network.expire_session(pod);
                }
            }
            Act::Outage { for_ms } => self.network.outage(for_ms),
            Act::StallStore { for_ms } => self.network.stall_store(for_ms),
            Act::JumpClock { by_ms, may_step_back } => self.network.jump_clock(by_ms, may_step_back),
            Act::JumpPodClock { machine, by_ms } => {
                let Some(machine) = self.machines.get_mut(machine) else { return };
                machine.wall_us += by_ms * 1_000;
                for member in &machine.members {
                    self.network.bring_about_at(Fault::PodClockJump, member.pod);
                }
            }
            Act::Silence { for_ms } => {
                self.network.bring_about(Fault::ProducersSilent, None);
                self.clients.fall_silent(now_ms + for_ms);
            }
            Act::Fence { name } => {
                self.network.fence(&name);
            }
            Act::Retire { machine, down_ms } => self.retire(machine, down_ms),
        }
    }

    /// Shuts a machine down in order: every member ends what is under way and leaves its group.
    fn retire(&mut self, index: usize, down_ms: u64) {
        let Some(machine) = self.machines.get_mut(index) else { return };
        if !machine.members.iter().all(|member| self.network.is_running(member.pod)) {
            return;
        }
        machine.down_ms = Some(down_ms);
        for member in &mut machine.members {
            self.asked.forget(member.pod);
            member.engine.iter_mut().for_each(|engine| engine.shut_down());
        }
        (0..PROCESSORS).for_each(|member| self.turn(index, member));
    }

    /// A member has left; after the last one the machine is down.
    pub(super) fn left(&mut self, machine: usize, member: usize) {
        let now_ms = self.network.now_ms();
        let machine = &mut self.machines[machine];
        let Member { pod, engine, .. } = &mut machine.members[member];
        self.network.stop(*pod);
        self.restores += engine.take().map_or(0, |engine| engine.status().restores);
        if machine.members.iter().all(|member| member.engine.is_none()) {
            machine.start_at_ms = Some(now_ms + machine.down_ms.take().unwrap_or(0));
        }
    }

    fn is_alive(&self, machine: usize) -> bool {
        let machine = self.machines.get(machine);
        machine.is_some_and(|machine| self.network.is_alive(machine.members[0].pod))
    }

    /// Ends the life of a machine, and says when the next one begins.
    pub(super) fn crash(&mut self, machine: usize, down_ms: u64) {
        let now_ms = self.network.now_ms();
        let machine = &mut self.machines[machine];
        self.restores += machine.end(&mut self.network, Network::crash);
        machine.resume_at_ms = None;
        machine.start_at_ms = Some(now_ms + down_ms);
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { machine, down_ms } => write!(f, "crash {machine} {down_ms}"),
            Self::Pause { machine, for_ms } => write!(f, "pause {machine} {for_ms}"),
            Self::Rebalance { kind } => write!(f, "rebalance {kind}"),
            Self::ExpireSession { pod } => write!(f, "expire-session {}", pod.0),
            Self::Outage { for_ms } => write!(f, "outage {for_ms}"),
            Self::StallStore { for_ms } => write!(f, "stall-store {for_ms}"),
            Self::JumpClock { by_ms, may_step_back } => write!(f, "jump-clock {by_ms} {may_step_back}"),
            Self::JumpPodClock { machine, by_ms } => write!(f, "jump-pod-clock {machine} {by_ms}"),
            Self::Silence { for_ms } => write!(f, "silence {for_ms}"),
            Self::Fence { name } => write!(f, "fence {name}"),
            Self::Retire { machine, down_ms } => write!(f, "retire {machine} {down_ms}"),
        }
    }
}

impl Act {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        fn next<T: std::str::FromStr>(words: &mut SplitWhitespace<'_>) -> Option<T> {
            words.next()?.parse().ok()
        }
        let mut words = text.split_whitespace();
        let (name, words) = (words.next()?, &mut words);
        let act = match name {
            "crash" => Self::Crash { machine: next(words)?, down_ms: next(words)? },
            "pause" => Self::Pause { machine: next(words)?, for_ms: next(words)? },
            "rebalance" => Self::Rebalance { kind: ProcessorKind::from_name(words.next()?)? },
            "expire-session" => Self::ExpireSession { pod: PodId(next(words)?) },
            "outage" => Self::Outage { for_ms: next(words)? },
            "stall-store" => Self::StallStore { for_ms: next(words)? },
            "jump-clock" => Self::JumpClock { by_ms: next(words)?, may_step_back: next(words)? },
            "jump-pod-clock" => Self::JumpPodClock { machine: next(words)?, by_ms: next(words)? },
            "silence" => Self::Silence { for_ms: next(words)? },
            "fence" => Self::Fence { name: next(words)? },
            "retire" => Self::Retire { machine: next(words)?, down_ms: next(words)? },
            _ => return None,
        };
        words.next().is_none().then_some(act)
    }
}
