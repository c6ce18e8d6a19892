//! When to look at sessions again: a lazy timing wheel of blocks of sessions.
//!
//! Sessions are filed by the block, no later than the first deadline of any of them: one entry serves many
//! sessions, and looking at some that are not due costs little, since they lie side by side. A deadline that
//! moves away, as every renewal moves it, changes nothing here: the block is found not to be due when its
//! slot fires and is filed anew. Only for one that comes nearer is it filed again; the entry that it leaves
//! behind is known by its slot. What fires when is therefore no property of the log: whoever asks the wheel
//! must judge each session by its own fields.

use std::ops::Range;

use super::people::FURTHER;

/// Sessions of one block.
const BLOCK: u32 = 32;
/// The first block of further sessions.
const FURTHER_BLOCK: u32 = FURTHER / BLOCK;

/// Milliseconds of lease clock that one slot stands for.
const TICK_MS: i64 = 1_000;
const SLOTS: u32 = 128;

/// The slot that a block is filed in, and of one that is filed nowhere.
type Slot = u8;
const UNFILED: Slot = Slot::MAX;

const _: () = assert!(SLOTS <= UNFILED as u32 && FURTHER.is_multiple_of(BLOCK));

/// The block of a session.
pub(super) fn block(session: u32) -> u32 {
    session / BLOCK
}

#[derive(Debug)]
pub(super) struct Wheel {
    slots: Box<[Vec<u32>]>,
    /// Where blocks are filed: those of users' first sessions, and those of further ones.
    filed: [Vec<Slot>; 2],
    /// The tick that fires next, and again until the lease clock has left it.
    tick: u32,
}

impl Wheel {
    pub fn new(clock_ms: i64) -> Self {
        let slots = vec![Vec::new(); SLOTS as usize].into();
        Self { slots, filed: [Vec::new(), Vec::new()], tick: tick_of(clock_ms) }
    }

    /// Sees to it that the block of `session` fires no later than at `deadline_ms`.
    #[inline]
    pub fn file(&mut self, session: u32, deadline_ms: i64) {
        let (tick, block) = (self.tick, block(session));
        let ahead = tick_of(deadline_ms).saturating_sub(tick).min(SLOTS - 1);
        let filed = self.filed(block);
        if *filed != UNFILED && ahead >= ahead_of(tick, *filed) {
            return;
        }
        *filed = ((tick + ahead) % SLOTS) as Slot;
        let slot = usize::from(*filed);
        self.slots[slot].push(block);
    }

    /// Whether the block of `session` fires no later than at `deadline_ms`.
    pub fn fires_by(&self, session: u32, deadline_ms: i64) -> bool {
        let block = block(session);
        let slot = match block.checked_sub(FURTHER_BLOCK) {
            None => self.filed[0].get(block as usize),
            Some(block) => self.filed[1].get(block as usize),
        };
        let ahead = tick_of(deadline_ms).saturating_sub(self.tick);
        slot.is_some_and(|slot| *slot != UNFILED && ahead_of(self.tick, *slot) <= ahead)
    }

    /// Moves the blocks that may be due at `clock_ms` to `fired`, each as the numbers of its sessions, be
    /// they in use or not.
    pub fn fire(&mut self, clock_ms: i64, fired: &mut Vec<Range<u32>>) {
        let last = tick_of(clock_ms).max(self.tick);
        // Nothing is filed beyond the horizon, so that one turn of the wheel is always enough.
        for tick in self.tick..=last.min(self.tick + (SLOTS - 1)) {
            let slot = (tick % SLOTS) as Slot;
            for block in std::mem::take(&mut self.slots[usize::from(slot)]) {
                let filed = self.filed(block);
                if *filed == slot {
                    *filed = UNFILED;
                    fired.push(block * BLOCK..(block + 1) * BLOCK);
                }
            }
        }
        self.tick = last;
    }

    /// Entries, those left behind included.
    #[cfg(test)]
    pub fn entries(&self) -> usize {
        self.slots.iter().map(Vec::len).sum()
    }

    #[inline]
    fn filed(&mut self, block: u32) -> &mut Slot {
        let (of_kind, at) = match block.checked_sub(FURTHER_BLOCK) {
            None => (&mut self.filed[0], block as usize),
            Some(block) => (&mut self.filed[1], block as usize),
        };
        if at >= of_kind.len() {
            of_kind.resize(at + 1, UNFILED);
        }
        &mut of_kind[at]
    }
}

/// How many ticks from `tick` on a slot fires.
fn ahead_of(tick: u32, slot: Slot) -> u32 {
    (u32::from(slot) + SLOTS - tick % SLOTS) % SLOTS
}

fn tick_of(clock_ms: i64) -> u32 {
    // 2^31 ticks are 68 years of lease clock.
    (clock_ms / TICK_MS).clamp(0, i64::from(u32::MAX / 2)) as u32
}

#[cfg(test)]
mod tests;
