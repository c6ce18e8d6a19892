//! The fold of inboxes: deliveries become numbered entries, one per recipient and message.
//!
//! The unit of state is a bucket of recipients: its heads, its present window and its origin are read
//! together, written together, and cover each other; but for heads that overtake a large group, each of which
//! says itself what it includes. A delivery is numbered where it is not included yet.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Fold, FoldStats, RestoreError, Setup, Step, border,
    keyed::Keyed,
    parameters::{check_resume, resume},
};
use crate::{
    effect::Output,
    limits::INLINE_BODY_BYTES,
    log::{Offset, OutRecord, RecordRef},
    mutant::{self, Mutant},
    record::{
        Reason, Refusal,
        dead_letter::Sender,
        heartbeats::RefusedPart,
        posted::{Delivery, InboxWriter, Posted, decode_deliveries},
    },
    store::{Query, Row},
    table::{Value, inbox::EntryRow},
    topology::{ProcessorKind, Topic},
};
use bucket::{Bucket, Numbered};
use fetch::Fetch;

mod bucket;
mod fetch;

/// The fold of one partition of `deliveries`.
#[derive(Debug)]
pub struct Inbox {
    setup: Setup,
    buckets: Keyed<u32, Bucket>,
    /// Buckets that are being read, page by page.
    fetches: BTreeMap<u32, Fetch>,
    /// Buckets that the open batch has changed.
    changed: BTreeSet<u32>,
    held_back_bytes: usize,
    batch: u64,
    /// The last batch whose rows are all in the store.
    acknowledged: u64,
}

/// One recipient of a delivery, placed.
struct Placed<'a> {
    bucket: u32,
    recipient: &'a str,
}

impl Fold for Inbox {
    const KIND: ProcessorKind = ProcessorKind::Inbox;
    const BEACONS: bool = false;

    fn new(setup: Setup, _position: Offset, resume: Option<&str>) -> Result<Self, RestoreError> {
        check_resume(Self::KIND, resume)?;
        Ok(Self {
            buckets: Keyed::new(setup.state_bytes_max),
            setup,
            fetches: BTreeMap::new(),
            changed: BTreeSet::new(),
            held_back_bytes: 0,
            batch: 0,
            acknowledged: 0,
        })
    }

    fn begin_batch(&mut self, batch: u64) {
        self.batch = batch;
    }

    fn fold(&mut self, record: &RecordRef<'_>, output: &mut Output) -> Step {
        let deliveries = match decode_deliveries(record.value) {
            Ok(deliveries) => deliveries,
            Err(refusal) => return self.refuse(record, &refusal, &[], output),
        };
        let (placed, refused) = self.place(&deliveries);
        let recipients = || placed.iter().flatten();
        if recipients().any(|recipient| !self.buckets.contains(&recipient.bucket)) {
            return Step::Wanting;
        }
        if !refused.is_empty() {
            let message = format!("{} recipients belong to another partition", refused.len());
            let step = self.refuse(record, &Refusal::new(Reason::Recipients, message), &refused, output);
            if step == Step::WantingHeaders || recipients().next().is_none() {
                return step;
            }
        }
        self.number(record, &deliveries, &placed, output)
    }

    fn close(&mut self, output: &mut Output) {
        for number in std::mem::take(&mut self.changed) {
            if let Some(bucket) = self.buckets.get_mut(&number, self.batch) {
                bucket.write(number, self.setup.generation, self.batch, output);
                let size_bytes = bucket.size_bytes();
                self.buckets.resize(&number, size_bytes);
            }
        }
        self.held_back_bytes = 0;
    }

    fn held_back_bytes(&self) -> usize {
        self.held_back_bytes
    }

    fn wanted<'a>(&self, records: &mut dyn Iterator<Item = RecordRef<'a>>) -> Vec<Query> {
        let topology = &self.setup.topology;
        let ours = topology.buckets(Self::KIND) / topology.partitions(Topic::Deliveries);
        let mut needed = BTreeSet::new();
        for record in records {
            // A few records of large groups need all buckets: the others need not be looked at.
            if needed.len() == ours as usize {
                break;
            }
            let Ok(deliveries) = decode_deliveries(record.value) else { continue };
            let (placed, _) = self.place(&deliveries);
            needed.extend(placed.iter().flatten().map(|recipient| recipient.bucket));
        }
        let missing = needed.into_iter().filter(|bucket| !self.buckets.contains(bucket));
        missing
            .map(|bucket| match self.fetches.get(&bucket) {
                Some(fetch) => fetch.next(bucket),
                None => Fetch::default().next(bucket),
            })
            .collect()
    }

    fn load(&mut self, query: &Query, rows: Vec<Row>) -> Result<(), RestoreError> {
        let number = query.partition.first().and_then(crate::table::Value::as_int);
        let Some(number) = number.and_then(|number| u32::try_from(number).ok()) else {
            return Err(RestoreError("a bucket of heads was read that nobody asked for".to_owned()));
        };
        let fetch = self.fetches.entry(number).or_default();
        let read = fetch.take(query, &rows, self.setup.generation);
        let read = read.map_err(|error| {
            RestoreError(format!("bucket {number}: {error}; restore a newer backup of the table"))
        })?;
        if let Some(bucket) = read {
            self.fetches.remove(&number);
            let size_bytes = bucket.size_bytes();
            self.buckets.insert(number, bucket, size_bytes, self.batch);
        }
        Ok(())
    }

    fn resume(&self) -> String {
        resume(Self::KIND)
    }

    fn acknowledged(&mut self, batch: u64) {
        self.acknowledged = batch;
        self.buckets.acknowledged(batch);
    }

    fn stats(&self) -> FoldStats {
        FoldStats { keys: self.buckets.len() as u64, ..FoldStats::default() }
    }
}

