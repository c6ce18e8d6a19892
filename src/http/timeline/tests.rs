//! Rows as the folds write them, and what readers make of them.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use super::{ReadError, Timeline, first_missing};
use crate::{
    http::tests::fakes::{FakeStore, Shared},
    store::{Change, Query, Statement, WriteBatch},
    table::{
        Table, Value,
        conversation::{self, CONVERSATIONS, ConversationHead, Entry},
        cursor::{self, CURSORS, CursorRow},
        inbox::{self, EntryRow, HEADS, HeadRow, INBOX, WINDOWS},
        message::{self, MESSAGES, MessageRow, SentRow},
    },
    topology::{ProcessorKind, Topology},
};

mod cursors;
mod history;
mod members;
mod outcome;
mod sync;

/// A store, and what was written into it.
struct World {
    store: Shared<FakeStore>,
    topology: Topology,
    /// Of each inbox: entries that somebody else sent.
    foreign: Mutex<BTreeMap<String, i64>>,
}

impl World {
    fn new() -> Self {
        let store = Shared(Arc::new(FakeStore::default()));
        Self { store, topology: Topology::uniform(4, 8), foreign: Mutex::default() }
    }

    fn timeline(&self) -> Timeline<'_> {
        Timeline::new(&self.store, &self.topology)
    }

    fn bucket(&self, member: &str) -> u32 {
        self.topology.bucket(ProcessorKind::Inbox, member.as_bytes())
    }

    fn write(
        &self,
        table: &'static Table,
        partition: Arc<[Value]>,
        clustering: Box<[Value]>,
        change: Change,
    ) {
        self.store.0.put(batch(table, partition, clustering, change, 1));
    }

    /// An entry from alice, with its window's row if it is the first there.
    fn entry(&self, member: &str, window: i64, seq: i64) {
        self.entry_of(member, window, seq, "alice", Some("1"));
    }

    fn entry_of(&self, member: &str, window: i64, seq: i64, sender: &str, body: Option<&str>) {
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        let foreign_count = foreign.entry(member.to_owned()).or_default();
        *foreign_count += i64::from(sender != member);
        let row = EntryRow {
            conversation: "group/team",
            conversation_seq: seq + 100,
            sender,
            client_id: &format!("c-{seq}"),
            session: None,
            sent_at_ms: None,
            accepted_at_ms: 1_000 + seq,
            body,
            foreign_count: *foreign_count,
        };
        let partition = inbox::window_partition(self.bucket(member), window);
        self.write(&INBOX, partition, inbox::clustering(member, seq), Change::Upsert(row.to_cells()));
    }

    fn window(&self, member: &str, window: i64, first_seq: i64) {
        self.store.0.put(self.begun(member, window, first_seq));
    }

    /// The row of a window.
    fn begun(&self, member: &str, window: i64, first_seq: i64) -> WriteBatch {
        let (partition, key) =
            (inbox::bucket_partition(self.bucket(member)), inbox::clustering(member, window));
        batch(&WINDOWS, partition, key, Change::Upsert([Value::BigInt(first_seq)].into()), 1)
    }

    fn inbox_head(&self, member: &str, latest_seq: i64, window: i64) {
        let foreign_count =
            *self.foreign.lock().unwrap_or_else(PoisonError::into_inner).get(member).unwrap_or(&0);
        let row = HeadRow { latest_seq, foreign_count, window, timestamp_us: 0 };
        let partition = inbox::bucket_partition(self.bucket(member));
        self.write(&HEADS, partition, [Value::text(member)].into(), Change::Upsert(row.to_cells()));
    }

    /// An inbox of entries from alice, window by window.
    fn fill(&self, member: &str, windows: &[(i64, RangeInclusive<i64>)]) {
        for (window, seqs) in windows {
            self.window(member, *window, *seqs.start());
            seqs.clone().for_each(|seq| self.entry(member, *window, seq));
        }
        let (window, seqs) = windows.last().expect("a window");
        self.inbox_head(member, *seqs.end(), *window);
    }

    fn gone(&self, member: &str, window: i64, seq: i64) -> WriteBatch {
        let partition = inbox::window_partition(self.bucket(member), window);
        batch(&INBOX, partition, inbox::clustering(member, seq), Change::Delete, 2)
    }

    /// Takes an entry away, as its time to live does.
    fn expire(&self, member: &str, window: i64, seq: i64) {
        self.store.0.put(self.gone(member, window, seq));
    }

    fn conversation_head(&self, conversation: &str, head: ConversationHead) {
        let partition = conversation::partition(conversation);
        self.write(&CONVERSATIONS, partition, Box::default(), Change::Statics(head.to_cells()));
    }

    fn latest(&self, conversation: &str, latest_seq: i64) {
        self.conversation_head(conversation, ConversationHead { latest_seq, ..ConversationHead::default() });
    }

    fn conversation_entry(&self, conversation: &str, entry: Entry<'_>) {
        let (partition, cells) = (conversation::partition(conversation), Entry::cells(1, 0));
        self.write(&CONVERSATIONS, partition, entry.to_clustering(), Change::Upsert(cells));
    }

    fn message(&self, conversation: &str, seq: i64, body: &str) {
        let client_id = &format!("c-{seq}");
        let row = MessageRow {
            sender: "alice",
            client_id,
            session: Some("s-1"),
            sent_at_ms: Some(7),
            accepted_at_ms: 1_000 + seq,
            body,
        };
        let partition = || message::partition(conversation, message::block_of(seq));
        let key = message::message_clustering(seq);
        self.write(&MESSAGES, partition(), key, Change::Upsert(row.to_cells()));
        let sent = SentRow { seq, hash: 1, accepted_at_ms: 1_000 + seq };
        let key = message::sent_clustering(&message::sent_key("alice", client_id), 1_000 + seq);
        self.write(&MESSAGES, partition(), key, Change::Upsert(sent.to_cells()));
    }

    fn forgotten(&self, conversation: &str, seq: i64) -> WriteBatch {
        let partition = message::partition(conversation, message::block_of(seq));
        batch(&MESSAGES, partition, message::message_clustering(seq), Change::Delete, 2)
    }

    /// A conversation with these messages, the last one its head.
    fn talk(&self, conversation: &str, seqs: RangeInclusive<i64>) {
        seqs.clone().for_each(|seq| self.message(conversation, seq, "1"));
        self.latest(conversation, *seqs.end());
    }

    fn cursor(&self, user: &str, conversation: &str, position: i64) {
        let row = CursorRow { position, at_ms: 1, origin: 1, generation: 1 };
        let bucket = self.topology.bucket(ProcessorKind::Cursor, user.as_bytes());
        let key = cursor::clustering(user, conversation);
        self.write(&CURSORS, cursor::partition(bucket), key, Change::Upsert(row.to_cells()));
    }

    fn reads(&self) -> Vec<Query> {
        self.store.0.reads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reads_of(&self, table: &'static Table) -> usize {
        self.reads().iter().filter(|query| query.table == table).count()
    }

    /// Changes the store right after the next read of the batch's table.
    fn afterwards(&self, batches: Vec<WriteBatch>) {
        *self.store.0.afterwards.lock().unwrap_or_else(PoisonError::into_inner) = batches;
    }
}

fn batch(
    table: &'static Table,
    partition: Arc<[Value]>,
    clustering: Box<[Value]>,
    change: Change,
    timestamp_us: i64,
) -> WriteBatch {
    let statement = Statement { clustering, change, timestamp_us, ttl_s: None };
    WriteBatch::new(table, partition, vec![statement])
}

/// The number at which an answer would have a hole.
fn hole<T: std::fmt::Debug>(answer: Result<T, ReadError>) -> i64 {
    match answer {
        Err(ReadError::Hole { seq, .. }) => seq,
        other => panic!("a hole is due: {other:?}"),
    }
}

#[test]
fn a_missing_number_is_found_wherever_it_is() {
    assert_eq!(first_missing([3, 4, 5], 3, 5), None);
    assert_eq!(first_missing([4, 5], 3, 5), Some(3));
    assert_eq!(first_missing([3, 5], 3, 5), Some(4));
    assert_eq!(first_missing([3, 4], 3, 5), Some(5));
    assert_eq!(first_missing([], 3, 5), Some(3));
    assert_eq!(first_missing([], 6, 5), None);
}
