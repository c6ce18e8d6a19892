//! What may go wrong, how often it is to go wrong, and how often it did.

use fastrand::Rng;

use super::PodId;

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
}

impl Fault {
    pub const ALL: [Self; 26] = [
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
    ];

    const fn index(self) -> usize {
        self as usize
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
        )
    }
}

const COUNT: usize = Fault::ALL.len();

/// Which faults strike: by rate, or once at the next occasion.
#[derive(Debug, Clone)]
pub struct Faults {
    per_million: [u32; COUNT],
    once: Vec<(PodId, Fault)>,
    counts: [u64; COUNT],
}

impl Default for Faults {
    fn default() -> Self {
        Self { per_million: [0; COUNT], once: Vec::new(), counts: [0; COUNT] }
    }
}

impl Faults {
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
    }

    /// The next occasion of `pod` is struck by `fault`.
    ///
    /// # Panics
    /// As [`Faults::rate`].
    pub fn strike_next(&mut self, pod: PodId, fault: Fault) {
        assert!(fault.strikes_calls(), "{fault:?} is brought about by a method of the network");
        self.once.push((pod, fault));
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

    /// Notes that `fault` happened.
    pub(super) fn note(&mut self, fault: Fault) {
        self.counts[fault.index()] += 1;
    }

    /// Whether `fault` strikes this occasion of `pod`; counted if so.
    pub(super) fn strikes(&mut self, random: &mut Rng, pod: PodId, fault: Fault) -> bool {
        let asked = match self.once.is_empty() {
            true => None,
            false => self.once.iter().position(|(at, wanted)| (*at, *wanted) == (pod, fault)),
        };
        let strikes = match (asked, self.per_million[fault.index()]) {
            (Some(index), _) => {
                self.once.remove(index);
                true
            }
            (None, 0) => false,
            (None, rate) => random.u32(0..1_000_000) < rate,
        };
        if strikes {
            self.note(fault);
        }
        strikes
    }
}

#[cfg(test)]
mod tests;
