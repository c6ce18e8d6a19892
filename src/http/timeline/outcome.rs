//! What became of a send.

use futures_util::try_join;
use serde::{Deserialize, Serialize};

use super::{ReadError, Timeline, within};
use crate::table::{
    conversation::recent_query,
    message::{SentRow, block_of, sent_clusterings, sent_key, sent_query},
};

/// `unknown` is all that is not known to be accepted: not yet folded, refused (`dead-letters` says why), or
/// too long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    Accepted {
        /// The message's number; a membership change has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<i64>,
    },
    Unknown,
}

impl Timeline<'_> {
    /// What became of the message, or of the membership change, that `sender` sent under an id: as far back
    /// as one that comes again is recognised.
    pub async fn outcome(
        &self,
        conversation: &str,
        sender: &str,
        client_id: &str,
    ) -> Result<Outcome, ReadError> {
        within(async {
            let head = self.conversation_head(conversation).await?;
            let (latest, at_ms) = (head.latest_seq, head.latest_at_ms);
            let block = block_of(latest);
            let blocks = (block - 1).max(0)..=block;
            let key = sent_key(sender, client_id);
            let days = || sent_clusterings(&key, at_ms, at_ms).collect();
            let sent = self.all(blocks.map(|block| sent_query(conversation, block, days())).collect());
            let changes = async {
                Ok::<_, ReadError>(self.store.read(recent_query(conversation, sender, client_id)).await?)
            };
            let (sent, changes) = try_join!(sent, changes)?;
            let mut accepted = None;
            for row in sent.iter().flatten() {
                let seq = SentRow::from_cells(&row.cells)?.seq;
                accepted = accepted.max(Some(seq).filter(|seq| *seq <= latest));
            }
            Ok(match (accepted, changes.first()) {
                (Some(seq), _) => Outcome::Accepted { seq: Some(seq) },
                (None, Some(_)) => Outcome::Accepted { seq: None },
                (None, None) => Outcome::Unknown,
            })
        })
        .await
    }
}
