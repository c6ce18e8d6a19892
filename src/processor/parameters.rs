//! What the folds of conversations, inboxes and cursors are governed by: the constants of a version, which
//! `progress` and the offsets' metadata record with the position from which they hold.

use serde::{Deserialize, Serialize};

use super::RestoreError;
use crate::{
    limits::{IDEMPOTENCE_MS, INLINE_BODY_BYTES, RECENT_CHANGES_MAX, WINDOW_ENTRIES_MAX, WINDOW_MS_MAX},
    topology::ProcessorKind,
};

const VERSION: u32 = 1;

/// The constants of version 1, which are in [`crate::limits`]. They are written out so that a row tells what
/// it was made with; what is not the same is another version.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Parameters {
    version: u32,
    window_entries: i64,
    window_ms: i64,
    inline_body_bytes: usize,
    idempotence_ms: i64,
    recent_changes: usize,
}

const IN_FORCE: Parameters = Parameters {
    version: VERSION,
    window_entries: WINDOW_ENTRIES_MAX,
    window_ms: WINDOW_MS_MAX,
    inline_body_bytes: INLINE_BODY_BYTES,
    idempotence_ms: IDEMPOTENCE_MS,
    recent_changes: RECENT_CHANGES_MAX,
};

/// What a successor needs.
pub(super) fn resume(kind: ProcessorKind) -> String {
    serde_json::to_string(&IN_FORCE).unwrap_or_else(|error| panic!("parameters of {kind} are JSON: {error}"))
}

/// Whether this build folds as it was folded before.
pub(super) fn check_resume(kind: ProcessorKind, resume: Option<&str>) -> Result<(), RestoreError> {
    let Some(resume) = resume else { return Ok(()) };
    match serde_json::from_str::<Parameters>(resume) {
        Ok(parameters) if parameters == IN_FORCE => Ok(()),
        Ok(parameters) => Err(RestoreError(format!(
            "{kind}: version {} of its parameters is in force and this build knows {VERSION}; \
             start a build that knows it",
            parameters.version
        ))),
        Err(error) => Err(RestoreError(format!(
            "{kind}: the parameters in force cannot be read ({error}); start a build that knows them"
        ))),
    }
}
