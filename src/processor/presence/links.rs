//! What sessions have in common: device, gateway and lease. Each combination is stored once, counted, and
//! freed with its last use; its device and gateway count as names in use.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::names::{NO_NAME, Name};

/// A combination in [`Links`].
pub(super) type Link = u32;

/// How a session is linked: what it reaches its user by, and how long it may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Linked {
    pub device: Name,
    pub gateway: Name,
    pub lease_ms: u32,
}

#[derive(Debug, Default)]
pub(super) struct Links {
    entries: Vec<(Linked, u32)>,
    free: Vec<Link>,
    index: HashMap<Linked, Link, FixedState>,
}

impl Linked {
    pub fn lease(lease_ms: i64) -> Self {
        Self { device: NO_NAME, gateway: NO_NAME, lease_ms: clamped(lease_ms) }
    }
}

/// No lease is over when it is given: what becomes due at one beacon is due after all that was at the last.
pub(super) fn clamped(lease_ms: i64) -> u32 {
    lease_ms.clamp(1, u32::MAX.into()) as u32
}

impl Links {
    /// One more use; says whether it is the first.
    pub fn take(&mut self, linked: Linked) -> (Link, bool) {
        if let Some(link) = self.index.get(&linked) {
            self.entries[*link as usize].1 += 1;
            return (*link, false);
        }
        let link = match self.free.pop() {
            Some(link) => {
                self.entries[link as usize] = (linked, 1);
                link
            }
            None => {
                self.entries.push((linked, 1));
                self.entries.len() as Link - 1
            }
        };
        self.index.insert(linked, link);
        (link, true)
    }

    /// One use less; what it was if that was the last one.
    pub fn give_back(&mut self, link: Link) -> Option<Linked> {
        let (linked, uses) = &mut self.entries[link as usize];
        *uses -= 1;
        if *uses > 0 {
            return None;
        }
        self.index.remove(linked);
        self.free.push(link);
        Some(*linked)
    }

    #[inline]
    pub fn get(&self, link: Link) -> Linked {
        self.entries[link as usize].0
    }
}
