//! Which partition a record belongs to, and which of its parts are ours. The value decides, not the key.

use super::{bucket::Act, people::user_hash};
use crate::{
    log::PartitionId,
    record::{
        Reason, Refusal,
        heartbeats::{Input, RefusedPart, routing_user},
    },
    topology::{ProcessorKind, Topic, Topology},
};

#[derive(Debug, Clone, Copy)]
pub(super) struct Routing {
    pub partition: PartitionId,
    pub partitions: u32,
    pub buckets: u32,
}

/// What a record asks of one user of this partition.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// Which of the partition's buckets.
    pub bucket: usize,
    pub hash: u32,
    /// Where the user is in memory; set once that is known.
    pub user: u32,
    pub act: Act<'a>,
}

impl Routing {
    pub fn new(topology: &Topology, partition: PartitionId) -> Self {
        let partitions = topology.partitions(Topic::Heartbeats);
        Self { partition, partitions, buckets: topology.buckets(ProcessorKind::Presence) }
    }

    /// The partition's buckets by number, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        (self.partition..self.buckets).step_by(self.partitions as usize)
    }

    /// Which of the partition's buckets has this number.
    pub fn index(&self, bucket: u32) -> Option<usize> {
        let ours = bucket < self.buckets && bucket % self.partitions == self.partition;
        ours.then_some((bucket / self.partitions) as usize)
    }

    /// Which of the partition's buckets a user is in, if it is of this partition, by the hash of its id.
    #[inline]
    pub fn bucket(&self, hash: u32) -> Option<usize> {
        self.index((hash & 0x7fff_ffff) % self.buckets)
    }

    /// Where the record belongs, if not here.
    pub fn elsewhere(&self, input: &Input<'_>) -> Option<PartitionId> {
        let hash = user_hash(routing_user(input)?);
        self.bucket(hash).is_none().then(|| self.partition_of(hash))
    }

    pub fn partition_of(&self, hash: u32) -> PartitionId {
        (hash & 0x7fff_ffff) % self.partitions
    }

    /// The parts of a record that belongs here, in order; parts of users of other partitions are refused.
    pub fn parts<'a>(&self, input: &'a Input<'a>) -> (Vec<Part<'a>>, Vec<RefusedPart>) {
        let (mut parts, mut refused) = (Vec::new(), Vec::new());
        let mut add = |index: u32, user: &str, act: Act<'a>| {
            let hash = user_hash(user);
            match self.bucket(hash) {
                Some(bucket) => parts.push(Part { bucket, hash, user: 0, act }),
                None => refused.push(RefusedPart { index, refusal: misplaced(user) }),
            }
        };
        match input {
            Input::Heartbeat(beat) => add(0, &beat.user, Act::Beat(beat)),
            Input::Goodbye(end) => add(0, &end.user, Act::End(end)),
            Input::Status(choice) => add(0, &choice.user, Act::Choose(choice)),
            Input::Heartbeats { beats, .. } => {
                beats.iter().for_each(|(index, beat)| add(*index, &beat.user, Act::Beat(beat)));
            }
            Input::Goodbyes { ends, .. } => {
                ends.iter().for_each(|(index, end)| add(*index, &end.user, Act::End(end)));
            }
            Input::GatewayGone { .. } | Input::Beacon(_) => {}
        }
        if let Input::Heartbeats { refused: unusable, .. } | Input::Goodbyes { refused: unusable, .. } = input
        {
            refused.extend(unusable.iter().cloned());
            refused.sort_unstable_by_key(|part| part.index);
        }
        (parts, refused)
    }
}

/// The user that a part is about.
pub(super) fn user_of<'a>(act: &Act<'a>) -> &'a str {
    match act {
        Act::Beat(beat) => &beat.user,
        Act::End(end) => &end.user,
        Act::Choose(choice) => &choice.user,
    }
}

fn misplaced(user: &str) -> Refusal {
    let message = format!(
        "user '{user}' belongs to another partition than the batch's first user: batches are of one partition"
    );
    Refusal::new(Reason::Beats, message)
}
