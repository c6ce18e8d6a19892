//! Presence as it becomes visible: whenever all is settled, every record of `presence`, `presence-state` and
//! `sessions` is the one that the oracle has, and none is missing.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{super::plan::Plan, timeline::Follower};
use crate::{
    sim::{SimBroker, log::partition::Content, world::oracle::Oracle},
    topology::Topic,
};

const TOPICS: [Topic; 3] = [Topic::Presence, Topic::PresenceState, Topic::Sessions];

pub struct People {
    followers: [Follower; 3],
    /// How many records each key has in each topic.
    seen: BTreeMap<(Topic, Bytes), usize>,
    totals: [u64; 3],
    /// What became visible since all was settled last, with its place among the records of its key.
    fresh: Vec<(Topic, usize, Content)>,
}

impl People {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let followers = TOPICS.map(|topic| Follower::new(plan, topic));
        Self { followers, seen: BTreeMap::new(), totals: [0; 3], fresh: Vec::new() }
    }

    /// Looks at what has become visible.
    pub fn follow(&mut self, broker: &SimBroker) {
        for ((topic, follower), total) in TOPICS.into_iter().zip(&mut self.followers).zip(&mut self.totals) {
            for (_, content) in follower.new_records(broker) {
                let count = self.seen.entry((topic, content.key.clone().unwrap_or_default())).or_default();
                self.fresh.push((topic, *count, content.clone()));
                (*count, *total) = (*count + 1, *total + 1);
            }
        }
    }

    /// No transaction is unsettled, and the oracle has taken in what is committed.
    pub fn settled(&mut self, oracle: &Oracle) -> Result<(), String> {
        for (topic, index, content) in self.fresh.drain(..) {
            oracle.presence_record(topic, index, &content)?;
        }
        let (transitions, routes) = oracle.presence_totals();
        let due = [transitions, transitions, routes];
        match self.totals == due {
            true => Ok(()),
            false => Err(format!("{TOPICS:?}: {due:?} records are due, {:?} are visible", self.totals)),
        }
    }
}
