//! Names that many sessions share, such as gateways and devices: stored once, counted, freed with their last
//! use.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// A name in [`Names`]; [`NO_NAME`] stands for none.
pub(super) type Name = u32;
pub(super) const NO_NAME: Name = 0;

#[derive(Debug, Default)]
pub(super) struct Names {
    /// Name n is entry n - 1.
    entries: Vec<Entry>,
    free: Vec<Name>,
    index: HashTable<Name>,
    hasher: FixedState,
}

#[derive(Debug)]
struct Entry {
    text: Box<str>,
    uses: u32,
}

impl Names {
    /// One more use of `text`.
    pub fn take(&mut self, text: Option<&str>) -> Name {
        let Some(text) = text else { return NO_NAME };
        if let Some(name) = self.find(text) {
            self.entries[name as usize - 1].uses += 1;
            return name;
        }
        let entry = Entry { text: text.into(), uses: 1 };
        let name = match self.free.pop() {
            Some(name) => {
                self.entries[name as usize - 1] = entry;
                name
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as Name
            }
        };
        let Self { entries, index, hasher, .. } = self;
        let hash = |name: &Name| hasher.hash_one(&*entries[*name as usize - 1].text);
        index.insert_unique(hash(&name), name, hash);
        name
    }

    /// One more use of a name that is in use.
    pub fn keep(&mut self, name: Name) {
        if name != NO_NAME {
            self.entries[name as usize - 1].uses += 1;
        }
    }

    /// One use less; the last one frees the name.
    pub fn give_back(&mut self, name: Name) {
        if name == NO_NAME {
            return;
        }
        let entry = &mut self.entries[name as usize - 1];
        entry.uses -= 1;
        if entry.uses > 0 {
            return;
        }
        let text = std::mem::take(&mut entry.text);
        let hash = self.hasher.hash_one(&*text);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == name) {
            found.remove();
        }
        self.free.push(name);
    }

    pub fn find(&self, text: &str) -> Option<Name> {
        let hash = self.hasher.hash_one(text);
        self.index.find(hash, |name| &*self.entries[*name as usize - 1].text == text).copied()
    }

    pub fn get(&self, name: Name) -> Option<&str> {
        (name != NO_NAME).then(|| &*self.entries[name as usize - 1].text)
    }

    /// Every name in use, with its text, in no particular order: sort before anything depends on it.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &str)> {
        let entries = self.entries.iter().zip(1..);
        entries.filter(|(entry, _)| entry.uses > 0).map(|(entry, name)| (name, &*entry.text))
    }
}

#[cfg(test)]
mod tests;
