//! What the committed prefix of the log must have brought about: each input partition folded from its start
//! in one go, without batches, transactions, checkpoints or takeovers. What is visible in the topics and in
//! the store must be the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    machine::{Groups, group_name},
    oracle::{
        Fates, Oracle,
        letters::was_forwarded,
        posted::{self, Message},
    },
    plan::Plan,
};
use crate::{
    effect::{Output, RowWrite},
    id,
    log::{Chunk, Header, Offset, OutRecord, PartitionId},
    processor::{
        Fold, Refreshed, Retention, Setup, Step, conversation::Conversation, cursor::Cursor, inbox::Inbox,
        presence::Presence,
    },
    sim::{Network, SimStore, log::partition::Content},
    store::{Query, Select, WriteBatch},
    table::{
        Table,
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
/// By topic, output partition and cause (`None` for forwarded records, which don't tell).
type ByCause<C> = BTreeMap<(Topic, PartitionId, Option<Cause>), Vec<C>>;
type Outputs = ByCause<Content>;

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
    same_outputs(&folded.outputs, visible(plan, network))?;
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
            large_group: usize::MAX,
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
                Step::Wanting | Step::WantingHeaders => {
                    return Err("the reference wants what it was given".to_owned());
                }
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
    for RowWrite { table, partition, statement, .. } in output.rows {
        store.apply(now_ms, WriteBatch::new(table, partition, vec![statement]));
    }
    for refresh in output.refreshes {
        let select = Select::Keys(vec![refresh.clustering.clone()]);
        let rows =
            store.read(now_ms, &Query { table: refresh.table, partition: refresh.partition.clone(), select });
        if let Refreshed::Write(statement) = F::refreshed(&refresh, rows.first()) {
            let (table, partition) = (refresh.table, refresh.partition);
            store.apply(now_ms, WriteBatch::new(table, partition, vec![statement]));
        }
    }
}

fn visible<'a>(plan: &Plan, network: &'a Network) -> ByCause<&'a Content> {
    let mut outputs = ByCause::new();
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
                outputs.entry((topic, partition, cause)).or_default().push(content);
            }
        }
    }
    outputs
}

/// A batch of deliveries comes from one partition of `sends`.
fn sender_of(plan: &Plan, content: &Content) -> Option<Cause> {
    let messages = posted::messages("deliveries", content.value.as_deref()).ok()?;
    let conversation = messages.first()?.conversation();
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

fn same_outputs(expected: &Outputs, visible: ByCause<&Content>) -> Result<(), String> {
    let due = expected.iter().map(|(key, contents)| (*key, contents.iter().collect::<Vec<_>>()));
    let (mut due, mut visible): (ByCause<&Content>, _) = (due.collect(), visible);
    let keys: BTreeSet<_> = due.keys().chain(visible.keys()).copied().collect();
    for key in keys {
        let (topic, partition, cause) = key;
        let mut wanted = due.remove(&key).unwrap_or_default();
        let mut found = visible.remove(&key).unwrap_or_default();
        // Forwards of several partitions mix in any order.
        if cause.is_none() {
            let sort = |a: &&Content, b: &&Content| (&a.key, &a.value).cmp(&(&b.key, &b.value));
            wanted.sort_by(sort);
            found.sort_by(sort);
        }
        let index = wanted.iter().zip(&found).take_while(|(a, b)| a == b).count();
        if (index, index) == (wanted.len(), found.len()) {
            continue;
        }
        if topic == Topic::Deliveries && cause.is_some() {
            same_apart_from_framing(&wanted[index..], &found[index..])
                .map_err(|what| format!("{topic}/{partition} from input {cause:?}: {what}"))?;
            continue;
        }
        return Err(format!(
            "{topic}/{partition} from input {cause:?}: {} records are due, {} are visible; number {index} \
             should be {:?} and is {:?}",
            wanted.len(),
            found.len(),
            wanted.get(index),
            found.get(index)
        ));
    }
    Ok(())
}

/// What a batch owes is framed as it comes; each recipient with its message, one after the other, is what
/// must be the same, whichever records they are in.
fn same_apart_from_framing(wanted: &[&Content], found: &[&Content]) -> Result<(), String> {
    let (wanted, found) = (Framed::read(wanted)?, Framed::read(found)?);
    let (mut wanted, mut found) = (one_by_one(&wanted), one_by_one(&found));
    for index in 0_usize.. {
        match (wanted.next(), found.next()) {
            (None, None) => break,
            (Some(due), Some(visible)) if due == visible => {}
            (due, visible) => {
                return Err(format!("recipient {index} should be {due:?} and is {visible:?}"));
            }
        }
    }
    Ok(())
}

/// A record of `deliveries`.
struct Framed<'a> {
    headers: &'a [Header],
    messages: Vec<Message<'a>>,
}

/// One recipient of a message.
#[derive(Debug)]
struct Owed<'a> {
    user: &'a str,
    message: &'a Message<'a>,
    headers: &'a [Header],
}

impl<'a> Framed<'a> {
    fn read(contents: &[&'a Content]) -> Result<Vec<Self>, String> {
        let read = |content: &&'a Content| {
            let messages = posted::messages("deliveries", content.value.as_deref())?;
            Ok(Self { headers: &content.headers, messages })
        };
        contents.iter().map(read).collect()
    }
}

fn one_by_one<'a>(records: &'a [Framed<'a>]) -> impl Iterator<Item = Owed<'a>> {
    let messages = records
        .iter()
        .flat_map(|Framed { headers, messages }| messages.iter().map(|message| (message, *headers)));
    messages.flat_map(|(message, headers)| message.users().map(move |user| Owed { user, message, headers }))
}

impl PartialEq for Owed<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && self.headers == other.headers && self.message.is_same(other.message)
    }
}

fn same_rows(network: &Network, reference: &SimStore) -> Result<(), String> {
    let now_ms = network.now_ms();
    for table in TABLES {
        let (mut wanted, mut found) = (reference.rows(now_ms, table), network.store().rows(now_ms, table));
        loop {
            match (wanted.next(), found.next()) {
                (None, None) => break,
                (Some(wanted), Some(found)) if wanted == found => {}
                (wanted, found) => {
                    return Err(format!("{}: where {wanted:?} is due, there is {found:?}", table.name));
                }
            }
        }
    }
    Ok(())
}
