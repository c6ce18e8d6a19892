//! What a successor would go by if everybody died now: offsets that no row knows of, checkpoints that are not
//! whole, buckets that are not those of their origin.

use std::{collections::BTreeMap, sync::Arc};

use super::super::{
    machine::Groups,
    oracle::{NotYet, Oracle},
    plan::Plan,
};
use crate::{
    log::{Offset, PartitionId},
    sim::{Network, store::cells::LiveRow},
    store::Query,
    table::{
        Value,
        checkpoint::{SlotHeader, assemble, chunks_query, headers_query},
        inbox::{BucketRow, HEADS, HeadRow, bucket_partition},
        presence::{self, PRESENCE},
        progress::{PROGRESS_ENTRY, ProgressRow, progress_query},
    },
    task::metadata::OffsetMetadata,
    topology::{ProcessorKind, Topology},
};

pub struct Stored {
    topology: Arc<Topology>,
    /// The offsets whose metadata was looked at last.
    offsets: BTreeMap<(ProcessorKind, PartitionId), Offset>,
    /// The stored positions of `heartbeats` whose checkpoints were looked at last.
    stored: BTreeMap<PartitionId, Offset>,
    /// How often every bucket of inboxes had been changed when it was looked at last, and what is to be held
    /// against the oracle's yet.
    heads: BTreeMap<u32, u64>,
    fresh: Vec<(u32, Heads)>,
    /// The same of the buckets of presence, with the stored position of the partition.
    people: BTreeMap<u32, (u64, Offset)>,
    fresh_people: Vec<((u32, PartitionId), Offset, People)>,
}

/// Rows of presence of one bucket, in their order: user, session, cells.
type People = Vec<(String, String, Vec<Value>)>;
/// The origin of a bucket, and the heads of its users.
type Heads = (Offset, BTreeMap<String, (i64, Offset)>);

