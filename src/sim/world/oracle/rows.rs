//! All rows, cell by cell, as the oracle has them, held against the store.

use std::collections::BTreeMap;

use super::{Oracle, first_difference};
use crate::{
    id::bucket_of,
    limits::{BLOCK_MESSAGES, INLINE_BODY_BYTES},
    sim::{Network, store::cells::LiveRow},
    table::{
        Table, Value,
        conversation::CONVERSATIONS,
        cursor::CURSORS,
        inbox::{HEADS, INBOX, WINDOWS},
        message::MESSAGES,
        presence::PRESENCE,
    },
    topology::ProcessorKind,
};

/// Cells by database partition and clustering; the static ones have an empty clustering.
pub type Rows = BTreeMap<(Vec<Value>, Vec<Value>), Vec<Value>>;

/// The generation of every partition in the simulator: nothing is adopted there.
const GENERATION: i32 = 1;
const DAY_MS: i64 = 86_400_000;

/// The tables with a cell each that is not looked at: the hash of what was sent is the product's own affair,
/// and the timestamp of a head is looked at with those of all rows.
const TABLES: [(&Table, Option<usize>); 7] = [
    (&PRESENCE, None),
    (&CONVERSATIONS, Some(1)),
    (&MESSAGES, Some(7)),
    (&INBOX, None),
    (&WINDOWS, None),
    (&HEADS, Some(3)),
    (&CURSORS, None),
];

impl Oracle {
    /// Compares all rows in the simulated store; nothing may be owed.
    pub fn compare_rows(&self, network: &Network) -> Result<(), String> {
        TABLES.into_iter().try_for_each(|(table, blank)| self.compare_with_store(network, table, blank))
    }

