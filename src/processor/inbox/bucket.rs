//! A bucket of recipients: their heads, the present window, and what the open batch has changed.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::hash_map::{EntryRef, HashMap};
use smol_str::SmolStr;

use super::{Arrival, Message};
use crate::{
    effect::{Lifetime, Output},
    limits::{WINDOW_ENTRIES_MAX, WINDOW_MS_MAX},
    log::Offset,
    mutant::{self, Mutant},
    store::Change,
    table::{
        Value,
        inbox::{
            BucketRow, EntryRow, HEADS, HeadRow, INBOX, WINDOWS, bucket_partition, clustering,
            window_partition,
        },
    },
};

/// Windows are kept a week longer than the entries in them: that is how long one may take to fill.
const WINDOW_EXTRA_S: u32 = (WINDOW_MS_MAX / 1_000) as u32;
/// Bytes that a head takes in memory beside its recipient, whose text is counted too, and in a write.
const HEAD_BYTES: usize = 128;
const HEAD_WRITE_BYTES: usize = 56;

#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub row: BucketRow,
    claim: Claim,
    /// Looked up only, never iterated.
    heads: HashMap<SmolStr, Head, FixedState>,
    heads_bytes: usize,
    /// Recipients whose heads the open batch has changed, each once.
    changed: Vec<SmolStr>,
    /// The database partition of the present window's entries, which all of them name.
    window: Option<(i64, Arc<[Value]>)>,
}

/// Whether the bucket's row is in the store, and of this generation.
#[derive(Debug, Clone, Copy, Default)]
enum Claim {
    #[default]
    Missing,
    /// With the rows of this batch.
    Owed(u64),
    Stored,
}

#[derive(Debug, Clone, Copy, Default)]
struct Head {
    row: HeadRow,
    /// The record of the open batch that changed it last.
    changed_at: Option<Offset>,
}

/// The number that an entry got, and how many more bytes the batch will write for it when it is closed.
pub(super) struct Numbered {
    pub seq: i64,
    pub new: usize,
}

