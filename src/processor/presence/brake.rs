//! The brake on ends by silence: what looks like everybody leaving at once is more likely a fault of the
//! producers.
//!
//! Per bucket and on the lease clock, in this order:
//! 1. it has held leases for 15 minutes: everything goes;
//! 2. a bucket with more than 20 sessions hears nothing for a third of a default lease, or heard something
//!    again less than a default lease ago: nothing goes;
//! 3. within ten seconds at most 20 sessions or 15 % of them, whichever is more, go; the rest waits in order.
//!    The share is of the sessions that live at the window's first beacon with a lease due.

use crate::{
    mutant::{self, Mutant},
    record::beacon::Parameters,
};

const WINDOW_MS: i64 = 10_000;
const FREE_SESSIONS: u64 = 20;
const SHARE_PERCENT: u64 = 15;
const HOLD_MS_MAX: i64 = 15 * 60_000;

/// The state of a bucket's brake; all times are lease clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Brake {
    /// When a heartbeat arrived in the bucket last, whatever became of it.
    pub heard_ms: i64,
    /// When the first heartbeat arrived after the bucket had been cut off.
    pub returned_ms: Option<i64>,
    /// When it began to hold leases, if it holds any.
    pub holding_since_ms: Option<i64>,
    /// The window counted in, how many may go in it and how many have gone.
    pub window: i64,
    pub allowed: u64,
    pub gone: u64,
}

impl Brake {
    pub fn new(clock_ms: i64) -> Self {
        Self {
            heard_ms: clock_ms,
            returned_ms: None,
            holding_since_ms: None,
            window: -1,
            allowed: 0,
            gone: 0,
        }
    }

    /// A heartbeat has arrived.
    #[inline]
    pub fn hear(&mut self, clock_ms: i64, parameters: &Parameters) {
        if self.heard_ms != clock_ms {
            if self.cut_off(clock_ms, parameters) {
                self.returned_ms = Some(clock_ms);
            }
            self.heard_ms = clock_ms;
        }
    }

    /// How many of the `due` leases may end now, in a bucket of `live` sessions.
    pub fn release(&mut self, clock_ms: i64, parameters: &Parameters, due: u64, live: u64) -> u64 {
        let count = if due == 0 { 0 } else { self.count(clock_ms, parameters, due, live) };
        self.holding_since_ms = if count < due { self.holding_since_ms.or(Some(clock_ms)) } else { None };
        count
    }

    fn count(&mut self, clock_ms: i64, parameters: &Parameters, due: u64, live: u64) -> u64 {
        let exhausted = self.holding_since_ms.is_some_and(|since_ms| clock_ms - since_ms >= HOLD_MS_MAX);
        if !parameters.brake || exhausted || mutant::is(Mutant::BrakeOff) {
            return due;
        }
        let window = clock_ms / WINDOW_MS;
        if self.window != window {
            let share = (live * SHARE_PERCENT).div_ceil(100);
            (self.window, self.allowed, self.gone) = (window, share.max(FREE_SESSIONS), 0);
        }
        let returning =
            self.returned_ms.is_some_and(|returned_ms| clock_ms - returned_ms < parameters.lease_ms);
        if live > FREE_SESSIONS && (returning || self.cut_off(clock_ms, parameters)) {
            return 0;
        }
        let count = due.min(self.allowed - self.gone);
        self.gone += count;
        count
    }

    fn cut_off(&self, clock_ms: i64, parameters: &Parameters) -> bool {
        clock_ms - self.heard_ms >= parameters.lease_ms / 3
    }
}

#[cfg(test)]
mod tests;
