//! What the committed prefix of the log must have brought about: each input partition folded from its start
//! in one go, without batches, transactions, checkpoints or takeovers. What is visible in the topics and in
//! the store must be the same.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    machine::{Groups, group_name},
    oracle::{Fates, Oracle, letters::was_forwarded, posted},
    plan::Plan,
};
use crate::{
    effect::{Output, RowWrite},
    id,
    log::{Chunk, Offset, OutRecord, PartitionId},
    processor::{
        Fold, Refreshed, Retention, Setup, Step, conversation::Conversation, cursor::Cursor, inbox::Inbox,
        presence::Presence,
    },
    sim::{Network, SimStore, log::partition::Content},
    store::{Query, Row, Select, WriteBatch},
    table::{
        Table, Value,
        conversation::CONVERSATIONS,
        cursor::CURSORS,
        inbox::{HEADS, INBOX, WINDOWS},
        message::MESSAGES,
        presence::PRESENCE,
        progress::{PROGRESS_ENTRY, ProgressRow, progress_query},
    },
    task::metadata::OffsetMetadata,
    topology::{ProcessorKind, Topic},
};

/// The headers that say which record a dead letter was.
const ORIGIN_TOPIC: &str = "__connect.errors.topic";
const ORIGIN_PARTITION: &str = "__connect.errors.partition";
/// What the folds write, the checkpoints of presence aside.
const TABLES: [&Table; 7] = [&PRESENCE, &CONVERSATIONS, &MESSAGES, &INBOX, &WINDOWS, &HEADS, &CURSORS];

/// Where a record came from: the input partition that brought it about.
type Cause = (Topic, PartitionId);
/// Outputs by topic, output partition and cause (`None` for forwarded records, which don't tell).
type Outputs = BTreeMap<(Topic, PartitionId, Option<Cause>), Vec<Content>>;

/// What one fold of everything gives.
struct Folded {
    outputs: Outputs,
    rows: SimStore,
}

/// Compares topics and tables with a fresh fold of the log.
pub fn compare(plan: &Plan, network: &Network, groups: Groups, oracle: &Oracle) -> Result<(), String> {
    let mut folded = Folded { outputs: Outputs::new(), rows: SimStore::default() };
    for kind in ProcessorKind::ALL {
        for partition in 0..plan.topology.partitions(kind.input()) {
            let group = network.broker().group_state(groups.of(kind));
            let Some(committed) = group.offset(partition).cloned() else { continue };
            let metadata = OffsetMetadata::decode(&committed.metadata)
                .ok_or_else(|| format!("{kind}/{partition}: the committed metadata is not ours"))?;
            progress_is_sound(network, kind, partition, committed.offset)?;
            let prefix = Prefix { plan, network, partition, metadata, end: committed.offset };
            let fates = match kind {
                ProcessorKind::Presence => prefix.fold::<Presence>(&mut folded),
                ProcessorKind::Conversation => prefix.fold::<Conversation>(&mut folded),
                ProcessorKind::Inbox => prefix.fold::<Inbox>(&mut folded),
                ProcessorKind::Cursor => prefix.fold::<Cursor>(&mut folded),
            }?;
            let known = oracle.account(kind, partition).fates;
            if known != fates {
                return Err(format!("{kind}/{partition}: counted {fates:?}, due are {known:?}"));
            }
        }
    }
    same_outputs(folded.outputs, visible(plan, network)?)?;
    same_rows(network, &folded.rows)
}

fn progress_is_sound(
    network: &Network,
    kind: ProcessorKind,
    partition: PartitionId,
    committed: Offset,
) -> Result<(), String> {
    let query = progress_query(kind.input(), partition, &[PROGRESS_ENTRY]);
    let rows = network.store().read(network.now_ms(), &query);
    let row = rows.first().and_then(ProgressRow::from_row);
    match row {
        Some(row) if row.stored <= committed => Ok(()),
        Some(row) => {
            Err(format!("{kind}/{partition}: stored {} is beyond the committed {committed}", row.stored))
        }
        None => Err(format!("{kind}/{partition}: it is committed up to {committed} and has no progress row")),
    }
}

