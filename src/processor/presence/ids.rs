//! Ids of users and sessions, each stored once.

use std::ops::Range;

use crate::limits::ID_BYTES_MAX;

/// Where an id is stored. Five bytes without alignment, so that it fits anywhere in a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Id {
    at: [u8; 4],
    length: u8,
}

/// Ids by length: those of one length lie side by side, so that none needs padding or a pointer.
#[derive(Debug, Default)]
pub(super) struct Ids {
    shelves: Vec<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    bytes: Vec<u8>,
    free: Vec<u32>,
}

const _: () = assert!(ID_BYTES_MAX <= u8::MAX as usize);

impl Ids {
    /// Stores an id. Nothing is shared: the same text twice takes its room twice.
    pub fn put(&mut self, text: &str) -> Id {
        let length = text.len();
        debug_assert!(length <= ID_BYTES_MAX, "ids are checked when they are decoded");
        if self.shelves.len() <= length {
            self.shelves.resize_with(length + 1, Shelf::default);
        }
        let shelf = &mut self.shelves[length];
        let at = match shelf.free.pop() {
            Some(at) => {
                let id = Id { at: at.to_le_bytes(), length: length as u8 };
                shelf.bytes[id.range()].copy_from_slice(text.as_bytes());
                at
            }
            None => {
                let at = shelf.bytes.len().checked_div(length).unwrap_or(0) as u32;
                shelf.bytes.extend_from_slice(text.as_bytes());
                at
            }
        };
        Id { at: at.to_le_bytes(), length: length as u8 }
    }

    /// Gives an id's room back.
    pub fn drop(&mut self, id: Id) {
        self.shelves[usize::from(id.length)].free.push(u32::from_le_bytes(id.at));
    }

    #[inline]
    pub fn bytes(&self, id: Id) -> &[u8] {
        &self.shelves[usize::from(id.length)].bytes[id.range()]
    }

    /// The id as the text that was put; only texts are put, so the check cannot fail.
    pub fn text(&self, id: Id) -> &str {
        std::str::from_utf8(self.bytes(id)).unwrap_or_default()
    }
}

impl Id {
    #[inline]
    fn range(self) -> Range<usize> {
        let (at, length) = (u32::from_le_bytes(self.at) as usize, usize::from(self.length));
        at * length..(at + 1) * length
    }
}

#[cfg(test)]
mod tests;
