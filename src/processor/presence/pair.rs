//! A session's epoch and counter in ten bytes instead of fourteen.
//!
//! Both may be anything below 2^53, but hardly ever are both large: producers count from a small number on in
//! epochs that are times, or take times for counters and leave the epoch out.

use super::session::Packed;

/// An epoch and a counter, one of which is small, or the mark that they are stored apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    /// The one that may be large, doubled; the lowest bit says that it is the counter.
    wide: Packed<7>,
    narrow: Packed<3>,
}

/// Twice an integer of a record is never as far from 0.
const APART: i64 = -1 << 55;

impl Pair {
    /// Whatever the pair is, it is stored apart.
    pub fn apart() -> Self {
        Self { wide: Packed::new(APART), narrow: Packed::new(0) }
    }

    /// None where both are large.
    #[inline]
    pub fn new(epoch: i64, counter: i64) -> Option<Self> {
        let narrow = Packed::new(counter);
        if narrow.get() == counter {
            return Some(Self { wide: Packed::new(epoch << 1), narrow });
        }
        let narrow = Packed::new(epoch);
        (narrow.get() == epoch).then(|| Self { wide: Packed::new(counter << 1 | 1), narrow })
    }

    /// Epoch and counter; none where they are stored apart.
    #[inline]
    pub fn get(self) -> Option<(i64, i64)> {
        let (wide, narrow) = (self.wide.get(), self.narrow.get());
        match wide & 1 {
            _ if wide == APART => None,
            0 => Some((wide >> 1, narrow)),
            _ => Some((narrow, wide >> 1)),
        }
    }
}

#[cfg(test)]
mod tests;
