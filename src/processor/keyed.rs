//! State that is read from rows at a key's first record and forgotten when memory is short.

use std::{borrow::Borrow, collections::BTreeMap};

use crate::mutant::{self, Mutant};

/// Bytes that a key's bookkeeping takes beside key and value, about.
const ENTRY_BYTES: usize = 64;

/// States by key. A key leaves memory only when the rows of its last change are acknowledged: until then a
/// fetch would read a row that the log is ahead of.
#[derive(Debug)]
pub(super) struct Keyed<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    size_bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    size_bytes: usize,
    /// The batch that used it last; it changes nothing else.
    used: u64,
}

impl<K: Ord, V> Keyed<K, V> {
    pub fn new(bytes_max: usize) -> Self {
        Self { entries: BTreeMap::new(), size_bytes: 0, bytes_max }
    }

    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.contains_key(key)
    }

    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The state of a key that `batch` uses.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q, batch: u64) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get_mut(key)?;
        entry.used = batch;
        Some(&mut entry.value)
    }

    /// Takes in what was read; `batch` will use it.
    pub fn insert(&mut self, key: K, value: V, size_bytes: usize, batch: u64) {
        let size_bytes = size_bytes + ENTRY_BYTES;
        self.size_bytes += size_bytes;
        if let Some(former) = self.entries.insert(key, Entry { value, size_bytes, used: batch }) {
            self.size_bytes -= former.size_bytes;
        }
    }

    /// The state of a key has grown or shrunk to `size_bytes`.
    pub fn resize<Q: Ord + ?Sized>(&mut self, key: &Q, size_bytes: usize)
    where
        K: Borrow<Q>,
    {
        if let Some(entry) = self.entries.get_mut(key) {
            self.size_bytes -= entry.size_bytes;
            entry.size_bytes = size_bytes + ENTRY_BYTES;
            self.size_bytes += entry.size_bytes;
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The rows of all batches up to `batch` are in the store: while there are more bytes than allowed, keys
    /// that no later batch has used may go, those first that were not used for longest.
    pub fn acknowledged(&mut self, batch: u64)
    where
        K: Clone,
    {
        if self.size_bytes <= self.bytes_max {
            return;
        }
        let mut idle: Vec<(u64, K)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.used <= batch || mutant::is(Mutant::KeyLeavesBeforeAcknowledgement))
            .map(|(key, entry)| (entry.used, key.clone()))
            .collect();
        idle.sort_unstable();
        // Some more than needed, so that this is not done again at once.
        let enough = self.bytes_max - self.bytes_max / 8;
        for (_, key) in idle {
            if self.size_bytes <= enough {
                break;
            }
            if let Some(entry) = self.entries.remove(&key) {
                self.size_bytes -= entry.size_bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests;
