//! What may go wrong, how often it is to go wrong, and how often it did.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;

use super::{
    PodId,
    coverage::{Coverage, calls::CallKind},
    step::{Step, Steps},
};

/// A fault of the log, the store or a pod. Each is counted whenever it strikes, whether it was asked for or
/// came by itself; a world that was meant to see a fault can check that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A call never reaches the broker; its caller waits in vain.
    CallLost,
    /// A call reaches the broker after its caller has given up.
    CallLate,
    /// `EndTxn` is applied after its caller has given up, on whatever the same epoch has open then.
    EndTransactionLate,
    /// A call took effect and its answer never comes.
    AnswerLost,
    /// An answer takes seconds.
    AnswerLate,
    /// The broker refuses what a transaction produces.
    ProduceRefused,
    /// The broker refuses to commit, and the client aborts.
    TransactionAborted,
    /// A client stops within a transaction for longer than that may last.
    ClientStalled,
    /// The broker aborted a transaction that was open for too long.
    TransactionTimedOut,
    /// A newer producer took a producer's name.
    ProducerFenced,
    /// Offsets were refused since their generation or member is not the group's.
    StaleGeneration,
    /// A rebalance that nobody's coming or going explains.
    Rebalance,
    /// A member was thrown out for missing heartbeats.
    SessionExpired,
    /// A member was thrown out for not answering `Revoking` in time.
    RebalanceTimedOut,
    /// The broker answers nobody for a period.
    Outage,
    /// After a seek, a chunk of the older fetch arrives.
    StaleChunk,
    BeaconLost,
    BeaconLate,
    /// The broker's clock jumped.
    ClockJump,
    /// Records were removed from the start of a partition.
    Trimmed,
    PodCrashed,
    PodPaused,
    /// The store refuses a request, which has no effect.
    StoreRefused,
    /// A request to the store gets no answer in time, and never has an effect.
    StoreLost,
    /// A request to the store gets no answer in time, and has its effect before or after that.
    StoreLate,
    /// The store does nothing for a period.
    StoreStalled,
    /// Of several writes under way the store applies some, and answers none in time.
    StorePartly,
    /// A request reaches the broker twice.
    CallTwice,
    /// An answer reaches its caller twice.
    AnswerTwice,
    /// A chunk of a fetch arrives twice.
    ChunkTwice,
    /// The broker refuses a position that it has, as after a change of leaders.
    RangeRefused,
    /// A machine dies after one of an engine's outputs and before the next.
    CrashBetweenOutputs,
    /// The wall clock of a machine jumped.
    PodClockJump,
    /// The producers are cut off for a period.
    ProducersSilent,
    /// Records that nobody can read.
    Garbage,
    /// Records above the limit of their kind.
    Oversize,
    /// Records in a partition that is not theirs.
    Misrouted,
    /// Records that arrive after younger ones.
    Late,
    /// Records that were sent before.
    Repeated,
    /// Records of a later version of their format, from clients or from workers side by side.
    NewerFormat,
    /// The group's offset of a partition was removed.
    OffsetMissing,
    /// The group's offset of a partition was put back.
    OffsetPutBack,
    /// The broker answers a call, whether it had its effect or not, with an error that nobody knows.
    UnknownError,
}

impl Fault {
    pub const ALL: [Self; 43] = [
        Self::CallLost,
        Self::CallLate,
        Self::EndTransactionLate,
        Self::AnswerLost,
        Self::AnswerLate,
        Self::ProduceRefused,
        Self::TransactionAborted,
        Self::ClientStalled,
        Self::TransactionTimedOut,
        Self::ProducerFenced,
        Self::StaleGeneration,
        Self::Rebalance,
        Self::SessionExpired,
        Self::RebalanceTimedOut,
        Self::Outage,
        Self::StaleChunk,
        Self::BeaconLost,
        Self::BeaconLate,
        Self::ClockJump,
        Self::Trimmed,
        Self::PodCrashed,
        Self::PodPaused,
        Self::StoreRefused,
        Self::StoreLost,
        Self::StoreLate,
        Self::StoreStalled,
        Self::StorePartly,
        Self::CallTwice,
        Self::AnswerTwice,
        Self::ChunkTwice,
        Self::RangeRefused,
        Self::CrashBetweenOutputs,
        Self::PodClockJump,
        Self::ProducersSilent,
        Self::Garbage,
        Self::Oversize,
        Self::Misrouted,
        Self::Late,
        Self::Repeated,
        Self::NewerFormat,
        Self::OffsetMissing,
        Self::OffsetPutBack,
        Self::UnknownError,
    ];

