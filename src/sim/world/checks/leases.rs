//! Silence, on a lease clock computed from the beacons alone: no session's end before its lease is over,
//! nobody shown
//! as present for long after all leases are over, and never more ends at once than the brake lets go.

use std::collections::{BTreeMap, BTreeSet};

use super::super::plan::Plan;
use crate::{
    limits::BEACON_STEP_MS_MAX,
    log::{Offset, PartitionId},
    record::{
        beacon::{Beacon, Parameters},
        heartbeats::{Beat, End, Field, Input, decode},
        session::SessionView,
        transition::{Cause, Status, TransitionView},
    },
    sim::{Network, world::machine::group_name},
    topology::{ProcessorKind, Topic},
};

/// Sessions of a user in a simulated deployment.
const SESSIONS: u64 = 3;
/// The brake: lease clock of a window, sessions that may go in any case, and the share of all.
const WINDOW_MS: i64 = 10_000;
const FREE: u64 = 20;
const SHARE_PERCENT: u64 = 15;

/// Goes through the committed prefix of a partition of `heartbeats`.
pub fn silence_is_judged_rightly(
    plan: &Plan,
    network: &Network,
    partition: PartitionId,
    committed: Offset,
    announced: &mut Announced,
) -> Result<(), String> {
    let mut silences = Silences::new(plan);
    let mut transitions = announced.transitions.remove(&partition).unwrap_or_default().into_iter().peekable();
    let mut sessions = announced.sessions.remove(&partition).unwrap_or_default().into_iter().peekable();
    for record in network.broker().committed(Topic::Heartbeats, partition, 0) {
        if record.offset >= committed {
            break;
        }
        let input = decode(record.content.value.as_deref());
        let is_beacon = matches!(&input, Ok(Input::Beacon(beacon)) if silences.is_ours(beacon));
        silences.refused.clear();
        if let Ok(input) = input {
            silences.take(input, record.time_ms);
        }
        while let Some(session) = sessions.next_if(|one| one.origin.offset <= record.offset) {
            silences.routed(session)?;
        }
        while let Some(transition) = transitions.next_if(|one| one.origin.offset <= record.offset) {
            silences.announced(transition)?;
        }
        if is_beacon {
            silences.nobody_is_a_ghost()?;
        }
    }
    Ok(())
}

/// What was announced, by the partition that it came from, in the order of causes.
pub struct Announced {
    transitions: BTreeMap<PartitionId, Vec<TransitionView>>,
    /// Where sessions came and moved to.
    sessions: BTreeMap<PartitionId, Vec<SessionView>>,
}

impl Announced {
    #[must_use]
    pub fn read(network: &Network) -> Self {
        let mut announced = Self { transitions: BTreeMap::new(), sessions: BTreeMap::new() };
        let values = |topic: Topic| {
            let topic = (0..).map_while(move |output| network.broker().partition(topic, output));
            topic.flat_map(|log| log.committed(0)).filter_map(|record| record.content.value.as_deref())
        };
        for one in values(Topic::Presence).filter_map(|value| TransitionView::decode(value).ok()) {
            announced.transitions.entry(one.origin.partition).or_default().push(one);
        }
        for one in values(Topic::Sessions).filter_map(|value| SessionView::decode(value).ok()) {
            announced.sessions.entry(one.origin.partition).or_default().push(one);
        }
        let causes = announced.transitions.values_mut();
        causes.for_each(|transitions| transitions.sort_by_key(|one| one.origin.offset));
        announced.sessions.values_mut().for_each(|sessions| sessions.sort_by_key(|one| one.origin.offset));
        announced
    }
}

/// A naive account of who beat when. Where it is not exact it knows bounds of what a session's lease can
/// be, so
/// that it accuses nobody falsely.
struct Silences<'a> {
    plan: &'a Plan,
    clock_ms: i64,
    beacon: Option<(String, i64, i64)>,
    parameters: Parameters,
    /// By user and session.
    sessions: BTreeMap<String, BTreeMap<String, Silence>>,
    public: BTreeMap<String, Status>,
    /// Sessions whose beats in this record must change nothing.
    refused: BTreeSet<(String, String)>,
    /// Users put offline by silence, by bucket, in the window of the lease clock that is counted.
    gone: BTreeMap<u32, (i64, u64)>,
    /// How many users a bucket has, where that was asked.
    neighbours: BTreeMap<u32, usize>,
}

