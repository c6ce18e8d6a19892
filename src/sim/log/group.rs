//! A consumer group of the classic eager protocol: join, generation, range assignment, offsets.
//!
//! A rebalance waits until every member has joined again, or until its time is over; then those that did not
//! are thrown out. Until it completes the old generation is the current one, so a member can end its
//! transaction before it releases. Offsets are accepted from a current member of the current generation
//! *whatever it owns*, as real brokers do; such commits are reported, since no engine may send one.

use std::collections::BTreeMap;

use super::ProducerId;
use crate::{
    log::{Committed, Member, PartitionId},
    sim::Origin,
};

/// A member's number within its group; its id is made of it and the client id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberNo(pub u32);

/// What the group tells a member with the answer to its next heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Come and join again.
    Rebalancing,
    Assigned {
        member: MemberNo,
        id: String,
        generation: i32,
        partitions: Vec<PartitionId>,
    },
    /// The group does not know this member any more.
    Expired {
        member: MemberNo,
    },
}

/// What the group wants done beside its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEffect {
    Notify {
        to: Origin,
        notice: Notice,
    },
    /// Call [`Group::rebalance_due`] after the rebalance timeout.
    RebalanceTimer {
        rebalance: u64,
    },
}

/// Why offsets were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetRefusal {
    UnknownMember,
    StaleGeneration,
}

#[derive(Debug)]
pub struct Group {
    partitions: u32,
    generation: i32,
    /// The number of the rebalance under way.
    rebalancing: Option<u64>,
    rebalances: u64,
    members: BTreeMap<MemberNo, GroupMember>,
    members_ever: u32,
    offsets: BTreeMap<PartitionId, Committed>,
    /// Offsets of open transactions.
    pending: BTreeMap<ProducerId, Vec<(PartitionId, Committed)>>,
}

#[derive(Debug)]
struct GroupMember {
    client_id: String,
    at: Origin,
    /// Has joined the rebalance under way.
    joined: bool,
    owned: Vec<PartitionId>,
    /// Counts spells of silence, so that the timer of an ended one is known.
    silence: u64,
    silent: bool,
}

impl Group {
    /// A group that nobody has joined, over a topic of `partitions`.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        Self {
            partitions,
            generation: 0,
            rebalancing: None,
            rebalances: 0,
            members: BTreeMap::new(),
            members_ever: 0,
            offsets: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    /// A member joins: a new one, or a known one again. A member that the group threw out is told elsewhere.
    pub fn join(
        &mut self,
        at: Origin,
        known: Option<MemberNo>,
        client_id: &str,
        effects: &mut Vec<GroupEffect>,
    ) -> Option<MemberNo> {
        let member = match known {
            Some(member) => {
                self.members.get_mut(&member)?.joined = true;
                member
            }
            None => {
                self.members_ever += 1;
                let client_id = client_id.to_owned();
                let owned = Vec::new();
                let new = GroupMember { client_id, at, joined: true, owned, silence: 0, silent: false };
                let member = MemberNo(self.members_ever);
                self.members.insert(member, new);
                member
            }
        };
        self.begin_rebalance(Some(member), effects);
        self.complete_if_all_joined(effects);
        Some(member)
    }

    /// A member goes by its own wish.
    pub fn leave(&mut self, member: MemberNo, effects: &mut Vec<GroupEffect>) {
        if self.members.remove(&member).is_some() {
            self.begin_rebalance(None, effects);
            self.complete_if_all_joined(effects);
        }
    }

    /// Throws a member out, as for missing heartbeats.
    pub fn expire(&mut self, member: MemberNo, effects: &mut Vec<GroupEffect>) -> bool {
        let Some(gone) = self.members.remove(&member) else { return false };
        effects.push(GroupEffect::Notify { to: gone.at, notice: Notice::Expired { member } });
        self.begin_rebalance(None, effects);
        self.complete_if_all_joined(effects);
        true
    }

    /// Everybody is to join again, for no reason that the members know.
    pub fn rebalance(&mut self, effects: &mut Vec<GroupEffect>) {
        self.begin_rebalance(None, effects);
    }

    /// The topic has another number of partitions now.
    pub fn resize(&mut self, partitions: u32, effects: &mut Vec<GroupEffect>) {
        self.partitions = partitions;
        self.rebalance(effects);
    }

    /// The time of a rebalance is over; returns how many members it cost.
    pub fn rebalance_due(&mut self, rebalance: u64, effects: &mut Vec<GroupEffect>) -> usize {
        if self.rebalancing != Some(rebalance) {
            return 0;
        }
        let late: Vec<_> =
            self.members.iter().filter(|(_, member)| !member.joined).map(|(no, _)| *no).collect();
        for no in &late {
            if let Some(gone) = self.members.remove(no) {
                effects.push(GroupEffect::Notify { to: gone.at, notice: Notice::Expired { member: *no } });
            }
        }
        self.complete_if_all_joined(effects);
        late.len()
    }

