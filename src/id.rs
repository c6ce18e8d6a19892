//! Ids as they cross the border, and where a key belongs.
//!
//! An id is 1-128 bytes of UTF-8 without control characters and without `/`; ids are compared as bytes and
//! never normalised. A conversation is made of ids and slashes. A key's partition is Java's default
//! (murmur2), so that any Kafka producer places records as we do.

use thiserror::Error;

use crate::limits::ID_BYTES_MAX;

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    #[error("an id must not be empty")]
    Empty,
    #[error("an id has at most {ID_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    #[error("an id must not contain '/'")]
    Slash,
    #[error("an id must not contain control characters")]
    Control,
}

/// Checks that `text` may be used as the id of a user, session, device, gateway, group or client.
pub fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong(text.len()));
    }
    // Plain printable ASCII is nearly all there is; the general check is for the rest.
    if text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'/') {
        return Ok(());
    }
    match text.chars().find(|c| *c == '/' || c.is_control()) {
        Some('/') => Err(IdError::Slash),
        Some(_) => Err(IdError::Control),
        None => Ok(()),
    }
}

/// A conversation: a group by its id, or two users, the first not greater than the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConversationId<'a> {
    Group(&'a str),
    Direct(&'a str, &'a str),
}

/// Why a text is no conversation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConversationError {
    #[error("a conversation is group/<id> or direct/<user>/<user>")]
    Form,
    #[error(transparent)]
    Id(#[from] IdError),
    #[error("the users of a direct conversation stand in the order of their bytes; write {0}")]
    Order(String),
}

/// Reads `group/<id>` or `direct/<a>/<b>` with a <= b bytewise, so that a conversation has one name only.
pub fn parse_conversation(text: &str) -> Result<ConversationId<'_>, ConversationError> {
    let (kind, rest) = text.split_once('/').ok_or(ConversationError::Form)?;
    match kind {
        "group" => {
            check_id(rest)?;
            Ok(ConversationId::Group(rest))
        }
        "direct" => {
            let (first, second) = rest.split_once('/').ok_or(ConversationError::Form)?;
            check_id(first)?;
            check_id(second)?;
            if first > second {
                return Err(ConversationError::Order(format!("direct/{second}/{first}")));
            }
            Ok(ConversationId::Direct(first, second))
        }
        _ => Err(ConversationError::Form),
    }
}

/// The partition of `key` among `partitions`, as Kafka's Java client chooses it.
///
/// # Panics
/// When `partitions` is 0: counts come from the checked topology, which refuses that.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// The bucket of `key` among `buckets`; with `buckets` a multiple of the partition count, a bucket belongs to
/// one partition: `bucket % partitions`.
#[must_use]
pub fn bucket_of(key: &[u8], buckets: u32) -> u32 {
    partition_of(key, buckets)
}

/// MurmurHash2, 32 bit, with the seed of Kafka's `org.apache.kafka.common.utils.Utils.murmur2`.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut h = SEED ^ (data.len() as u32);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if rest.len() == 3 {
        h ^= u32::from(rest[2]) << 16;
    }
    if rest.len() >= 2 {
        h ^= u32::from(rest[1]) << 8;
    }
    if !rest.is_empty() {
        h = (h ^ u32::from(rest[0])).wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests;