    const fn index(self) -> usize {
        self as usize
    }

    /// The fault of this name, as its `Debug` form has it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| format!("{fault:?}") == name)
    }

    /// Whether it strikes single calls, so that [`Faults::rate`] and [`Faults::strike_next`] mean something
    /// for it. The others happen by a method of the network or by themselves.
    #[must_use]
    pub const fn strikes_calls(self) -> bool {
        !matches!(
            self,
            Self::TransactionTimedOut
                | Self::StaleGeneration
                | Self::Rebalance
                | Self::SessionExpired
                | Self::RebalanceTimedOut
                | Self::Outage
                | Self::ClockJump
                | Self::Trimmed
                | Self::PodCrashed
                | Self::PodPaused
                | Self::StoreStalled
                | Self::PodClockJump
                | Self::ProducersSilent
                | Self::Garbage
                | Self::Oversize
                | Self::Misrouted
                | Self::Late
                | Self::Repeated
                | Self::NewerFormat
                | Self::OffsetMissing
                | Self::OffsetPutBack
        )
    }
}

const COUNT: usize = Fault::ALL.len();
/// How often a fault strikes at a step that it is aimed at.
const AIMED: u8 = 3;

/// Which faults strike: by rate, or once at the next occasion, or as a script says.
#[derive(Debug, Clone)]
pub struct Faults {
    random: Rng,
    per_million: [u32; COUNT],
    once: Vec<(PodId, Fault)>,
    /// Which faults strike pods at which steps, or which calls, and how often they are still to do so.
    aims: Vec<(Fault, Target, u8)>,
    counts: [u64; COUNT],
    coverage: Coverage,
    source: Source,
    moment: Moment,
}

/// What a fault is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Step(Step),
    Call(CallKind),
}

/// What a fault may strike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occasion {
    pub at_ms: u64,
    pub pod: PodId,
    pub fault: Fault,
    /// The call, where it is one.
    pub call: Option<CallKind>,
}

/// A fault that struck a call, so that it can strike again in a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strike {
    pub at_ms: u64,
    pub pod: PodId,
    pub fault: Fault,
    /// How many occasions of this instant passed before it.
    pub passed: u32,
}

#[derive(Debug, Clone)]
enum Source {
    Drawn,
    /// Drawn, and kept.
    Recorded(Vec<Strike>),
    /// What is yet to strike, in order: each at its occasion or, where a changed run has it not, at the next.
    Scripted(BTreeMap<(PodId, Fault), VecDeque<(u64, u32)>>),
}

/// How many occasions this instant has had, while that matters.
#[derive(Debug, Clone, Default)]
struct Moment {
    at_ms: u64,
    occasions: BTreeMap<(PodId, Fault), u32>,
}

impl Moment {
    /// How many occasions there were before this one.
    fn pass(&mut self, at_ms: u64, occasion: (PodId, Fault)) -> u32 {
        if self.at_ms != at_ms {
            self.at_ms = at_ms;
            self.occasions.clear();
        }
        let passed = self.occasions.entry(occasion).or_default();
        *passed += 1;
        *passed - 1
    }
}

