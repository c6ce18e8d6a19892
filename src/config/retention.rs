//! `[retention]`: how long entries and messages are kept.

use super::settings::{ConfigError, Settings};
use crate::{limits::IDEMPOTENCE_MS, processor::Retention};

/// Seconds: what is kept at least, so that a send that comes again is recognised by its row, and at most,
/// which is the longest time to live that the database takes, less the week that windows are kept longer.
const RETENTION_S_MIN: u32 = 2 * (IDEMPOTENCE_MS / 1_000) as u32;
const RETENTION_S_MAX: u32 = 19 * 365 * 86_400;

pub(super) fn checked(settings: &Settings) -> Result<Retention, ConfigError> {
    let inbox_s = span_s(settings, "retention.inbox")?;
    let history_s = span_s(settings, "retention.history")?;
    if history_s < inbox_s {
        let message = "must be at least retention.inbox: entries read large bodies from the history";
        return Err(settings.bad("retention.history", message));
    }
    Ok(Retention { inbox_s, history_s })
}

fn span_s(settings: &Settings, key: &str) -> Result<u32, ConfigError> {
    let span_s = u32::try_from(settings.duration_ms(key)? / 1_000).unwrap_or(u32::MAX);
    match (RETENTION_S_MIN..=RETENTION_S_MAX).contains(&span_s) {
        true => Ok(span_s),
        false => Err(settings
            .bad(key, format!("must be {} to {} days", RETENTION_S_MIN / 86_400, RETENTION_S_MAX / 86_400))),
    }
}
