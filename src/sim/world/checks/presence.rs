//! Transitions as they become visible: versions, `from` and `to`, causes.

use std::collections::BTreeMap;

use super::super::{machine::Groups, plan::Plan};
use crate::{
    log::{Offset, PartitionId},
    record::transition::{Status, TransitionView},
    sim::SimBroker,
    topology::{ProcessorKind, Topic},
};

pub struct Transitions {
    /// Per partition of `presence`, up to where it was looked at.
    seen: Vec<Offset>,
    users: BTreeMap<String, Last>,
    /// Causes of what became visible since all was settled last.
    fresh: Vec<(String, (PartitionId, Offset))>,
    count: u64,
}

/// The last transition of a user.
struct Last {
    version: u64,
    to: Status,
    texts: (Option<String>, Option<String>),
    origin: (PartitionId, Offset),
}

impl Transitions {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let partitions = plan.topology.partitions(Topic::Presence);
        Self { seen: vec![0; partitions as usize], users: BTreeMap::new(), fresh: Vec::new(), count: 0 }
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Looks at what has become visible.
    pub fn follow(&mut self, broker: &SimBroker) -> Result<(), String> {
        for partition in 0..self.seen.len() {
            let Some(log) = broker.partition(Topic::Presence, partition as PartitionId) else { continue };
            for record in log.committed(self.seen[partition]) {
                let value = record.content.value.as_deref().unwrap_or_default();
                let transition = TransitionView::decode(value).map_err(|refusal| refusal.message)?;
                self.count += 1;
                self.take(transition)?;
            }
            self.seen[partition] = log.stable_end();
        }
        Ok(())
    }

    fn take(&mut self, transition: TransitionView) -> Result<(), String> {
        let TransitionView { user, version, from, to, origin, .. } = transition;
        let texts = (transition.status_text, transition.activity);
        let last = self.users.get(&user);
        let (expected, previous) = last.map_or((1, Status::Offline), |last| (last.version + 1, last.to));
        if version != expected {
            return Err(format!("{user}: version {version} where {expected} is due"));
        }
        if from != previous {
            return Err(format!(
                "{user} version {version}: from {from:?}, though the last to was {previous:?}"
            ));
        }
        let known = last.map_or((None, None), |last| last.texts.clone());
        if from == to && texts == known {
            return Err(format!("{user} version {version}: nothing changed"));
        }
        let origin = (origin.partition, origin.offset);
        if last.is_some_and(|last| last.origin >= origin) {
            return Err(format!(
                "{user} version {version}: its cause {origin:?} is not above the one before"
            ));
        }
        self.fresh.push((user.clone(), origin));
        self.users.insert(user, Last { version, to, texts, origin });
        Ok(())
    }

    /// No transaction is unsettled: whatever is visible has its cause below the committed position.
    pub fn settled(&mut self, broker: &SimBroker, groups: Groups) -> Result<(), String> {
        let group = broker.group_state(groups.of(ProcessorKind::Presence));
        for (user, (partition, offset)) in self.fresh.drain(..) {
            let committed = group.offset(partition).map_or(0, |committed| committed.offset);
            if offset >= committed {
                return Err(format!(
                    "{user}: its cause {partition}/{offset} is not below the committed {committed}"
                ));
            }
        }
        Ok(())
    }
}
