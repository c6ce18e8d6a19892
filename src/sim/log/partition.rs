//! One partition as a broker keeps it: records, markers, what is stable and what was aborted.

use bytes::Bytes;

use super::ProducerId;
use crate::log::{Bounds, Chunk, Header, Offset};

/// A record without its place and time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// A record as a `read_committed` consumer sees it.
#[derive(Debug, Clone, Copy)]
pub struct CommittedRecord<'a> {
    pub offset: Offset,
    pub time_ms: i64,
    pub content: &'a Content,
}

#[derive(Debug, Default)]
pub struct PartitionLog {
    /// Entry i has offset i; what was trimmed stays for checkers.
    entries: Vec<Entry>,
    first: Offset,
    /// Below, contents are given back.
    forgotten: Offset,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Entry {
    time_ms: i64,
    state: State,
    content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Visible,
    Open,
    Aborted,
    /// Ends a transaction and occupies an offset.
    Marker,
}

/// A transaction that has records here and no marker yet.
#[derive(Debug)]
struct Open {
    producer: ProducerId,
    offsets: Vec<Offset>,
}

/// What a read needs to be told.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    pub records_max: usize,
    pub bytes_max: usize,
}

impl PartitionLog {
    /// Appends a record, as part of `producer`'s open transaction where one is named.
    pub fn append(&mut self, content: Content, time_ms: i64, producer: Option<ProducerId>) -> Offset {
        let offset = self.end();
        let state = match producer {
            None => State::Visible,
            Some(producer) => {
                match self.open.iter_mut().find(|open| open.producer == producer) {
                    Some(open) => open.offsets.push(offset),
                    None => self.open.push(Open { producer, offsets: vec![offset] }),
                }
                State::Open
            }
        };
        self.entries.push(Entry { time_ms, state, content });
        offset
    }

    /// Writes the marker that ends `producer`'s transaction here.
    pub fn end_transaction(&mut self, producer: ProducerId, commit: bool, time_ms: i64) {
        let Some(index) = self.open.iter().position(|open| open.producer == producer) else { return };
        let open = self.open.remove(index);
        let state = if commit { State::Visible } else { State::Aborted };
        for offset in open.offsets {
            self.entries[offset as usize].state = state;
        }
        self.entries.push(Entry { time_ms, state: State::Marker, content: Content::default() });
    }

    /// The next offset to be written.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.entries.len() as Offset
    }

    /// The last stable offset: below it everything is decided.
    #[must_use]
    pub fn stable_end(&self) -> Offset {
        let firsts = self.open.iter().filter_map(|open| open.offsets.first().copied());
        firsts.min().unwrap_or_else(|| self.end())
    }

    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds { first: self.first, end: self.end() }
    }

    /// The time of the last record, which the next one does not precede.
    #[must_use]
    pub fn last_time_ms(&self) -> i64 {
        self.entries.last().map_or(i64::MIN, |entry| entry.time_ms)
    }

    /// Removes what is below `first`, as far as it is stable.
    pub fn trim(&mut self, first: Offset) {
        self.first = first.clamp(self.first, self.stable_end().max(self.first));
    }

    /// Removes what is below `end`, as far as it is stable, with its contents.
    pub fn forget(&mut self, end: Offset) {
        self.trim(end);
        for offset in self.forgotten..self.first {
            self.entries[offset as usize].content = Content::default();
        }
        self.forgotten = self.forgotten.max(self.first);
    }

    /// Whether a reader at `position` has anything to look at.
    #[must_use]
    pub fn has_stable(&self, position: Offset) -> bool {
        position < self.stable_end()
    }

    /// Adds committed records from `position` on to `chunk` and returns the position behind what was looked
    /// at. The first record is read whatever its size.
    pub fn read(&self, position: Offset, limits: ReadLimits, chunk: &mut Chunk) -> Offset {
        let end = self.stable_end();
        let mut next = position.max(self.first);
        while next < end && chunk.len() < limits.records_max {
            let Entry { time_ms, state, content } = &self.entries[next as usize];
            if *state == State::Visible {
                let part = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
                let size = part(&content.key) + part(&content.value);
                if !chunk.is_empty() && chunk.size_bytes() + size > limits.bytes_max {
                    break;
                }
                let (key, value) = (content.key.as_deref(), content.value.as_deref());
                chunk.push(next, *time_ms, key, value, content.headers.clone());
            }
            next += 1;
        }
        next
    }

    /// Every committed record below the last stable offset from `from` on, those that were trimmed included.
    pub fn committed(&self, from: Offset) -> impl Iterator<Item = CommittedRecord<'_>> {
        let range = from.max(0) as usize..self.stable_end() as usize;
        let entries = self.entries.get(range).unwrap_or_default();
        entries.iter().zip(from.max(0)..).filter(|(entry, _)| entry.state == State::Visible).map(
            |(entry, offset)| CommittedRecord { offset, time_ms: entry.time_ms, content: &entry.content },
        )
    }
}

#[cfg(test)]
mod tests;
