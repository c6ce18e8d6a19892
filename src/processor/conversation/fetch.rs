//! Reading conversations: head, members and recent changes; and what was sent under some ids.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    members::{Members, Recent},
    state::State,
};
use crate::{
    mutant::{self, Mutant},
    processor::{
        Setup,
        pages::{Pages, Progress},
    },
    store::{Query, Row},
    table::{
        CellError, Value,
        conversation::{CONVERSATIONS, ConversationHead, Entry, partition},
        message::{block_of, sent_clusterings, sent_query},
    },
};

/// Keys of one query.
const KEYS_MAX: usize = 64;

/// What was read of a conversation so far.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    pages: Pages<ConversationHead>,
    members: Members,
    recent: Recent,
}

pub(super) enum Taken {
    More(Fetch),
    Whole(State),
}

impl Fetch {
    fn next(&self, conversation: &str) -> Query {
        Query { table: &CONVERSATIONS, partition: partition(conversation), select: self.pages.next() }
    }

    /// Takes the answer to the last query.
    pub fn take(mut self, query: &Query, rows: &[Row], setup: &Setup) -> Result<Taken, CellError> {
        let (progress, rows) = self.pages.take(query, rows, ConversationHead::from_cells)?;
        for row in rows {
            match Entry::from_clustering(&row.clustering) {
                Some(Entry::Member(user)) => {
                    self.members.add(&setup.topology, user);
                }
                Some(Entry::Recent { by, client_id }) => {
                    let (at_ms, hash) = Entry::read_cells(&row.cells)?;
                    if !mutant::is(Mutant::ChangesForgottenOnTakeover) {
                        self.recent.add((by.into(), client_id.into()), at_ms, hash);
                    }
                }
                None => {}
            }
        }
        Ok(match progress {
            Progress::Torn => Taken::More(Self::default()),
            Progress::More => Taken::More(self),
            Progress::Whole => {
                let mut head = self.pages.head.unwrap_or_default();
                if head.generation != setup.generation {
                    // A position of another generation is none in this log: what the rows say is final.
                    head.origin = 0;
                }
                Taken::Whole(State::new(head, self.members, self.recent))
            }
        })
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
            let query = match fetch {
                Some(fetch) => fetch.next(conversation),
                None => Fetch::default().next(conversation),
            };
            self.conversations.insert(conversation.into(), query);
        }
    }

    /// What was sent under an id, in the two blocks in which it counts and on the days on which it does.
    pub fn sent(&mut self, conversation: &str, state: &State, key: &str, time_ms: i64) {
        let block = block_of(state.head.latest_seq + 1);
        let days: Vec<_> = sent_clusterings(key, time_ms, state.sent_until_ms()).collect();
        let first = if mutant::is(Mutant::FormerBlockForgotten) { block } else { (block - 1).max(0) };
        for block in first..=block {
            self.sent.entry((conversation.into(), block)).or_default().extend(days.iter().cloned());
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
