//! When to look at a session again: a lazy timing wheel.
//!
//! A session is filed no later than its deadline. A deadline that moves away, as every renewal moves it,
//! changes nothing here: the session is found not to be due when its slot fires and is filed anew. Only one
//! that comes nearer is filed again; the entry that it leaves behind is known by its slot. What fires when is
//! therefore no property of the log: whoever asks the wheel must judge each session by its own fields.

/// Milliseconds of lease clock that one slot stands for.
const TICK_MS: i64 = 1_000;
const SLOTS: u32 = 128;

/// The slot that a session is filed in, and of one that is filed nowhere.
pub(super) type Slot = u8;
pub(super) const UNFILED: Slot = Slot::MAX;

const _: () = assert!(SLOTS <= UNFILED as u32);

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
    pub fn file(&mut self, session: u32, filed: &mut Slot, deadline_ms: i64) {
        let ahead = tick_of(deadline_ms).saturating_sub(self.tick).min(SLOTS - 1);
        if *filed != UNFILED && ahead >= self.ahead(*filed) {
            return;
        }
        *filed = ((self.tick + ahead) % SLOTS) as Slot;
        let slot = &mut self.slots[usize::from(*filed)];
        if slot.len() == slot.capacity() {
            // By a quarter: there is one slot for every second, and many wheels.
            slot.reserve_exact((slot.len() / 4).max(4));
        }
        slot.push(session);
    }

    /// How many ticks from now on a slot fires.
    fn ahead(&self, slot: Slot) -> u32 {
        (u32::from(slot) + SLOTS - self.tick % SLOTS) % SLOTS
    }

    /// Entries, those left behind included.
    #[cfg(test)]
    pub fn entries(&self) -> usize {
        self.slots.iter().map(Vec::len).sum()
    }

    /// Moves what may be due at `clock_ms` to `fired`, each with the slot it was filed in.
    pub fn fire(&mut self, clock_ms: i64, fired: &mut Vec<(u32, Slot)>) {
        let last = tick_of(clock_ms).max(self.tick);
        // Nothing is filed beyond the horizon, so that one turn of the wheel is always enough.
        for tick in self.tick..=last.min(self.tick + (SLOTS - 1)) {
            let slot = (tick % SLOTS) as Slot;
            let sessions = std::mem::take(&mut self.slots[usize::from(slot)]);
            fired.extend(sessions.into_iter().map(|session| (session, slot)));
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