impl Stored {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            topology: Arc::clone(&plan.topology),
            offsets: BTreeMap::new(),
            stored: BTreeMap::new(),
            heads: BTreeMap::new(),
            fresh: Vec::new(),
            people: BTreeMap::new(),
            fresh_people: Vec::new(),
        }
    }

    /// Reads all heads of inboxes, bucket by bucket, as a successor does.
    pub fn look(&mut self, network: &Network) -> Result<(), String> {
        let mut buckets = 0..self.topology.buckets(ProcessorKind::Inbox);
        buckets.try_for_each(|bucket| self.look_at(network, bucket))?;
        (0..self.topology.buckets(ProcessorKind::Presence))
            .for_each(|bucket| self.look_at_people(network, bucket));
        Ok(())
    }

    /// Reads all rows of a bucket of presence, and from where on they may be behind. What was judged already
    /// needs not be judged again: it was held against records that only become more.
    fn look_at_people(&mut self, network: &Network, bucket: u32) {
        let partition = bucket % self.topology.partitions(ProcessorKind::Presence.input());
        let Some(stored) = progress(network, ProcessorKind::Presence, partition).map(|row| row.stored) else {
            return;
        };
        let key = presence::partition(bucket);
        let seen = (network.store().changes(&PRESENCE, &key), stored);
        if self.people.insert(bucket, seen) == Some(seen) {
            return;
        }
        let rows = network.store().rows_of(network.now_ms(), &PRESENCE, &key);
        let rows = rows.map(|row| (row.key_text(0).to_owned(), row.key_text(1).to_owned(), row.to_cells()));
        self.fresh_people.push(((bucket, partition), stored, rows.collect()));
    }

    fn look_at(&mut self, network: &Network, bucket: u32) -> Result<(), String> {
        let key = bucket_partition(bucket);
        let changes = network.store().changes(&HEADS, &key);
        if self.heads.insert(bucket, changes) == Some(changes) {
            return Ok(());
        }
        let mut rows = network.store().rows_of(network.now_ms(), &HEADS, &key).peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        // The first heads may be there before the bucket's own row.
        let statics = rows.next_if(|row| row.clustering.is_empty()).map(|row| row.to_cells());
        let row = statics.map_or(Ok(BucketRow::default()), |cells| BucketRow::from_cells(&cells));
        let row = row.map_err(|error| error.to_string())?;
        let partition = bucket % self.topology.partitions(ProcessorKind::Inbox.input());
        let claim = progress(network, ProcessorKind::Inbox, partition).ok_or("heads without a claim")?;
        let base_us = claim.base_us;
        let head = |row: LiveRow<'_>| {
            let head = HeadRow::from_cells(&row.to_cells()).map_err(|error| error.to_string())?;
            Ok((row.key_text(0).to_owned(), (head.latest_seq, head.timestamp_us - base_us + 1)))
        };
        let heads = rows.map(head).collect::<Result<_, String>>()?;
        self.fresh.push((bucket, (row.origin, heads)));
        Ok(())
    }

    /// No transaction is unsettled.
    pub fn settled(&mut self, network: &Network, groups: Groups, oracle: &Oracle) -> Result<(), String> {
        for kind in ProcessorKind::ALL {
            for partition in 0..self.topology.partitions(kind.input()) {
                self.offset_is_known(network, groups, kind, partition)?;
            }
        }
        let mut ahead = Vec::new();
        for (bucket, (origin, heads)) in std::mem::take(&mut self.fresh) {
            match oracle.heads_as_of(bucket, origin, &heads) {
                Err(NotYet) => ahead.push((bucket, (origin, heads))),
                Ok(due) if due.iter().eq(heads.iter().map(|(user, (latest, _))| (user, latest))) => {}
                Ok(due) => {
                    return Err(format!(
                        "bucket {bucket} of inboxes: as of {origin} its heads are {heads:?}, due is {due:?}"
                    ));
                }
            }
        }
        self.fresh = ahead;
        let mut ahead = Vec::new();
        for (place, stored, rows) in std::mem::take(&mut self.fresh_people) {
            match oracle.presence_rows_hold(place, stored, &rows) {
                Err(NotYet) => ahead.push((place, stored, rows)),
                Ok(verdict) => verdict?,
            }
        }
        self.fresh_people = ahead;
        Ok(())
    }

    /// The stored position that travels with an offset is one that a row states, with what the fold needs
    /// there.
    fn offset_is_known(
        &mut self,
        network: &Network,
        groups: Groups,
        kind: ProcessorKind,
        partition: PartitionId,
    ) -> Result<(), String> {
        let group = network.broker().group_state(groups.of(kind));
        let Some(committed) = group.offset(partition) else { return Ok(()) };
        let known = self.offsets.get(&(kind, partition)) == Some(&committed.offset);
        // Of the others a row alone says nothing that is looked at here.
        if known && kind != ProcessorKind::Presence {
            return Ok(());
        }
        let metadata = OffsetMetadata::decode(&committed.metadata)
            .ok_or_else(|| format!("{kind}/{partition}: the committed metadata is not ours"))?;
        let row = progress(network, kind, partition);
        if !known {
            self.offsets.insert((kind, partition), committed.offset);
            // The beginning is known without a row, and is the same with a checkpoint's clock and without it:
            // who restores there needs none, and may write the row anew.
            let is_beginning = metadata.stored == metadata.start;
            let is_stated = row.as_ref().is_some_and(|row| {
                metadata.stored < row.stored
                    || (metadata.stored, &metadata.resume) == (row.stored, &row.resume)
            });
            if !is_beginning && !is_stated {
                return Err(format!(
                    "{kind}/{partition}: {} is committed with the stored position {} and {:?}, the row says \
                     {row:?}",
                    committed.offset, metadata.stored, metadata.resume
                ));
            }
        }
        match row {
            // At the beginning every bucket is empty, with a checkpoint of that or without.
            Some(ProgressRow { stored, resume: Some(_), base_us, .. })
                if kind == ProcessorKind::Presence && stored != metadata.start =>
            {
                self.can_be_restored(network, partition, stored, base_us)
            }
            _ => Ok(()),
        }
    }

    /// Every bucket has a whole checkpoint that is not below the stored position.
    fn can_be_restored(
        &mut self,
        network: &Network,
        partition: PartitionId,
        stored: Offset,
        base_us: i64,
    ) -> Result<(), String> {
        if self.stored.insert(partition, stored) == Some(stored) {
            return Ok(());
        }
        let read = |query: Query| network.store().read(network.now_ms(), &query);
        let partitions = self.topology.partitions(ProcessorKind::Presence.input());
        let buckets = partition..self.topology.buckets(ProcessorKind::Presence);
        for bucket in buckets.step_by(partitions as usize) {
            let headers: Vec<_> =
                read(headers_query(bucket)).iter().filter_map(SlotHeader::from_row).collect();
            let serves = |header: &SlotHeader| {
                let whole = || assemble(header, &read(chunks_query(bucket, header))).is_some();
                header.base_us == base_us && header.origin >= stored && whole()
            };
            if !headers.iter().any(serves) {
                let origins: Vec<_> = headers.iter().map(|header| header.origin).collect();
                return Err(format!(
                    "heartbeats/{partition} is stored up to {stored}, and bucket {bucket} has no whole \
                     checkpoint from there on, only headers of {origins:?}"
                ));
            }
        }
        Ok(())
    }
}

/// The `progress` row of a partition.
fn progress(network: &Network, kind: ProcessorKind, partition: PartitionId) -> Option<ProgressRow> {
    let query = progress_query(kind.input(), partition, &[PROGRESS_ENTRY]);
    ProgressRow::find(&network.store().read(network.now_ms(), &query), PROGRESS_ENTRY)
}
