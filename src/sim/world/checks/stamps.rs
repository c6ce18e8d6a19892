//! How rows were written: those that never change with their record's time and for a while only, those that
//! are overwritten with base + offset; and every deletion is there, also of what was written again.

use super::super::{
    oracle::{Oracle, presence::Cells},
    plan::Plan,
};
use crate::{
    log::Offset,
    sim::{
        Network,
        store::cells::{LiveRow, Stamp},
    },
    table::{
        Value,
        inbox::{HEADS, HeadRow, INBOX},
        message::MESSAGES,
        presence::PRESENCE,
        progress::{PROGRESS_ENTRY, ProgressRow, progress_query},
    },
    topology::{ProcessorKind, Topic},
};

/// Nothing may be owed.
pub fn rows_are_stamped_rightly(plan: &Plan, network: &Network, oracle: &Oracle) -> Result<(), String> {
    let (store, now_ms) = (network.store(), network.now_ms());
    let wrong = |row: &LiveRow<'_>| format!("{row:?} was written with {:?}", row.stamp);
    for row in store.rows(now_ms, &MESSAGES) {
        let at_ms = row.cells().next().and_then(Value::as_big_int).unwrap_or(0);
        if row.stamp.written_us != at_ms * 1_000 || !row.stamp.expires {
            return Err(format!("messages: {}", wrong(&row)));
        }
    }
    if let Some(row) = store.rows(now_ms, &INBOX).find(|row| !row.stamp.expires) {
        return Err(format!("inbox: {}", wrong(&row)));
    }
    for row in store.rows(now_ms, &HEADS).filter(|row| !row.clustering.is_empty()) {
        // What a head says that it includes is what it was written for.
        let head = HeadRow::from_cells(&row.to_cells()).map_err(|error| error.to_string())?;
        if head.timestamp_us != row.stamp.written_us {
            return Err(format!("inbox_heads: {}, it says {}", wrong(&row), head.timestamp_us));
        }
    }
    let bases = bases(plan, network);
    for row in store.rows(now_ms, &PRESENCE) {
        let bucket = row.partition.first().and_then(Value::as_int).unwrap_or(0) as u32;
        let Some(base_us) = bases[bucket as usize % bases.len()] else { continue };
        let due = due(base_us, bucket, &row, oracle);
        if due != Some(row.stamp) {
            return Err(format!("presence: {}, due is {due:?}", wrong(&row)));
        }
    }
    Ok(())
}

/// What the partitions of `heartbeats` count their timestamps from.
fn bases(plan: &Plan, network: &Network) -> Vec<Option<i64>> {
    let base = |partition| {
        let query = progress_query(Topic::Heartbeats, partition, &[PROGRESS_ENTRY]);
        let rows = network.store().read(network.now_ms(), &query);
        ProgressRow::find(&rows, PROGRESS_ENTRY).map(|row| row.base_us)
    };
    (0..plan.topology.partitions(ProcessorKind::Presence.input())).map(base).collect()
}

fn due(base_us: i64, bucket: u32, row: &LiveRow<'_>, oracle: &Oracle) -> Option<Stamp> {
    let (user, session) = (row.key_text(0), row.key_text(1));
    let history = oracle.presence_row(bucket, user, session);
    let stamp_us = |(origin, _): &(Offset, Option<Cells>)| base_us + origin - 1;
    Some(Stamp {
        written_us: history.iter().rfind(|(_, cells)| cells.is_some()).map(stamp_us)?,
        deleted_us: history.iter().rfind(|(_, cells)| cells.is_none()).map(stamp_us),
        // Versions must never restart.
        expires: !session.is_empty(),
    })
}