    /// Compares the rows of presence with what `read` finds.
    pub fn compare_presence(
        &self,
        read: impl Fn(&'static Table) -> Result<Rows, String>,
    ) -> Result<(), String> {
        same(&PRESENCE, self.presence_rows(), read(&PRESENCE)?, None)
    }

    /// Compares all rows of the timeline with what `read` finds in a table: database partition and clustering
    /// (empty: the static cells), then every cell.
    pub fn compare_tables(
        &self,
        read: impl Fn(&'static Table) -> Result<Rows, String>,
    ) -> Result<(), String> {
        let mut timeline = TABLES.into_iter().skip(1);
        timeline.try_for_each(|(table, blank)| same(table, self.rows_due(table), read(table)?, blank))
    }

    fn rows_due(&self, table: &Table) -> Rows {
        match table.name {
            name if name == PRESENCE.name => self.presence_rows(),
            name if name == CONVERSATIONS.name => self.conversation_rows(),
            name if name == MESSAGES.name => self.message_rows(),
            name if name == INBOX.name => self.entry_rows(),
            name if name == WINDOWS.name => self.window_rows(),
            name if name == HEADS.name => self.head_rows(),
            _ => self.cursor_rows(),
        }
    }

    /// As [`same`], with rows where they lie: there are many.
    fn compare_with_store(
        &self,
        network: &Network,
        table: &'static Table,
        blank: Option<usize>,
    ) -> Result<(), String> {
        let due = self.rows_due(table);
        let (mut due, mut found) = (due.iter(), network.store().rows(network.now_ms(), table));
        loop {
            let (due, found) = (due.next(), found.next());
            let is_same = match (due, found) {
                (None, None) => return Ok(()),
                (Some(((partition, clustering), cells)), Some(row)) => {
                    (&**partition, &**clustering) == (row.partition, row.clustering)
                        && cells_hold(table, clustering, cells, row, blank)
                }
                _ => false,
            };
            if !is_same {
                return Err(format!("{}: where {due:?} is due, there is {found:?}", table.name));
            }
        }
    }

    fn conversation_rows(&self) -> Rows {
        let mut rows = Vec::new();
        for (id, conversation) in self.conversations.iter().flat_map(|part| &part.by_id) {
            if conversation.origin == 0 {
                continue;
            }
            let partition = vec![text(id)];
            let statics = vec![
                big(conversation.messages.len() as i64),
                big(conversation.latest_at),
                big(conversation.members_origin),
                big(conversation.origin),
                Value::Int(GENERATION),
            ];
            rows.push(((partition.clone(), Vec::new()), statics));
            for user in &conversation.members {
                // When the member was added is looked at by nobody but people.
                rows.push(((partition.clone(), vec![text(&format!("m/{user}"))]), vec![Value::Null; 2]));
            }
            for change in &conversation.recent {
                let entry = format!("r/{}/{}", change.by, change.client_id);
                rows.push(((partition.clone(), vec![text(&entry)]), vec![big(change.at), Value::Null]));
            }
        }
        rows.into_iter().collect()
    }

    fn message_rows(&self) -> Rows {
        let mut rows = Vec::new();
        for (id, conversation) in self.conversations.iter().flat_map(|part| &part.by_id) {
            for (seq, message) in (1..).zip(&conversation.messages) {
                let partition = vec![text(id), big(seq / BLOCK_MESSAGES)];
                let said = &message.said;
                let cells = vec![
                    big(said.accepted_at),
                    text(&said.sender),
                    text(&said.client_id),
                    optional(said.session.as_deref()),
                    said.sent_at.map_or(Value::Null, big),
                    text(&said.body),
                    Value::Null,
                    Value::Null,
                ];
                rows.push(((partition.clone(), vec![Value::Int(0), big(seq), text("")]), cells));
                let mut cells = vec![Value::Null; 8];
                (cells[0], cells[6]) = (big(said.accepted_at), big(seq));
                let key = text(&format!("{}/{}", said.sender, said.client_id));
                let day = said.accepted_at.div_euclid(DAY_MS);
                rows.push(((partition, vec![Value::Int(1), big(day), key]), cells));
            }
        }
        rows.into_iter().collect()
    }

    fn entry_rows(&self) -> Rows {
        let mut rows = Vec::new();
        for (user, inbox) in self.inboxes.iter().flat_map(|part| &part.by_user) {
            for (seq, entry) in (1..).zip(&inbox.entries) {
                let said = &entry.said;
                let inline = Some(&*said.body).filter(|body| body.len() <= INLINE_BODY_BYTES);
                let cells = vec![
                    text(&entry.conversation),
                    big(entry.seq),
                    text(&said.sender),
                    text(&said.client_id),
                    optional(said.session.as_deref()),
                    said.sent_at.map_or(Value::Null, big),
                    big(said.accepted_at),
                    optional(inline),
                    big(entry.foreign),
                ];
                let partition = vec![Value::Int(inbox.bucket as i32), big(entry.window)];
                rows.push(((partition, vec![text(user), big(seq)]), cells));
            }
        }
        rows.into_iter().collect()
    }

    fn window_rows(&self) -> Rows {
        let mut rows = Rows::new();
        for (user, inbox) in self.inboxes.iter().flat_map(|part| &part.by_user) {
            for (seq, entry) in (1..).zip(&inbox.entries) {
                let partition = vec![Value::Int(inbox.bucket as i32)];
                let key = (partition, vec![text(user), big(entry.window)]);
                rows.entry(key).or_insert_with(|| vec![big(seq)]);
            }
        }
        rows
    }

    fn head_rows(&self) -> Rows {
        let mut rows = Vec::new();
        for part in &self.inboxes {
            for (number, bucket) in &part.buckets {
                let statics = vec![
                    big(bucket.origin),
                    Value::Int(GENERATION),
                    big(bucket.window),
                    big(bucket.entries),
                    big(bucket.since),
                ];
                rows.push(((vec![Value::Int(*number as i32)], Vec::new()), statics));
            }
            for (user, inbox) in &part.by_user {
                let Some(last) = inbox.entries.last() else { continue };
                let cells =
                    vec![big(inbox.entries.len() as i64), big(last.foreign), big(last.window), Value::Null];
                rows.push(((vec![Value::Int(inbox.bucket as i32)], vec![text(user)]), cells));
            }
        }
        rows.into_iter().collect()
    }

    fn cursor_rows(&self) -> Rows {
        let mut rows = Vec::new();
        let buckets = self.topology.buckets(ProcessorKind::Cursor);
        for ((user, conversation), cursor) in self.cursors.iter().flat_map(|part| &part.by_key) {
            let bucket = bucket_of(user.as_bytes(), buckets);
            let cells =
                vec![big(cursor.position), big(cursor.at), big(cursor.origin), Value::Int(GENERATION)];
            rows.push(((vec![Value::Int(bucket as i32)], vec![text(user), text(conversation)]), cells));
        }
        rows.into_iter().collect()
    }
}

/// Compares a table; `blank` is a cell of its rows that is not looked at.
fn same(table: &'static Table, due: Rows, mut found: Rows, blank: Option<usize>) -> Result<(), String> {
    for ((_, clustering), cells) in &mut found {
        if let Some(blank) = blank.filter(|_| !clustering.is_empty()) {
            cells[blank] = Value::Null;
        }
        if is_member(table, clustering) {
            cells.fill(Value::Null);
        }
    }
    match first_difference(&due, &found) {
        None => Ok(()),
        Some((key, due, found)) => {
            Err(format!("{}: the row {key:?} should be {due:?} and is {found:?}", table.name))
        }
    }
}

fn cells_hold(
    table: &Table,
    clustering: &[Value],
    due: &[Value],
    row: LiveRow<'_>,
    blank: Option<usize>,
) -> bool {
    let blank = blank.filter(|_| !clustering.is_empty());
    let mut cells = row.cells().zip(due).enumerate();
    is_member(table, clustering) || cells.all(|(at, (cell, due))| Some(at) == blank || cell == due)
}

fn is_member(table: &Table, clustering: &[Value]) -> bool {
    let entry = clustering.first().and_then(Value::as_text);
    table.name == CONVERSATIONS.name && entry.is_some_and(|entry| entry.starts_with("m/"))
}

fn text(text: &str) -> Value {
    Value::text(text)
}

fn optional(text: Option<&str>) -> Value {
    Value::optional_text(text)
}

fn big(number: i64) -> Value {
    Value::BigInt(number)
}