impl Faults {
    /// None strikes until somebody says so. What strikes is drawn from numbers of its own, so that nothing
    /// else of a run depends on whether strikes are drawn or scripted.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed ^ 0x6661_756c_7473),
            per_million: [0; COUNT],
            once: Vec::new(),
            aims: Vec::new(),
            counts: [0; COUNT],
            coverage: Coverage::default(),
            source: Source::Drawn,
            moment: Moment::default(),
        }
    }

    /// Keeps from now on what strikes.
    pub fn record(&mut self) {
        self.source = Source::Recorded(Vec::new());
    }

    /// From now on exactly this strikes.
    pub fn follow(&mut self, strikes: impl IntoIterator<Item = Strike>) {
        let mut due = BTreeMap::<_, VecDeque<_>>::new();
        for Strike { at_ms, pod, fault, passed } in strikes {
            due.entry((pod, fault)).or_default().push_back((at_ms, passed));
        }
        self.source = Source::Scripted(due);
    }

    /// What struck since [`Faults::record`].
    #[must_use]
    pub fn recorded(&self) -> &[Strike] {
        match &self.source {
            Source::Recorded(strikes) => strikes,
            Source::Drawn | Source::Scripted(_) => &[],
        }
    }

    /// From now on `fault` strikes this many of a million occasions.
    ///
    /// # Panics
    /// When `fault` does not strike single calls: a rate would silently do nothing.
    pub fn rate(&mut self, fault: Fault, per_million: u32) {
        assert!(
            fault.strikes_calls(),
            "{fault:?} has no rate: it is brought about by a method of the network"
        );
        self.per_million[fault.index()] = per_million;
    }

    /// No fault strikes any more, except those that come by themselves.
    pub fn cease(&mut self) {
        self.per_million = [0; COUNT];
        self.once.clear();
        self.aims.clear();
        if let Source::Scripted(due) = &mut self.source {
            due.clear();
        }
    }

    /// The next occasion of `pod` is struck by `fault`.
    ///
    /// # Panics
    /// As [`Faults::rate`].
    pub fn strike_next(&mut self, pod: PodId, fault: Fault) {
        assert!(fault.strikes_calls(), "{fault:?} is brought about by a method of the network");
        self.once.push((pod, fault));
    }

    /// Pods at `step` are struck by `fault`, a few times, at every second occasion on average.
    ///
    /// # Panics
    /// As [`Faults::rate`].
    pub fn aim(&mut self, fault: Fault, step: Step) {
        assert!(fault.strikes_calls(), "{fault:?} is brought about by a method of the network");
        self.aims.push((fault, Target::Step(step), AIMED));
    }

    /// The same for calls of a kind.
    ///
    /// # Panics
    /// As [`Faults::rate`].
    pub fn aim_at_calls(&mut self, fault: Fault, call: CallKind) {
        assert!(fault.strikes_calls(), "{fault:?} is brought about by a method of the network");
        self.aims.push((fault, Target::Call(call), AIMED));
    }

    /// How often `fault` struck.
    #[must_use]
    pub fn count(&self, fault: Fault) -> u64 {
        self.counts[fault.index()]
    }

    /// Every fault with how often it struck.
    pub fn counts(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.into_iter().map(|fault| (fault, self.count(fault)))
    }

    /// How often each fault struck a pod at each step of its protocol.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Notes that `fault` met a pod at these steps.
    pub(super) fn met(&mut self, fault: Fault, steps: Steps) {
        self.coverage.note(fault, steps);
    }

    /// Notes that `fault` met a call of this kind.
    pub(super) fn met_call(&mut self, fault: Fault, call: CallKind) {
        self.coverage.note_call(fault, call);
    }

    /// Notes that `fault` happened.
    pub(super) fn note(&mut self, fault: Fault) {
        self.counts[fault.index()] += 1;
    }

    /// Whether `fault` strikes this occasion of `pod`, which is at some steps; counted if so.
    pub(super) fn strikes(&mut self, occasion: Occasion, steps: impl FnOnce() -> Steps) -> bool {
        let Occasion { at_ms, pod, fault, call } = occasion;
        let passed = match &self.source {
            Source::Drawn => 0,
            Source::Recorded(_) | Source::Scripted(_) => self.moment.pass(at_ms, (pod, fault)),
        };
        let strikes = match &mut self.source {
            Source::Scripted(due) => {
                let due = due.get_mut(&(pod, fault));
                let now = |first: &(u64, u32)| *first <= (at_ms, passed);
                due.is_some_and(|due| due.front().is_some_and(now) && due.pop_front().is_some())
            }
            Source::Drawn | Source::Recorded(_) => {
                self.is_asked(pod, fault) || self.is_drawn(fault) || self.is_aimed(fault, call, steps)
            }
        };
        if strikes {
            self.note(fault);
            if let Source::Recorded(struck) = &mut self.source {
                struck.push(Strike { at_ms, pod, fault, passed });
            }
        }
        strikes
    }

    fn is_asked(&mut self, pod: PodId, fault: Fault) -> bool {
        if self.once.is_empty() {
            return false;
        }
        let asked = self.once.iter().position(|wanted| *wanted == (pod, fault));
        asked.map(|index| self.once.remove(index)).is_some()
    }

    fn is_aimed(&mut self, fault: Fault, call: Option<CallKind>, steps: impl FnOnce() -> Steps) -> bool {
        if !self.aims.iter().any(|(other, _, left)| *other == fault && *left > 0) {
            return false;
        }
        let steps = steps();
        let hits = |(aimed, target, left): &&mut (Fault, Target, u8)| {
            let met = match target {
                Target::Step(step) => steps.has(*step),
                Target::Call(kind) => call == Some(*kind),
            };
            *aimed == fault && *left > 0 && met
        };
        match self.aims.iter_mut().find(hits) {
            Some((_, _, left)) if self.random.bool() => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn is_drawn(&mut self, fault: Fault) -> bool {
        let rate = self.per_million[fault.index()];
        rate > 0 && self.random.u32(0..1_000_000) < rate
    }
}

#[cfg(test)]
mod tests;
