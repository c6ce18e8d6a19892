//! A case as text.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    str::FromStr,
    sync::Arc,
};

use bytes::Bytes;

use super::{Case, Event, Sent};
use crate::{
    log::Header,
    sim::{
        Fault, PodId, Strike,
        log::partition::Content,
        world::{act::Act, plan::Plan},
    },
    topology::{ProcessorKind, Topic, Topology},
};

const FIRST_LINE: &str = "heartline-case 1";

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(mutant) = &self.mutant {
            writeln!(f, "mutant {mutant}")?;
        }
        for (name, value) in fields(&self.plan) {
            writeln!(f, "plan {name} {value}")?;
        }
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Act { at_ms, act } => write!(f, "{at_ms} act {act}"),
            Self::Strike(Strike { at_ms, pod, fault, passed }) => {
                write!(f, "{at_ms} strike {fault:?} {} {passed}", pod.0)
            }
            Self::Record(Sent { at_ms, topic, partition, content }) => {
                let Content { key, value, headers } = content;
                write!(f, "{at_ms} record {topic} {partition} {}", word(key.as_deref()))?;
                for Header { name, value } in headers {
                    write!(f, " {}:{}", word(Some(name.as_bytes())), word(value.as_deref()))?;
                }
                value.as_ref().map_or(Ok(()), |value| write!(f, " = {}", escaped(value, "")))
            }
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        if lines.next() != Some(FIRST_LINE) {
            return Err(format!("a case begins with '{FIRST_LINE}'"));
        }
        let (mut mutant, mut plan, mut events) = (None, BTreeMap::new(), Vec::new());
        for line in lines {
            let unknown = || format!("not a line of a case: '{line}'");
            if let Some(name) = line.strip_prefix("mutant ") {
                mutant = Some(name.to_owned());
            } else if let Some(field) = line.strip_prefix("plan ") {
                let (name, value) = field.split_once(' ').ok_or_else(unknown)?;
                plan.insert(name, value);
            } else {
                events.push(event(line).ok_or_else(unknown)?);
            }
        }
        Ok(Self { mutant, plan: plan_of(&plan)?, events })
    }
}

/// The fields of a plan that say something where events are given.
fn fields(plan: &Plan) -> Vec<(&'static str, String)> {
    vec![
        ("seed", plan.seed.to_string()),
        ("delays", plan.delays.to_string()),
        ("partitions", plan.topology.partitions(Topic::Heartbeats).to_string()),
        ("buckets", plan.topology.buckets(ProcessorKind::Presence).to_string()),
        ("machines", plan.machines.to_string()),
        ("users", plan.users.to_string()),
        ("lease_ms", plan.parameters.lease_ms.to_string()),
        ("away_after_ms", plan.parameters.away_after_ms.to_string()),
        ("busy_for_ms", plan.parameters.busy_for_ms.to_string()),
        ("brake", plan.parameters.brake.to_string()),
        ("dwell_ms", plan.parameters.dwell_ms.to_string()),
        ("checkpoint_round_ms", plan.pace.checkpoint_round_ms.to_string()),
        ("store_ms", plan.store_ms.to_string()),
        ("longer_lease_ms", plan.longer_lease_ms.to_string()),
        ("unstored_bytes_max", plan.pace.unstored_bytes_max.to_string()),
        ("unfolded_bytes_max", plan.pace.unfolded_bytes_max.to_string()),
        ("transaction_bytes_max", plan.pace.transaction_bytes_max.to_string()),
        ("state_bytes_max", plan.state_bytes_max.to_string()),
        ("large_group", plan.large_group.to_string()),
        ("stable_names", plan.stable_names.to_string()),
        ("transaction_ms", plan.transaction_ms.to_string()),
        ("rebalance_ms", plan.rebalance_ms.to_string()),
        ("faulty_ms", plan.faulty_ms.to_string()),
        ("newer_machine", plan.newer_machine.map_or("none".to_owned(), |machine| machine.to_string())),
        ("ends_sessions", plan.ends_sessions.to_string()),
        ("meddles", plan.meddles.to_string()),
    ]
}

