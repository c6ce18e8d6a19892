//! How far a user has read: its inbox, and its conversations.

use std::collections::BTreeMap;

use futures_util::try_join;
use serde::{Deserialize, Serialize};

use super::{ReadError, Timeline, within};
use crate::{
    limits::READ_COUNT_MAX,
    table::{
        conversation::{ConversationHead, head_query},
        cursor::{CursorRow, clustering, conversation_of, keys_query, user_query},
        inbox::{HeadRow, heads_query},
    },
    topology::ProcessorKind,
};

/// Positions are never beyond what there is to read, whatever a receipt said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorsPage {
    /// 0: nothing was read.
    pub inbox: i64,
    pub conversations: BTreeMap<Box<str>, i64>,
    /// There are further conversations behind the last one of these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl Timeline<'_> {
    /// A user's positions; those in conversations behind `after`, in the order of their bytes, at most
    /// [`READ_COUNT_MAX`].
    pub async fn cursors(&self, user: &str, after: &str) -> Result<CursorsPage, ReadError> {
        within(async {
            let (inbox, head, (mut conversations, more)) = try_join!(
                self.inbox_cursor(user),
                self.inbox_head(user),
                self.conversation_cursors(user, after)
            )?;
            let queries = conversations.iter().map(|(conversation, _)| head_query(conversation));
            let heads = self.all(queries.collect()).await?;
            for ((_, position), rows) in conversations.iter_mut().zip(&heads) {
                let head = rows.first().map(|row| ConversationHead::from_cells(&row.cells)).transpose()?;
                *position = (*position).min(head.unwrap_or_default().latest_seq);
            }
            let inbox = inbox.min(head.unwrap_or_default().latest_seq);
            Ok(CursorsPage { inbox, conversations: conversations.into_iter().collect(), more })
        })
        .await
    }

    /// How far a user says to have read its inbox.
    pub(super) async fn inbox_cursor(&self, user: &str) -> Result<i64, ReadError> {
        let bucket = self.topology.bucket(ProcessorKind::Cursor, user.as_bytes());
        let query = keys_query(bucket, vec![clustering(user, "")]);
        Ok(self.one(query, CursorRow::from_cells).await?.map_or(0, |row| row.position))
    }

    /// The head of a user's inbox.
    pub(super) async fn inbox_head(&self, user: &str) -> Result<Option<HeadRow>, ReadError> {
        let bucket = self.topology.bucket(ProcessorKind::Inbox, user.as_bytes());
        self.one(heads_query(bucket, &[user]), HeadRow::from_cells).await
    }

    /// The next cursors behind `after`, as they were written, and whether there are more.
    async fn conversation_cursors(
        &self,
        user: &str,
        after: &str,
    ) -> Result<(Vec<(Box<str>, i64)>, bool), ReadError> {
        let bucket = self.topology.bucket(ProcessorKind::Cursor, user.as_bytes());
        // The inbox's is behind nothing: its conversation is empty.
        let rows = self.store.read(user_query(bucket, user, Some(after), READ_COUNT_MAX + 1)).await?;
        let more = rows.len() > READ_COUNT_MAX as usize;
        let mut cursors = Vec::with_capacity(rows.len());
        for row in rows.iter().take(READ_COUNT_MAX as usize) {
            let Some(conversation) = conversation_of(&row.clustering) else { continue };
            cursors.push((conversation.into(), CursorRow::from_cells(&row.cells)?.position));
        }
        Ok((cursors, more))
    }
}
