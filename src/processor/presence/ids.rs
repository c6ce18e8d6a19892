//! Ids of users and sessions, each stored once: short ones in the record itself, where reading them costs no
//! further access to memory, long ones on shelves.

use std::ops::Range;

use crate::limits::ID_BYTES_MAX;

/// Bytes of an id that is stored in place.
const INLINE_BYTES_MAX: usize = 16;

/// An id, or where it is stored. Without alignment, so that it fits anywhere in a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Id {
    /// The id's bytes; of one that is longer the place on its shelf.
    bytes: [u8; INLINE_BYTES_MAX],
    length: u8,
}

/// Long ids by length: those of one length lie side by side, so that none needs padding or a pointer.
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
        let mut id = Id { bytes: [0; INLINE_BYTES_MAX], length: length as u8 };
        if length <= INLINE_BYTES_MAX {
            id.bytes[..length].copy_from_slice(text.as_bytes());
            return id;
        }
        if self.shelves.len() <= length {
            self.shelves.resize_with(length + 1, Shelf::default);
        }
        let shelf = &mut self.shelves[length];
        match shelf.free.pop() {
            Some(at) => {
                id.bytes[..4].copy_from_slice(&at.to_le_bytes());
                shelf.bytes[id.range()].copy_from_slice(text.as_bytes());
            }
            None => {
                let at = (shelf.bytes.len() / length) as u32;
                id.bytes[..4].copy_from_slice(&at.to_le_bytes());
                shelf.bytes.extend_from_slice(text.as_bytes());
            }
        }
        id
    }

    /// Gives an id's room back.
    pub fn drop(&mut self, id: Id) {
        if usize::from(id.length) > INLINE_BYTES_MAX {
            self.shelves[usize::from(id.length)].free.push(id.place());
        }
    }

    #[inline]
    pub fn bytes<'a>(&'a self, id: &'a Id) -> &'a [u8] {
        let length = usize::from(id.length);
        match id.bytes.get(..length) {
            Some(bytes) => bytes,
            None => &self.shelves[length].bytes[id.range()],
        }
    }

    /// Whether the id is `bytes`.
    #[inline]
    pub fn is(&self, id: &Id, bytes: &[u8]) -> bool {
        usize::from(id.length) == bytes.len() && self.bytes(id) == bytes
    }

    /// The id as the text that was put; only texts are put, so the check cannot fail.
    pub fn text<'a>(&'a self, id: &'a Id) -> &'a str {
        std::str::from_utf8(self.bytes(id)).unwrap_or_default()
    }
}

impl Id {
    fn place(&self) -> u32 {
        let [a, b, c, d, ..] = self.bytes;
        u32::from_le_bytes([a, b, c, d])
    }

    fn range(&self) -> Range<usize> {
        let (at, length) = (self.place() as usize, usize::from(self.length));
        at * length..(at + 1) * length
    }
}

#[cfg(test)]
mod tests;
