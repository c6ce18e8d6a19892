//! What the committed prefix of the log must have brought about: each input partition folded from its start
//! in one go, without batches, transactions, checkpoints or takeovers. What is visible in the topics and in
//! the store must be the same.

use std::{collections::BTreeMap, sync::Arc};

use super::{GROUP, plan::Plan};
use crate::{
    effect::{Output, RowWrite},
    id,
    log::{Chunk, Offset, OutRecord, PartitionId},
    processor::{Fold, Refreshed, Retention, Setup, Step, presence::Presence},
    sim::{Network, SimStore, log::GroupNo, log::partition::Content},
    store::{Query, Row, Select, WriteBatch},
    table::{
        Value,
        presence::PRESENCE,
        progress::{PROGRESS_ENTRY, ProgressRow, progress_query},
    },
    task::metadata::OffsetMetadata,
    topology::Topic,
};

/// The header by which forwarded records are told from the clients' own.
const FORWARDED: &str = "heartline.forwarded";
/// The header that names the input partition of a dead letter.
const ORIGIN_PARTITION: &str = "__connect.errors.partition";

/// Outputs by topic, output partition and the input partition that brought them about (`None` for forwarded
/// records, which don't tell).
type Outputs = BTreeMap<(Topic, PartitionId, Option<PartitionId>), Vec<Content>>;

/// Compares topics and tables with a fresh fold of the log.
pub fn compare(plan: &Plan, network: &Network, group: GroupNo) -> Result<(), String> {
    let mut expected = Outputs::new();
    let mut rows = SimStore::default();
    for partition in 0..plan.topology.partitions(Topic::Heartbeats) {
        let Some(committed) = network.broker().group_state(group).offset(partition) else { continue };
        let metadata = OffsetMetadata::decode(&committed.metadata)
            .ok_or_else(|| format!("heartbeats/{partition}: the committed metadata is not ours"))?;
        progress_is_sound(network, partition, committed.offset)?;
        let folded = fold_partition(plan, network, partition, &metadata, committed.offset, &mut rows)?;
        for record in folded {
            let origin = (record.topic != Topic::Heartbeats).then_some(partition);
            let key = (record.topic, record.partition, origin);
            let OutRecord { key: record_key, value, headers, .. } = record;
            expected.entry(key).or_default().push(Content { key: record_key, value, headers });
        }
    }
    same_outputs(expected, visible(plan, network))?;
    same_rows(network, &rows)
}

fn progress_is_sound(network: &Network, partition: PartitionId, committed: Offset) -> Result<(), String> {
    let query = progress_query(Topic::Heartbeats, partition, &[PROGRESS_ENTRY]);
    let rows = network.store().read(network.now_ms(), &query);
    let row = rows.first().and_then(ProgressRow::from_row);
    match row {
        Some(row) if row.stored <= committed => Ok(()),
        Some(row) => {
            Err(format!("heartbeats/{partition}: stored {} is beyond the committed {committed}", row.stored))
        }
        None => {
            Err(format!("heartbeats/{partition}: it is committed up to {committed} and has no progress row"))
        }
    }
}

fn fold_partition(
    plan: &Plan,
    network: &Network,
    partition: PartitionId,
    metadata: &OffsetMetadata,
    committed: Offset,
    store: &mut SimStore,
) -> Result<Vec<OutRecord>, String> {
    let topology = Arc::clone(&plan.topology);
    let setup = Setup {
        topology,
        group: GROUP.into(),
        partition,
        generation: metadata.generation,
        retention: Retention::default(),
        state_bytes_max: usize::MAX,
    };
    let mut fold = Presence::new(setup, metadata.start, None).map_err(|error| error.0)?;
    fold.begin_batch(1);
    let mut published = Vec::new();
    for record in network.broker().committed(Topic::Heartbeats, partition, metadata.start) {
        if record.offset >= committed {
            break;
        }
        let mut chunk = Chunk::new(partition, 1);
        let Content { key, value, headers } = record.content;
        chunk.push(record.offset, record.time_ms, key.as_deref(), value.as_deref(), headers.clone());
        let mut output = Output::new(metadata.base_us);
        output.begin(record.offset, true);
        while let step = fold.fold(&chunk.get(0), &mut output)
            && !matches!(step, Step::Applied | Step::Filtered | Step::DeadLettered | Step::Forwarded)
        {
            if let Step::Halt(why) = step {
                return Err(format!("the reference halts: {why}"));
            }
            for query in fold.wanted(&mut [chunk.get(0)].into_iter()) {
                fold.load(&query, Vec::new()).map_err(|error| error.0)?;
            }
        }
        published.append(&mut output.records);
        write(network.now_ms(), store, output);
    }
    Ok(published)
}

