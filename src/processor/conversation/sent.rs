//! What senders sent under which ids: by what a message is recognised when it comes again.
//!
//! An id counts in the block of the next message and in the one before it, for a day of record time. What
//! this owner numbered itself is known from memory; what came before is read by key, and only where it can
//! matter.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    limits::{BLOCK_MESSAGES, IDEMPOTENCE_MS},
    mutant::{self, Mutant},
    store::{Query, Row, Select},
    table::{
        CellError,
        message::{SentRow, block_of, sent_key_of},
    },
};

/// A sender with its id, as rows are keyed by them.
type Key = Box<str>;

/// Bytes of an id's bookkeeping, about.
const SENT_BYTES: usize = 160;

#[derive(Debug, Default)]
pub(super) struct Sent {
    known: BTreeMap<Key, SentRow>,
    /// In the order of their numbers, so that old ones are found.
    by_seq: BTreeMap<i64, Key>,
    /// Read, and not there.
    absent: BTreeSet<Key>,
    /// The last message before this owner's own, and the greatest record time up to it.
    loaded_seq: i64,
    loaded_at_ms: i64,
}

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It must be read first.
    Unknown,
    New,
    /// The same message again.
    Same,
    /// Another payload, which has this number.
    Other(i64),
}

impl Sent {
    pub fn new(loaded_seq: i64, loaded_at_ms: i64) -> Self {
        Self { loaded_seq, loaded_at_ms, ..Self::default() }
    }

    /// The greatest record time of what may have to be read.
    pub fn loaded_at_ms(&self) -> i64 {
        self.loaded_at_ms
    }

    /// Whether the id's rows must be read before a message under it can be numbered `next`.
    pub fn wants(&self, key: &str, next: i64, time_ms: i64) -> bool {
        let counts = self.loaded_seq >= first_that_counts(next)
            && time_ms.saturating_sub(self.loaded_at_ms) <= IDEMPOTENCE_MS
            && !mutant::is(Mutant::SentForgottenOnTakeover);
        self.loaded_seq > 0 && counts && !self.known.contains_key(key) && !self.absent.contains(key)
    }

    /// What is known of an id under which a message is to be numbered `next`.
    pub fn known(&self, key: &str, hash: u64, next: i64, time_ms: i64) -> Known {
        if self.wants(key, next, time_ms) {
            return Known::Unknown;
        }
        match self.known.get(key) {
            Some(sent) if !counts(sent, next, time_ms) => Known::New,
            Some(sent) if sent.hash == hash || mutant::is(Mutant::ConflictAccepted) => Known::Same,
            Some(sent) => Known::Other(sent.seq),
            None => Known::New,
        }
    }

    /// A message was numbered; ids that count no more are forgotten.
    pub fn add(&mut self, key: Key, sent: SentRow) {
        self.absent.remove(&key);
        if let Some(former) = self.known.insert(key.clone(), sent) {
            self.by_seq.remove(&former.seq);
        }
        self.by_seq.insert(sent.seq, key);
        let first = first_that_counts(sent.seq + 1);
        while let Some(oldest) = self.by_seq.first_entry()
            && *oldest.key() < first
        {
            self.known.remove(&oldest.remove());
        }
    }

    /// An id that was read and is not there was used up without a message.
    pub fn forget_absent(&mut self, key: &str) {
        self.absent.remove(key);
    }

    /// Takes the rows of some ids of one block, each of one day. Rows above what this owner began with are
    /// its own or those of records that it has yet to fold.
    pub fn load(&mut self, query: &Query, rows: &[Row]) -> Result<(), CellError> {
        let Select::Keys(keys) = &query.select else { return Ok(()) };
        for clustering in keys {
            let Some(key) = sent_key_of(clustering) else { continue };
            let row = rows.iter().find(|row| row.clustering == *clustering);
            let row = row.map(|row| SentRow::from_cells(&row.cells)).transpose()?;
            let newest = self.known.get(key).map_or(0, |sent| sent.seq);
            let future = mutant::is(Mutant::SentOfTheFuture);
            match row.filter(|row| (row.seq <= self.loaded_seq || future) && row.seq > newest) {
                Some(row) => {
                    self.absent.remove(key);
                    self.by_seq.remove(&newest);
                    self.by_seq.insert(row.seq, key.into());
                    self.known.insert(key.into(), row);
                }
                None if newest == 0 => {
                    self.absent.insert(key.into());
                }
                None => {}
            }
        }
        Ok(())
    }

    pub fn size_bytes(&self) -> usize {
        (self.known.len() + self.absent.len()) * SENT_BYTES
    }
}

/// The first number whose id counts when a message is to be numbered `next`.
fn first_that_counts(next: i64) -> i64 {
    (block_of(next) - 1).max(0) * BLOCK_MESSAGES
}

fn counts(sent: &SentRow, next: i64, time_ms: i64) -> bool {
    let young = time_ms.saturating_sub(sent.accepted_at_ms) <= IDEMPOTENCE_MS;
    sent.seq >= first_that_counts(next) && (young || mutant::is(Mutant::IdsCountForEver))
}