/// The committed prefix of one input partition.
struct Prefix<'a> {
    plan: &'a Plan,
    network: &'a Network,
    partition: PartitionId,
    metadata: OffsetMetadata,
    end: Offset,
}

impl Prefix<'_> {
    /// Folds all of it; every record is a batch of its own.
    fn fold<F: Fold>(&self, folded: &mut Folded) -> Result<Fates, String> {
        let Self { plan, network, partition, metadata, end } = self;
        let input = F::KIND.input();
        let setup = Setup {
            topology: Arc::clone(&plan.topology),
            group: group_name(F::KIND).into(),
            partition: *partition,
            generation: metadata.generation,
            retention: Retention::default(),
            state_bytes_max: usize::MAX,
        };
        let mut fold = F::new(setup, metadata.start, None).map_err(|error| error.0)?;
        fold.begin_batch(1);
        let mut fates = Fates::default();
        let records = network.broker().committed(input, *partition, metadata.start);
        for record in records.take_while(|record| record.offset < *end) {
            let mut chunk = Chunk::new(*partition, 1);
            let Content { key, value, headers } = record.content;
            chunk.push(record.offset, record.time_ms, key.as_deref(), value.as_deref(), headers.clone());
            let mut output = Output::new(metadata.base_us);
            output.begin(record.offset, true);
            match fold_one(&mut fold, &chunk, &mut output)? {
                Step::Applied => fates.applied += 1,
                Step::Filtered => fates.filtered += 1,
                Step::DeadLettered => fates.dead += 1,
                Step::Forwarded => fates.forwarded += 1,
                Step::Wanting => return Err("the reference wants what it was given".to_owned()),
                Step::Halt(why) => return Err(format!("the reference halts: {why}")),
            }
            fold.close(&mut output);
            for record in std::mem::take(&mut output.records) {
                let cause = (record.topic != input).then_some((input, *partition));
                let key = (record.topic, record.partition, cause);
                let OutRecord { key: record_key, value, headers, .. } = record;
                let contents = folded.outputs.entry(key).or_default();
                contents.push(Content { key: record_key, value, headers });
            }
            write::<F>(network.now_ms(), &mut folded.rows, output);
        }
        Ok(fates)
    }
}

fn fold_one<F: Fold>(fold: &mut F, chunk: &Chunk, output: &mut Output) -> Result<Step, String> {
    loop {
        let step = fold.fold(&chunk.get(0), output);
        if step != Step::Wanting {
            return Ok(step);
        }
        let wanted = fold.wanted(&mut [chunk.get(0)].into_iter());
        if wanted.is_empty() {
            return Ok(step);
        }
        for query in wanted {
            fold.load(&query, Vec::new()).map_err(|error| error.0)?;
        }
    }
}

fn write<F: Fold>(now_ms: u64, store: &mut SimStore, output: Output) {
    for RowWrite { table, partition, statement } in output.rows {
        store.apply(now_ms, WriteBatch { table, partition, statements: vec![statement] });
    }
    for refresh in output.refreshes {
        let select = Select::Keys(vec![refresh.clustering.clone()]);
        let rows =
            store.read(now_ms, &Query { table: refresh.table, partition: refresh.partition.clone(), select });
        if let Refreshed::Write(statement) = F::refreshed(&refresh, rows.first()) {
            let (table, partition) = (refresh.table, refresh.partition);
            store.apply(now_ms, WriteBatch { table, partition, statements: vec![statement] });
        }
    }
}

fn visible(plan: &Plan, network: &Network) -> Result<Outputs, String> {
    let mut outputs = Outputs::new();
    for topic in Topic::ALL {
        for partition in 0..plan.topology.partitions(topic) {
            for record in network.broker().committed(topic, partition, 0) {
                let content = record.content;
                let cause = match topic {
                    _ if topic.is_input() && was_forwarded(content) => None,
                    Topic::Heartbeats | Topic::Sends | Topic::Receipts => continue,
                    Topic::Deliveries => match sender_of(plan, content) {
                        Some(cause) => Some(cause),
                        // Clients write garbage there.
                        None => continue,
                    },
                    Topic::Inbox => Some((Topic::Deliveries, partition)),
                    Topic::DeadLetters => dead_letter_cause(content),
                    Topic::Cursors => user_cause(plan, Topic::Receipts, content),
                    Topic::Presence | Topic::PresenceState | Topic::Sessions => {
                        user_cause(plan, Topic::Heartbeats, content)
                    }
                };
                outputs.entry((topic, partition, cause)).or_default().push(content.clone());
            }
        }
    }
    Ok(outputs)
}

