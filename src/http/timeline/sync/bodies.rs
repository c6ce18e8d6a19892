//! Bodies that are too large for an entry, from the histories of their conversations.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{ReadError, Timeline};
use crate::{
    limits::{READ_BYTES_MAX, READ_STEP},
    store::Row,
    table::{
        inbox::EntryRow,
        message::{MessageRow, block_of, bodies_query, seq_of},
    },
};

/// The bodies that the entries of a page do not carry themselves.
#[derive(Debug, Default)]
pub struct Bodies {
    /// The first so many entries have theirs; more would be too large together.
    pub entries: usize,
    /// By conversation and number there.
    found: BTreeMap<(Box<str>, i64), Row>,
    /// The last entry whose message retention has let go in its conversation; 0 for none. Messages are kept
    /// at least as long as entries, but an entry may have been written a good deal later.
    pub trimmed_to: i64,
}

impl Bodies {
    pub async fn read(timeline: Timeline<'_>, entries: &[(i64, Row)]) -> Result<Self, ReadError> {
        let (mut bodies, mut large, mut bytes) = (Self::default(), Vec::new(), 0);
        for step in entries.chunks(READ_STEP) {
            bodies.read_step(timeline, step).await?;
            bodies.entries += step.len();
            for (seq, row) in step {
                let entry = EntryRow::from_cells(&row.cells)?;
                bytes += match (entry.body, bodies.row_of(&entry)) {
                    (Some(body), _) => body.len(),
                    (None, Some(row)) => MessageRow::from_cells(&row.cells)?.body.len(),
                    (None, None) => 0,
                };
                large.extend(entry.body.is_none().then_some((*seq, entry)));
            }
            if bytes >= READ_BYTES_MAX {
                break;
            }
        }
        // Of each conversation the last message that is not there: those before it are older.
        let mut absent: BTreeMap<&str, &EntryRow<'_>> = BTreeMap::new();
        let mut trimmed_to = bodies.trimmed_to;
        for (seq, entry) in large.iter().filter(|(_, entry)| bodies.row_of(entry).is_none()) {
            let last = absent.entry(entry.conversation).or_insert(entry);
            if last.conversation_seq < entry.conversation_seq {
                *last = entry;
            }
            trimmed_to = *seq;
        }
        bodies.trimmed_to = trimmed_to;
        for entry in absent.values() {
            check_let_go(timeline, entry).await?;
        }
        Ok(bodies)
    }

    async fn read_step(&mut self, timeline: Timeline<'_>, step: &[(i64, Row)]) -> Result<(), ReadError> {
        let mut wanted: BTreeMap<(&str, i64), BTreeSet<i64>> = BTreeMap::new();
        for (_, row) in step {
            let entry = EntryRow::from_cells(&row.cells)?;
            if entry.body.is_none() {
                let block = block_of(entry.conversation_seq);
                wanted.entry((entry.conversation, block)).or_default().insert(entry.conversation_seq);
            }
        }
        let query = |((conversation, block), seqs): (&(&str, i64), &BTreeSet<i64>)| {
            bodies_query(conversation, *block, &seqs.iter().copied().collect::<Vec<_>>())
        };
        let answers = timeline.all(wanted.iter().map(query).collect()).await?;
        for ((conversation, _), rows) in wanted.keys().zip(answers) {
            let numbered = rows.into_iter().filter_map(|row| Some((seq_of(&row.clustering)?, row)));
            self.found.extend(numbered.map(|(seq, row)| (((*conversation).into(), seq), row)));
        }
        Ok(())
    }

    /// The body of an entry behind [`Bodies::trimmed_to`].
    pub fn of<'a>(&'a self, entry: &EntryRow<'a>) -> Result<&'a str, ReadError> {
        match (entry.body, self.row_of(entry)) {
            (Some(body), _) => Ok(body),
            (None, Some(row)) => Ok(MessageRow::from_cells(&row.cells)?.body),
            (None, None) => Err(hole(entry)),
        }
    }

    fn row_of(&self, entry: &EntryRow<'_>) -> Option<&Row> {
        self.found.get(&(entry.conversation.into(), entry.conversation_seq))
    }
}

/// Tells a message that retention has let go from one that is missing.
async fn check_let_go(timeline: Timeline<'_>, entry: &EntryRow<'_>) -> Result<(), ReadError> {
    let latest = timeline.latest_message(entry.conversation).await?;
    let trimmed_to = timeline.messages_trimmed_to(entry.conversation, latest).await?;
    if entry.conversation_seq <= trimmed_to { Ok(()) } else { Err(hole(entry)) }
}

fn hole(entry: &EntryRow<'_>) -> ReadError {
    ReadError::Hole { what: entry.conversation.to_owned(), seq: entry.conversation_seq }
}
