//! A reader that comes at random instants and takes rows at their word: whoever sees a head finds everything
//! up to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fastrand::Rng;

use super::{
    super::{oracle::NotYet, plan::Plan},
    timeline::Timeline,
};
use crate::{
    limits::INLINE_BODY_BYTES,
    log::Offset,
    sim::{Network, world::oracle::Said},
    store::{Query, Row},
    table::{
        Value,
        conversation::{ConversationHead, Entry, head_query, page_query},
        cursor::{CursorRow, user_query},
        inbox::{EntryRow, HeadRow, entries_query, heads_query, windows_query},
        message::{MessageRow, block_of, messages_query, seq_of},
    },
    topology::{ProcessorKind, Topology},
};

/// Messages and entries of one look: from a random number on.
const ROWS_MAX: i64 = 60;
/// Rows of a page, as large as they may be here: every group has fewer members.
const PAGE_ROWS: u32 = 1_000;

pub struct Reader {
    topology: Arc<Topology>,
    random: Rng,
    next_ms: u64,
    rows_read: u64,
    /// The greatest heads that were seen, of conversations and of users.
    latest: BTreeMap<String, i64>,
    /// How far users had read, by user and conversation.
    positions: BTreeMap<(String, String), i64>,
    /// Members that were seen as of an origin, to be held against the oracle's when it has come so far.
    members: BTreeMap<(String, Offset), BTreeSet<String>>,
}

