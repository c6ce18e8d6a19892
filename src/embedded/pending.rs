//! The changes of one group commit: read through, and written as one atomic, synced batch.
//!
//! Work is carried out one piece after the other. Each piece sees what the earlier ones changed; what a
//! refused piece changed is dropped. A key is written once however often it changes, since the database
//! orders writes by batch only.

use fjall::{Keyspace, PersistMode, Slice};
use foldhash::{HashMap, HashMapExt};

use super::spaces::{Spaces, StorageError};

pub(super) struct Pending<'a> {
    pub spaces: &'a Spaces,
    kept: Changes,
    staged: Changes,
}

/// `None` is a removal.
#[derive(Default)]
struct Changes(Vec<(Keyspace, HashMap<Slice, Option<Slice>>)>);

impl<'a> Pending<'a> {
    pub fn new(spaces: &'a Spaces) -> Self {
        Self { spaces, kept: Changes::default(), staged: Changes::default() }
    }

    pub fn get(&self, space: &Keyspace, key: &[u8]) -> Result<Option<Slice>, StorageError> {
        match self.staged.get(space, key).or_else(|| self.kept.get(space, key)) {
            Some(change) => Ok(change.clone()),
            None => Ok(space.get(key)?),
        }
    }

    pub fn insert(&mut self, space: &Keyspace, key: impl Into<Slice>, value: impl Into<Slice>) {
        self.staged.of(space).insert(key.into(), Some(value.into()));
    }

    pub fn remove(&mut self, space: &Keyspace, key: impl Into<Slice>) {
        self.staged.of(space).insert(key.into(), None);
    }

    /// The changes since the last call belong to the commit.
    pub fn keep(&mut self) {
        for (space, changes) in self.staged.0.drain(..) {
            let kept = self.kept.of(&space);
            if kept.is_empty() {
                *kept = changes;
            } else {
                kept.extend(changes);
            }
        }
    }

    /// The changes since the last [`Pending::keep`] never were.
    pub fn discard(&mut self) {
        self.staged.0.clear();
    }

    /// Writes what was kept. It is visible to readers, as a whole, after it is on disk.
    pub fn commit(self) -> Result<(), StorageError> {
        let mut batch = self.spaces.database.batch().durability(Some(PersistMode::SyncData));
        for (space, changes) in self.kept.0 {
            for (key, change) in changes {
                match change {
                    Some(value) => batch.insert(&space, key, value),
                    None => batch.remove(&space, key),
                }
            }
        }
        Ok(batch.commit()?)
    }
}

impl Changes {
    fn get(&self, space: &Keyspace, key: &[u8]) -> Option<&Option<Slice>> {
        self.0.iter().find(|(of, _)| of == space)?.1.get(key)
    }

    fn of(&mut self, space: &Keyspace) -> &mut HashMap<Slice, Option<Slice>> {
        let at = self.0.iter().position(|(of, _)| of == space).unwrap_or_else(|| {
            self.0.push((space.clone(), HashMap::new()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}
