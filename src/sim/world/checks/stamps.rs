//! How rows were written: those that never change with their record's time and for a while only, those that
//! are overwritten with base + offset; and every deletion is there, also of what was written again.

use super::super::{
    oracle::{Oracle, presence::Cells},
    plan::Plan,
};
use crate::{
    log::{Offset, PartitionId},
    sim::{Network, store::cells::Stamp},
    store::Row,
    table::{
        Value,
        inbox::INBOX,
        message::MESSAGES,
        presence::PRESENCE,
        progress::{PROGRESS_ENTRY, ProgressRow, progress_query},
    },
    topology::{ProcessorKind, Topic},
};

/// Nothing may be owed.
pub fn rows_are_stamped_rightly(plan: &Plan, network: &Network, oracle: &Oracle) -> Result<(), String> {
    let (store, now_ms) = (network.store(), network.now_ms());
    for (_, row, stamp) in store.stamps(now_ms, &MESSAGES) {
        let at_ms = row.cells.first().and_then(Value::as_big_int).unwrap_or(0);
        if stamp.written_us != at_ms * 1_000 || !stamp.expires {
            return Err(format!("messages: {row:?} was written with {stamp:?}"));
        }
    }
    if let Some((_, row, stamp)) = store.stamps(now_ms, &INBOX).find(|(.., stamp)| !stamp.expires) {
        return Err(format!("inbox: {row:?} was written with {stamp:?}"));
    }
    for partition in 0..plan.topology.partitions(Topic::Heartbeats) {
        people_are_stamped_rightly(plan, network, oracle, partition)?;
    }
    Ok(())
}

fn people_are_stamped_rightly(
    plan: &Plan,
    network: &Network,
    oracle: &Oracle,
    partition: PartitionId,
) -> Result<(), String> {
    let query = progress_query(Topic::Heartbeats, partition, &[PROGRESS_ENTRY]);
    let rows = network.store().read(network.now_ms(), &query);
    let Some(base_us) = ProgressRow::find(&rows, PROGRESS_ENTRY).map(|row| row.base_us) else {
        return Ok(());
    };
    for (key, row, stamp) in network.store().stamps(network.now_ms(), &PRESENCE) {
        let bucket = key.first().and_then(Value::as_int).unwrap_or(0) as u32;
        if bucket % plan.topology.partitions(ProcessorKind::Presence.input()) != partition {
            continue;
        }
        let due = due(base_us, bucket, &row, oracle);
        if due != Some(stamp) {
            return Err(format!("presence: {row:?} was written with {stamp:?}, due is {due:?}"));
        }
    }
    Ok(())
}

fn due(base_us: i64, bucket: u32, row: &Row, oracle: &Oracle) -> Option<Stamp> {
    let text = |at: usize| row.clustering.get(at).and_then(Value::as_text).unwrap_or_default();
    let history = oracle.presence_row(bucket, text(0), text(1));
    let stamp_us = |(origin, _): &(Offset, Option<Cells>)| base_us + origin - 1;
    Some(Stamp {
        written_us: history.iter().rfind(|(_, cells)| cells.is_some()).map(stamp_us)?,
        deleted_us: history.iter().rfind(|(_, cells)| cells.is_none()).map(stamp_us),
        // Versions must never restart.
        expires: !text(1).is_empty(),
    })
}
