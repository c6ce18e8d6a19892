//! Positions of a topic's partitions as the `id:` of an event: `0:17,3:42`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::log::{Offset, PartitionId};

/// The next offset of each partition that a reader follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<PartitionId, Offset>);

impl Positions {
    #[must_use]
    pub fn get(&self, partition: PartitionId) -> Option<Offset> {
        self.0.get(&partition).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (PartitionId, Offset)> {
        self.0.iter().map(|(partition, offset)| (*partition, *offset))
    }

    /// Moves past a record. False when it is behind us: it was delivered before, or not asked for.
    pub fn pass(&mut self, partition: PartitionId, offset: Offset) -> bool {
        let next = self.0.entry(partition).or_insert(offset);
        let passes = offset >= *next;
        *next = (*next).max(offset.saturating_add(1));
        passes
    }

    /// Moves to where no record is missing before.
    pub fn reach(&mut self, partition: PartitionId, position: Offset) {
        let reached = self.0.entry(partition).or_insert(position);
        *reached = (*reached).max(position);
    }

    /// Without the partitions that `keep` says no to.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(PartitionId) -> bool) -> Self {
        self.0.retain(|partition, _| keep(*partition));
        self
    }

    /// Whether one of these positions is behind that of `other`, of the partitions that both have.
    #[must_use]
    pub fn are_behind(&self, other: &Self) -> bool {
        self.iter().any(|(partition, offset)| other.get(partition).is_some_and(|reached| offset < reached))
    }

    /// Whether each of these positions is one that `other` has reached.
    #[must_use]
    pub fn are_within(&self, other: &Self) -> bool {
        self.iter().all(|(partition, offset)| other.get(partition).is_some_and(|reached| offset <= reached))
    }

    /// These positions, cut to those of `ends`; without partitions that have no end.
    #[must_use]
    pub fn cut_to(self, ends: &Self) -> Self {
        let cut = |(partition, offset): (PartitionId, Offset)| {
            ends.get(partition).map(|end| (partition, offset.min(end)))
        };
        self.0.into_iter().filter_map(cut).collect()
    }

    /// These positions, where they are known, and those of `other` elsewhere.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (partition, offset) in other.iter() {
            self.0.entry(partition).or_insert(offset);
        }
        self
    }
}

impl FromIterator<(PartitionId, Offset)> for Positions {
    fn from_iter<I: IntoIterator<Item = (PartitionId, Offset)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (partition, offset)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{partition}:{offset}")?;
        }
        Ok(())
    }
}

/// A text that is no list of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPositions;

impl FromStr for Positions {
    type Err = NotPositions;

    fn from_str(text: &str) -> Result<Self, NotPositions> {
        let pair = |part: &str| {
            let (partition, offset) = part.split_once(':').ok_or(NotPositions)?;
            let offset: Offset = offset.parse().map_err(|_| NotPositions)?;
            let partition = partition.parse().map_err(|_| NotPositions)?;
            if offset < 0 { Err(NotPositions) } else { Ok((partition, offset)) }
        };
        text.trim().split(',').map(pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{NotPositions, Positions};

    #[test]
    fn an_id_says_what_it_was_made_from() {
        let positions: Positions = [(3, 42), (0, 17)].into_iter().collect();
        assert_eq!(positions.to_string(), "0:17,3:42");
        assert_eq!("0:17,3:42".parse(), Ok(positions));
        for text in ["", "7", "a:1", "1:b", "1:-1", "1:2,", "1:99999999999999999999"] {
            assert_eq!(text.parse::<Positions>(), Err(NotPositions), "{text}");
        }
    }

    #[test]
    fn a_record_is_passed_once() {
        let mut positions: Positions = [(0, 5)].into_iter().collect();
        assert!(!positions.pass(0, 4));
        assert!(positions.pass(0, 7), "offsets may have gaps");
        assert!(!positions.pass(0, 7));
        assert!(positions.pass(1, 3));
        assert_eq!(positions.to_string(), "0:8,1:4");
    }
}
