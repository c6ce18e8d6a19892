//! What people see of an engine.

use super::{Engine, opening::Step};
use crate::{
    log::{Offset, PartitionId},
    processor::{Fold, FoldStats},
    task::Counts,
    topology::ProcessorKind,
};

/// Where a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its offset is being read.
    Claiming,
    /// A dead pod's open transaction is being aborted.
    Fencing,
    /// Its row and its checkpoints are being read.
    Opening,
    /// Rows since the stored watermark are being written again.
    Replaying,
    Live,
    Halted,
}

impl Phase {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claiming => "claiming",
            Self::Fencing => "fencing",
            Self::Opening => "opening",
            Self::Replaying => "replaying",
            Self::Live => "live",
            Self::Halted => "halted",
        }
    }
}

#[derive(Debug, Clone)]
pub struct PartitionStatus {
    pub partition: PartitionId,
    pub phase: Phase,
    pub position: Option<Offset>,
    pub committed: Option<Offset>,
    pub stored: Option<Offset>,
    pub fold: FoldStats,
    pub counts: Counts,
    /// Why it stands still, and the command that adopts it.
    pub halted: Option<String>,
}

/// Something without which a pod is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Such as `presence.partition.3` or `presence.store`.
    pub part: String,
    pub why: String,
}

#[derive(Debug, Clone)]
pub struct EngineStatus {
    pub processor: ProcessorKind,
    pub partitions: Vec<PartitionStatus>,
    /// What keeps this pod from being ready; empty when it is.
    pub missing: Vec<Missing>,
    /// Bytes that wait for the store.
    pub unstored_bytes: usize,
    /// How often all state was dropped and restored.
    pub restores: u64,
    pub last_trouble: Option<String>,
}

impl<F: Fold> Engine<F> {
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let partitions = self.partition_statuses();
        let missing = self.missing(&partitions);
        debug_assert_eq!(
            missing.is_empty(),
            self.is_ready(),
            "what is missing and whether anything is: {missing:?}"
        );
        EngineStatus {
            processor: F::KIND,
            partitions,
            missing,
            unstored_bytes: self.unstored_bytes(),
            restores: self.restores,
            last_trouble: self.last_trouble.clone(),
        }
    }

    /// The partitions of the present assignment.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionId] {
        self.assignment.as_ref().map_or(&[], |assignment| &assignment.partitions)
    }

    /// Whether nothing is missing: what [`Engine::status`] tells at length, for those who ask often.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let is_live = |partition: &PartitionId| {
            self.tasks.get(partition).is_some_and(|task| task.halted.is_none() && task.is_live())
                && (!F::BEACONS || self.hears_itself(*partition))
        };
        self.assignment.is_some() && self.partitions().iter().all(is_live) && !self.store_lags()
    }

    /// Whether the store takes less than it is given, or answers nothing.
    fn store_lags(&self) -> bool {
        self.unstored_bytes() >= self.config.pace.unstored_bytes_max || self.store_in_trouble()
    }

    fn partition_statuses(&self) -> Vec<PartitionStatus> {
        let assigned = self.assignment.iter().flat_map(|assignment| assignment.partitions.iter().copied());
        let (input, claiming) = (F::KIND.input(), self.claim_phase().unwrap_or(Phase::Opening));
        let blank = |partition, phase, halted| PartitionStatus {
            partition,
            phase,
            position: None,
            committed: None,
            stored: None,
            fold: FoldStats::default(),
            counts: Counts::default(),
            halted,
        };
        assigned
            .map(|partition| {
                if let Some(task) = self.tasks.get(&partition) {
                    let phase = match (&task.halted, task.is_live()) {
                        (Some(_), _) => Phase::Halted,
                        (None, true) => Phase::Live,
                        (None, false) => Phase::Replaying,
                    };
                    return PartitionStatus {
                        partition,
                        phase,
                        position: Some(task.position()),
                        committed: Some(task.committed),
                        stored: self.progress.get(&partition).map(|pace| pace.stated.0),
                        fold: task.fold.stats(),
                        counts: task.counts,
                        halted: task.halted.as_ref().map(|reason| reason.sentence(input, partition)),
                    };
                }
                match self.openings.get(&partition).map(|opening| &opening.step) {
                    Some(Step::Halted(reason)) => {
                        blank(partition, Phase::Halted, Some(reason.sentence(input, partition)))
                    }
                    Some(_) => blank(partition, Phase::Opening, None),
                    None => blank(partition, claiming, None),
                }
            })
            .collect()
    }

    fn missing(&self, partitions: &[PartitionStatus]) -> Vec<Missing> {
        let name = F::KIND;
        let trouble = self.last_trouble.as_deref().unwrap_or("nothing is known to be wrong");
        if self.assignment.is_none() {
            let why = format!("not yet a member of the group {} ({trouble})", self.config.group);
            return vec![Missing { part: format!("{name}.group"), why }];
        }
        let mut missing: Vec<_> = partitions
            .iter()
            .filter_map(|status| {
                let part = format!("{name}.partition.{}", status.partition);
                let why = match status.phase {
                    Phase::Live if !F::BEACONS || self.hears_itself(status.partition) => return None,
                    Phase::Live => "its own beacon was not folded lately".to_owned(),
                    Phase::Halted => status.halted.clone().unwrap_or_default(),
                    phase => format!("{} ({trouble})", phase.name()),
                };
                Some(Missing { part, why })
            })
            .collect();
        if self.store_lags() {
            let why = format!("the store does not keep up or does not answer ({trouble})");
            missing.push(Missing { part: format!("{name}.store"), why });
        }
        missing
    }
}
