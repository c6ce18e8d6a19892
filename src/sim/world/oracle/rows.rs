//! All rows, cell by cell, as the oracle has them, held against the store.

use std::collections::BTreeMap;

use super::{Oracle, first_difference};
use crate::{
    id::bucket_of,
    limits::{BLOCK_MESSAGES, INLINE_BODY_BYTES},
    sim::{Network, SimStore},
    store::{Query, Select},
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

impl Oracle {
    /// Compares all rows in the simulated store; nothing may be owed.
    pub fn compare_rows(&self, network: &Network) -> Result<(), String> {
        let read = |table| Ok(stored(network.store(), network.now_ms(), table));
        self.compare_presence(read)?;
        self.compare_tables(read)
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
        // The hash of what was sent is the product's own affair.
        same(&CONVERSATIONS, self.conversation_rows(), read(&CONVERSATIONS)?, Some(1))?;
        same(&MESSAGES, self.message_rows(), read(&MESSAGES)?, Some(7))?;
        same(&INBOX, self.entry_rows(), read(&INBOX)?, None)?;
        same(&WINDOWS, self.window_rows(), read(&WINDOWS)?, None)?;
        same(&HEADS, self.head_rows(), read(&HEADS)?, None)?;
        same(&CURSORS, self.cursor_rows(), read(&CURSORS)?, None)
    }

    fn conversation_rows(&self) -> Rows {
        let mut rows = Rows::new();
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
            rows.insert((partition.clone(), Vec::new()), statics);
            for user in &conversation.members {
                // When the member was added is looked at by nobody but people.
                rows.insert((partition.clone(), vec![text(&format!("m/{user}"))]), vec![Value::Null; 2]);
            }
            for change in &conversation.recent {
                let entry = format!("r/{}/{}", change.by, change.client_id);
                rows.insert((partition.clone(), vec![text(&entry)]), vec![big(change.at), Value::Null]);
            }
        }
        rows
    }

    fn message_rows(&self) -> Rows {
        let mut rows = Rows::new();
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
                rows.insert((partition.clone(), vec![Value::Int(0), big(seq), text("")]), cells);
                let mut cells = vec![Value::Null; 8];
                (cells[0], cells[6]) = (big(said.accepted_at), big(seq));
                let key = text(&format!("{}/{}", said.sender, said.client_id));
                let day = said.accepted_at.div_euclid(DAY_MS);
                rows.insert((partition, vec![Value::Int(1), big(day), key]), cells);
            }
        }
        rows
    }

    fn entry_rows(&self) -> Rows {
        let mut rows = Rows::new();
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
                rows.insert((partition, vec![text(user), big(seq)]), cells);
            }
        }
        rows
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
        let mut rows = Rows::new();
        for part in &self.inboxes {
            for (number, bucket) in &part.buckets {
                let statics = vec![
                    big(bucket.origin),
                    Value::Int(GENERATION),
                    big(bucket.window),
                    big(bucket.entries),
                    big(bucket.since),
                ];
                rows.insert((vec![Value::Int(*number as i32)], Vec::new()), statics);
            }
            for (user, inbox) in &part.by_user {
                let Some(last) = inbox.entries.last() else { continue };
                let cells = vec![big(inbox.entries.len() as i64), big(last.foreign), big(last.window)];
                rows.insert((vec![Value::Int(inbox.bucket as i32)], vec![text(user)]), cells);
            }
        }
        rows
    }

    fn cursor_rows(&self) -> Rows {
        let mut rows = Rows::new();
        let buckets = self.topology.buckets(ProcessorKind::Cursor);
        for ((user, conversation), cursor) in self.cursors.iter().flat_map(|part| &part.by_key) {
            let bucket = bucket_of(user.as_bytes(), buckets);
            let cells =
                vec![big(cursor.position), big(cursor.at), big(cursor.origin), Value::Int(GENERATION)];
            rows.insert((vec![Value::Int(bucket as i32)], vec![text(user), text(conversation)]), cells);
        }
        rows
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

fn stored(store: &SimStore, now_ms: u64, table: &'static Table) -> Rows {
    let mut rows = Rows::new();
    for (partition, row) in store.rows(now_ms, table) {
        rows.insert((partition.to_vec(), row.clustering.to_vec()), row.cells.to_vec());
    }
    if !table.statics.is_empty() {
        let partitions: Vec<_> = store.partitions(table).map(<[Value]>::to_vec).collect();
        for partition in partitions {
            let query = Query { table, partition: partition.clone().into(), select: Select::Statics };
            for row in store.read(now_ms, &query) {
                rows.insert((partition.clone(), Vec::new()), row.cells.to_vec());
            }
        }
    }
    rows
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
