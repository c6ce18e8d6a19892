//! The dead letters and the forwarded records, held against what the oracle says of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{FORWARDED, Letter, Oracle, first_difference, header};
use crate::{
    log::{Offset, PartitionId},
    sim::{SimBroker, log::partition::Content},
    topology::{ProcessorKind, Topic},
};

/// On records of the simulator's clients that look as if they had been forwarded.
pub const FAKE: &str = "sim.fake";

/// Of an original value; the rest of a larger one is cut.
const VALUE_BYTES_MAX: usize = 900 * 1024;

/// A dead letter with the key and the value of its original.
type Whole = (Letter, Content);
/// By input and offset.
type Letters = BTreeMap<(Topic, PartitionId, Offset), Whole>;

impl Oracle {
    /// Compares `dead-letters`, and how many records were forwarded.
    pub fn compare_letters(&self, broker: &SimBroker) -> Result<(), String> {
        let due = self.letters_due(broker)?;
        let found = self.letters_found(broker)?;
        if let Some((key, due, found)) = first_difference(&due, &found) {
            return Err(format!("the dead letter of {key:?} should be {due:?} and is {found:?}"));
        }
        for kind in ProcessorKind::ALL {
            let partitions = 0..self.topology.partitions(kind.input());
            let accounts = partitions.clone().map(|partition| self.account(kind, partition));
            let due: u64 = accounts.map(|account| account.fates.forwarded).sum();
            let records = partitions.flat_map(|partition| broker.committed(kind.input(), partition, 0));
            let found = records.filter(|record| was_forwarded(record.content)).count();
            if due != found as u64 {
                return Err(format!("{kind}: {due} records are to be forwarded, {found} were"));
            }
        }
        Ok(())
    }

    fn letters_due(&self, broker: &SimBroker) -> Result<Letters, String> {
        let mut letters = Letters::new();
        for kind in ProcessorKind::ALL {
            let input = kind.input();
            for partition in 0..self.topology.partitions(input) {
                for letter in &self.account(kind, partition).letters {
                    let mut from = broker.committed(input, partition, letter.offset);
                    let original = from.next().filter(|record| record.offset == letter.offset);
                    let original = original.ok_or("a dead letter of no record")?.content;
                    let mut content = Content { headers: Vec::new(), ..original.clone() };
                    content.value =
                        content.value.map(|value| value.slice(..value.len().min(VALUE_BYTES_MAX)));
                    letters.insert((input, partition, letter.offset), (letter.clone(), content));
                }
            }
        }
        Ok(letters)
    }

    fn letters_found(&self, broker: &SimBroker) -> Result<Letters, String> {
        let mut letters = Letters::new();
        for partition in 0..self.topology.partitions(Topic::DeadLetters) {
            for record in broker.committed(Topic::DeadLetters, partition, 0) {
                let content = record.content;
                let number = |name: &str| header(content, name).and_then(|text| text.parse::<i64>().ok());
                let topic = header(content, "__connect.errors.topic").and_then(Topic::from_name);
                let (from, offset) =
                    (number("__connect.errors.partition"), number("__connect.errors.offset"));
                let (Some(topic), Some(from), Some(offset)) = (topic, from, offset) else {
                    return Err(format!("a dead letter does not tell where it comes from: {content:?}"));
                };
                let letter = Letter {
                    offset,
                    reason: header(content, "heartline.reason").unwrap_or_default().to_owned(),
                    sender: header(content, "heartline.sender").map(ToOwned::to_owned),
                    client_id: header(content, "heartline.client_id").map(ToOwned::to_owned),
                    refused: refused(header(content, "heartline.refused"))?,
                };
                let original = Content { headers: Vec::new(), ..content.clone() };
                let key = (topic, from as PartitionId, offset);
                if letters.insert(key, (letter, original)).is_some() {
                    return Err(format!("there are two dead letters of {key:?}"));
                }
            }
        }
        Ok(letters)
    }
}

/// The places of the parts that a dead letter names.
fn refused(list: Option<&str>) -> Result<Vec<u64>, String> {
    let Some(list) = list else { return Ok(Vec::new()) };
    let parts: Vec<Value> = serde_json::from_str(list).map_err(|error| error.to_string())?;
    let index = |part: &Value| part["index"].as_u64().ok_or_else(|| format!("no index in {part}"));
    parts.iter().map(index).collect()
}

/// Whether a processor forwarded the record.
#[must_use]
pub fn was_forwarded(content: &Content) -> bool {
    header(content, FORWARDED).is_some() && header(content, FAKE).is_none()
}
