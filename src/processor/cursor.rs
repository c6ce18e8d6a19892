//! The fold of read cursors: how far a user has read in the inbox and in conversations. Forward only.
//!
//! A cursor is its own bucket of state: its row says where it stands, whatever was folded to get there, so
//! that a record below the row's origin changes nothing.

use std::collections::BTreeSet;

use super::{
    Fold, FoldStats, RestoreError, Setup, Step, border,
    keyed::Keyed,
    parameters::{check_resume, resume},
};
use crate::{
    effect::Output,
    log::{Offset, OutRecord, RecordRef},
    mutant::{self, Mutant},
    record::{
        cursor::CursorRecord,
        dead_letter::Sender,
        receipts::{Read, decode},
    },
    store::{Query, Row, Select},
    table::{
        Value,
        cursor::{CURSORS, CursorRow, clustering, keys_query, partition},
    },
    topology::{ProcessorKind, Topic},
};

/// Keys of one query.
const KEYS_MAX: usize = 64;

/// The fold of one partition of `receipts`.
#[derive(Debug)]
pub struct Cursor {
    setup: Setup,
    /// Positions by user and conversation (`''`: the inbox).
    positions: Keyed<(Box<str>, Box<str>), i64>,
    batch: u64,
}

impl Fold for Cursor {
    const KIND: ProcessorKind = ProcessorKind::Cursor;
    const BEACONS: bool = false;

    fn new(setup: Setup, _position: Offset, resume: Option<&str>) -> Result<Self, RestoreError> {
        check_resume(Self::KIND, resume)?;
        Ok(Self { positions: Keyed::new(setup.state_bytes_max), setup, batch: 0 })
    }

    fn begin_batch(&mut self, batch: u64) {
        self.batch = batch;
    }

    fn fold(&mut self, record: &RecordRef<'_>, output: &mut Output) -> Step {
        let read = match decode(record.value) {
            Ok(read) => read,
            Err(refusal) => {
                let sender = Sender::default();
                return border::refuse(&self.setup, Topic::Receipts, record, &refusal, &[], sender, output);
            }
        };
        let partition = self.setup.topology.place(Topic::Receipts, read.user.as_bytes());
        if partition != self.setup.partition {
            return border::send_on(&self.setup, Topic::Receipts, record, partition, output);
        }
        if advances(&read).any(|(conversation, _)| !self.positions.contains(&key(&read.user, conversation))) {
            return Step::Wanting;
        }
        let mut step = Step::Filtered;
        for (conversation, position) in advances(&read) {
            if self.advance(record, &read.user, conversation, position, output) {
                step = Step::Applied;
            }
        }
        step
    }

    fn wanted<'a>(&self, records: &mut dyn Iterator<Item = RecordRef<'a>>) -> Vec<Query> {
        let topology = &self.setup.topology;
        let mut missing = BTreeSet::new();
        for record in records {
            let Ok(read) = decode(record.value) else { continue };
            if topology.place(Topic::Receipts, read.user.as_bytes()) != self.setup.partition {
                continue;
            }
            let bucket = topology.bucket(Self::KIND, read.user.as_bytes());
            for (conversation, _) in advances(&read) {
                let again = mutant::is(Mutant::ChangedKeyReadAgain);
                if !self.positions.contains(&key(&read.user, conversation)) || again {
                    missing.insert((bucket, clustering(&read.user, conversation)));
                }
            }
        }
        let missing: Vec<_> = missing.into_iter().collect();
        let of_one_bucket = missing.chunk_by(|(a, _), (b, _)| a == b);
        let queries = of_one_bucket.flat_map(|keys| keys.chunks(KEYS_MAX));
        queries.map(|keys| keys_query(keys[0].0, keys.iter().map(|(_, key)| key.clone()).collect())).collect()
    }

    fn load(&mut self, query: &Query, rows: Vec<Row>) -> Result<(), RestoreError> {
        let Select::Keys(keys) = &query.select else {
            return Err(RestoreError("cursors were read that nobody asked for".to_owned()));
        };
        for clustering in keys {
            let [Value::Text(user), Value::Text(conversation)] = &**clustering else { continue };
            let row = rows.iter().find(|row| row.clustering == *clustering);
            let row = row
                .map(|row| CursorRow::from_cells(&row.cells))
                .transpose()
                .map_err(|error| RestoreError(format!("{error}; restore a newer backup of the table")))?;
            let size_bytes = user.len() + conversation.len() + size_of::<i64>();
            let row = row.filter(|_| !mutant::is(Mutant::CursorRowIgnored));
            let position = row.map_or(0, |row| row.position);
            self.positions.insert(
                (Box::from(&**user), Box::from(&**conversation)),
                position,
                size_bytes,
                self.batch,
            );
        }
        Ok(())
    }

    fn resume(&self) -> String {
        resume(Self::KIND)
    }

    fn acknowledged(&mut self, batch: u64) {
        self.positions.acknowledged(batch);
    }

    fn stats(&self) -> FoldStats {
        FoldStats { keys: self.positions.len() as u64, ..FoldStats::default() }
    }
}

impl Cursor {
    /// Moves a cursor forward; `false` where it stands there already.
    fn advance(
        &mut self,
        record: &RecordRef<'_>,
        user: &str,
        conversation: &str,
        position: i64,
        output: &mut Output,
    ) -> bool {
        let Some(known) = self.positions.get_mut(&key(user, conversation), self.batch) else { return false };
        if position <= *known && !(position < *known && mutant::is(Mutant::CursorGoesBack)) {
            return false;
        }
        *known = position;
        let generation = self.setup.generation;
        let row = CursorRow { position, at_ms: record.time_ms, origin: output.origin(), generation };
        let bucket = self.setup.topology.bucket(Self::KIND, user.as_bytes());
        output.upsert(&CURSORS, partition(bucket), clustering(user, conversation), row.to_cells(), None);
        if output.publishing() {
            let record = match conversation {
                "" => CursorRecord::Inbox { user, inbox: position },
                conversation => CursorRecord::Conversation { user, conversation, seq: position },
            };
            output.publish(OutRecord {
                topic: Topic::Cursors,
                partition: self.setup.topology.place(Topic::Cursors, user.as_bytes()),
                key: Some(record.key()),
                value: Some(record.encode()),
                headers: Vec::new(),
            });
        }
        true
    }
}

/// The cursors that a receipt names, `''` for the inbox, with their positions.
fn advances<'a>(read: &'a Read<'_>) -> impl Iterator<Item = (&'a str, i64)> {
    let inbox = read.inbox.map(|position| ("", position));
    inbox.into_iter().chain(read.conversation.as_deref().zip(read.seq))
}

fn key(user: &str, conversation: &str) -> (Box<str>, Box<str>) {
    (user.into(), conversation.into())
}

#[cfg(test)]
mod tests;