impl Bucket {
    /// A bucket as it was read, for a log of this generation.
    pub fn new(row: BucketRow, heads: impl IntoIterator<Item = (SmolStr, HeadRow)>, generation: i32) -> Self {
        let mut bucket = Self { row, claim: Claim::Stored, ..Self::default() };
        if row.generation != generation {
            // A position of another generation is none in this log: what the rows say is final.
            (bucket.row.origin, bucket.claim) = (0, Claim::Missing);
        }
        for (recipient, row) in heads {
            if row.window > bucket.row.window && matches!(bucket.claim, Claim::Missing) {
                // It overtook a row that is not to come any more. Who has entries in a window has none in an
                // earlier one after that, so that the next begins now.
                (bucket.row.window, bucket.row.entries) = (row.window, WINDOW_ENTRIES_MAX);
            }
            bucket.heads_bytes += recipient.len() + HEAD_BYTES;
            bucket.heads.insert(recipient, Head { row, changed_at: None });
        }
        bucket
    }

    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.heads_bytes
    }

    /// Numbers a message for a recipient: an entry, and the first of its recipient in a window also says
    /// where that window begins. `None` where the recipient's head includes the record: it was there before
    /// the bucket's origin said so. Its entry has its place in the window all the same.
    pub fn add(
        &mut self,
        number: u32,
        arrival: &Arrival<'_>,
        message: &Message<'_>,
        recipient: &str,
        output: &mut Output,
    ) -> Option<Numbered> {
        let time_ms = arrival.record.time_ms;
        self.roll(time_ms);
        let (recipient, head) = match self.heads.entry_ref(recipient) {
            EntryRef::Occupied(head) => (head.key().clone(), head.into_mut()),
            EntryRef::Vacant(head) => {
                self.heads_bytes += recipient.len() + HEAD_BYTES;
                let row = HeadRow { timestamp_us: i64::MIN, ..HeadRow::default() };
                let head = head.insert_entry(Head { row, changed_at: None });
                (head.key().clone(), head.into_mut())
            }
        };
        let includes = output.timestamp_us() <= head.row.timestamp_us;
        if includes && !mutant::is(Mutant::HeadTimestampIgnored) {
            self.row.entries += 1;
            return None;
        }
        let mut new = 0;
        if head.changed_at.replace(arrival.record.offset).is_none() {
            self.changed.push(recipient.clone());
            new = recipient.len() + HEAD_WRITE_BYTES;
        }
        head.row.latest_seq += 1;
        let foreign = *message.sender != *recipient || mutant::is(Mutant::OwnCountedAsForeign);
        head.row.foreign_count += i64::from(foreign);
        let HeadRow { latest_seq: seq, foreign_count, window: former, .. } = head.row;
        head.row.window = self.row.window;
        self.row.entries += 1;
        let window = self.row.window;
        let partition = self.entries_partition(number);
        let lifetime = Lifetime { time_ms, ttl_s: arrival.inbox_s };
        output.append(
            &INBOX,
            partition,
            clustering(recipient.clone(), seq),
            EntryRow::with_foreign_count(&message.cells, foreign_count),
            lifetime,
        );
        let quiet = former != 0 && mutant::is(Mutant::LaterWindowsUnannounced);
        if former != window && !quiet {
            let ttl_s = arrival.inbox_s + WINDOW_EXTRA_S;
            let first = [Value::BigInt(seq)].into();
            output.append(
                &WINDOWS,
                bucket_partition(number),
                clustering(recipient, window),
                first,
                Lifetime { time_ms, ttl_s },
            );
        }
        Some(Numbered { seq, new })
    }

    fn entries_partition(&mut self, number: u32) -> Arc<[Value]> {
        let window = self.row.window;
        match &self.window {
            Some((known, partition)) if *known == window => Arc::clone(partition),
            _ => {
                let partition = window_partition(number, window);
                self.window = Some((window, Arc::clone(&partition)));
                partition
            }
        }
    }

    /// The next window begins where the present one is full or a week old.
    fn roll(&mut self, time_ms: i64) {
        let row = &mut self.row;
        let full = row.entries >= WINDOW_ENTRIES_MAX;
        let old = row.entries > 0 && time_ms.saturating_sub(row.window_since_ms) > WINDOW_MS_MAX;
        if row.window == 0 || full || old {
            row.window += 1;
            row.entries = 0;
        }
        if row.entries == 0 {
            row.window_since_ms = time_ms;
        }
    }

    /// Whether heads may not be in the store before the bucket's row is, all of `acknowledged` being there:
    /// where another generation ends can be told from heads of that only.
    pub fn is_unclaimed(&self, acknowledged: u64) -> bool {
        match self.claim {
            Claim::Missing => true,
            Claim::Owed(batch) => batch > acknowledged,
            Claim::Stored => false,
        }
    }

    /// Writes what the batch has changed: every head once, with the record that changed it last, and the
    /// bucket itself.
    pub fn write(&mut self, number: u32, generation: i32, batch: u64, output: &mut Output) {
        if let Claim::Missing = self.claim {
            self.claim = Claim::Owed(batch);
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        let partition = bucket_partition(number);
        for recipient in changed {
            let Some(head) = self.heads.get_mut(&recipient) else { continue };
            let Some(offset) = head.changed_at.take() else { continue };
            head.row.timestamp_us = output.timestamp_us_of(offset);
            let change = Change::Upsert(head.row.to_cells());
            let key = [Value::Text(recipient)].into();
            output.change_at(offset, &HEADS, Arc::clone(&partition), key, change);
        }
        self.row.generation = generation;
        let change = Change::Statics(self.row.to_cells());
        output.change_at(self.row.origin - 1, &HEADS, partition, Box::default(), change);
    }
}
