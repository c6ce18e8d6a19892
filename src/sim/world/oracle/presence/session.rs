//! A live session and what is known of it.

use super::{
    Now, Parameters,
    said::{Beat, Pair, Told},
    told::Status,
};

#[derive(Debug, Clone)]
pub struct Session {
    pub pair: Pair,
    pub device: Option<String>,
    pub gateway: Option<String>,
    pub lease_ms: i64,
    idle_ms: i64,
    busy: bool,
    pub metadata: Option<String>,
    /// Lease clock and record time of its last beat.
    pub beat_ms: i64,
    pub beat_time_ms: i64,
    /// As its beats and the beacons left it.
    pub status: Status,
    /// Lease clock at which a goodbye ends it, and when that was said.
    pub farewell: Option<(i64, i64)>,
    /// Record time in seconds at which its row was written last.
    pub row_s: i64,
}

impl Session {
    pub fn begin(now: &Now<'_>, beat: &Beat) -> Self {
        let mut session = Self {
            pair: beat.pair,
            device: None,
            gateway: None,
            lease_ms: now.parameters.lease_ms,
            idle_ms: 0,
            busy: false,
            metadata: None,
            beat_ms: 0,
            beat_time_ms: 0,
            status: Status::Online,
            farewell: None,
            row_s: 0,
        };
        session.hear(now, beat);
        session
    }

    /// Takes over what a beat says: what it leaves out stays as it is, but for idling and being busy.
    pub fn hear(&mut self, now: &Now<'_>, beat: &Beat) {
        self.pair = beat.pair;
        self.device = beat.device.over(self.device.take());
        self.gateway = beat.gateway.over(self.gateway.take());
        self.metadata = beat.metadata.over(self.metadata.take());
        self.lease_ms = match beat.lease_ms {
            Told::Nothing => self.lease_ms,
            Told::Null => now.parameters.lease_ms,
            Told::This(lease_ms) => lease_ms,
        }
        .max(1);
        (self.idle_ms, self.busy) = (beat.idle_ms, beat.busy);
        (self.beat_ms, self.beat_time_ms) = (now.clock_ms, now.time_ms);
        self.farewell = None;
        self.status = self.status_at(now);
    }

    /// What its row says.
    pub fn as_shown(&self) -> (Option<&str>, Option<&str>, Option<&str>, Status) {
        (self.device.as_deref(), self.gateway.as_deref(), self.metadata.as_deref(), self.status)
    }

    /// Where it is.
    pub fn route(&self) -> (Option<&str>, Option<&str>) {
        (self.device.as_deref(), self.gateway.as_deref())
    }

    pub fn status_at(&self, now: &Now<'_>) -> Status {
        let Parameters { away_after_ms, busy_for_ms, .. } = now.parameters;
        let since_ms = now.clock_ms - self.beat_ms;
        if self.busy && since_ms < *busy_for_ms {
            Status::Busy
        } else if self.idle_ms + since_ms >= *away_after_ms {
            Status::Away
        } else {
            Status::Online
        }
    }

    /// The lease clock at which its present status was over.
    pub fn status_over_ms(&self, now: &Now<'_>) -> i64 {
        let over_ms = match self.status {
            Status::Busy => self.beat_ms + now.parameters.busy_for_ms,
            Status::Online => self.beat_ms + now.parameters.away_after_ms - self.idle_ms,
            _ => now.clock_ms,
        };
        over_ms.min(now.clock_ms)
    }

    pub fn silent_at_ms(&self) -> i64 {
        self.beat_ms + self.lease_ms
    }
}