impl Inbox {
    /// The recipients of each delivery with their buckets; those of other partitions are refused, numbered
    /// through the whole record.
    fn place<'a>(&self, deliveries: &'a [Delivery<'_>]) -> (Vec<Vec<Placed<'a>>>, Vec<RefusedPart>) {
        let Setup { topology, partition, .. } = &self.setup;
        let (partitions, buckets) = (topology.partitions(Topic::Deliveries), topology.buckets(Self::KIND));
        let (mut refused, mut index) = (Vec::new(), 0);
        let placed = deliveries
            .iter()
            .map(|delivery| {
                let mut placed = Vec::with_capacity(delivery.recipients.len());
                for recipient in &delivery.recipients {
                    // Buckets are a multiple of the partitions, so that one hash tells both.
                    let bucket = crate::id::bucket_of(recipient.as_bytes(), buckets);
                    if bucket % partitions == *partition {
                        placed.push(Placed { bucket, recipient });
                    } else {
                        refused.push(RefusedPart { index, refusal: misplaced(recipient) });
                    }
                    index += 1;
                }
                placed
            })
            .collect();
        (placed, refused)
    }

    fn number(
        &mut self,
        record: &RecordRef<'_>,
        deliveries: &[Delivery<'_>],
        placed: &[Vec<Placed<'_>>],
        output: &mut Output,
    ) -> Step {
        let mut writer = output.publishing().then(InboxWriter::new);
        let mut touched = BTreeSet::new();
        let arrival = Arrival { record, inbox_s: self.setup.retention.inbox_s };
        for (Delivery { posted, .. }, placed) in deliveries.iter().zip(placed) {
            let message = Message::new(posted);
            let is_large = placed.len() > self.setup.large_group;
            let mut first = true;
            for Placed { bucket: number, recipient } in placed {
                let Some(bucket) = self.buckets.get_mut(number, self.batch) else { continue };
                if record.offset < bucket.row.origin && !mutant::is(Mutant::InboxOriginIgnored) {
                    continue;
                }
                touched.insert(*number);
                let added = bucket.add(*number, &arrival, &message, recipient, output);
                let Some(Numbered { seq, new }) = added else { continue };
                if is_large {
                    output.large.insert((*recipient).into());
                } else if bucket.is_unclaimed(self.acknowledged) {
                    output.bound.insert((*recipient).into());
                }
                self.held_back_bytes += new;
                if mutant::is(Mutant::OriginBeforeTheRest) {
                    bucket.row.origin = output.origin();
                }
                if let Some(writer) = &mut writer {
                    if std::mem::take(&mut first) {
                        writer.message(posted);
                    }
                    writer.entry(recipient, seq);
                }
            }
        }
        // Only now: a bucket includes the record once all of it is numbered.
        for number in &touched {
            if let Some(bucket) = self.buckets.get_mut(number, self.batch) {
                bucket.row.origin = output.origin();
            }
        }
        if touched.is_empty() {
            return Step::Filtered;
        }
        self.changed.append(&mut touched);
        if let Some(writer) = writer {
            output.publish(OutRecord {
                topic: Topic::Inbox,
                partition: self.setup.partition,
                key: None,
                value: Some(writer.finish()),
                headers: Vec::new(),
            });
        }
        Step::Applied
    }

    fn refuse(
        &self,
        record: &RecordRef<'_>,
        refusal: &Refusal,
        parts: &[RefusedPart],
        output: &mut Output,
    ) -> Step {
        border::refuse(&self.setup, Topic::Deliveries, record, refusal, parts, Sender::default(), output)
    }
}

/// The record that brings entries, and how long they are kept.
struct Arrival<'a> {
    record: &'a RecordRef<'a>,
    inbox_s: u32,
}

/// What a message's entries have in common.
struct Message<'a> {
    sender: &'a str,
    /// Of one of them, whatever its count of others' entries.
    cells: Box<[Value]>,
}

impl<'a> Message<'a> {
    fn new(posted: &'a Posted<'_>) -> Self {
        let row = EntryRow {
            conversation: &posted.conversation,
            conversation_seq: posted.seq,
            sender: &posted.sender,
            client_id: &posted.client_id,
            session: posted.session.as_deref(),
            sent_at_ms: posted.sent_at,
            accepted_at_ms: posted.accepted_at,
            body: inline_body(posted),
            foreign_count: 0,
        };
        Self { sender: &posted.sender, cells: row.to_cells() }
    }
}

/// The body that an entry carries itself.
fn inline_body<'a>(posted: &'a Posted<'_>) -> Option<&'a str> {
    (posted.body.len() <= INLINE_BODY_BYTES || mutant::is(Mutant::LargeBodyInlined)).then_some(posted.body)
}

fn misplaced(recipient: &str) -> Refusal {
    let message = format!("recipient '{recipient}' belongs to another partition of deliveries");
    Refusal::new(Reason::Recipients, message)
}

#[cfg(test)]
mod tests;