struct Silence {
    /// The newest pair.
    pair: (i64, i64),
    /// The clock of the last beat, while the session is not known to have ended.
    beat_ms: Option<i64>,
    /// The least and the greatest lease that its beats can have left it with.
    lease_ms: (i64, i64),
    /// The clock at which it is over for certain, if nothing more is heard.
    until_ms: i64,
    /// Until when a goodbye keeps older beats from beginning it again.
    buried_until_ms: i64,
}

impl<'a> Silences<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            clock_ms: 0,
            beacon: None,
            parameters: Parameters::VERSION_1,
            sessions: BTreeMap::new(),
            public: BTreeMap::new(),
            refused: BTreeSet::new(),
            gone: BTreeMap::new(),
            neighbours: BTreeMap::new(),
        }
    }

    fn is_ours(&self, beacon: &Beacon<'_>) -> bool {
        *beacon.group == group_name(ProcessorKind::Presence)
    }

    fn take(&mut self, input: Input<'_>, time_ms: i64) {
        match input {
            Input::Heartbeat(beat) => self.beat(&beat),
            Input::Heartbeats { beats, .. } => beats.iter().for_each(|(_, beat)| self.beat(beat)),
            Input::Goodbye(end) => self.end(&end),
            Input::Goodbyes { ends, .. } => ends.iter().for_each(|(_, end)| self.end(end)),
            Input::GatewayGone { .. } => {
                for session in self.sessions.values_mut().flat_map(BTreeMap::values_mut) {
                    session.beat_ms = None;
                    // It may have ended so, and not by the goodbye that was to come: from when on it is
                    // buried is not known here.
                    if session.until_ms >= self.clock_ms {
                        session.buried_until_ms = i64::MIN / 2;
                    }
                }
            }
            Input::Status(_) => {}
            Input::Beacon(beacon) if self.is_ours(&beacon) => {
                if let Some((incarnation, elapsed_ms, before_ms)) = &self.beacon
                    && *incarnation == beacon.incarnation
                {
                    let step_ms = (beacon.elapsed_ms - elapsed_ms).min(time_ms - before_ms);
                    self.clock_ms += step_ms.clamp(0, BEACON_STEP_MS_MAX);
                }
                self.beacon = Some((beacon.incarnation.into_owned(), beacon.elapsed_ms, time_ms));
                self.parameters = beacon.parameters;
            }
            Input::Beacon(_) => {}
        }
    }

    fn beat(&mut self, beat: &Beat<'_>) {
        let (pair, clock_ms, usual_ms) =
            ((beat.epoch, beat.counter), self.clock_ms, self.parameters.lease_ms);
        let session = self.session(&beat.user, &beat.session);
        let lease_ms = match beat.lease_ms {
            Field::Given(lease_ms) => (lease_ms, lease_ms),
            Field::Null => (usual_ms, usual_ms),
            // As it was, or as is usual if it begins.
            Field::LeftOut => (session.lease_ms.0.min(usual_ms), session.lease_ms.1.max(usual_ms)),
        };
        if pair > session.pair {
            let until_ms = clock_ms + lease_ms.1;
            let beat_ms = Some(clock_ms);
            *session = Silence { pair, beat_ms, lease_ms, until_ms, buried_until_ms: i64::MIN / 2 };
            return;
        }
        // An older one counts only for a session that may have ended, and was not buried.
        let lives = session.beat_ms.is_some_and(|beat_ms| clock_ms < beat_ms + session.lease_ms.0);
        if !lives && clock_ms >= session.buried_until_ms {
            session.until_ms = session.until_ms.max(clock_ms + lease_ms.1);
            // If it began again, its lease is this one's.
            session.lease_ms = (session.lease_ms.0.min(lease_ms.0), session.lease_ms.1.max(lease_ms.1));
            session.beat_ms = None;
        } else {
            self.refused.insert((beat.user.to_string(), beat.session.to_string()));
        }
    }

    fn end(&mut self, end: &End<'_>) {
        let (pair, clock_ms) = ((end.epoch, end.counter), self.clock_ms);
        let due_ms = clock_ms + end.after_ms;
        let usual_ms = self.parameters.lease_ms;
        let session = self.session(&end.user, &end.session);
        // For one lease: its own from when it ends, or the usual one from now if it was not there any more.
        let buried_until_ms = clock_ms + session.lease_ms.0.min(usual_ms);
        if pair > session.pair {
            session.pair = pair;
            (session.until_ms, session.buried_until_ms) = (due_ms, buried_until_ms);
            session.beat_ms = None;
        }
    }

    fn session(&mut self, user: &str, session: &str) -> &mut Silence {
        let usual_ms = self.parameters.lease_ms;
        let sessions = self.sessions.entry(user.to_owned()).or_default();
        sessions.entry(session.to_owned()).or_insert(Silence {
            pair: (i64::MIN, 0),
            beat_ms: None,
            lease_ms: (usual_ms, usual_ms),
            until_ms: i64::MIN / 2,
            buried_until_ms: i64::MIN / 2,
        })
    }

    fn announced(&mut self, transition: TransitionView) -> Result<(), String> {
        let TransitionView { user, to, cause, .. } = transition;
        if to == Status::Offline && [Cause::Expired, Cause::Goodbye].contains(&cause) {
            self.not_too_early(&user)?;
        }
        if (cause, to) == (Cause::Expired, Status::Offline) {
            self.not_too_many(&user)?;
        }
        self.public.insert(user, to);
        Ok(())
    }

    fn routed(&self, session: SessionView) -> Result<(), String> {
        let SessionView { user, session, event, origin, .. } = session;
        if self.refused.contains(&(user.clone(), session.clone())) {
            let (event, offset) = (event.name(), origin.offset);
            return Err(format!("{user}/{session}: {event} by the beat at {offset}, which is an older one"));
        }
        Ok(())
    }

    fn not_too_early(&self, user: &str) -> Result<(), String> {
        for (session, silence) in self.sessions_of(user) {
            let Some(silent_ms) = silence.beat_ms.map(|beat_ms| self.clock_ms - beat_ms) else { continue };
            if silent_ms < silence.lease_ms.0 {
                return Err(format!(
                    "{user} was announced offline though {session} beat {silent_ms} ms before"
                ));
            }
        }
        Ok(())
    }

    fn not_too_many(&mut self, user: &str) -> Result<(), String> {
        let topology = &self.plan.topology;
        let bucket_of = |user: &str| topology.bucket(ProcessorKind::Presence, user.as_bytes());
        let (bucket, window) = (bucket_of(user), self.clock_ms / WINDOW_MS);
        let gone = self.gone.entry(bucket).or_insert((window, 0));
        *gone = if gone.0 == window { (window, gone.1 + 1) } else { (window, 1) };
        let users = self.plan.users;
        let count = || (0..users).filter(|number| bucket_of(&format!("user-{number}")) == bucket).count();
        let neighbours = *self.neighbours.entry(bucket).or_insert_with(count);
        let most = (neighbours as u64 * SESSIONS * SHARE_PERCENT).div_ceil(100).max(FREE);
        // With a dwell those of an earlier window may be announced later.
        if self.parameters.brake && self.parameters.dwell_ms == 0 && gone.1 > most {
            return Err(format!(
                "bucket {bucket}: {} users went offline by silence in one window, of {neighbours}",
                gone.1
            ));
        }
        Ok(())
    }

    /// Nobody is shown as present once every lease is over for certain. Where the brake may hold leases,
    /// nothing
    /// is said.
    fn nobody_is_a_ghost(&self) -> Result<(), String> {
        if self.parameters.brake && u64::from(self.plan.users) * SESSIONS > FREE {
            return Ok(());
        }
        let slack_ms = self.parameters.dwell_ms + 2 * BEACON_STEP_MS_MAX;
        for user in self.public.iter().filter(|(_, status)| **status != Status::Offline).map(|(user, _)| user)
        {
            let until_ms = self.sessions_of(user).map(|(_, silence)| silence.until_ms).max();
            if let Some(until_ms) = until_ms
                && self.clock_ms > until_ms + slack_ms
            {
                let late_ms = self.clock_ms - until_ms;
                return Err(format!("{user} is shown as present {late_ms} ms after its last lease was over"));
            }
        }
        Ok(())
    }

    fn sessions_of(&self, user: &str) -> impl Iterator<Item = (&str, &Silence)> {
        let sessions = self.sessions.get(user).into_iter().flatten();
        sessions.map(|(session, silence)| (session.as_str(), silence))
    }
}
