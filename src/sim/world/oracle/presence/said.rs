//! Records of `heartbeats`, read as the contract has them.

use super::super::json::{Fields, INVALID, MALFORMED, OVERSIZE, Why};
use crate::limits::{
    AFTER_MS_MAX, BATCH_BYTES_MAX, HEARTBEAT_BYTES_MAX, INTEGER_MAX, LEASE_MS_MAX, LEASE_MS_MIN,
    METADATA_BYTES_MAX, TEXT_BYTES_MAX,
};

const TYPES: [&str; 7] =
    ["heartbeat", "heartbeats", "goodbye", "goodbyes", "gateway_gone", "status", "beacon"];

/// What a record says.
pub enum Said {
    /// One user's, or a batch of many.
    Parts(Parts),
    GatewayGone {
        gateway: String,
        before: Option<i64>,
    },
    Beacon(Beacon),
}

pub struct Parts {
    pub is_batch: bool,
    /// Each with its place in the batch.
    pub valid: Vec<(u64, Part)>,
    pub refused: Vec<u64>,
}

/// What is said of one user.
pub struct Part {
    pub user: String,
    pub act: Act,
}

pub enum Act {
    Beat(Beat),
    End(End),
    Choose(Choose),
}

/// A field that may be left out or null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told<T> {
    Nothing,
    Null,
    This(T),
}

pub type Pair = (i64, i64);

pub struct Beat {
    pub session: String,
    pub pair: Pair,
    pub device: Told<String>,
    pub gateway: Told<String>,
    pub lease_ms: Told<i64>,
    pub idle_ms: i64,
    pub busy: bool,
    pub metadata: Told<String>,
}

pub struct End {
    pub session: String,
    pub pair: Pair,
    pub after_ms: i64,
}

pub struct Choose {
    pub status: Told<String>,
    pub status_text: Told<String>,
    pub activity: Told<String>,
    pub until: Told<i64>,
}

pub struct Beacon {
    pub group: String,
    pub incarnation: String,
    pub elapsed_ms: i64,
    pub parameters: Parameters,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    pub fold_version: i64,
    pub lease_ms: i64,
    pub away_after_ms: i64,
    pub busy_for_ms: i64,
    pub brake: bool,
    pub dwell_ms: i64,
}

/// What holds before the first beacon: a lease of 90 s, away after five minutes, busy for an hour.
pub const FIRST: Parameters = Parameters {
    fold_version: 1,
    lease_ms: 90_000,
    away_after_ms: 300_000,
    busy_for_ms: 3_600_000,
    brake: true,
    dwell_ms: 0,
};

impl<T: Clone> Told<T> {
    /// What holds now, where null clears.
    pub fn over(&self, former: Option<T>) -> Option<T> {
        match self {
            Self::Nothing => former,
            Self::Null => None,
            Self::This(value) => Some(value.clone()),
        }
    }
}

pub fn judge(value: Option<&[u8]>) -> Result<Said, Why> {
    let bytes = value.map_or(0, <[u8]>::len);
    if bytes > BATCH_BYTES_MAX {
        return Err(OVERSIZE);
    }
    let fields = Fields::read(value)?;
    let kind = fields.kind(&TYPES)?;
    let list = match &*kind {
        "heartbeats" => Some("beats"),
        "goodbyes" => Some("ends"),
        _ if bytes > HEARTBEAT_BYTES_MAX => return Err(OVERSIZE),
        _ => None,
    };
    // Every part of a batch is judged by itself.
    fields.nested(2, &[], list)?;
    match &*kind {
        "gateway_gone" => {
            let gateway = fields.id("gateway")?.ok_or(INVALID)?;
            Ok(Said::GatewayGone { gateway, before: fields.integer("before")? })
        }
        "beacon" => beacon(&fields).map(Said::Beacon),
        "heartbeats" | "goodbyes" => batch(&fields, list.unwrap_or_default()).map(Said::Parts),
        _ => {
            let valid = vec![(0, part(&kind, &fields, &Told::Nothing)?)];
            Ok(Said::Parts(Parts { is_batch: false, valid, refused: Vec::new() }))
        }
    }
}

fn batch(fields: &Fields<'_>, list: &str) -> Result<Parts, Why> {
    let is_beats = list == "beats";
    let shared = if is_beats { told(fields, "gateway", Fields::id)? } else { Told::Nothing };
    let (mut valid, mut refused) = (Vec::new(), Vec::new());
    for (index, text) in (0..).zip(fields.parts(list)?.ok_or(INVALID)?) {
        let one = || {
            let fields = Fields::read(Some(text.as_bytes()))?;
            fields.nested(4, &[], None)?;
            part(if is_beats { "heartbeat" } else { "goodbye" }, &fields, &shared)
        };
        match one() {
            Ok(part) => valid.push((index, part)),
            Err(_) => refused.push(index),
        }
    }
    Ok(Parts { is_batch: true, valid, refused })
}

