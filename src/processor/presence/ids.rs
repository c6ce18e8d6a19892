//! Ids of users and sessions, each stored once: short ones in the record itself, where reading them costs no
//! further access to memory, long ones on shelves.

use std::ops::Range;

use crate::limits::ID_BYTES_MAX;

/// Bytes of an id that is stored in place.
const INLINE_BYTES_MAX: usize = 16;

/// An id, or where it is stored. Without alignment, so that it fits anywhere in a record.
///
/// No id has a byte 0: zeros fill up a short one, and of one that is longer they precede its length and the
/// place on its shelf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Id([u8; INLINE_BYTES_MAX]);

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
        debug_assert!(
            (1..=ID_BYTES_MAX).contains(&length) && !text.contains('\0'),
            "ids are checked when they are decoded"
        );
        if length <= INLINE_BYTES_MAX {
            return Id::inline(text.as_bytes());
        }
        if self.shelves.len() <= length {
            self.shelves.resize_with(length + 1, Shelf::default);
        }
        let shelf = &mut self.shelves[length];
        match shelf.free.pop() {
            Some(at) => {
                let id = Id::shelved(length, at);
                shelf.bytes[id.range()].copy_from_slice(text.as_bytes());
                id
            }
            None => {
                let at = (shelf.bytes.len() / length) as u32;
                shelf.bytes.extend_from_slice(text.as_bytes());
                Id::shelved(length, at)
            }
        }
    }

    /// Gives an id's room back.
    pub fn drop(&mut self, id: Id) {
        if !id.is_inline() {
            self.shelves[id.length()].free.push(id.place());
        }
    }

    #[inline]
    pub fn bytes<'a>(&'a self, id: &'a Id) -> &'a [u8] {
        match id.is_inline() {
            true => &id.0[..id.length()],
            false => &self.shelves[id.length()].bytes[id.range()],
        }
    }

    /// Whether the id is `bytes`.
    #[inline]
    pub fn is(&self, id: &Id, bytes: &[u8]) -> bool {
        match bytes.len() <= INLINE_BYTES_MAX {
            true => *id == Id::inline(bytes),
            false => !id.is_inline() && self.bytes(id) == bytes,
        }
    }

    /// The id as the text that was put; only texts are put, so the check cannot fail.
    pub fn text<'a>(&'a self, id: &'a Id) -> &'a str {
        std::str::from_utf8(self.bytes(id)).unwrap_or_default()
    }
}

impl Id {
    #[inline]
    fn inline(text: &[u8]) -> Self {
        let mut bytes = [0; INLINE_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Self(bytes)
    }

    fn shelved(length: usize, place: u32) -> Self {
        let mut bytes = [0; INLINE_BYTES_MAX];
        bytes[1] = length as u8;
        bytes[2..6].copy_from_slice(&place.to_le_bytes());
        Self(bytes)
    }

    #[inline]
    fn is_inline(&self) -> bool {
        self.0[0] != 0
    }

    #[inline]
    fn length(&self) -> usize {
        match self.is_inline() {
            true => INLINE_BYTES_MAX - (u128::from_le_bytes(self.0).leading_zeros() / u8::BITS) as usize,
            false => self.0[1].into(),
        }
    }

    fn place(&self) -> u32 {
        let [_, _, a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d])
    }

    fn range(&self) -> Range<usize> {
        let (at, length) = (self.place() as usize, self.length());
        at * length..(at + 1) * length
    }
}

#[cfg(test)]
mod tests;
