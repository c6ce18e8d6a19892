//! Records in numbered places, in segments that never move: what is there takes no room twice while more
//! comes, and nothing is kept in reserve beyond one segment.

use std::ops::{Index, IndexMut};

/// Users take 73 bytes: so many of them fill 16 KiB, a size that allocators give out. With 128 a tenth of the
/// memory would be lost to rounding up.
const SEGMENT: usize = 224;

#[derive(Debug)]
pub(super) struct Places<T> {
    segments: Vec<Box<[T; SEGMENT]>>,
    /// How many places have been given out, those included that are free.
    len: usize,
    free: Vec<u32>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { segments: Vec::new(), len: 0, free: Vec::new() }
    }
}

impl<T: Copy> Places<T> {
    /// How many places there are, those included that are free.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Puts a record into a free place, or into a new one; says which.
    pub fn put(&mut self, record: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self[place] = record;
            return place;
        }
        let place = self.len as u32;
        self.len += 1;
        if self.len > self.segments.len() * SEGMENT {
            // What the other places hold is of no account until they are given out.
            self.segments.push(Box::new([record; SEGMENT]));
        }
        self[place] = record;
        place
    }

    /// Gives a place free; what is in it can still be read until it is used again.
    pub fn free(&mut self, place: u32) {
        self.free.push(place);
    }
}

impl<T> Index<u32> for Places<T> {
    type Output = T;

    #[inline]
    fn index(&self, place: u32) -> &T {
        &self.segments[place as usize / SEGMENT][place as usize % SEGMENT]
    }
}

impl<T> IndexMut<u32> for Places<T> {
    #[inline]
    fn index_mut(&mut self, place: u32) -> &mut T {
        &mut self.segments[place as usize / SEGMENT][place as usize % SEGMENT]
    }
}

#[cfg(test)]
mod tests;