fn part(kind: &str, fields: &Fields<'_>, shared: &Told<String>) -> Result<Part, Why> {
    let user = fields.id("user")?.ok_or(INVALID)?;
    let session = || fields.id("session")?.ok_or(INVALID);
    let pair = || -> Result<_, Why> {
        Ok((fields.integer("epoch")?.unwrap_or(0), fields.integer("counter")?.ok_or(INVALID)?))
    };
    let act = match kind {
        "heartbeat" => {
            let gateway = match told(fields, "gateway", Fields::id)? {
                Told::Nothing => shared.clone(),
                own => own,
            };
            Act::Beat(Beat {
                session: session()?,
                pair: pair()?,
                device: told(fields, "device", Fields::id)?,
                gateway,
                lease_ms: told(fields, "lease_ms", |fields, name| {
                    within(fields, name, LEASE_MS_MIN, LEASE_MS_MAX)
                })?,
                idle_ms: told(fields, "idle_ms", |fields, name| within(fields, name, 0, INTEGER_MAX))?
                    .over(None)
                    .unwrap_or(0),
                busy: told(fields, "busy", Fields::boolean)?.over(None).unwrap_or(false),
                metadata: told(fields, "metadata", metadata)?,
            })
        }
        "goodbye" => {
            let after_ms = within(fields, "after_ms", 0, AFTER_MS_MAX)?.unwrap_or(0);
            Act::End(End { session: session()?, pair: pair()?, after_ms })
        }
        _ => Act::Choose(Choose {
            status: told(fields, "status", |fields, name| match fields.text(name)? {
                Some(status) if !["auto", "away", "busy", "invisible"].contains(&&*status) => Err(INVALID),
                status => Ok(status),
            })?,
            status_text: told(fields, "status_text", short)?,
            activity: told(fields, "activity", short)?,
            until: told(fields, "until", Fields::integer)?,
        }),
    };
    Ok(Part { user, act })
}

fn beacon(fields: &Fields<'_>) -> Result<Beacon, Why> {
    let group = fields.id("group")?.ok_or(INVALID)?;
    let incarnation = fields.id("incarnation")?.ok_or(INVALID)?;
    let elapsed_ms = within(fields, "elapsed_ms", 0, INTEGER_MAX)?.ok_or(INVALID)?;
    let parameters = fields.raw("parameters").filter(|text| text.starts_with('{')).ok_or(INVALID)?;
    let parameters = Fields::read(Some(parameters.as_bytes()))?;
    let span = |name: &str, usual: i64| -> Result<i64, Why> {
        Ok(within(&parameters, name, 0, INTEGER_MAX)?.unwrap_or(usual))
    };
    Ok(Beacon {
        group,
        incarnation,
        elapsed_ms,
        parameters: Parameters {
            fold_version: within(&parameters, "fold_version", 0, u32::MAX.into())?
                .unwrap_or(FIRST.fold_version),
            lease_ms: span("lease_ms", FIRST.lease_ms)?,
            away_after_ms: span("away_after_ms", FIRST.away_after_ms)?,
            busy_for_ms: span("busy_for_ms", FIRST.busy_for_ms)?,
            brake: parameters.boolean("brake")?.unwrap_or(FIRST.brake),
            dwell_ms: span("dwell_ms", FIRST.dwell_ms)?,
        },
    })
}

fn told<'a, T>(
    fields: &Fields<'a>,
    name: &str,
    read: impl FnOnce(&Fields<'a>, &str) -> Result<Option<T>, Why>,
) -> Result<Told<T>, Why> {
    match fields.raw(name) {
        None => Ok(Told::Nothing),
        Some("null") => Ok(Told::Null),
        Some(_) => read(fields, name)?.map(Told::This).ok_or(MALFORMED),
    }
}

fn within(fields: &Fields<'_>, name: &str, least: i64, most: i64) -> Result<Option<i64>, Why> {
    let integer = fields.integer(name)?;
    if integer.is_some_and(|integer| !(least..=most).contains(&integer)) { Err(INVALID) } else { Ok(integer) }
}

fn metadata(fields: &Fields<'_>, name: &str) -> Result<Option<String>, Why> {
    let text = fields.raw(name).map(ToOwned::to_owned);
    if text.as_ref().is_some_and(|text| text.len() > METADATA_BYTES_MAX) { Err(OVERSIZE) } else { Ok(text) }
}

fn short(fields: &Fields<'_>, name: &str) -> Result<Option<String>, Why> {
    let text = fields.text(name)?;
    if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) { Err(OVERSIZE) } else { Ok(text) }
}
