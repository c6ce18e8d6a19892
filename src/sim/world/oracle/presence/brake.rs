//! The brake on ends by silence, as the contract has it.

use super::Parameters;

/// Lease clock in which ends are counted, how many may go in any case, which share of all, and for how long
/// leases are held at most.
const WINDOW_MS: i64 = 10_000;
const FREE: u64 = 20;
const SHARE_PERCENT: u64 = 15;
const HELD_MS_MAX: i64 = 15 * 60_000;

/// Of one bucket; all times are lease clock.
#[derive(Debug, Default)]
pub struct Brake {
    /// When the last beat arrived, and the first one after the producers had been cut off.
    heard_ms: i64,
    returned_ms: Option<i64>,
    /// Since when leases are held.
    holding_ms: Option<i64>,
    /// The window with the most that may go in it and those that went.
    window: Option<(i64, u64, u64)>,
}

impl Brake {
    pub fn hear(&mut self, clock_ms: i64, parameters: &Parameters) {
        if self.is_cut_off(clock_ms, parameters) {
            self.returned_ms = Some(clock_ms);
        }
        self.heard_ms = clock_ms;
    }

    /// How many of the leases that are over end now.
    pub fn let_go(&mut self, clock_ms: i64, parameters: &Parameters, over: u64, live: u64) -> u64 {
        let count = self.count(clock_ms, parameters, over, live);
        self.holding_ms = if count < over { self.holding_ms.or(Some(clock_ms)) } else { None };
        count
    }

    fn count(&mut self, clock_ms: i64, parameters: &Parameters, over: u64, live: u64) -> u64 {
        let held_long = self.holding_ms.is_some_and(|since_ms| clock_ms - since_ms >= HELD_MS_MAX);
        if over == 0 || held_long || !parameters.brake {
            return over;
        }
        let number = clock_ms / WINDOW_MS;
        let (window, most, gone) = match self.window {
            Some(window) if window.0 == number => window,
            _ => (number, FREE.max((live * SHARE_PERCENT).div_ceil(100)), 0),
        };
        let returning =
            self.returned_ms.is_some_and(|returned_ms| clock_ms - returned_ms < parameters.lease_ms);
        let count = match live > FREE && (returning || self.is_cut_off(clock_ms, parameters)) {
            true => 0,
            false => over.min(most - gone),
        };
        self.window = Some((window, most, gone + count));
        count
    }

    fn is_cut_off(&self, clock_ms: i64, parameters: &Parameters) -> bool {
        clock_ms - self.heard_ms >= parameters.lease_ms / 3
    }
}
