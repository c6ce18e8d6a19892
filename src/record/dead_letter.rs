//! Dead letters: the original record with headers that say why it, or a part of it, was refused.

use super::{Refusal, heartbeats::RefusedPart};
use crate::{
    log::{OutRecord, PartitionId, RecordRef},
    topology::{Topic, Topology},
};

/// Who sent the record, where that is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sender<'a> {
    pub sender: Option<&'a str>,
    pub client_id: Option<&'a str>,
}

/// The dead letter of a record that is refused as a whole (`parts` empty) or in parts.
#[must_use]
pub fn dead_letter(
    topology: &Topology,
    input: Topic,
    partition: PartitionId,
    record: &RecordRef<'_>,
    refusal: &Refusal,
    parts: &[RefusedPart],
    sender: Sender<'_>,
) -> OutRecord {
    let _ = (topology, input, partition, record, refusal, parts, sender);
    todo!()
}