impl Reader {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut random = Rng::with_seed(plan.seed ^ 0x72_6561_6465_72);
        Self {
            topology: Arc::clone(&plan.topology),
            next_ms: random.u64(0..2_000),
            random,
            rows_read: 0,
            latest: BTreeMap::new(),
            positions: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// Rows that were held against what they must say.
    #[must_use]
    pub fn rows_read(&self) -> u64 {
        self.rows_read
    }

    /// Reads a conversation and the inbox and cursors of a user, whichever.
    pub fn look(&mut self, network: &Network, timeline: &mut Timeline) -> Result<(), String> {
        self.next_ms = network.now_ms() + self.random.u64(100..2_000);
        let conversations: Vec<_> = timeline.contents.conversations().collect();
        if let Some(conversation) = self.random.choice(&conversations).map(ToString::to_string) {
            self.read_conversation(network, timeline, &conversation)?;
        }
        let users: Vec<_> = timeline.users().collect();
        if let Some(user) = self.random.choice(&users).map(ToString::to_string) {
            self.read_inbox(network, timeline, &user)?;
            self.read_cursors(network, &user)?;
        }
        Ok(())
    }

    fn read_conversation(
        &mut self,
        network: &Network,
        timeline: &mut Timeline,
        conversation: &str,
    ) -> Result<(), String> {
        let Some(row) = self.read(network, &head_query(conversation)).into_iter().next() else {
            return Ok(());
        };
        let head = ConversationHead::from_cells(&row.cells).map_err(|error| error.to_string())?;
        self.not_back(conversation, head.latest_seq)?;
        let (from, last) = self.some_of(head.latest_seq);
        let mut due = from;
        while due <= last {
            let block = block_of(due);
            let limit = (last - due + 1) as u32;
            let query = messages_query(conversation, block, Some(due - 1), false, limit);
            let before = due;
            for row in self.read(network, &query) {
                if seq_of(&row.clustering) != Some(due) || block_of(due) != block {
                    return Err(format!("{conversation}: {:?} where {due} is due", row.clustering));
                }
                let message = MessageRow::from_cells(&row.cells).map_err(|error| error.to_string())?;
                timeline.contents.agree("messages", conversation, due, &said_in(&message))?;
                due += 1;
            }
            if due == before {
                let latest = head.latest_seq;
                return Err(format!("{conversation}: its head says {latest} and {due} is not there"));
            }
        }
        self.read_members(network, conversation, &head)
    }

    /// All members, page by page: of one instant here, so they are those of one origin.
    fn read_members(
        &mut self,
        network: &Network,
        conversation: &str,
        head: &ConversationHead,
    ) -> Result<(), String> {
        let mut members = BTreeSet::new();
        let mut after = None;
        loop {
            let rows = self.read(network, &page_query(conversation, after.as_ref(), PAGE_ROWS));
            let rows = rows.iter().filter(|row| !row.clustering.is_empty());
            let before = after.clone();
            for row in rows {
                if let Some(Entry::Member(user)) = Entry::from_clustering(&row.clustering) {
                    members.insert(user.to_owned());
                }
                after = row.clustering.first().cloned();
            }
            if after == before {
                break;
            }
        }
        let origin = head.members_origin;
        match self.members.get(&(conversation.to_owned(), origin)) {
            Some(known) if *known != members => {
                Err(format!("{conversation}: its members as of {origin} are {members:?} and were {known:?}"))
            }
            Some(_) => Ok(()),
            None => {
                self.members.insert((conversation.to_owned(), origin), members);
                Ok(())
            }
        }
    }

    fn read_inbox(&mut self, network: &Network, timeline: &mut Timeline, user: &str) -> Result<(), String> {
        let bucket = self.topology.bucket(ProcessorKind::Inbox, user.as_bytes());
        let rows = self.read(network, &heads_query(bucket, &[user]));
        let Some(row) = rows.into_iter().next() else { return Ok(()) };
        let head = HeadRow::from_cells(&row.cells).map_err(|error| error.to_string())?;
        self.not_back(user, head.latest_seq)?;
        let (from, last) = self.some_of(head.latest_seq);
        let windows = self.windows(network, bucket, user);
        if windows.first().is_some_and(|(_, first)| *first != 1) || !windows.is_sorted() {
            return Err(format!("inbox of {user}: its windows are {windows:?}"));
        }
        let mut due = from;
        for (index, (window, first)) in windows.iter().enumerate() {
            let end = windows.get(index + 1).map_or(i64::MAX, |(_, next)| *next).min(last + 1);
            if due >= end {
                continue;
            }
            if due < *first {
                return Err(format!("inbox of {user}: no window has {due}: {windows:?}"));
            }
            let limit = (end - due) as u32;
            for row in self.read(network, &entries_query(bucket, *window, user, Some(due - 1), limit)) {
                if row.clustering.get(1).and_then(Value::as_big_int) != Some(due) {
                    return Err(format!("inbox of {user}: {:?} where {due} is due", row.clustering));
                }
                agrees(timeline, user, due, &row)?;
                due += 1;
            }
        }
        if due <= last {
            let latest = head.latest_seq;
            return Err(format!("inbox of {user}: its head says {latest} and {due} is not there"));
        }
        Ok(())
    }

    /// The windows of a user with the first number in each.
    fn windows(&mut self, network: &Network, bucket: u32, user: &str) -> Vec<(i64, i64)> {
        let rows = self.read(network, &windows_query(bucket, user, None, false, PAGE_ROWS));
        let number = |value: Option<&Value>| value.and_then(Value::as_big_int).unwrap_or(0);
        rows.iter().map(|row| (number(row.clustering.get(1)), number(row.cells.first()))).collect()
    }

    fn read_cursors(&mut self, network: &Network, user: &str) -> Result<(), String> {
        let bucket = self.topology.bucket(ProcessorKind::Cursor, user.as_bytes());
        for row in self.read(network, &user_query(bucket, user, None, PAGE_ROWS)) {
            let conversation = row.clustering.get(1).and_then(Value::as_text).unwrap_or_default();
            let cursor = CursorRow::from_cells(&row.cells).map_err(|error| error.to_string())?;
            let key = (user.to_owned(), conversation.to_owned());
            let last = self.positions.insert(key, cursor.position).unwrap_or(0);
            if cursor.position < last {
                let position = cursor.position;
                return Err(format!("cursor of {user} in '{conversation}': {position} after {last}"));
            }
        }
        Ok(())
    }

    /// No transaction is unsettled: the members that were seen are those that the oracle has.
    pub fn settled(&mut self, timeline: &Timeline) -> Result<(), String> {
        let mut ahead = BTreeMap::new();
        for ((conversation, origin), members) in std::mem::take(&mut self.members) {
            let none = BTreeSet::new();
            match timeline.oracle.members_as_of(&conversation, origin) {
                Err(NotYet) => {
                    ahead.insert((conversation, origin), members);
                }
                Ok(known) if *known.unwrap_or(&none) == members => {}
                Ok(known) => {
                    return Err(format!(
                        "{conversation}: its members as of {origin} are {members:?}, due is {known:?}"
                    ));
                }
            }
        }
        self.members = ahead;
        Ok(())
    }

    fn read(&mut self, network: &Network, query: &Query) -> Vec<Row> {
        let rows = network.store().read(network.now_ms(), query);
        self.rows_read += rows.len() as u64;
        rows
    }

    /// A head is never below one that was seen before.
    fn not_back(&mut self, of: &str, latest: i64) -> Result<(), String> {
        let former = self.latest.insert(of.to_owned(), latest).unwrap_or(0);
        if latest < former { Err(format!("{of}: its head is {latest} and was {former}")) } else { Ok(()) }
    }

    /// Which numbers are looked at this time.
    fn some_of(&mut self, latest: i64) -> (i64, i64) {
        let from = self.random.i64(1..=latest.max(1));
        (from, latest.min(from + ROWS_MAX - 1))
    }
}

fn said_in(message: &MessageRow<'_>) -> Said {
    Said {
        sender: message.sender.to_owned(),
        client_id: message.client_id.to_owned(),
        session: message.session.map(ToOwned::to_owned),
        sent_at: message.sent_at_ms,
        accepted_at: message.accepted_at_ms,
        body: message.body.to_owned(),
    }
}

/// An entry says of its message what is known of it; large bodies are left to `messages`.
fn agrees(timeline: &mut Timeline, user: &str, seq: i64, row: &Row) -> Result<(), String> {
    let entry = EntryRow::from_cells(&row.cells).map_err(|error| error.to_string())?;
    let (conversation, number) = (entry.conversation, entry.conversation_seq);
    let known = timeline.contents.get(conversation, number).map(|said| said.body.clone());
    let body = match (entry.body, known) {
        (Some(body), _) if body.len() <= INLINE_BODY_BYTES => body.to_owned(),
        (None, Some(known)) if known.len() > INLINE_BODY_BYTES => known,
        (body, known) => {
            return Err(format!("inbox of {user}: {seq} has the body {body:?} of {known:?}"));
        }
    };
    let said = Said {
        sender: entry.sender.to_owned(),
        client_id: entry.client_id.to_owned(),
        session: entry.session.map(ToOwned::to_owned),
        sent_at: entry.sent_at_ms,
        accepted_at: entry.accepted_at_ms,
        body,
    };
    timeline.contents.agree("inbox rows", conversation, number, &said)
}
