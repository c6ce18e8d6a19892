//! Records in numbered places, in segments that never move: what is there takes no room twice while more
//! comes, and nothing is kept in reserve beyond one segment.

use std::ops::{Index, IndexMut};

const SEGMENT: usize = 128;

#[derive(Debug)]
pub(super) struct Places<T> {
    segments: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { segments: Vec::new(), free: Vec::new() }
    }
}

impl<T> Places<T> {
    /// How many places there are, those included that are free.
    pub fn len(&self) -> usize {
        self.segments.last().map_or(0, |last| (self.segments.len() - 1) * SEGMENT + last.len())
    }

    /// Puts a record into a free place, or into a new one; says which.
    pub fn put(&mut self, record: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self[place] = record;
            return place;
        }
        if self.segments.last().is_none_or(|last| last.len() == SEGMENT) {
            self.segments.push(Vec::with_capacity(SEGMENT));
        }
        if let Some(last) = self.segments.last_mut() {
            last.push(record);
        }
        self.len() as u32 - 1
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
