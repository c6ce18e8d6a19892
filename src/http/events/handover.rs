//! From a reader's own tail to the shared one, partition by partition, without a gap or a repeat.
//!
//! A reader that resumes follows a tail of its own from where it was, while the shared tail goes on. What the
//! shared tail shows of a partition counts only after the reader's own tail has passed everything that was
//! shown and left out.

use std::collections::BTreeMap;

use crate::{
    http::positions::Positions,
    log::{Offset, PartitionId},
};

/// The partitions in which the reader is still behind the shared tail.
#[derive(Debug)]
pub struct Handover(BTreeMap<PartitionId, Behind>);

#[derive(Debug)]
struct Behind {
    /// The next offset that the reader's own tail may bring.
    next: Offset,
    /// The position after the last record that the shared tail had shown.
    shown: Offset,
}

impl Handover {
    /// The reader is at `from` when the shared tail is at `shared`.
    #[must_use]
    pub fn new(from: &Positions, shared: &Positions) -> Self {
        let behind = shared.iter().filter_map(|(partition, shown)| {
            let next = from.get(partition).filter(|next| *next < shown)?;
            Some((partition, Behind { next, shown }))
        });
        Self(behind.collect())
    }

    /// Whether a record of the shared tail is to be taken.
    pub fn shared(&mut self, partition: PartitionId, offset: Offset) -> bool {
        match self.0.get_mut(&partition) {
            None => true,
            Some(behind) => {
                behind.shown = behind.shown.max(offset + 1);
                false
            }
        }
    }

    /// Whether a record of the reader's own tail is to be taken.
    pub fn own(&mut self, partition: PartitionId, offset: Offset) -> bool {
        let Some(behind) = self.0.get_mut(&partition) else { return false };
        behind.next = offset + 1;
        if behind.next >= behind.shown {
            self.0.remove(&partition);
        }
        true
    }

    /// The reader's own tail has brought all that was committed before `end`. Where that is as far as the
    /// shared tail has shown, the position that the reader has reached with it.
    pub fn own_end(&mut self, partition: PartitionId, end: Offset) -> Option<Offset> {
        let shown = self.0.get(&partition)?.shown;
        (end >= shown).then(|| {
            self.0.remove(&partition);
            shown
        })
    }

    /// Whether the reader's own tail is no longer needed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Handover;
    use crate::http::positions::Positions;

    fn positions(pairs: &[(u32, i64)]) -> Positions {
        pairs.iter().copied().collect()
    }

    #[test]
    fn a_reader_that_is_not_behind_needs_no_tail_of_its_own() {
        let shared = positions(&[(0, 5), (1, 9)]);
        assert!(Handover::new(&shared, &shared).is_finished());
        assert!(Handover::new(&positions(&[(0, 7)]), &shared).is_finished());
    }

    #[test]
    fn the_own_tails_end_counts_where_no_record_is_left() {
        // The reader is at a marker that the shared tail has passed, in two partitions.
        let mut handover = Handover::new(&positions(&[(0, 2), (1, 7)]), &positions(&[(0, 3), (1, 8)]));
        assert!(!handover.shared(0, 3), "not before the own tail has come as far");
        assert_eq!(handover.own_end(0, 3), None, "offset 3 is still to come");
        assert!(handover.own(0, 3));
        assert_eq!(handover.own_end(1, 9), Some(8), "what came since is the shared tail's");
        assert!(handover.is_finished());
        assert!(handover.shared(1, 8));
        assert_eq!(handover.own_end(1, 10), None);
    }

    #[test]
    fn every_record_is_taken_once_whatever_the_interleaving() {
        // Both tails bring the same records, of which the shared one begins at 6; gaps are markers.
        let records = [2, 3, 5, 6, 8, 9, 12, 13];
        for seed in 0..2_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut handover = Handover::new(&positions(&[(0, 2)]), &positions(&[(0, 6)]));
            let (mut own, mut shared) = (records.iter(), records.iter().filter(|offset| **offset >= 6));
            let mut taken = Vec::new();
            loop {
                let (from_shared, next) = match random.bool() {
                    true => (true, shared.next()),
                    false => (false, own.next()),
                };
                let Some(offset) = next else { break };
                let takes = match from_shared {
                    true => handover.shared(0, *offset),
                    false => handover.own(0, *offset),
                };
                taken.extend(takes.then_some(*offset));
            }
            assert_eq!(taken, records[..taken.len()], "seed {seed}");
            own.by_ref().for_each(|offset| taken.extend(handover.own(0, *offset).then_some(*offset)));
            shared.for_each(|offset| taken.extend(handover.shared(0, *offset).then_some(*offset)));
            assert_eq!(taken, records, "seed {seed}");
        }
    }
}
