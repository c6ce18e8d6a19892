//! Where users are, by the hash of their ids: an open table that grows by an eighth, four bytes a place, so
//! that it stays as small as what it holds.

/// An entry that holds nothing.
const EMPTY: u32 = u32::MAX;
const ENTRIES_MIN: usize = 16;

/// Places by hash. A place is below the number of entries, as it is where places are given out anew before
/// there are more of them. What an entry has left beside its place holds bits of the hash, so that an entry
/// that is not meant is nearly always known without looking at what is in its place.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Vec<u32>,
    place_bits: u32,
    len: usize,
}

impl Index {
    /// An empty table that holds so many places before it grows.
    pub fn with_room_for(places: usize) -> Self {
        let mut index = Self::default();
        index.make_entries((places * 8).div_ceil(7));
        index
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Every place, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let places = self.entries.iter().filter(|entry| **entry != EMPTY);
        places.map(|entry| entry & self.place_mask())
    }

    #[cfg(test)]
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// The place with this hash that `is_meant`.
    #[inline]
    pub fn find(&self, hash: u32, is_meant: impl Fn(u32) -> bool) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let (tag, mask) = (self.tag(hash), self.place_mask());
        let mut at = self.home(hash);
        loop {
            let entry = self.entries[at];
            if entry == EMPTY {
                return None;
            }
            if entry & !mask == tag && is_meant(entry & mask) {
                return Some(entry & mask);
            }
            at = self.next(at);
        }
    }

    /// Reads the entry where a search for this hash begins.
    #[inline]
    pub fn touch(&self, hash: u32) -> u32 {
        if self.len == 0 { EMPTY } else { self.entries[self.home(hash)] }
    }

    /// Adds a place that is not there yet; `hash_of` says the hash of what is in a place.
    pub fn insert(&mut self, hash: u32, place: u32, hash_of: impl Fn(u32) -> u32) {
        if (self.len + 1) * 8 > self.entries.len() * 7 {
            let places: Vec<u32> = self.iter().collect();
            self.make_entries(self.entries.len() + self.entries.len() / 8);
            places.into_iter().for_each(|place| self.put(hash_of(place), place));
        }
        debug_assert!((place as usize) < self.entries.len(), "places are given out anew");
        self.put(hash, place);
        self.len += 1;
    }

    /// Takes a place out. What lies behind it moves up, so that nothing is left behind.
    pub fn remove(&mut self, hash: u32, place: u32, hash_of: impl Fn(u32) -> u32) {
        if self.len == 0 {
            return;
        }
        let mask = self.place_mask();
        let mut gap = self.home(hash);
        while self.entries[gap] != EMPTY && self.entries[gap] & mask != place {
            gap = self.next(gap);
        }
        if self.entries[gap] == EMPTY {
            return;
        }
        self.len -= 1;
        let mut at = gap;
        loop {
            self.entries[gap] = EMPTY;
            loop {
                at = self.next(at);
                let entry = self.entries[at];
                if entry == EMPTY {
                    return;
                }
                // An entry may move to the gap if that is not before its home.
                let size = self.entries.len();
                let home = self.home(hash_of(entry & mask));
                if (at + size - home) % size >= (at + size - gap) % size {
                    self.entries[gap] = entry;
                    gap = at;
                    break;
                }
            }
        }
    }

    fn make_entries(&mut self, entries: usize) {
        let entries = entries.max(ENTRIES_MIN);
        self.entries = Vec::new();
        self.entries.reserve_exact(entries);
        self.entries.resize(entries, EMPTY);
        self.place_bits = usize::BITS - entries.leading_zeros();
    }

    fn put(&mut self, hash: u32, place: u32) {
        let mut at = self.home(hash);
        while self.entries[at] != EMPTY {
            at = self.next(at);
        }
        self.entries[at] = self.tag(hash) | place;
    }

    #[inline]
    fn home(&self, hash: u32) -> usize {
        (((spread(hash) >> 32) * self.entries.len() as u64) >> 32) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() { 0 } else { at + 1 }
    }

    #[inline]
    fn tag(&self, hash: u32) -> u32 {
        (spread(hash) >> 12) as u32 & !self.place_mask()
    }

    #[inline]
    fn place_mask(&self) -> u32 {
        (1u32 << self.place_bits) - 1
    }
}

/// Users of one bucket have the low bits of their hash in common: all of it must reach all bits.
#[inline]
fn spread(hash: u32) -> u64 {
    let mixed = u64::from(hash ^ (hash >> 15)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests;
