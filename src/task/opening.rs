//! What to do with a partition that was just assigned: the decision, apart from the reads and writes around
//! it.

use thiserror::Error;

use super::metadata::OffsetMetadata;
use crate::{
    log::{Bounds, Committed, Offset, PartitionId, TopicDescription},
    mutant::{self, Mutant},
    table::progress::ProgressRow,
    topology::Topic,
};

/// Everything that is known of a partition at its assignment.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub topic: &'a TopicDescription,
    pub committed: Option<&'a Committed>,
    pub row: Option<&'a ProgressRow>,
    /// What an operator decided last about this partition, whenever that was.
    pub decision: Option<&'a ProgressRow>,
    pub bounds: Bounds,
    /// Microseconds of the wall clock: the base of a partition that nobody has owned yet.
    pub wall_us: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nobody has owned it, or an operator adopted it: commit this start first, then write the row.
    Claim(Start),
    /// The start was committed and its owner died before it wrote the row: write it.
    WriteRow(Start),
    /// Restore at `start.stored`, take over at `start.committed`.
    Restore(Start),
    Halt(HaltReason),
}

/// Where and as what an owner begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub committed: Offset,
    /// The restore point.
    pub stored: Offset,
    /// Where the generation began.
    pub first: Offset,
    pub generation: i32,
    pub base_us: i64,
    pub resume: Option<String>,
}

impl Start {
    /// The `progress` row of a partition that begins here.
    #[must_use]
    pub fn row(&self, topic: &TopicDescription) -> ProgressRow {
        ProgressRow {
            topic_id: topic.topic_id.clone(),
            generation: self.generation,
            partitions: topic.partitions as i32,
            base_us: self.base_us,
            stored: self.stored,
            resume: self.resume.clone(),
            as_of_ms: None,
        }
    }
}

/// Why a partition stands still until a person decides.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HaltReason {
    #[error("the topic was created anew (topic id {found}, the database knows {known})")]
    TopicRecreated { known: String, found: String },
    #[error("the topic has {found} partitions, the database knows {known}: keys have moved")]
    PartitionsChanged { known: i32, found: u32 },
    #[error("the group's offset is missing though the database knows the partition (stored up to {stored})")]
    OffsetMissing { stored: Offset },
    #[error("the group's offset {committed} was not committed by a worker: somebody moved it")]
    OffsetMoved { committed: Offset },
    #[error("the group's offset {committed} is below position {stored} that the database has already")]
    OffsetBehind { committed: Offset, stored: Offset },
    #[error("the database is older than the log: it knows position {found}, the log says {stored}")]
    StoreBehind { found: Offset, stored: Offset },
    #[error("the database has no row of this partition though the log says that it is stored up to {stored}")]
    RowMissing { stored: Offset },
    #[error(
        "position {wanted} {} the topic, which holds {first} to {end}",
        whereabouts(*.wanted, *.first, *.end)
    )]
    OutOfRange { wanted: Offset, first: Offset, end: Offset },
    #[error("the checkpoint of bucket {bucket} cannot be used: {why}")]
    Checkpoint { bucket: u32, why: String },
    #[error("{0}")]
    Unsupported(String),
    #[error("the store refuses for good: {0}")]
    Store(String),
}

impl HaltReason {
    /// The sentence for people, with the command that adopts the situation.
    #[must_use]
    pub fn sentence(&self, topic: Topic, partition: PartitionId) -> String {
        let advice = match self {
            Self::RowMissing { .. } | Self::StoreBehind { .. } | Self::Checkpoint { .. } => format!(
                "restore a newer backup, or accept what is there with \
                 `heartline adopt {topic} {partition} --reason backup`"
            ),
            Self::TopicRecreated { .. } => format!(
                "if that was meant, adopt it with `heartline adopt {topic} {partition} --reason recreated`"
            ),
            Self::PartitionsChanged { .. } => format!(
                "restore the former count, or begin anew with `heartline adopt {topic} --reason recreated`"
            ),
            Self::OffsetMissing { .. } | Self::OffsetMoved { .. } | Self::OffsetBehind { .. } => format!(
                "put the offset back, or accept it with `heartline adopt {topic} {partition} --reason offsets`"
            ),
            Self::OutOfRange { wanted, end, .. } if wanted > end => format!(
                "either somebody moved the offset, then put it back, or the end of the topic was lost with a \
                 broker's disk, then accept that with `heartline adopt {topic} {partition} --reason offsets`"
            ),
            Self::OutOfRange { .. } => format!(
                "records were deleted before they were read, by hand or by a retention that is shorter than \
                 the longest outage: accept that with `heartline adopt {topic} {partition} --reason offsets`"
            ),
            Self::Unsupported(_) => "upgrade this worker".to_owned(),
            Self::Store(_) => {
                "mend the store (`heartline schema check` and `heartline check --live` say what is \
                               wrong), then restart this worker"
                    .to_owned()
            }
        };
        format!("{topic}/{partition} is halted: {self}; {advice}")
    }

    /// Whether the partition's next generation would not halt for the same reason.
    #[must_use]
    pub const fn is_adoptable(&self) -> bool {
        !matches!(self, Self::Unsupported(_) | Self::Store(_))
    }
}

