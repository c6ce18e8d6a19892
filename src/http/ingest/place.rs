//! Where a record goes: checked, keyed, and a batch over several partitions split.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    log::{OutRecord, PartitionId},
    record::{
        Reason, Refusal,
        heartbeats::{self, Input, RefusedPart},
        receipts,
        sends::{self, SendInput},
    },
    topology::{Topic, Topology},
};

/// The topics that take records from outside; all others are written by workers only.
pub const OPEN_TOPICS: [Topic; 3] = [Topic::Heartbeats, Topic::Sends, Topic::Receipts];

/// What becomes of one record: what is appended, and the parts of it that are not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub records: Vec<OutRecord>,
    pub refused: Vec<RefusedPart>,
}

/// Checks a value of `topic` as the worker will, and places it as any producer would. A value keeps its exact
/// bytes unless it is a batch that has to be split or thinned; its elements keep theirs even then.
pub fn place(topology: &Topology, topic: Topic, value: &Bytes) -> Result<Placed, Refusal> {
    if topology.topic(topic).is_none() {
        let message = format!("topic '{topic}' is not in the topology; add it to topology.toml");
        return Err(Refusal::new(Reason::Unsupported, message));
    }
    match topic {
        Topic::Heartbeats => place_heartbeats(topology, value),
        Topic::Sends => place_send(topology, value),
        Topic::Receipts => {
            let read = receipts::decode(Some(value))?;
            let records = vec![keyed(topology, topic, read.user, value)];
            Ok(Placed { records, refused: Vec::new() })
        }
        _ => Err(Refusal::new(Reason::Invalid, format!("topic '{topic}' is written by workers only"))),
    }
}

/// Recipients that cannot be used are named, and stay in the record: it is kept as its sender wrote it, and
/// the worker says the same in a dead letter.
fn place_send(topology: &Topology, value: &Bytes) -> Result<Placed, Refusal> {
    let input = sends::decode(Some(value)).map_err(|refused| refused.refusal)?;
    let records = vec![keyed(topology, Topic::Sends, input.conversation().clone(), value)];
    let refused = match input {
        SendInput::Message(message) => message.refused,
        SendInput::Members(_) => Vec::new(),
    };
    Ok(Placed { records, refused })
}

/// A record and its key, which is copied only where the value spells it otherwise.
fn keyed(topology: &Topology, topic: Topic, key: Cow<'_, str>, value: &Bytes) -> OutRecord {
    OutRecord {
        topic,
        partition: topology.place(topic, key.as_bytes()),
        key: Some(match key {
            Cow::Borrowed(key) => value.slice_ref(key.as_bytes()),
            Cow::Owned(key) => Bytes::from(key),
        }),
        value: Some(value.clone()),
        headers: Vec::new(),
    }
}

fn place_heartbeats(topology: &Topology, value: &Bytes) -> Result<Placed, Refusal> {
    let whole = |partition: PartitionId| OutRecord {
        topic: Topic::Heartbeats,
        partition,
        key: None,
        value: Some(value.clone()),
        headers: Vec::new(),
    };
    let of_user = |user: &str| topology.place(Topic::Heartbeats, user.as_bytes());
    let records = match heartbeats::decode(Some(value))? {
        Input::Heartbeat(beat) => vec![keyed(topology, Topic::Heartbeats, beat.user, value)],
        Input::Goodbye(end) => vec![keyed(topology, Topic::Heartbeats, end.user, value)],
        Input::Status(choice) => vec![keyed(topology, Topic::Heartbeats, choice.user, value)],
        Input::GatewayGone { .. } => {
            let one = whole(0);
            // Its bytes are shared by all of them.
            let partitions = 0..topology.partitions(Topic::Heartbeats);
            partitions.map(|partition| OutRecord { partition, ..one.clone() }).collect()
        }
        Input::Heartbeats { beats, refused } => {
            let places = beats.iter().map(|(index, beat)| (*index, of_user(&beat.user))).collect();
            return split(value, places, refused, whole);
        }
        Input::Goodbyes { ends, refused } => {
            let places = ends.iter().map(|(index, end)| (*index, of_user(&end.user))).collect();
            return split(value, places, refused, whole);
        }
        Input::Beacon(_) => {
            return Err(Refusal::new(
                Reason::Invalid,
                "type: a beacon is written by the partition's owner only",
            ));
        }
    };
    Ok(Placed { records, refused: Vec::new() })
}

/// The elements of a batch by partition; `places` names the good ones by index.
fn split(
    value: &[u8],
    places: Vec<(u32, PartitionId)>,
    refused: Vec<RefusedPart>,
    whole: impl Fn(PartitionId) -> OutRecord,
) -> Result<Placed, Refusal> {
    let mut partitions: BTreeMap<PartitionId, Vec<u32>> = BTreeMap::new();
    for (index, partition) in places {
        partitions.entry(partition).or_default().push(index);
    }
    let records = match partitions.first_key_value() {
        None => Vec::new(),
        Some((partition, _)) if partitions.len() == 1 && refused.is_empty() => vec![whole(*partition)],
        Some(_) => {
            let batch: RawBatch<'_> = serde_json::from_slice(value)
                .map_err(|error| Refusal::new(Reason::Malformed, error.to_string()))?;
            let part = |(partition, indices): (&PartitionId, &Vec<u32>)| OutRecord {
                value: Some(batch.part(indices)),
                ..whole(*partition)
            };
            partitions.iter().map(part).collect()
        }
    };
    Ok(Placed { records, refused })
}

/// A valid batch, its elements as they were written.
#[derive(Deserialize)]
struct RawBatch<'a> {
    #[serde(borrow)]
    gateway: Option<&'a RawValue>,
    #[serde(borrow)]
    beats: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    ends: Option<Vec<&'a RawValue>>,
}

impl RawBatch<'_> {
    fn part(&self, indices: &[u32]) -> Bytes {
        let (kind, name, elements) = match (&self.beats, &self.ends) {
            (Some(beats), _) => ("heartbeats", "beats", &beats[..]),
            (None, ends) => ("goodbyes", "ends", ends.as_deref().unwrap_or_default()),
        };
        let mut text = format!("{{\"v\":1,\"type\":\"{kind}\",");
        if let Some(gateway) = self.gateway.filter(|_| kind == "heartbeats") {
            text.extend(["\"gateway\":", gateway.get(), ","]);
        }
        text.extend(["\"", name, "\":["]);
        let chosen = indices.iter().filter_map(|index| elements.get(*index as usize));
        for (at, element) in chosen.enumerate() {
            text.push_str(if at == 0 { "" } else { "," });
            text.push_str(element.get());
        }
        text.push_str("]}");
        Bytes::from(text)
    }
}

#[cfg(test)]
mod tests;
