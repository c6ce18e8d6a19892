//! No session's end by silence before its lease is over, on a lease clock computed from the beacons alone.

use std::collections::BTreeMap;

use crate::{
    limits::{BEACON_STEP_MS_MAX, LEASE_MS_MIN},
    log::{Offset, PartitionId},
    record::{
        heartbeats::{Beat, End, Input, decode},
        transition::{Cause, Status, TransitionView},
    },
    sim::Network,
    topology::Topic,
};

/// Goes through the committed prefix of a partition of `heartbeats`.
pub fn no_end_before_its_lease(
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
