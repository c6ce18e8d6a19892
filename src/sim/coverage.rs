//! Which faults have struck at which step of the protocol, and which of the log's calls they have struck.

use std::fmt;

use super::{
    Fault,
    step::{Step, Steps},
};

pub mod calls;
mod unreachable;

pub use self::unreachable::{unreachable, unreachable_call};
use calls::{CALL_FAULTS, CallKind};

/// How often each fault struck a pod at each step, and each fault of a call each kind of call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    steps: Vec<[u64; Step::ALL.len()]>,
    calls: [[u64; CallKind::ALL.len()]; CALL_FAULTS.len()],
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            steps: vec![[0; Step::ALL.len()]; Fault::ALL.len()],
            calls: [[0; CallKind::ALL.len()]; CALL_FAULTS.len()],
        }
    }
}

impl Coverage {
    pub(super) fn note(&mut self, fault: Fault, steps: Steps) {
        for step in Step::ALL.into_iter().filter(|step| steps.has(*step)) {
            self.steps[fault as usize][step as usize] += 1;
        }
    }

    /// Notes that a fault of calls struck one of this kind.
    pub(super) fn note_call(&mut self, fault: Fault, call: CallKind) {
        if let Some(row) = CALL_FAULTS.into_iter().position(|other| other == fault) {
            self.calls[row][call as usize] += 1;
        }
    }

    /// Adds what another run covered.
    pub fn add(&mut self, other: &Self) {
        let steps = self.steps.iter_mut().flatten().zip(other.steps.iter().flatten());
        let calls = self.calls.iter_mut().flatten().zip(other.calls.iter().flatten());
        steps.chain(calls).for_each(|(cell, other)| *cell += other);
    }

    #[must_use]
    pub fn count(&self, fault: Fault, step: Step) -> u64 {
        self.steps[fault as usize][step as usize]
    }

    /// How often a fault of calls struck one of this kind.
    #[must_use]
    pub fn count_calls(&self, fault: Fault, call: CallKind) -> u64 {
        let row = CALL_FAULTS.into_iter().position(|other| other == fault);
        row.map_or(0, |row| self.calls[row][call as usize])
    }

    /// The cells that could be reached and were not, each as a sentence.
    #[must_use]
    pub fn empty(&self) -> Vec<String> {
        let steps = cells().filter(|(fault, step)| self.count(*fault, *step) == 0);
        let steps = steps.filter(|(fault, step)| unreachable(*fault, *step).is_none());
        let calls = call_cells().filter(|(fault, call)| self.count_calls(*fault, *call) == 0);
        let calls = calls.filter(|(fault, call)| unreachable_call(*fault, *call).is_none());
        let steps = steps.map(|(fault, step)| format!("{fault:?} never struck at {step:?}"));
        steps.chain(calls.map(|(fault, call)| format!("{fault:?} never struck a call {call:?}"))).collect()
    }

    /// The cells that were reached though it is said that they cannot be: either the argument is wrong, or
    /// the simulator is.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let steps = cells().filter(|(fault, step)| self.count(*fault, *step) > 0);
        let steps = steps.filter_map(|(fault, step)| {
            Some(format!("{fault:?} struck at {step:?}, but {}", unreachable(fault, step)?))
        });
        let calls = call_cells().filter(|(fault, call)| self.count_calls(*fault, *call) > 0);
        let calls = calls.filter_map(|(fault, call)| {
            Some(format!("{fault:?} struck a call {call:?}, but {}", unreachable_call(fault, call)?))
        });
        steps.chain(calls).collect()
    }
}

fn cells() -> impl Iterator<Item = (Fault, Step)> {
    Fault::ALL.into_iter().flat_map(|fault| Step::ALL.map(|step| (fault, step)))
}

fn call_cells() -> impl Iterator<Item = (Fault, CallKind)> {
    CALL_FAULTS.into_iter().flat_map(|fault| CallKind::ALL.map(|call| (fault, call)))
}

/// Two tables: a line for each fault, a column for each step, in the order of [`Step::ALL`], or for each kind
/// of call; `.` cannot be reached, `0` was not.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heads(f, &Step::ALL)?;
        for fault in Fault::ALL {
            let counts = Step::ALL.map(|step| (self.count(fault, step), unreachable(fault, step)));
            line(f, fault, &counts)?;
        }
        heads(f, &CallKind::ALL)?;
        for fault in CALL_FAULTS {
            let counts =
                CallKind::ALL.map(|call| (self.count_calls(fault, call), unreachable_call(fault, call)));
            line(f, fault, &counts)?;
        }
        Ok(())
    }
}

fn heads<T: fmt::Debug>(f: &mut fmt::Formatter<'_>, columns: &[T]) -> fmt::Result {
    columns
        .iter()
        .enumerate()
        .try_for_each(|(number, column)| writeln!(f, "{:22} {}| {column:?}", "", "      ".repeat(number)))
}

fn line(f: &mut fmt::Formatter<'_>, fault: Fault, counts: &[(u64, Option<&str>)]) -> fmt::Result {
    write!(f, "{:22}", format!("{fault:?}"))?;
    for count in counts {
        match count {
            (0, Some(_)) => write!(f, "{:>6}", ".")?,
            (count @ 100_000.., _) => write!(f, "{:>5}k", count / 1_000)?,
            (count, _) => write!(f, "{count:>6}")?,
        }
    }
    writeln!(f)
}

#[cfg(test)]
mod tests;
