//! What must never be false, looked at after every step where that is cheap, and at the end as a whole.
//!
//! After every step:
//! * versions: per user 1, 2, 3 ... without gap or repeat; `from` equals the previous `to`; something
//!   changed; the causes ascend;
//! * entries: per user 1, 2, 3 ... without gap or repeat, no message twice; what a number of a conversation
//!   means never changes, wherever it is seen;
//! * cursors: forward only;
//! * conduct: no tainted producer begins a transaction, none overlap, no commit for a partition that is not
//!   owned.
//!
//! Whenever no transaction is unsettled:
//! * visibility: every visible transition's cause lies below the committed offset; transitions, states and
//!   sessions, messages with their recipients, entries and cursors are exactly those that the oracle has of
//!   the committed prefixes;
//! * stored: the position that travels with an offset is one that a row states, and from there on every
//!   bucket of presence has a whole checkpoint.
//!
//! At random instants:
//! * readers: whoever sees a head finds everything up to it; heads and cursors never go back; members are
//!   those of their origin;
//! * successors: the heads of a bucket of inboxes are those of its origin; a row of presence is what the
//!   record below its origin made of it, and lacks nothing below the stored position.
//!
//! At the end:
//! * outputs: per input partition, what is visible equals what one fold of the committed prefix brings about,
//!   byte for byte, the framing of deliveries aside;
//! * rows: the same for the rows in the store; they also equal the oracle's, as do the dead letters;
//! * stamps: rows were written with the timestamps and the lives that are due, deletions too;
//! * counts: consumed = applied + filtered + dead-lettered + forwarded, each as the oracle counts them;
//! * leases: no session's end by silence before its lease is over on a lease clock computed from the beacons
//!   alone, nobody present for long after, and never more ends at once than the brake lets go;
//! * projections: rows of presence, its topic, its compacted topic and the sessions' say the same;
//! * liveness: nothing lags.

use super::{machine::Groups, plan::Plan, reference};
use crate::{
    sim::Network,
    topology::{ProcessorKind, Topic},
};

mod leases;
mod people;
pub mod projections;
mod presence;
mod reader;
mod stamps;
mod stored;
mod timeline;

use leases::{Announced, silence_is_judged_rightly};
use people::People;
use presence::Transitions;
use projections::projections_agree;
use reader::Reader;
use stamps::rows_are_stamped_rightly;
use stored::Stored;
use timeline::Timeline;

/// At the end a partition of heartbeats may lag by what was appended just now: beacons of the last seconds.
const LAG_MAX: usize = 20;

pub struct Checks {
    groups: Groups,
    breaches: usize,
    /// Markers that were written when the topics were looked at last.
    markers: u64,
    /// Something became visible since all was settled last.
    unsettled: bool,
    transitions: Transitions,
    people: People,
    timeline: Timeline,
    reader: Reader,
    stored: Stored,
}

impl Checks {
    #[must_use]
    pub fn new(plan: &Plan, groups: Groups) -> Self {
        Self {
            groups,
            breaches: 0,
            markers: 0,
            unsettled: false,
            transitions: Transitions::new(plan),
            people: People::new(plan),
            timeline: Timeline::new(plan),
            reader: Reader::new(plan),
            stored: Stored::new(plan),
        }
    }

    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.transitions.count()
    }

    #[must_use]
    pub fn messages(&self) -> u64 {
        self.timeline.totals().0
    }

    #[must_use]
    pub fn entries(&self) -> u64 {
        self.timeline.totals().1
    }

    #[must_use]
    pub fn rows_read(&self) -> u64 {
        self.reader.rows_read()
    }

    /// When a reader comes next.
    #[must_use]
    pub fn next_look_ms(&self) -> u64 {
        self.reader.next_ms()
    }

    /// A reader comes, if it is time.
    pub fn look(&mut self, network: &Network) -> Result<(), String> {
        self.reader.look(network, &mut self.timeline)?;
        self.stored.look(network)
    }

    pub fn after_step(&mut self, network: &Network) -> Result<(), String> {
        if let Some((pod, breach)) = network.breaches().get(self.breaches) {
            return Err(format!("pod-{} broke the log's contract: {breach:?}", pod.0));
        }
        let broker = network.broker();
        if broker.markers() != self.markers {
            self.markers = broker.markers();
            self.unsettled = true;
            self.transitions.follow(broker)?;
            self.timeline.follow(broker)?;
            self.people.follow(broker);
        }
        if self.unsettled && broker.is_settled() {
            self.unsettled = false;
            self.transitions.settled(broker, self.groups)?;
            self.timeline.settled(broker, self.groups)?;
            self.people.settled(&self.timeline.oracle)?;
            self.reader.settled(&self.timeline)?;
            self.stored.settled(network, self.groups, &self.timeline.oracle)?;
        }
        Ok(())
    }

    /// Compares everything with what the log must have brought about.
    pub fn compare(&self, plan: &Plan, network: &Network) -> Result<(), String> {
        let (broker, mut announced) = (network.broker(), Announced::read(network));
        for kind in ProcessorKind::ALL {
            let (input, group) = (kind.input(), broker.group_state(self.groups.of(kind)));
            for partition in 0..plan.topology.partitions(input) {
                let committed = group.offset(partition).map_or(0, |committed| committed.offset);
                let lag = broker.committed(input, partition, committed).count();
                if lag > if input == Topic::Heartbeats { LAG_MAX } else { 0 } {
                    return Err(format!("{input}/{partition} lags by {lag} behind {committed}"));
                }
                if input == Topic::Heartbeats {
                    silence_is_judged_rightly(plan, network, partition, committed, &mut announced)?;
                }
            }
        }
        projections_agree(network)?;
        reference::compare(plan, network, self.groups, &self.timeline.oracle)?;
        self.timeline.oracle.compare_letters(broker)?;
        self.timeline.oracle.compare_recipients()?;
        self.timeline.oracle.compare_rows(network)?;
        rows_are_stamped_rightly(plan, network, &self.timeline.oracle)
    }
}