/// A batch of deliveries comes from one partition of `sends`.
fn sender_of(plan: &Plan, content: &Content) -> Option<Cause> {
    let messages = posted::read("deliveries", content.value.as_deref()).ok()?;
    let conversation = &messages.first()?.conversation;
    Some((Topic::Sends, plan.topology.place(Topic::Sends, conversation.as_bytes())))
}

fn dead_letter_cause(content: &Content) -> Option<Cause> {
    let text = |name: &str| {
        let header = content.headers.iter().find(|header| header.name == name)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    };
    Some((Topic::from_name(text(ORIGIN_TOPIC)?)?, text(ORIGIN_PARTITION)?.parse().ok()?))
}

fn user_cause(plan: &Plan, input: Topic, content: &Content) -> Option<Cause> {
    let key = content.key.as_deref()?;
    let user = key.split(|byte| *byte == b'/').next()?;
    Some((input, id::partition_of(user, plan.topology.partitions(input))))
}

fn same_outputs(mut expected: Outputs, mut visible: Outputs) -> Result<(), String> {
    let sort = |content: &Content| (content.key.clone(), content.value.clone());
    for outputs in [&mut expected, &mut visible] {
        for ((topic, _, cause), contents) in outputs.iter_mut() {
            // Forwards of several partitions mix in any order.
            if cause.is_none() {
                contents.sort_by_key(sort);
            }
            if *topic == Topic::Deliveries && cause.is_some() {
                *contents = without_framing(contents)?;
            }
        }
    }
    for key in expected.keys().chain(visible.keys()) {
        let empty = Vec::new();
        let (wanted, found) = (expected.get(key).unwrap_or(&empty), visible.get(key).unwrap_or(&empty));
        if wanted != found {
            let index = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
            let (topic, partition, cause) = key;
            return Err(format!(
                "{topic}/{partition} from input {cause:?}: {} records are due, {} are visible; number {index} \
                 should be {:?} and is {:?}",
                wanted.len(),
                found.len(),
                wanted.get(index),
                found.get(index)
            ));
        }
    }
    Ok(())
}

/// What a batch owes is framed as it comes; each recipient with its message, one after the other, is what
/// must be the same.
fn without_framing(contents: &[Content]) -> Result<Vec<Content>, String> {
    let mut pairs = Vec::new();
    for content in contents {
        for message in posted::read("deliveries", content.value.as_deref())? {
            let said = format!("{} {} {:?}", message.conversation, message.seq, message.said);
            for (user, _) in message.to {
                let (key, value) = (Some(user.into()), Some(said.clone().into()));
                pairs.push(Content { key, value, headers: content.headers.clone() });
            }
        }
    }
    Ok(pairs)
}

fn same_rows(network: &Network, reference: &SimStore) -> Result<(), String> {
    let now_ms = network.now_ms();
    for table in TABLES {
        let collect = |store: &SimStore| -> BTreeMap<(Vec<Value>, Vec<Value>), Row> {
            let rows = store.rows(now_ms, table);
            let rows = rows.map(|(partition, row)| ((partition.to_vec(), row.clustering.to_vec()), row));
            let statics = store.partitions(table).flat_map(|partition| {
                let query = Query { table, partition: partition.into(), select: Select::Statics };
                let row = store.read(now_ms, &query).into_iter();
                row.map(|row| ((partition.to_vec(), Vec::new()), row))
            });
            rows.chain(statics).collect()
        };
        let (wanted, found) = (collect(reference), collect(network.store()));
        for key in wanted.keys().chain(found.keys()) {
            if wanted.get(key) != found.get(key) {
                let (wanted, found) = (wanted.get(key), found.get(key));
                return Err(format!("{}: row {key:?} should be {wanted:?} and is {found:?}", table.name));
            }
        }
    }
    Ok(())
}
