//! The judge: the one authority on what a record of `heartbeats` must be, and on the words of a refusal.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Beat, Choice, End, Field, Input, RefusedPart, StatusChoice};
use crate::{
    limits::{
        AFTER_MS_MAX, BATCH_BYTES_MAX, HEARTBEAT_BYTES_MAX, LEASE_MS_MAX, LEASE_MS_MIN, METADATA_BYTES_MAX,
        TEXT_BYTES_MAX,
    },
    record::{
        Refusal, beacon,
        json::{self, ANY_INTEGER, NOT_NEGATIVE, Object, check_size},
    },
    topology::Topic,
};

/// Objects and arrays around a part of a batch.
pub(super) const PART_DEPTH: usize = 2;

pub(super) fn judge(value: Option<&[u8]>) -> Result<Input<'_>, Refusal> {
    check_size("record", value.map_or(0, <[u8]>::len), BATCH_BYTES_MAX)?;
    let text = json::text(value)?;
    let object = Object::read(text)?;
    object.check_version()?;
    let kind = object.text("type")?;
    let (bytes_max, parts) = match kind.as_ref() {
        "heartbeats" => (BATCH_BYTES_MAX, Some("beats")),
        "goodbyes" => (BATCH_BYTES_MAX, Some("ends")),
        "heartbeat" | "goodbye" | "gateway_gone" | "status" | "beacon" => (HEARTBEAT_BYTES_MAX, None),
        other => return Err(json::unknown_type(Topic::Heartbeats, other)),
    };
    check_size(&kind, text.len(), bytes_max)?;
    object.check_nested(parts.as_slice(), 1)?;
    match kind.as_ref() {
        "heartbeat" => judge_beat(&object).map(Input::Heartbeat),
        "heartbeats" => judge_beats(&object),
        "goodbye" => judge_end(&object).map(Input::Goodbye),
        "goodbyes" => {
            let (ends, refused) = judge_parts(&object, "ends", judge_end)?;
            Ok(Input::Goodbyes { ends, refused })
        }
        "gateway_gone" => Ok(Input::GatewayGone {
            gateway: object.id("gateway")?,
            before: object.integer_field("before", ANY_INTEGER)?.optional("before")?,
        }),
        "status" => judge_status(&object).map(Input::Status),
        _ => beacon::judge(&object).map(Input::Beacon),
    }
}

fn judge_beats<'a>(object: &Object<'a>) -> Result<Input<'a>, Refusal> {
    let gateway = object.id_field("gateway")?;
    let (mut beats, refused) = judge_parts(object, "beats", judge_beat)?;
    for (_, beat) in &mut beats {
        if beat.gateway == Field::LeftOut {
            beat.gateway = gateway.clone();
        }
    }
    Ok(Input::Heartbeats { beats, refused })
}

/// The valid parts of a batch, each with its index, and the refused ones.
type Parts<T> = (Vec<(u32, T)>, Vec<RefusedPart>);

/// Judges each part on its own, so that one client's mistake costs a gateway's batch no more than that one
/// part.
fn judge_parts<'a, T>(
    object: &Object<'a>,
    name: &str,
    judge_part: impl Fn(&Object<'a>) -> Result<T, Refusal>,
) -> Result<Parts<T>, Refusal> {
    let (mut valid, mut refused) = (Vec::new(), Vec::new());
    for (index, raw) in (0..).zip(object.parts(name)?) {
        match Object::read_nested("part of the batch", raw, PART_DEPTH).and_then(|part| judge_part(&part)) {
            Ok(part) => valid.push((index, part)),
            Err(refusal) => refused.push(RefusedPart { index, refusal }),
        }
    }
    Ok((valid, refused))
}

fn judge_beat<'a>(object: &Object<'a>) -> Result<Beat<'a>, Refusal> {
    Ok(Beat {
        user: object.id("user")?,
        session: object.id("session")?,
        epoch: epoch(object)?,
        counter: object.integer("counter", ANY_INTEGER)?,
        device: object.id_field("device")?,
        gateway: object.id_field("gateway")?,
        lease_ms: object.integer_field("lease_ms", LEASE_MS_MIN..=LEASE_MS_MAX)?,
        idle_ms: object.integer_field("idle_ms", NOT_NEGATIVE)?,
        busy: object.boolean_field("busy")?,
        metadata: judge_metadata(object.field("metadata"))?,
    })
}

fn judge_metadata(field: Field<&RawValue>) -> Result<Field<&str>, Refusal> {
    Ok(match field {
        Field::LeftOut => Field::LeftOut,
        Field::Null => Field::Null,
        Field::Given(raw) => {
            check_size("`metadata`", raw.get().len(), METADATA_BYTES_MAX)?;
            Field::Given(raw.get())
        }
    })
}

fn judge_end<'a>(object: &Object<'a>) -> Result<End<'a>, Refusal> {
    Ok(End {
        user: object.id("user")?,
        session: object.id("session")?,
        epoch: epoch(object)?,
        counter: object.integer("counter", ANY_INTEGER)?,
        after_ms: object.integer_field("after_ms", 0..=AFTER_MS_MAX)?.optional("after_ms")?.unwrap_or(0),
    })
}

fn epoch(object: &Object<'_>) -> Result<i64, Refusal> {
    Ok(object.integer_field("epoch", ANY_INTEGER)?.optional("epoch")?.unwrap_or(0))
}

fn judge_status<'a>(object: &Object<'a>) -> Result<StatusChoice<'a>, Refusal> {
    let status = match object.text_field("status")? {
        Field::LeftOut => Field::LeftOut,
        Field::Null => Field::Null,
        Field::Given(name) => Field::Given(Choice::from_name(&name).ok_or_else(|| {
            json::invalid("`status`: must be \"auto\", \"away\", \"busy\" or \"invisible\"")
        })?),
    };
    Ok(StatusChoice {
        user: object.id("user")?,
        status,
        status_text: short_text(object, "status_text")?,
        activity: short_text(object, "activity")?,
        until_ms: object.integer_field("until", ANY_INTEGER)?,
    })
}

fn short_text<'a>(object: &Object<'a>, name: &str) -> Result<Field<Cow<'a, str>>, Refusal> {
    let field = object.text_field(name)?;
    if let Field::Given(text) = &field {
        check_size(&format!("`{name}`"), text.len(), TEXT_BYTES_MAX)?;
    }
    Ok(field)
}