    /// A member's heartbeats stop; returns the number of this silence for [`Group::silence_due`].
    pub fn fall_silent(&mut self, member: MemberNo) -> Option<u64> {
        let member = self.members.get_mut(&member)?;
        member.silence += 1;
        member.silent = true;
        Some(member.silence)
    }

    /// A member's heartbeats go on.
    pub fn speak_again(&mut self, member: MemberNo) {
        if let Some(member) = self.members.get_mut(&member) {
            member.silent = false;
        }
    }

    /// A session timeout after a silence began: throws the member out if it lasts.
    pub fn silence_due(&mut self, member: MemberNo, silence: u64, effects: &mut Vec<GroupEffect>) -> bool {
        let lasts = self.members.get(&member).is_some_and(|at| at.silent && at.silence == silence);
        lasts && self.expire(member, effects)
    }

    /// Offsets within `producer`'s transaction.
    pub fn commit_in_transaction(
        &mut self,
        producer: ProducerId,
        member: MemberNo,
        generation: i32,
        offsets: &[(PartitionId, Committed)],
    ) -> Result<(), OffsetRefusal> {
        if !self.members.contains_key(&member) {
            return Err(OffsetRefusal::UnknownMember);
        }
        if generation != self.generation {
            return Err(OffsetRefusal::StaleGeneration);
        }
        self.hold(producer, offsets);
        Ok(())
    }

    /// Offsets within a transaction of somebody who never joined: nothing is checked.
    pub fn hold(&mut self, producer: ProducerId, offsets: &[(PartitionId, Committed)]) {
        self.pending.entry(producer).or_default().extend_from_slice(offsets);
    }

    /// The marker of `producer`'s transaction reached the group's offsets.
    pub fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        if commit {
            self.offsets.extend(pending);
        }
    }

    /// Whether an open transaction holds offsets of one of these partitions.
    #[must_use]
    pub fn is_unstable(&self, partitions: &[PartitionId]) -> bool {
        self.pending.values().flatten().any(|(partition, _)| partitions.contains(partition))
    }

    /// The last stable offset of a partition.
    #[must_use]
    pub fn offset(&self, partition: PartitionId) -> Option<&Committed> {
        self.offsets.get(&partition)
    }

    /// Puts an offset there, or takes it away, as an operator's tool does.
    pub fn set_offset(&mut self, partition: PartitionId, offset: Option<Committed>) {
        match offset {
            Some(offset) => self.offsets.insert(partition, offset),
            None => self.offsets.remove(&partition),
        };
    }

    /// What a member owns in the group's eyes.
    #[must_use]
    pub fn owned(&self, member: MemberNo) -> &[PartitionId] {
        self.members.get(&member).map_or(&[], |member| &member.owned)
    }

    #[must_use]
    pub fn generation(&self) -> i32 {
        self.generation
    }

    #[must_use]
    pub fn is_rebalancing(&self) -> bool {
        self.rebalancing.is_some()
    }

    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let described = |(no, member): (&MemberNo, &GroupMember)| Member {
            id: member_id(&member.client_id, *no),
            client_id: member.client_id.clone(),
        };
        self.members.iter().map(described).collect()
    }

    fn begin_rebalance(&mut self, joining: Option<MemberNo>, effects: &mut Vec<GroupEffect>) {
        if self.rebalancing.is_some() || self.members.is_empty() {
            return;
        }
        self.rebalances += 1;
        self.rebalancing = Some(self.rebalances);
        for (no, member) in &mut self.members {
            member.joined = joining == Some(*no);
            if !member.joined {
                effects.push(GroupEffect::Notify { to: member.at, notice: Notice::Rebalancing });
            }
        }
        effects.push(GroupEffect::RebalanceTimer { rebalance: self.rebalances });
    }

    fn complete_if_all_joined(&mut self, effects: &mut Vec<GroupEffect>) {
        if self.rebalancing.is_none() || self.members.values().any(|member| !member.joined) {
            return;
        }
        self.rebalancing = None;
        self.generation += 1;
        let mut order: Vec<_> =
            self.members.iter().map(|(no, member)| (member.client_id.clone(), *no)).collect();
        order.sort();
        let shares = range_shares(self.partitions, order.len() as u32);
        for ((client_id, no), owned) in order.into_iter().zip(shares) {
            let Some(member) = self.members.get_mut(&no) else { continue };
            member.owned.clone_from(&owned);
            let (id, generation) = (member_id(&client_id, no), self.generation);
            let notice = Notice::Assigned { member: no, id, generation, partitions: owned };
            effects.push(GroupEffect::Notify { to: member.at, notice });
        }
    }
}

fn member_id(client_id: &str, no: MemberNo) -> String {
    format!("{client_id}-{:06}", no.0)
}

/// Consecutive partitions for each of `members`, the first ones getting one more where it does not divide.
fn range_shares(partitions: u32, members: u32) -> impl Iterator<Item = Vec<PartitionId>> {
    let (each, more) = (partitions / members.max(1), partitions % members.max(1));
    (0..members).map(move |index| {
        let first = index * each + index.min(more);
        (first..first + each + u32::from(index < more)).collect()
    })
}

#[cfg(test)]
mod tests;
