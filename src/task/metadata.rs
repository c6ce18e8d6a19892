//! What travels with an offset commit, so that it moves atomically with the committed position.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{limits::OFFSET_METADATA_BYTES_MAX, log::Offset};

/// The metadata of an offset commit: the second watermark, and what its successor needs to restore from
/// there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetMetadata {
    /// Everything below is in the store; an acknowledged `progress` row says so too.
    pub stored: Offset,
    /// Where this generation of the partition began.
    pub start: Offset,
    pub generation: i32,
    pub base_us: i64,
    pub topic_id: String,
    /// The committing producer: who to fence when its transaction stays open.
    pub producer: String,
    /// What the fold needs at `stored`; `None` at the start of the partition.
    pub resume: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Mirror<'a> {
    v: u32,
    k: Offset,
    start: Offset,
    generation: i32,
    base_us: i64,
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    producer: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<Cow<'a, str>>,
}

impl OffsetMetadata {
    /// At most `OFFSET_METADATA_BYTES_MAX` bytes: names are bounded by the configuration, the rest by its
    /// types.
    #[must_use]
    pub fn encode(&self) -> String {
        let mirror = Mirror {
            v: 1,
            k: self.stored,
            start: self.start,
            generation: self.generation,
            base_us: self.base_us,
            topic: self.topic_id.as_str().into(),
            producer: self.producer.as_str().into(),
            resume: self.resume.as_deref().map(Into::into),
        };
        let text = serde_json::to_string(&mirror).unwrap_or_default();
        debug_assert!(text.len() <= OFFSET_METADATA_BYTES_MAX, "{} bytes of offset metadata", text.len());
        text
    }

    /// `None` for anything that this product did not write.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let mirror: Mirror<'_> = serde_json::from_str(text).ok()?;
        (mirror.v == 1).then(|| Self {
            stored: mirror.k,
            start: mirror.start,
            generation: mirror.generation,
            base_us: mirror.base_us,
            topic_id: mirror.topic.into_owned(),
            producer: mirror.producer.into_owned(),
            resume: mirror.resume.map(Cow::into_owned),
        })
    }
}

#[cfg(test)]
mod tests;
