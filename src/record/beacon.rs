//! `beacon`: the owner's proof that time passes, with the parameters of the fold.

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    Refusal,
    json::{NOT_NEGATIVE, Object},
    json_writer::JsonWriter,
};
use crate::limits::INTEGER_MAX;

/// The parameters of the presence fold. In force are those of the last beacon folded; before the first, those
/// of [`Parameters::VERSION_1`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Which rules the fold follows; a pod that does not know it halts the partition.
    pub fold_version: u32,
    /// A session's lease where its beat names none.
    pub lease_ms: i64,
    /// Idle for so long, a session is away.
    pub away_after_ms: i64,
    /// How long `busy` of a session holds after the beat that said it.
    pub busy_for_ms: i64,
    /// The brake on ends by silence; off only for tests and by an explicit wish.
    pub brake: bool,
    /// How long a user must have been offline before it is announced; 0: at once.
    pub dwell_ms: i64,
}

impl Parameters {
    /// The constants of fold version 1.
    pub const VERSION_1: Self = Self {
        fold_version: 1,
        lease_ms: 90_000,
        away_after_ms: 300_000,
        busy_for_ms: 3_600_000,
        brake: true,
        dwell_ms: 0,
    };
}

/// A beacon as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon<'a> {
    /// The consumer group of the partition's owner.
    pub group: Cow<'a, str>,
    /// Distinguishes owners, and one owner's lives.
    pub incarnation: Cow<'a, str>,
    /// The owner's monotonic time.
    pub elapsed_ms: i64,
    pub parameters: Parameters,
}

/// A beacon's value. Spans beyond what a record may carry are cut to it.
#[must_use]
pub fn encode_beacon(group: &str, incarnation: &str, elapsed_ms: i64, parameters: &Parameters) -> Bytes {
    let bounded = |ms: i64| ms.clamp(0, INTEGER_MAX);
    let mut writer = JsonWriter::record("beacon", 256);
    writer.text("group", group);
    writer.text("incarnation", incarnation);
    writer.integer("elapsed_ms", bounded(elapsed_ms));
    writer.begin_object("parameters");
    writer.integer("fold_version", i64::from(parameters.fold_version));
    writer.integer("lease_ms", bounded(parameters.lease_ms));
    writer.integer("away_after_ms", bounded(parameters.away_after_ms));
    writer.integer("busy_for_ms", bounded(parameters.busy_for_ms));
    writer.boolean("brake", parameters.brake);
    writer.integer("dwell_ms", bounded(parameters.dwell_ms));
    writer.end_object();
    writer.end_object();
    writer.into_bytes()
}

pub(super) fn judge<'a>(object: &Object<'a>) -> Result<Beacon<'a>, Refusal> {
    Ok(Beacon {
        group: object.id("group")?,
        incarnation: object.id("incarnation")?,
        elapsed_ms: object.integer("elapsed_ms", NOT_NEGATIVE)?,
        parameters: judge_parameters(object)?,
    })
}

/// A parameter that is left out has the constant of fold version 1. Of another version only the number is
/// judged, and the others are taken where they can be read: the fold must get to see that version and halt.
fn judge_parameters(object: &Object<'_>) -> Result<Parameters, Refusal> {
    let object = Object::read_nested("`parameters`", object.required("parameters")?, 1)?;
    let default = Parameters::VERSION_1;
    let fold_version = object
        .integer_field("fold_version", 0..=i64::from(u32::MAX))?
        .optional("fold_version")?
        .map_or(default.fold_version, |version| version as u32);
    let known = fold_version == default.fold_version;
    let span = |name, default| match object.integer_field(name, NOT_NEGATIVE).and_then(|f| f.optional(name)) {
        Ok(span) => Ok(span.unwrap_or(default)),
        Err(refusal) if known => Err(refusal),
        Err(_) => Ok(default),
    };
    let brake = match object.boolean_field("brake").and_then(|field| field.optional("brake")) {
        Ok(brake) => brake.unwrap_or(default.brake),
        Err(refusal) if known => return Err(refusal),
        Err(_) => default.brake,
    };
    Ok(Parameters {
        fold_version,
        lease_ms: span("lease_ms", default.lease_ms)?,
        away_after_ms: span("away_after_ms", default.away_after_ms)?,
        busy_for_ms: span("busy_for_ms", default.busy_for_ms)?,
        brake,
        dwell_ms: span("dwell_ms", default.dwell_ms)?,
    })
}

#[cfg(test)]
mod tests;
