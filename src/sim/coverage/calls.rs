//! The calls that a member makes to its log, as the table of coverage has them.

use crate::sim::{Fault, log::Request, member::Tag};

/// What strikes one call: it is late, comes twice or not at all, and so does its answer; or the answer is an
/// error that nobody knows.
pub const CALL_FAULTS: [Fault; 7] = [
    Fault::CallLost,
    Fault::CallLate,
    Fault::CallTwice,
    Fault::AnswerLost,
    Fault::AnswerLate,
    Fault::AnswerTwice,
    Fault::UnknownError,
];

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallKind {
    OpenProducer,
    Join,
    Leave,
    Describe,
    ReadStableOffsets,
    ReadOffsets,
    ReadBounds,
    ListMembers,
    FenceName,
    Poll,
    /// The parts of a transaction.
    SendOffsets,
    Produce,
    Commit,
    Abort,
    Beacon,
}

impl CallKind {
    pub const ALL: [Self; 15] = [
        Self::OpenProducer,
        Self::Join,
        Self::Leave,
        Self::Describe,
        Self::ReadStableOffsets,
        Self::ReadOffsets,
        Self::ReadBounds,
        Self::ListMembers,
        Self::FenceName,
        Self::Poll,
        Self::SendOffsets,
        Self::Produce,
        Self::Commit,
        Self::Abort,
        Self::Beacon,
    ];

    pub(in crate::sim) fn of(tag: &Tag, request: &Request) -> Self {
        match (tag, request) {
            (Tag::Fence(..), _) => Self::FenceName,
            (_, Request::InitProducer { .. }) => Self::OpenProducer,
            (_, Request::Join { .. }) => Self::Join,
            (_, Request::Leave { .. }) => Self::Leave,
            (_, Request::Describe { .. }) => Self::Describe,
            (_, Request::Offsets { stable: true, .. }) => Self::ReadStableOffsets,
            (_, Request::Offsets { stable: false, .. }) => Self::ReadOffsets,
            (_, Request::Bounds { .. }) => Self::ReadBounds,
            (_, Request::Members { .. }) => Self::ListMembers,
            (_, Request::CommitOffsets { .. }) => Self::SendOffsets,
            (_, Request::Produce { .. }) => Self::Produce,
            (_, Request::EndTransaction { commit: true, .. }) => Self::Commit,
            (_, Request::EndTransaction { commit: false, .. }) => Self::Abort,
            (_, Request::Append { .. }) => Self::Beacon,
        }
    }
}