/// How a position lies to what a topic holds.
const fn whereabouts(wanted: Offset, first: Offset, end: Offset) -> &'static str {
    if wanted < first {
        "is gone from"
    } else if wanted > end {
        "lies beyond the end of"
    } else {
        "cannot be read from"
    }
}

/// Decides how a partition begins; every doubt halts it, unless an operator has decided about just this.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Decision {
    let metadata = facts.committed.and_then(|committed| OffsetMetadata::decode(&committed.metadata));
    if let Some(decision) = facts.decision.filter(|decision| applies(decision, facts, metadata.as_ref())) {
        return Decision::Claim(adopted(decision, facts, metadata.as_ref()));
    }
    let Some(committed) = facts.committed else {
        return match facts.row {
            Some(row) => Decision::Halt(HaltReason::OffsetMissing { stored: row.stored }),
            None => {
                let start = Start {
                    committed: facts.bounds.first,
                    stored: facts.bounds.first,
                    first: facts.bounds.first,
                    generation: 1,
                    base_us: facts.wall_us,
                    resume: None,
                };
                let unclaimed = mutant::is(Mutant::RowWithoutItsClaim);
                if unclaimed { Decision::WriteRow(start) } else { Decision::Claim(start) }
            }
        };
    };
    let Some(metadata) = metadata else {
        return Decision::Halt(HaltReason::OffsetMoved { committed: committed.offset });
    };
    let start = Start {
        committed: committed.offset,
        stored: metadata.stored,
        first: metadata.start,
        generation: metadata.generation,
        base_us: if mutant::is(Mutant::BaseFromTheClock) { facts.wall_us } else { metadata.base_us },
        resume: metadata.resume,
    };
    if let Some(reason) = objection(facts, &start, &metadata.topic_id) {
        return Decision::Halt(reason);
    }
    match facts.row {
        None => Decision::WriteRow(start),
        Some(_) => Decision::Restore(start),
    }
}

/// Whether a decision is about what is known now and is not carried out yet. The row of a halted partition
/// stands still, so a decision about any other `stored` is out of date. Whether there is still an objection
/// must not matter: that a checkpoint cannot be used, or that a position is gone, is found only later.
fn applies(decision: &ProgressRow, facts: &Facts<'_>, metadata: Option<&OffsetMetadata>) -> bool {
    let of_this_row = facts.row.is_none_or(|row| {
        decision.generation > row.generation
            && decision.base_us > row.base_us
            && decision.stored == row.stored
    });
    // Its claim may be committed already by an owner that died before it wrote the row.
    let of_this_offset = metadata.is_none_or(|metadata| {
        let begun = metadata.stored != metadata.start || metadata.resume.is_some();
        decision.base_us > metadata.base_us || decision.base_us == metadata.base_us && !begun
    });
    of_this_row && of_this_offset
}

/// The beginning of the next generation: at the group's offset where the topic has it, else at the topic's
/// first.
fn adopted(decision: &ProgressRow, facts: &Facts<'_>, metadata: Option<&OffsetMetadata>) -> Start {
    let Bounds { first, end } = facts.bounds;
    // An offset that a worker committed in another topic of the same name says nothing about this one.
    let of_this_topic = metadata.is_none_or(|metadata| metadata.topic_id == facts.topic.topic_id);
    let offset = facts.committed.map(|committed| committed.offset).filter(|_| of_this_topic);
    let position = offset.filter(|offset| (first..=end).contains(offset)).unwrap_or(first);
    // The command knows the row only; where that is lost or of an older backup, the log may be further.
    let generation = match metadata {
        Some(metadata) if metadata.base_us == decision.base_us => metadata.generation,
        Some(metadata) => decision.generation.max(metadata.generation.saturating_add(1)),
        None => decision.generation,
    };
    Start {
        committed: position,
        stored: position,
        first: position,
        generation,
        base_us: decision.base_us,
        resume: None,
    }
}

fn objection(facts: &Facts<'_>, start: &Start, topic_id: &str) -> Option<HaltReason> {
    let known_id = facts.row.map_or(topic_id, |row| &row.topic_id);
    for known in [topic_id, known_id] {
        if known != facts.topic.topic_id {
            let found = facts.topic.topic_id.clone();
            return Some(HaltReason::TopicRecreated { known: known.to_owned(), found });
        }
    }
    match facts.row {
        None if start.stored != start.first || start.resume.is_some() => {
            return Some(HaltReason::RowMissing { stored: start.stored });
        }
        None => {}
        Some(_) if mutant::is(Mutant::ProgressRowIgnored) => {}
        Some(row) => {
            if row.partitions as u32 != facts.topic.partitions {
                let found = facts.topic.partitions;
                return Some(HaltReason::PartitionsChanged { known: row.partitions, found });
            }
            if row.stored < start.stored || (row.generation, row.base_us) != (start.generation, start.base_us)
            {
                return Some(HaltReason::StoreBehind { found: row.stored, stored: start.stored });
            }
            if start.committed < row.stored {
                return Some(HaltReason::OffsetBehind { committed: start.committed, stored: row.stored });
            }
        }
    }
    let Bounds { first, end } = facts.bounds;
    [start.stored, start.committed]
        .into_iter()
        .find(|wanted| !(first..=end).contains(wanted))
        .map(|wanted| HaltReason::OutOfRange { wanted, first, end })
}

#[cfg(test)]
mod tests;
