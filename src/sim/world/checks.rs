//! What must never be false, looked at after every step where that is cheap, and at the end as a whole.
//!
//! | after every step | |
//! |---|---|
//! | versions | per user 1, 2, 3 ... without gap or repeat; `from` equals the previous `to`; something
//! changed; the causes ascend |
//! | visibility | when no transaction is unsettled, every visible output's cause lies below the committed
//! offset |
//! | conduct | no tainted producer begins a transaction, none overlap, no commit for a partition that is not
//! owned |
//!
//! | at the end | |
//! |---|---|
//! | outputs | per input partition, what is visible equals what the committed prefix brings about, byte for
//! byte |
//! | rows | the same for the rows in the store |
//! | leases | no session's end by silence before its lease is over on a lease clock computed from the beacons
//! alone |
//! | liveness | nothing lags |

use std::collections::BTreeMap;

use super::{plan::Plan, reference};
use crate::{
    limits::{BEACON_STEP_MS_MAX, LEASE_MS_MIN},
    log::{Offset, PartitionId},
    record::{
        heartbeats::{Beat, End, Input, decode},
        transition::{Cause, Status, TransitionView},
    },
    sim::{Network, log::GroupNo},
    topology::Topic,
};

/// At the end a partition may lag by what was appended just now: beacons of the last seconds.
const LAG_MAX: Offset = 20;

pub struct Checks {
    partitions: PartitionId,
    /// Per partition of `presence`, up to where it was looked at.
    seen: Vec<Offset>,
    users: BTreeMap<String, Last>,
    breaches: usize,
    transitions: u64,
}

/// The last transition of a user.
struct Last {
    version: u64,
    to: Status,
    texts: (Option<String>, Option<String>),
    origin: (PartitionId, Offset),
}

impl Checks {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let partitions = plan.topology.partitions(Topic::Presence);
        Self {
            partitions,
            seen: vec![0; partitions as usize],
            users: BTreeMap::new(),
            breaches: 0,
            transitions: 0,
        }
    }

    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    pub fn after_step(&mut self, network: &Network, group: GroupNo) -> Result<(), String> {
        if let Some((pod, breach)) = network.breaches().get(self.breaches) {
            return Err(format!("pod-{} broke the log's contract: {breach:?}", pod.0));
        }
        for partition in 0..self.partitions {
            let from = self.seen[partition as usize];
            let Some(log) = network.broker().partition(Topic::Presence, partition) else { continue };
            if log.stable_end() <= from {
                continue;
            }
            for record in log.committed(from) {
                let value = record.content.value.as_deref().unwrap_or_default();
                let transition = TransitionView::decode(value).map_err(|refusal| refusal.message)?;
                self.transitions += 1;
                self.follow(transition)?;
            }
            self.seen[partition as usize] = log.stable_end();
        }
        if network.broker().is_settled() {
            self.visible_is_committed(network, group)?;
        }
        Ok(())
    }

    fn follow(&mut self, transition: TransitionView) -> Result<(), String> {
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
        self.users.insert(user, Last { version, to, texts, origin });
        Ok(())
    }

    fn visible_is_committed(&self, network: &Network, group: GroupNo) -> Result<(), String> {
        let group = network.broker().group_state(group);
        for (user, last) in &self.users {
            let (partition, offset) = last.origin;
            let committed = group.offset(partition).map_or(0, |committed| committed.offset);
            if offset >= committed {
                return Err(format!(
                    "{user}: its cause {partition}/{offset} is not below the committed {committed}"
                ));
            }
        }
        Ok(())
    }

    /// Compares everything with what the log must have brought about.
    pub fn compare(&self, plan: &Plan, network: &Network, group: GroupNo) -> Result<(), String> {
        for partition in 0..plan.topology.partitions(Topic::Heartbeats) {
            let end = network.broker().partition(Topic::Heartbeats, partition).map_or(0, |log| log.end());
            let committed = network.broker().group_state(group).offset(partition).map_or(0, |c| c.offset);
            if end - committed > LAG_MAX {
                return Err(format!("heartbeats/{partition} lags: committed {committed} of {end}"));
            }
            no_end_before_its_lease(network, partition, committed)?;
        }
        reference::compare(plan, network, group)
    }
}

