//! Rows become batches of the database: one partition of one table each.

use std::{collections::BTreeMap, ptr, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use crate::{
    effect::RowWrite,
    limits::STORE_BATCH_BYTES_MAX,
    mutant::{self, Mutant},
    store::{Change, Statement, WriteBatch},
    table::{Table, Value, Writing},
};

/// Rows of one database partition, in the order in which they came.
struct Group {
    table: &'static Table,
    partition: Arc<[Value]>,
    statements: Vec<Statement>,
    size_bytes: usize,
}

/// Groups rows by database partition. A batch that would be too large for the database is split, but never
/// between statements of one timestamp: what one record changed stays together. Where one origin covers it
/// all ([`Writing::InPlaceWhole`]) nothing is split: its bound is that of the batch of records.
pub(super) fn database_batches(rows: Vec<RowWrite>) -> Vec<WriteBatch> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = HashMap::with_hasher(FixedState::default());
    // Of the keys that groups hold, so that none of them becomes another one: most rows share theirs.
    let mut places_of_keys = HashMap::with_hasher(FixedState::default());
    for RowWrite { table, partition, statement, size_bytes } in rows {
        let key = |partition: &Arc<[Value]>| (ptr::from_ref(table), Arc::as_ptr(partition));
        let place = places_of_keys.get(&key(&partition)).copied().unwrap_or_else(|| {
            *places.entry((table.name, partition)).or_insert_with_key(|(_, partition)| {
                places_of_keys.insert(key(partition), groups.len());
                let partition = Arc::clone(partition);
                groups.push(Group { table, partition, statements: Vec::new(), size_bytes: 0 });
                groups.len() - 1
            })
        });
        groups[place].statements.push(statement);
        groups[place].size_bytes += size_bytes;
    }
    let mut batches = Vec::with_capacity(groups.len());
    for mut group in groups {
        if mutant::is(Mutant::DeleteSkippedBeforeAnInsert) {
            skip_deletes(&mut group.statements);
        }
        drop_superseded(&mut group);
        let from = batches.len();
        split(group, &mut batches);
        if mutant::is(Mutant::TimestampPerBatch) {
            batches[from..].iter_mut().for_each(stamp_alike);
        }
    }
    batches
}

fn split(group: Group, batches: &mut Vec<WriteBatch>) {
    let Group { table, partition, statements, size_bytes } = group;
    if table.writing == Writing::InPlaceWhole || size_bytes <= STORE_BATCH_BYTES_MAX {
        return batches.push(WriteBatch::sized(table, partition, statements, size_bytes));
    }
    let (mut open, mut open_bytes) = (Vec::<Statement>::new(), 0);
    for statement in statements {
        let splits = open.last().is_some_and(|last| last.timestamp_us != statement.timestamp_us);
        if splits && open_bytes + statement.size_bytes() > STORE_BATCH_BYTES_MAX {
            batches.push(WriteBatch::new(table, Arc::clone(&partition), std::mem::take(&mut open)));
            open_bytes = 0;
        }
        open_bytes += statement.size_bytes();
        open.push(statement);
    }
    batches.push(WriteBatch::new(table, partition, open));
}

/// A mistake: one timestamp for all that is written together.
fn stamp_alike(batch: &mut WriteBatch) {
    let last_us = batch.statements.iter().map(|statement| statement.timestamp_us).max();
    let statements = batch.statements.iter_mut();
    statements.for_each(|one| one.timestamp_us = last_us.unwrap_or(one.timestamp_us));
}

/// A mistake: what is written again below is not deleted.
fn skip_deletes(statements: &mut Vec<Statement>) {
    let last: BTreeMap<_, _> = statements.iter().map(|one| one.clustering.clone()).zip(0..).collect();
    let mut index = 0..;
    statements.retain(|one| {
        let is_last = last.get(&one.clustering) == index.next().as_ref();
        one.change != Change::Delete || is_last
    });
}

/// Of a row that is overwritten in place, with all of its cells, what an earlier record wrote cannot be seen.
/// Deletes stay whatever follows; where the batch must be split all does, since what one record changed stays
/// together.
fn drop_superseded(group: &mut Group) {
    let Group { table, statements, size_bytes, .. } = group;
    if table.writing == Writing::Append || *size_bytes > STORE_BATCH_BYTES_MAX {
        return;
    }
    let mut seen = HashSet::with_capacity_and_hasher(statements.len(), FixedState::default());
    let mut kept = Vec::with_capacity(statements.len());
    for Statement { clustering, change, .. } in statements.iter().rev() {
        let is_last = matches!(change, Change::Statics(_)) || seen.insert(clustering);
        kept.push(is_last || *change == Change::Delete);
    }
    drop(seen);
    statements.retain(|statement| {
        let is_kept = kept.pop() == Some(true);
        *size_bytes -= if is_kept { 0 } else { statement.size_bytes() };
        is_kept
    });
}

#[cfg(test)]
mod tests;
