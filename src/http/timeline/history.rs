//! The history of a conversation: its messages by their numbers, block by block.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{ReadError, Timeline, first_missing, post::Post, within};
use crate::{
    id::{ConversationError, parse_conversation},
    limits::{BLOCK_MESSAGES, READ_BYTES_MAX, READ_STEP},
    table::{
        conversation::{ConversationHead, head_query},
        message::{MessageRow, block_of, messages_query, seq_of},
    },
};

/// Which part of a history is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// The first messages behind this number.
    After(i64),
    /// The last messages before this number.
    Before(i64),
    /// The last messages.
    Newest,
}

/// A page of a history, in ascending order, from the end of the range that was asked for. It may have fewer
/// messages than were asked for where their bodies are large.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistoryPage {
    pub latest_seq: i64,
    /// The highest number that retention has let go; 0 for none.
    pub trimmed_to: i64,
    pub messages: Vec<Post>,
}

/// A conversation's one name, given with its users in either order.
pub fn conversation_name(text: &str) -> Result<String, ConversationError> {
    match parse_conversation(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(ConversationError::Order(name)) => Ok(name),
        Err(error) => Err(error),
    }
}

impl Range {
    /// The numbers of a page, first and last; the first is behind the last where the page is empty.
    fn numbers(self, count: u32, trimmed_to: i64, latest: i64) -> (i64, i64) {
        let count = i64::from(count);
        let before = |end: i64| (end.saturating_sub(count).max(trimmed_to) + 1, end);
        match self {
            Self::After(after) => {
                let start = after.max(trimmed_to).saturating_add(1);
                (start, latest.min(start.saturating_add(count - 1)))
            }
            Self::Before(number) => before((number - 1).min(latest)),
            Self::Newest => before(latest),
        }
    }
}

impl Timeline<'_> {
    /// A page of a conversation's history; of one that nobody knows, an empty one.
    pub async fn history(
        &self,
        conversation: &str,
        range: Range,
        count: u32,
    ) -> Result<HistoryPage, ReadError> {
        within(self.read_history(conversation, range, count)).await
    }

    async fn read_history(
        &self,
        conversation: &str,
        range: Range,
        count: u32,
    ) -> Result<HistoryPage, ReadError> {
        let latest_seq = self.latest_message(conversation).await?;
        let mut missing = None;
        // Comes round only while retention goes on below it.
        loop {
            let trimmed_to = self.messages_trimmed_to(conversation, latest_seq).await?;
            if let Some(seq) = missing.filter(|seq| *seq > trimmed_to) {
                return Err(ReadError::Hole { what: conversation.to_owned(), seq });
            }
            let (start, end) = range.numbers(count, trimmed_to, latest_seq);
            match self.page(conversation, range, start, end).await? {
                Ok(messages) => return Ok(HistoryPage { latest_seq, trimmed_to, messages }),
                Err(seq) => missing = Some(seq),
            }
        }
    }

    /// The messages of a page, step by step until their bodies are enough, or the number that is missing.
    async fn page(
        &self,
        conversation: &str,
        range: Range,
        mut start: i64,
        mut end: i64,
    ) -> Result<Result<Vec<Post>, i64>, ReadError> {
        let backward = !matches!(range, Range::After(_));
        let (mut page, mut bytes) = (VecDeque::new(), 0);
        while start <= end && bytes < READ_BYTES_MAX {
            let (first, last) = match backward {
                true => (start.max(end - READ_STEP as i64 + 1), end),
                false => (start, end.min(start + READ_STEP as i64 - 1)),
            };
            let step = self.messages(conversation, first, last).await?;
            if let Some(seq) = first_missing(step.iter().map(|message| message.seq), first, last) {
                return Ok(Err(seq));
            }
            bytes += step.iter().map(|message| message.body.get().len()).sum::<usize>();
            if backward {
                step.into_iter().rev().for_each(|message| page.push_front(message));
                end = first - 1;
            } else {
                page.extend(step);
                start = last + 1;
            }
        }
        Ok(Ok(page.into()))
    }

    /// The number of a conversation's last message.
    pub(super) async fn latest_message(&self, conversation: &str) -> Result<i64, ReadError> {
        Ok(self.conversation_head(conversation).await?.latest_seq)
    }

    pub(super) async fn conversation_head(&self, conversation: &str) -> Result<ConversationHead, ReadError> {
        let head = self.one(head_query(conversation), ConversationHead::from_cells).await?;
        Ok(head.unwrap_or_default())
    }

    /// The highest number that retention has let go: messages expire in the order of their numbers.
    pub(super) async fn messages_trimmed_to(
        &self,
        conversation: &str,
        latest: i64,
    ) -> Result<i64, ReadError> {
        let mut first = self.first_message(conversation, 0).await?;
        if first.is_none() {
            // The first block that has messages left.
            let (mut low, mut high) = (1, block_of(latest));
            while low <= high {
                let block = low + (high - low) / 2;
                match self.first_message(conversation, block).await? {
                    Some(seq) => (first, high) = (Some(seq), block - 1),
                    None => low = block + 1,
                }
            }
        }
        Ok(first.map_or(latest, |seq| (seq - 1).min(latest)))
    }

    async fn first_message(&self, conversation: &str, block: i64) -> Result<Option<i64>, ReadError> {
        let rows = self.store.read(messages_query(conversation, block, None, false, 1)).await?;
        Ok(rows.first().and_then(|row| seq_of(&row.clustering)))
    }

    /// The messages that there are of some numbers, which lie in a few blocks.
    async fn messages(&self, conversation: &str, start: i64, end: i64) -> Result<Vec<Post>, ReadError> {
        let queries = (block_of(start)..=block_of(end)).map(|block| {
            let first = start.max(block * BLOCK_MESSAGES);
            let last = end.min((block + 1) * BLOCK_MESSAGES - 1);
            let count = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
            messages_query(conversation, block, Some(first - 1), false, count)
        });
        let mut messages = Vec::new();
        for row in self.all(queries.collect()).await?.into_iter().flatten() {
            if let Some(seq) = seq_of(&row.clustering).filter(|seq| *seq <= end) {
                let message = MessageRow::from_cells(&row.cells)?;
                messages.push(Post::of_message(conversation, seq, &message)?);
            }
        }
        Ok(messages)
    }
}
