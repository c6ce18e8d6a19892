//! When to look at a session again: a lazy timing wheel.
//!
//! A session is filed no later than its deadline. A deadline that moves away, as every renewal moves it,
//! changes nothing here: the session is found not to be due when its slot fires and is filed anew. Only one
//! that comes nearer is filed again; the entry that it leaves behind is known by its tick. What fires when is
//! therefore no property of the log: whoever asks the wheel must judge each session by its own fields.

/// Milliseconds of lease clock that one slot stands for.
const TICK_MS: i64 = 1_000;
const SLOTS: u32 = 128;

/// A session that is filed nowhere.
pub(super) const UNFILED: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Wheel {
    slots: Box<[Vec<u32>]>,
    /// The tick that fires next, and again until the lease clock has left it.
    tick: u32,
}

impl Wheel {
    pub fn new(clock_ms: i64) -> Self {
        Self { slots: vec![Vec::new(); SLOTS as usize].into(), tick: tick_of(clock_ms) }
    }

    /// Sees to it that `session` fires no later than at `deadline_ms`; `filed` is kept by the session, also
    /// across its end, so that the entry of a former holder of its place serves the next.
    #[inline]
    pub fn file(&mut self, session: u32, filed: &mut u32, deadline_ms: i64) {
        let horizon = self.tick + (SLOTS - 1);
        let tick = tick_of(deadline_ms).clamp(self.tick, horizon);
        if tick < *filed {
            *filed = tick;
            self.slots[(tick % SLOTS) as usize].push(session);
        }
    }

    /// Entries, those left behind included.
    #[cfg(test)]
    pub fn entries(&self) -> usize {
        self.slots.iter().map(Vec::len).sum()
    }

    /// Moves what may be due at `clock_ms` to `fired`, each with the tick it was filed under.
    pub fn fire(&mut self, clock_ms: i64, fired: &mut Vec<(u32, u32)>) {
        let last = tick_of(clock_ms).max(self.tick);
        // Nothing is filed beyond the horizon, so that one turn of the wheel is always enough.
        for tick in self.tick..=last.min(self.tick + (SLOTS - 1)) {
            let slot = std::mem::take(&mut self.slots[(tick % SLOTS) as usize]);
            fired.extend(slot.into_iter().map(|session| (session, tick)));
        }
        self.tick = last;
    }
}

fn tick_of(clock_ms: i64) -> u32 {
    // 2^31 ticks are 68 years of lease clock.
    (clock_ms / TICK_MS).clamp(0, i64::from(u32::MAX / 2)) as u32
}

#[cfg(test)]
mod tests;
