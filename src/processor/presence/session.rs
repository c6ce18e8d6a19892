//! A live session in 51 bytes, of which 16 are its id, and the rules about its own status and deadlines.

use super::{ids::Id, links::Link, pair::Pair};
use crate::{
    limits::SESSION_ROW_REFRESH_MS,
    record::{beacon::Parameters, transition::Status},
};

/// The end of a list of sessions.
pub(super) const NO_SESSION: u32 = u32::MAX;

/// The largest record time, in milliseconds, that the fold keeps: the year 6429. What the log says beyond is
/// cut.
pub(super) const TIME_MS_MAX: i64 = (1 << 47) - 1;

/// What a beat says of its session, with everything that was left out filled in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub epoch: i64,
    pub counter: i64,
    /// Lease clock and record time of the beat.
    pub beat_clock_ms: i64,
    pub beat_time_ms: i64,
    pub lease_ms: i64,
    pub idle_ms: i64,
    pub busy: bool,
}

/// Without alignment, so that no byte is left empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    pub id: Id,
    pair: Pair,
    beat_clock_ms: Packed<6>,
    beat_time_ms: Packed<6>,
    idle_ms: Packed<4>,
    /// Record time of the row's last write, in whole seconds.
    row_s: Packed<4>,
    link: Packed<4>,
    flags: u8,
}

const _: () = assert!(size_of::<Session>() == 51);

const STATUS: u8 = 0b11;
const BUSY: u8 = 1 << 2;
const LIVE: u8 = 1 << 3;
const HELD: u8 = 1 << 4;
const EXTRA: u8 = 1 << 5;
const TAKEN: u8 = 1 << 6;

impl Session {
    /// The room for a session that nobody has taken.
    pub fn vacant() -> Self {
        Self {
            id: Id::default(),
            pair: Pair::apart(),
            beat_clock_ms: Packed::new(0),
            beat_time_ms: Packed::new(0),
            idle_ms: Packed::new(0),
            row_s: Packed::new(0),
            link: Packed::new(0),
            flags: 0,
        }
    }

    pub fn new(id: Id, terms: &Terms, link: Link) -> Self {
        let flags = TAKEN | LIVE | code(Status::Online);
        let mut session = Self { id, flags, ..Self::vacant() };
        session.set_link(link);
        session.set_terms(terms);
        session
    }

    /// Reads some of it.
    #[inline]
    pub fn touch(&self) -> u8 {
        self.flags
    }

    /// Takes over all but the lease, which is linked, and the pair, which may have to be stored apart.
    #[inline]
    pub fn set_terms(&mut self, terms: &Terms) {
        self.beat_clock_ms = Packed::new(terms.beat_clock_ms);
        self.beat_time_ms = Packed::new(terms.beat_time_ms);
        // 49 days of idling are away by any threshold that makes sense.
        self.idle_ms = Packed::new(terms.idle_ms.clamp(0, u32::MAX.into()));
        self.set_flag(BUSY, terms.busy);
    }

    pub fn terms(&self, (epoch, counter): (i64, i64), lease_ms: i64) -> Terms {
        Terms {
            epoch,
            counter,
            beat_clock_ms: self.beat_clock_ms(),
            beat_time_ms: self.beat_time_ms(),
            lease_ms,
            idle_ms: self.idle_ms(),
            busy: self.flag(BUSY),
        }
    }

    #[inline]
    pub fn idle_ms(&self) -> i64 {
        (self.idle_ms.get() as u32).into()
    }

    /// Device, gateway and lease.
    #[inline]
    pub fn link(&self) -> Link {
        self.link.get() as u32
    }

    pub fn set_link(&mut self, link: Link) {
        self.link = Packed::new(link.into());
    }

    #[inline]
    pub fn pair(&self) -> Pair {
        self.pair
    }

    #[inline]
    pub fn set_pair(&mut self, pair: Pair) {
        self.pair = pair;
    }

    pub fn beat_clock_ms(&self) -> i64 {
        self.beat_clock_ms.get()
    }

