//! A run as a list of what happened to it: the plan, every record that a client sent, every disaster and
//! every fault. A recorded run repeats byte for byte; with events left out it is another, smaller run.
//!
//! As text a case has a line for each:
//! ```text
//! heartline-case 1
//! mutant CursorGoesBack            # only where it shows a mistake of `heartline::mutant`
//! plan seed 17                     # one line for each field
//! 1200 record heartbeats 0 user-1 = {"v":1,…}
//! 5300 act crash 1 4000
//! 7000 strike CallLost 3 0         # the pod, and the occasions of that instant that passed before
//! ```
//! The first number is the time in milliseconds. After a record's key come headers as `name:value`, then the
//! value; without ` = ` it is null. A byte that the form cannot carry is written as `%` and two digits.

use std::panic::{self, AssertUnwindSafe};

use super::{Keep, Summary, Violation, World, act::Act, plan::Plan};
use crate::{
    log::PartitionId,
    sim::{Strike, log::partition::Content},
    topology::Topic,
};

pub mod kept;
mod text;

/// A record of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub at_ms: u64,
    pub topic: Topic,
    pub partition: PartitionId,
    pub content: Content,
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Record(Sent),
    Act { at_ms: u64, act: Act },
    Strike(Strike),
}

impl Event {
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        match self {
            Self::Record(Sent { at_ms, .. })
            | Self::Act { at_ms, .. }
            | Self::Strike(Strike { at_ms, .. }) => *at_ms,
        }
    }
}

/// A plan without traffic and faults of its own, and what happens instead, in order.
#[derive(Debug, Clone)]
pub struct Case {
    /// The mistake that it shows, if it is not one of the product's.
    pub mutant: Option<String>,
    pub plan: Plan,
    pub events: Vec<Event>,
}

impl Case {
    /// Plays a plan and keeps what happened to it.
    pub fn record(plan: Plan) -> (Self, Result<Summary, Violation>) {
        let mut world = World::new(plan, Keep::Digest);
        world.record();
        let result = world.attempt();
        (world.recorded(), result)
    }

    /// Plays what is here and nothing else. A panic is a violation, too.
    pub fn run(&self) -> Result<Summary, Violation> {
        World::scripted(self, Keep::Digest).attempt()
    }

    /// The same, with what happened line by line.
    pub fn trace(&self) -> (String, Result<Summary, Violation>) {
        let mut world = World::scripted(self, Keep::Lines);
        let result = world.attempt();
        (world.transcript().to_owned(), result)
    }
}

impl World {
    /// As [`World::play`], where a panic is a violation.
    pub(super) fn attempt(&mut self) -> Result<Summary, Violation> {
        match panic::catch_unwind(AssertUnwindSafe(|| self.play())) {
            Ok(result) => result,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
                Err(self.violation(format!("panicked: {text}")))
            }
        }
    }

    /// Keeps from here on what happens to the run.
    fn record(&mut self) {
        self.acts = Some(Vec::new());
        self.clients.record();
        self.network.faults_mut().record();
    }

    fn recorded(self) -> Case {
        let records = self.clients.into_recorded().into_iter().map(Event::Record);
        let acts = self.acts.unwrap_or_default().into_iter().map(|(at_ms, act)| Event::Act { at_ms, act });
        let strikes = self.network.faults().recorded().iter().copied().map(Event::Strike);
        let mut events: Vec<_> = records.chain(acts).chain(strikes).collect();
        events.sort_by_key(Event::at_ms);
        Case { mutant: None, plan: self.plan.without_events(), events }
    }

    fn scripted(case: &Case, keep: Keep) -> Self {
        let mut world = Self::new(case.plan.clone(), keep);
        let (mut records, mut acts, mut strikes) = (Vec::new(), Vec::new(), Vec::new());
        for event in case.events.iter().cloned() {
            match event {
                Event::Record(sent) => records.push(sent),
                Event::Act { at_ms, act } => acts.push((at_ms, act)),
                Event::Strike(strike) => strikes.push(strike),
            }
        }
        world.clients.follow(records);
        world.script = Some(acts.into());
        world.network.faults_mut().follow(strikes);
        world
    }
}

#[cfg(test)]
mod tests;
