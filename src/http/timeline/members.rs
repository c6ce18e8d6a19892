//! The members of a conversation, a page at a time.

use serde::{Deserialize, Serialize};

use super::{ReadError, Timeline, within};
use crate::{
    log::Offset,
    table::conversation::{ConversationHead, Entry, head_query, members_query},
};

/// Members in the order of their bytes. A page with fewer than were asked for is the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersPage {
    pub members: Vec<Box<str>>,
    /// The position after the last record that changed the membership, 0 for none: pages of the same origin
    /// are parts of one list.
    pub origin: Offset,
}

impl Timeline<'_> {
    /// The members behind `after`.
    pub async fn members(
        &self,
        conversation: &str,
        after: &str,
        count: u32,
    ) -> Result<MembersPage, ReadError> {
        within(async {
            let rows = self.store.read(members_query(conversation, after, count)).await?;
            let head = rows.first().filter(|row| row.clustering.is_empty());
            let head = match head {
                Some(row) => Some(ConversationHead::from_cells(&row.cells)?),
                // Behind the last entry a page may lack the head.
                None => self.one(head_query(conversation), ConversationHead::from_cells).await?,
            };
            let members = rows.iter().filter_map(|row| match Entry::from_clustering(&row.clustering)? {
                Entry::Member(user) => Some(user.into()),
                Entry::Recent { .. } => None,
            });
            Ok(MembersPage { members: members.collect(), origin: head.unwrap_or_default().members_origin })
        })
        .await
    }
}