/// No end by silence before its lease is over, on a lease clock computed from the beacons alone.
fn no_end_before_its_lease(
    network: &Network,
    partition: PartitionId,
    committed: Offset,
) -> Result<(), String> {
    let mut silences = Silences::default();
    let mut expired = expiries(network, partition).into_iter().peekable();
    for record in network.broker().committed(Topic::Heartbeats, partition, 0) {
        if record.offset >= committed {
            break;
        }
        if let Ok(input) = decode(record.content.value.as_deref()) {
            silences.take(input, record.time_ms);
        }
        while let Some((_, user)) = expired.next_if(|(offset, _)| *offset <= record.offset) {
            silences.ended(&user)?;
        }
    }
    Ok(())
}

/// The users that were announced offline by silence, with the beacons that showed it, in their order.
fn expiries(network: &Network, partition: PartitionId) -> Vec<(Offset, String)> {
    let presence = (0..).map_while(|output| network.broker().partition(Topic::Presence, output));
    let records = presence.flat_map(|log| log.committed(0));
    let transitions =
        records.filter_map(|record| TransitionView::decode(record.content.value.as_deref()?).ok());
    let mut expiries: Vec<_> = transitions
        .filter(|transition| transition.origin.partition == partition)
        .filter(|transition| (transition.cause, transition.to) == (Cause::Expired, Status::Offline))
        .map(|transition| (transition.origin.offset, transition.user))
        .collect();
    expiries.sort();
    expiries
}

/// A naive account of who beat when. Where it is not exact it forgets sessions, so that it accuses nobody
/// falsely; the least lease that a record can ask for bounds every lease from below.
#[derive(Default)]
struct Silences {
    clock_ms: i64,
    beacon: Option<(String, i64, i64)>,
    /// By (user, session).
    sessions: BTreeMap<(String, String), Silence>,
}

/// The newest pair of a session and, while it is not known to have ended, the clock of its last beat.
struct Silence {
    pair: (i64, i64),
    beat_ms: Option<i64>,
}

impl Silences {
    fn take(&mut self, input: Input<'_>, time_ms: i64) {
        match input {
            Input::Heartbeat(beat) => self.beat(&beat),
            Input::Heartbeats { beats, .. } => beats.iter().for_each(|(_, beat)| self.beat(beat)),
            Input::Goodbye(end) => self.end(&end),
            Input::Goodbyes { ends, .. } => ends.iter().for_each(|(_, end)| self.end(end)),
            Input::GatewayGone { .. } => {
                self.sessions.values_mut().for_each(|session| session.beat_ms = None)
            }
            Input::Status(_) => {}
            Input::Beacon(beacon) => {
                if let Some((incarnation, elapsed_ms, before_ms)) = &self.beacon
                    && *incarnation == beacon.incarnation
                {
                    let step_ms = (beacon.elapsed_ms - elapsed_ms).min(time_ms - before_ms);
                    self.clock_ms += step_ms.clamp(0, BEACON_STEP_MS_MAX);
                }
                self.beacon = Some((beacon.incarnation.into_owned(), beacon.elapsed_ms, time_ms));
            }
        }
    }

    fn beat(&mut self, beat: &Beat<'_>) {
        let pair = (beat.epoch, beat.counter);
        let beat_ms = Some(self.clock_ms);
        let session = self.session(&beat.user, &beat.session);
        if pair > session.pair {
            *session = Silence { pair, beat_ms };
        }
    }

    fn end(&mut self, end: &End<'_>) {
        let session = self.session(&end.user, &end.session);
        session.pair = session.pair.max((end.epoch, end.counter));
        session.beat_ms = None;
    }

    fn session(&mut self, user: &str, session: &str) -> &mut Silence {
        let key = (user.to_owned(), session.to_owned());
        self.sessions.entry(key).or_insert(Silence { pair: (i64::MIN, 0), beat_ms: None })
    }

    fn ended(&self, user: &str) -> Result<(), String> {
        let from = (user.to_owned(), String::new());
        let sessions = self.sessions.range(from..).take_while(|((of, _), _)| of == user);
        for ((_, session), silence) in sessions {
            let Some(silent_ms) = silence.beat_ms.map(|beat_ms| self.clock_ms - beat_ms) else { continue };
            if silent_ms < LEASE_MS_MIN {
                return Err(format!(
                    "{user} was announced offline though {session} beat {silent_ms} ms before"
                ));
            }
        }
        Ok(())
    }
}