    pub fn beat_time_ms(&self) -> i64 {
        self.beat_time_ms.get()
    }

    /// In a room that nobody has taken: when its user was last seen.
    pub fn set_beat_time_ms(&mut self, time_ms: i64) {
        self.beat_time_ms = Packed::new(time_ms);
    }

    /// The session's own status when the lease clock says `clock_ms`.
    #[inline]
    pub fn status_at(&self, clock_ms: i64, parameters: &Parameters) -> Status {
        let since_ms = clock_ms - self.beat_clock_ms();
        if self.flag(BUSY) && since_ms < parameters.busy_for_ms {
            Status::Busy
        } else if self.idle_ms() + since_ms >= parameters.away_after_ms {
            Status::Away
        } else {
            Status::Online
        }
    }

    /// The lease clock at which the present status ends by itself.
    #[inline]
    pub fn status_ends_at_ms(&self, parameters: &Parameters) -> Option<i64> {
        let span_ms = match self.status() {
            Status::Busy => parameters.busy_for_ms,
            Status::Online => parameters.away_after_ms - self.idle_ms(),
            Status::Away | Status::Offline => return None,
        };
        Some(self.beat_clock_ms().saturating_add(span_ms))
    }

    #[inline]
    pub fn status(&self) -> Status {
        match self.flags & STATUS {
            0 => Status::Offline,
            1 => Status::Away,
            2 => Status::Online,
            _ => Status::Busy,
        }
    }

    pub fn set_status(&mut self, status: Status) {
        self.flags = self.flags & !STATUS | code(status);
    }

    #[inline]
    pub fn live(&self) -> bool {
        self.flag(LIVE)
    }

    pub fn set_live(&mut self, live: bool) {
        self.set_flag(LIVE, live);
    }

    /// Whether the room is in use, be it by a session that has ended and is still to be told.
    pub fn taken(&self) -> bool {
        self.flag(TAKEN)
    }

    /// Whether the lease is over and held by the brake.
    #[inline]
    pub fn held(&self) -> bool {
        self.flag(HELD)
    }

    pub fn set_held(&mut self, held: bool) {
        self.set_flag(HELD, held);
    }

    #[inline]
    pub fn has_extra(&self) -> bool {
        self.flag(EXTRA)
    }

    pub fn set_has_extra(&mut self, extra: bool) {
        self.set_flag(EXTRA, extra);
    }

    /// Record time of the row's last write, in whole seconds.
    pub fn row_s(&self) -> u32 {
        self.row_s.get() as u32
    }

    pub fn set_row_s(&mut self, row_s: u32) {
        self.row_s = Packed::new(row_s.into());
    }

    /// Whether the row must be written again, lest its time to live runs out.
    #[inline]
    pub fn row_is_stale(&self, time_ms: i64) -> bool {
        i64::from(row_s(time_ms)) - i64::from(self.row_s()) >= SESSION_ROW_REFRESH_MS / 1_000
    }

    fn flag(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn set_flag(&mut self, flag: u8, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }
}

/// A record time as sessions keep the time of their row's last write.
pub(super) fn row_s(time_ms: i64) -> u32 {
    (time_ms / 1_000).clamp(0, u32::MAX.into()) as u32
}

/// A status in two bits.
pub(super) const fn code(status: Status) -> u8 {
    match status {
        Status::Offline => 0,
        Status::Away => 1,
        Status::Online => 2,
        Status::Busy => 3,
    }
}

/// A signed integer in its `N` low bytes. Integers of records are below 2^53, times below 2^47.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed<const N: usize>([u8; N]);

impl<const N: usize> Packed<N> {
    #[inline]
    pub fn new(number: i64) -> Self {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&number.to_le_bytes()[..N]);
        Self(bytes)
    }

    #[inline]
    pub fn get(self) -> i64 {
        let mut bytes = [0; 8];
        bytes[8 - N..].copy_from_slice(&self.0);
        i64::from_le_bytes(bytes) >> (64 - 8 * N)
    }
}

#[cfg(test)]
mod tests;
