//! `[presence]`: the parameters that this pod's beacons announce.

use super::settings::{ConfigError, Settings};
use crate::{
    limits::{LEASE_MS_MAX, LEASE_MS_MIN},
    record::beacon::Parameters,
};

/// Milliseconds; beyond a month, a threshold is a typing error.
const SPAN_MS_MAX: i64 = 31 * 86_400_000;

pub(super) fn checked(settings: &Settings) -> Result<Parameters, ConfigError> {
    let lease_ms = span_ms(settings, "presence.lease", LEASE_MS_MIN, LEASE_MS_MAX)?;
    Ok(Parameters {
        fold_version: Parameters::VERSION_1.fold_version,
        lease_ms,
        away_after_ms: span_ms(settings, "presence.away_after", 1_000, SPAN_MS_MAX)?,
        busy_for_ms: span_ms(settings, "presence.busy_for", 1_000, SPAN_MS_MAX)?,
        brake: settings.boolean("presence.brake")?,
        dwell_ms: span_ms(settings, "presence.dwell", 0, LEASE_MS_MAX)?,
    })
}

fn span_ms(settings: &Settings, key: &str, min_ms: i64, max_ms: i64) -> Result<i64, ConfigError> {
    let span_ms = i64::try_from(settings.duration_ms(key)?).unwrap_or(i64::MAX);
    match (min_ms..=max_ms).contains(&span_ms) {
        true => Ok(span_ms),
        false => Err(settings.bad(key, format!("must be {} s to {} s", min_ms / 1_000, max_ms / 1_000))),
    }
}
