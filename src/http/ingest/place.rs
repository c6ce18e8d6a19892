//! Where a record of `heartbeats` goes: checked, keyed, and a batch over several partitions split.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    log::{OutRecord, PartitionId},
    record::{
        Reason, Refusal,
        heartbeats::{Input, RefusedPart, decode},
    },
    topology::{Topic, Topology},
};

/// What becomes of one record: what is appended, and the parts of a batch that are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub records: Vec<OutRecord>,
    pub refused: Vec<RefusedPart>,
}

/// Checks a value as the worker will, and places it as any producer would. A value keeps its exact bytes
/// unless it is a batch that has to be split or thinned; its elements keep theirs even then.
pub fn place(topology: &Topology, value: &[u8]) -> Result<Placed, Refusal> {
    // Shared by all partitions that get the record.
    let bytes = Bytes::copy_from_slice(value);
    let whole = |partition: PartitionId, key: Option<&str>| OutRecord {
        topic: Topic::Heartbeats,
        partition,
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: Some(bytes.clone()),
        headers: Vec::new(),
    };
    let of_user = |user: &str| topology.place(Topic::Heartbeats, user.as_bytes());
    let records = match decode(Some(value))? {
        Input::Heartbeat(beat) => vec![whole(of_user(&beat.user), Some(&beat.user))],
        Input::Goodbye(end) => vec![whole(of_user(&end.user), Some(&end.user))],
        Input::Status(choice) => vec![whole(of_user(&choice.user), Some(&choice.user))],
        Input::GatewayGone { .. } => {
            (0..topology.partitions(Topic::Heartbeats)).map(|partition| whole(partition, None)).collect()
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
    whole: impl Fn(PartitionId, Option<&str>) -> OutRecord,
) -> Result<Placed, Refusal> {
    let mut partitions: BTreeMap<PartitionId, Vec<u32>> = BTreeMap::new();
    for (index, partition) in places {
        partitions.entry(partition).or_default().push(index);
    }
    let records = match partitions.first_key_value() {
        None => Vec::new(),
        Some((partition, _)) if partitions.len() == 1 && refused.is_empty() => vec![whole(*partition, None)],
        Some(_) => {
            let batch: RawBatch<'_> = serde_json::from_slice(value)
                .map_err(|error| Refusal::new(Reason::Malformed, error.to_string()))?;
            let part = |(partition, indices): (&PartitionId, &Vec<u32>)| OutRecord {
                value: Some(batch.part(indices)),
                ..whole(*partition, None)
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
