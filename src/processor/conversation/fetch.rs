//! Reading conversations: head, members and recent changes page by page, all as of one origin; and what was
//! sent under some ids.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    members::{Members, Recent},
    state::State,
};
use crate::{
    limits::PAGE_ROWS_MAX,
    processor::Setup,
    store::{Query, Row, Select},
    table::{
        CellError, Value,
        conversation::{ConversationHead, Entry, head_query, page_query},
        message::{block_of, sent_query},
    },
};

/// Keys of one query.
const KEYS_MAX: usize = 64;

/// The pages of a conversation that were read so far.
#[derive(Debug)]
pub(super) struct Fetch {
    conversation: Box<str>,
    /// What the pages say of the conversation as a whole; another head means that a former owner's write came
    /// between.
    head: Option<ConversationHead>,
    members: Members,
    recent: Recent,
    last: Option<Value>,
    /// All pages are read, and there were several: the head is read once more.
    checking: bool,
}

pub(super) enum Taken {
    More(Fetch),
    Whole(State),
}

impl Fetch {
    pub fn new(conversation: &str) -> Self {
        Self {
            conversation: conversation.into(),
            head: None,
            members: Members::default(),
            recent: Recent::default(),
            last: None,
            checking: false,
        }
    }

    fn next(&self) -> Query {
        match self.checking {
            true => head_query(&self.conversation),
            false => page_query(&self.conversation, self.last.as_ref(), PAGE_ROWS_MAX),
        }
    }

    /// Takes the answer to the last query. Pages of different moments are thrown away and the reading begins
    /// anew.
    pub fn take(mut self, query: &Query, rows: &[Row], setup: &Setup) -> Result<Taken, CellError> {
        let (head, rows) = match rows.split_first() {
            Some((first, rest)) if first.clustering.is_empty() => {
                (Some(ConversationHead::from_cells(&first.cells)?), rest)
            }
            _ => (None, rows),
        };
        let begun = self.last.is_some();
        let silent = rows.is_empty() && !self.checking;
        if begun && !silent && head != self.head {
            return Ok(Taken::More(Self::new(&self.conversation)));
        }
        if !begun {
            self.head = head;
        }
        for row in rows {
            self.entry(row, setup)?;
        }
        let full = matches!(&query.select, Select::Page { limit, .. } if rows.len() >= *limit as usize);
        if full {
            return Ok(Taken::More(self));
        }
        if begun && !self.checking {
            self.checking = true;
            return Ok(Taken::More(self));
        }
        let mut head = self.head.unwrap_or_default();
        if head.generation != setup.generation {
            // A position of another generation is none in this log: what the rows say is final.
            head.origin = 0;
        }
        Ok(Taken::Whole(State::new(head, self.members, self.recent)))
    }

    fn entry(&mut self, row: &Row, setup: &Setup) -> Result<(), CellError> {
        self.last = row.clustering.first().cloned();
        match Entry::from_clustering(&row.clustering) {
            Some(Entry::Member(user)) => {
                self.members.add(&setup.topology, user);
            }
            Some(Entry::Recent { by, client_id }) => {
                let (at_ms, hash) = Entry::read_cells(&row.cells)?;
                self.recent.add((by.into(), client_id.into()), at_ms, hash);
            }
            None => {}
        }
        Ok(())
    }
}

/// A conversation, and a block of its messages.
type Block = (Box<str>, i64);

/// What must be read before records can be folded, each once.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    conversations: BTreeMap<Box<str>, Query>,
    sent: BTreeMap<Block, BTreeSet<Box<[Value]>>>,
}

impl Wanted {
    pub fn conversation(&mut self, conversation: &str, fetch: Option<&Fetch>) {
        if !self.conversations.contains_key(conversation) {
            let query = fetch.map_or_else(|| page_query(conversation, None, PAGE_ROWS_MAX), Fetch::next);
            self.conversations.insert(conversation.into(), query);
        }
    }

    /// What was sent under an id, in the two blocks in which it counts.
    pub fn sent(&mut self, conversation: &str, next: i64, key: Box<[Value]>) {
        let block = block_of(next);
        for block in (block - 1).max(0)..=block {
            self.sent.entry((conversation.into(), block)).or_default().insert(key.clone());
        }
    }

    pub fn into_queries(self) -> Vec<Query> {
        let mut queries: Vec<_> = self.conversations.into_values().collect();
        for ((conversation, block), keys) in self.sent {
            let keys: Vec<_> = keys.into_iter().collect();
            queries.extend(keys.chunks(KEYS_MAX).map(|keys| sent_query(&conversation, block, keys.to_vec())));
        }
        queries
    }
}
