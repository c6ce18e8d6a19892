//! What an engine may hold and send at once.

use std::collections::BTreeMap;

use super::{machine::Processor, oracle::posted, plan::Plan};
use crate::{
    limits::TRANSACTION_OUTPUT_BYTES_MAX,
    log::{LogCommand, PartitionId, Transaction, TransactionStep},
    topology::Topic,
};

/// What is wrong with a command, for an engine that holds so much.
pub(super) fn exceeded(plan: &Plan, engine: &dyn Processor, command: &LogCommand) -> Option<&'static str> {
    let pace = &plan.pace;
    match command {
        LogCommand::Poll { .. } if engine.owed_bytes() >= pace.unstored_bytes_max => {
            Some("reads though the store owes too much")
        }
        LogCommand::Poll { .. } if engine.unfolded_bytes() >= pace.unfolded_bytes_max => {
            Some("reads though too much is yet to be folded")
        }
        LogCommand::Transact(transaction) if is_too_large(plan, transaction) => {
            Some("goes on with a batch that is full")
        }
        _ => None,
    }
}

/// Whether some partition's messages had filled the batch before the last of them: whichever that was, the
/// others are not smaller than all without the largest.
fn is_too_large(plan: &Plan, transaction: &Transaction) -> bool {
    let bytes_max = plan.pace.transaction_bytes_max;
    if bytes_max >= TRANSACTION_OUTPUT_BYTES_MAX {
        return false;
    }
    let records = transaction.steps.iter().filter_map(|step| match step {
        TransactionStep::Records(records) => Some(records),
        TransactionStep::Offsets(_) => None,
    });
    let deliveries = records.flatten().filter(|record| record.topic == Topic::Deliveries);
    let mut bytes = BTreeMap::<PartitionId, BTreeMap<(String, i64), usize>>::new();
    for message in
        deliveries.flat_map(|record| posted::read("deliveries", record.value.as_deref()).unwrap_or_default())
    {
        let input = plan.topology.place(Topic::Sends, message.conversation.as_bytes());
        let body_bytes = message.said.body.len();
        *bytes.entry(input).or_default().entry((message.conversation, message.seq)).or_default() +=
            body_bytes;
    }
    bytes.into_values().any(|messages| {
        let all: usize = messages.values().sum();
        all - messages.into_values().max().unwrap_or(0) >= bytes_max
    })
}
