//! Records that are not folded here: forwarded once to where they belong, or dead letters. The value decides
//! where a record belongs, not its key.

use bytes::Bytes;

use super::{Setup, Step};
use crate::{
    effect::Output,
    log::{Header, OutRecord, PartitionId, RecordRef},
    mutant::{self, Mutant},
    record::{
        Reason, Refusal,
        dead_letter::{Sender, dead_letter},
        heartbeats::RefusedPart,
    },
    topology::Topic,
};

/// On a record that was forwarded once: it is not forwarded again.
pub const FORWARDED: &str = "heartline.forwarded";

/// Sends a record of `input` on to the partition it belongs to, unless that was done before.
pub(super) fn send_on(
    setup: &Setup,
    input: Topic,
    record: &RecordRef<'_>,
    partition: PartitionId,
    output: &mut Output,
) -> Step {
    let Some(headers) = headers(record) else { return Step::WantingHeaders };
    let again = mutant::is(Mutant::ForwardedAgain);
    if headers.iter().any(|header| header.name == FORWARDED) && !again {
        let message = format!(
            "the record belongs to partition {partition} and was forwarded once already: \
             the topic's partition count is not the one in the topology"
        );
        let refusal = Refusal::new(Reason::Invalid, message);
        return refuse(setup, input, record, &refusal, &[], Sender::default(), output);
    }
    if output.publishing() {
        output.publish(forward(input, record, headers, partition));
    }
    Step::Forwarded
}

/// The record as it is, for another partition.
fn forward(input: Topic, record: &RecordRef<'_>, headers: &[Header], partition: PartitionId) -> OutRecord {
    let mut headers = headers.to_vec();
    headers.push(Header { name: FORWARDED.to_owned(), value: Some(Bytes::from_static(b"1")) });
    OutRecord {
        topic: input,
        partition,
        key: record.key.map(Bytes::copy_from_slice),
        value: record.value.map(Bytes::copy_from_slice),
        headers,
    }
}

/// Publishes a dead letter of the record, or of the parts of it that are refused. Either it is
/// [`Step::DeadLettered`], or its headers must be read first.
#[must_use]
pub(super) fn refuse(
    setup: &Setup,
    input: Topic,
    record: &RecordRef<'_>,
    refusal: &Refusal,
    parts: &[RefusedPart],
    sender: Sender<'_>,
    output: &mut Output,
) -> Step {
    if output.publishing() {
        let Some(headers) = headers(record) else { return Step::WantingHeaders };
        let record = RecordRef { headers: Some(headers), ..*record };
        let Setup { topology, partition, .. } = setup;
        output.publish(dead_letter(topology, input, *partition, &record, refusal, parts, sender));
    }
    Step::DeadLettered
}

fn headers<'a>(record: &RecordRef<'a>) -> Option<&'a [Header]> {
    record.headers.or(mutant::is(Mutant::UnreadHeadersTakenForNone).then_some(&[]))
}