fn write(now_ms: u64, store: &mut SimStore, output: Output) {
    for RowWrite { table, partition, statement } in output.rows {
        store.apply(now_ms, WriteBatch { table, partition, statements: vec![statement] });
    }
    for refresh in output.refreshes {
        let select = Select::Keys(vec![refresh.clustering.clone()]);
        let rows =
            store.read(now_ms, &Query { table: refresh.table, partition: refresh.partition.clone(), select });
        if let Refreshed::Write(statement) = Presence::refreshed(&refresh, rows.first()) {
            let (table, partition) = (refresh.table, refresh.partition);
            store.apply(now_ms, WriteBatch { table, partition, statements: vec![statement] });
        }
    }
}

fn visible(plan: &Plan, network: &Network) -> Outputs {
    let mut outputs = Outputs::new();
    for topic in
        [Topic::Presence, Topic::PresenceState, Topic::Sessions, Topic::DeadLetters, Topic::Heartbeats]
    {
        for partition in 0..plan.topology.partitions(topic) {
            for record in network.broker().committed(topic, partition, 0) {
                let content = record.content;
                let origin = match topic {
                    Topic::Heartbeats if content.headers.iter().any(|header| header.name == FORWARDED) => {
                        None
                    }
                    Topic::Heartbeats => continue,
                    Topic::DeadLetters => dead_letter_origin(content),
                    _ => user_origin(plan, content),
                };
                outputs.entry((topic, partition, origin)).or_default().push(content.clone());
            }
        }
    }
    outputs
}

fn dead_letter_origin(content: &Content) -> Option<PartitionId> {
    let header = content.headers.iter().find(|header| header.name == ORIGIN_PARTITION)?;
    std::str::from_utf8(header.value.as_deref()?).ok()?.parse().ok()
}

fn user_origin(plan: &Plan, content: &Content) -> Option<PartitionId> {
    let key = content.key.as_deref()?;
    let user = key.split(|byte| *byte == b'/').next()?;
    Some(id::partition_of(user, plan.topology.partitions(Topic::Heartbeats)))
}

fn same_outputs(mut expected: Outputs, mut visible: Outputs) -> Result<(), String> {
    let sort = |content: &Content| (content.key.clone(), content.value.clone());
    for outputs in [&mut expected, &mut visible] {
        for ((_, _, origin), contents) in outputs.iter_mut() {
            // Forwards of several partitions mix in any order.
            if origin.is_none() {
                contents.sort_by_key(sort);
            }
        }
    }
    for key in expected.keys().chain(visible.keys()) {
        let empty = Vec::new();
        let (wanted, found) = (expected.get(key).unwrap_or(&empty), visible.get(key).unwrap_or(&empty));
        if wanted != found {
            let index = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
            let (topic, partition, origin) = key;
            return Err(format!(
                "{topic}/{partition} from input {origin:?}: {} records are due, {} are visible; number {index} should be \
                 {:?} and is {:?}",
                wanted.len(),
                found.len(),
                wanted.get(index),
                found.get(index)
            ));
        }
    }
    Ok(())
}

fn same_rows(network: &Network, reference: &SimStore) -> Result<(), String> {
    let now_ms = network.now_ms();
    let collect = |store: &SimStore| -> BTreeMap<(Vec<Value>, Vec<Value>), Row> {
        let rows = store.rows(now_ms, &PRESENCE);
        rows.map(|(partition, row)| ((partition.to_vec(), row.clustering.to_vec()), row)).collect()
    };
    let (wanted, found) = (collect(reference), collect(network.store()));
    for key in wanted.keys().chain(found.keys()) {
        if wanted.get(key) != found.get(key) {
            return Err(format!("row {key:?} should be {:?} and is {:?}", wanted.get(key), found.get(key)));
        }
    }
    Ok(())
}
