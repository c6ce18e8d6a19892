//! Disasters that are aimed at a step: they happen as soon as some pod is there. What strikes calls is aimed
//! by the network itself.

use super::{World, act::Act, place};
use crate::{
    sim::{Fault, PodId, step::Aim},
    topology::ProcessorKind,
};

/// How often a disaster happens at a step that it is aimed at.
const TIMES: u8 = 2;
/// Longer than a rebalance waits in a run that aims at its end, and less than a member may be silent.
const LATE_MS: u64 = 6_000;
/// Longer than a transaction may stay open, the broker's scan included.
const STALL_MS: u64 = 25_000;

/// What is still to be met.
pub(super) struct Aiming {
    aims: Vec<(Aim, u8)>,
    /// This one, by this pod, now.
    found: Option<(usize, PodId)>,
}

impl Aiming {
    pub(super) fn new(aims: &[Aim]) -> Self {
        let disasters = aims.iter().filter(|aim| !aim.fault.strikes_calls());
        Self { aims: disasters.map(|aim| (*aim, TIMES)).collect(), found: None }
    }

    /// Whether a disaster is due now.
    pub(super) fn is_due(&self) -> bool {
        self.found.is_some()
    }
}

impl World {
    /// Looks whether a pod is where something is to meet it. What is found happens when nothing else happens
    /// at this instant any more, so that a repeated run has it at the same place.
    pub(super) fn seek(&mut self, pod: PodId) {
        if self.aiming.aims.is_empty() || self.aiming.found.is_some() || self.script.is_some() {
            return;
        }
        let steps = self.network.at_steps(pod);
        let meets = |(aim, left): &(Aim, u8)| {
            *left > 0
                && steps.has(aim.step)
                && (aim.fault != Fault::TransactionTimedOut || steps.in_transaction())
        };
        if self.network.is_running(pod)
            && let Some(index) = self.aiming.aims.iter().position(meets)
        {
            self.aiming.found = Some((index, pod));
        }
    }

    /// What happens to the pod that was found, if it is still there.
    pub(super) fn aimed_acts(&mut self) -> Vec<Act> {
        let Some((index, pod)) = self.aiming.found.take() else { return Vec::new() };
        let (aim, left) = &mut self.aiming.aims[index];
        if !self.network.is_running(pod) || !self.network.at_steps(pod).has(aim.step) {
            return Vec::new();
        }
        *left -= 1;
        let (machine, member) = place(pod);
        let kind = ProcessorKind::ALL[member];
        let random = &mut self.random;
        match aim.fault {
            Fault::PodCrashed => vec![Act::Crash { machine, down_ms: random.u64(100..5_000) }],
            Fault::PodPaused => vec![Act::Pause { machine, for_ms: random.u64(100..20_000) }],
            Fault::TransactionTimedOut => vec![Act::Pause { machine, for_ms: STALL_MS }],
            Fault::Rebalance => vec![Act::Rebalance { kind }],
            Fault::RebalanceTimedOut => {
                vec![Act::Rebalance { kind }, Act::Pause { machine, for_ms: LATE_MS }]
            }
            Fault::SessionExpired => vec![Act::ExpireSession { pod }],
            Fault::ProducerFenced => {
                vec![Act::Fence { name: self.network.producer_name(pod).to_owned() }]
            }
            Fault::Outage => vec![Act::Outage { for_ms: random.u64(500..8_000) }],
            Fault::StoreStalled => vec![Act::StallStore { for_ms: random.u64(500..8_000) }],
            Fault::ClockJump => {
                vec![Act::JumpClock { by_ms: random.i64(-60_000..60_000), may_step_back: random.bool() }]
            }
            Fault::PodClockJump => {
                vec![Act::JumpPodClock { machine, by_ms: random.i64(-3_600_000..3_600_000) }]
            }
            Fault::ProducersSilent => vec![Act::Silence { for_ms: random.u64(500..8_000) }],
            _ => Vec::new(),
        }
    }
}