fn plan_of(fields: &BTreeMap<&str, &str>) -> Result<Plan, String> {
    fn get<T: FromStr>(fields: &BTreeMap<&str, &str>, name: &str) -> Result<T, String> {
        let value = fields.get(name).ok_or_else(|| format!("the plan has no {name}"))?;
        value.parse().map_err(|_| format!("plan {name}: cannot use '{value}'"))
    }
    let mut plan = Plan::draw(get(fields, "seed")?).without_events();
    plan.delays = get(fields, "delays")?;
    let (partitions, buckets) = (get(fields, "partitions")?, get(fields, "buckets")?);
    plan.topology = Arc::new(Topology::uniform(partitions, buckets));
    plan.machines = get(fields, "machines")?;
    plan.users = get(fields, "users")?;
    plan.parameters.lease_ms = get(fields, "lease_ms")?;
    plan.parameters.away_after_ms = get(fields, "away_after_ms")?;
    plan.parameters.busy_for_ms = get(fields, "busy_for_ms")?;
    plan.parameters.brake = get(fields, "brake")?;
    plan.parameters.dwell_ms = get(fields, "dwell_ms")?;
    plan.pace.checkpoint_round_ms = get(fields, "checkpoint_round_ms")?;
    plan.store_ms = get(fields, "store_ms")?;
    plan.longer_lease_ms = get(fields, "longer_lease_ms")?;
    plan.pace.unstored_bytes_max = get(fields, "unstored_bytes_max")?;
    plan.pace.unfolded_bytes_max = get(fields, "unfolded_bytes_max")?;
    plan.pace.transaction_bytes_max = get(fields, "transaction_bytes_max")?;
    plan.state_bytes_max = get(fields, "state_bytes_max")?;
    plan.large_group = get(fields, "large_group")?;
    plan.stable_names = get(fields, "stable_names")?;
    plan.transaction_ms = get(fields, "transaction_ms")?;
    plan.rebalance_ms = get(fields, "rebalance_ms")?;
    plan.faulty_ms = get(fields, "faulty_ms")?;
    plan.newer_machine = match get::<String>(fields, "newer_machine")?.as_str() {
        "none" => None,
        _ => Some(get(fields, "newer_machine")?),
    };
    plan.ends_sessions = get(fields, "ends_sessions")?;
    plan.meddles = get(fields, "meddles")?;
    Ok(plan)
}

fn event(line: &str) -> Option<Event> {
    let (at_ms, rest) = line.split_once(' ')?;
    let at_ms = at_ms.parse().ok()?;
    let (kind, rest) = rest.split_once(' ')?;
    match kind {
        "act" => Some(Event::Act { at_ms, act: Act::parse(rest)? }),
        "strike" => {
            let mut words = rest.split_whitespace();
            let fault = Fault::from_name(words.next()?)?;
            let pod = PodId(words.next()?.parse().ok()?);
            let passed = words.next()?.parse().ok()?;
            Some(Event::Strike(Strike { at_ms, pod, fault, passed }))
        }
        "record" => {
            let (head, value) = match rest.split_once(" = ") {
                Some((head, value)) => (head, Some(unescaped(value)?)),
                None => (rest, None),
            };
            let mut words = head.split_whitespace();
            let topic = Topic::from_name(words.next()?)?;
            let partition = words.next()?.parse().ok()?;
            let key = unword(words.next()?)?;
            let header = |word: &str| {
                let (name, value) = word.split_once(':')?;
                let name = String::from_utf8(unword(name)??.to_vec()).ok()?;
                Some(Header { name, value: unword(value)? })
            };
            let headers = words.map(header).collect::<Option<_>>()?;
            Some(Event::Record(Sent { at_ms, topic, partition, content: Content { key, value, headers } }))
        }
        _ => None,
    }
}

/// Bytes as one word: `-` for none, `%` for no bytes.
fn word(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(b"") => "%".to_owned(),
        Some(b"-") => "%2D".to_owned(),
        Some(bytes) => escaped(bytes, " :"),
    }
}

fn unword(word: &str) -> Option<Option<Bytes>> {
    match word {
        "-" => Some(None),
        "%" => Some(Some(Bytes::new())),
        word => unescaped(word).map(Some),
    }
}

/// Text stays as it is, but for controls, `%` and `others`.
fn escaped(bytes: &[u8], others: &str) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escape = |bytes: &[u8], text: &mut String| {
        bytes.iter().for_each(|byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        });
    };
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control()
                || char.is_whitespace() && char != ' '
                || char == '%'
                || others.contains(char)
            {
                escape(char.encode_utf8(&mut [0; 4]).as_bytes(), &mut text);
            } else {
                text.push(char);
            }
        }
        escape(chunk.invalid(), &mut text);
    }
    text
}

fn unescaped(text: &str) -> Option<Bytes> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    Some(bytes.into())
}
