//! A log, a store and a fold that restores from rows, in one thread: for the tests of such folds.

use std::sync::Arc;

use super::{FORWARDED, Fold, Retention, Setup, Step};
use crate::{
    effect::{Output, RowWrite},
    log::{Chunk, Offset, OutRecord, PartitionId, RecordRef},
    sim::SimStore,
    store::{Query, Row, WriteBatch},
    table::Stage,
    topology::{Topic, Topology},
};

pub const BASE_US: i64 = 1_000_000;
/// Record time of the record at offset 0; each further one comes a second later.
pub const START_MS: i64 = 1_760_000_000_000;

/// One partition of one processor.
pub struct Bench<F> {
    pub fold: F,
    pub store: SimStore,
    /// What was published, in order.
    pub published: Vec<OutRecord>,
    /// Records of the input, by offset.
    pub log: Vec<(i64, String)>,
    /// Everything below is published.
    pub committed: Offset,
    /// Rows that were written since the store was last brought up to date, by batch.
    unwritten: Vec<(u64, Vec<RowWrite>)>,
    pub reads: Vec<Query>,
    pub output: Output,
    batch: u64,
    setup: Setup,
}

pub fn setup(partitions: u32, partition: PartitionId) -> Setup {
    Setup {
        topology: Arc::new(Topology::uniform(partitions, partitions * 2)),
        group: "heartline.test".into(),
        partition,
        generation: 1,
        retention: Retention::default(),
        state_bytes_max: usize::MAX,
        large_group: usize::MAX,
    }
}

impl<F: Fold> Bench<F> {
    pub fn new(setup: Setup) -> Self {
        let mut fold = F::new(setup.clone(), 0, None).expect("a first fold");
        fold.begin_batch(1);
        Self {
            fold,
            store: SimStore::default(),
            published: Vec::new(),
            log: Vec::new(),
            committed: 0,
            unwritten: Vec::new(),
            reads: Vec::new(),
            output: Output::new(BASE_US),
            batch: 1,
            setup,
        }
    }

    /// Appends a record to the input and folds it.
    pub fn send(&mut self, value: &str) -> Step {
        let time_ms = self.log.last().map_or(START_MS, |(time_ms, _)| time_ms + 1_000);
        self.send_at(time_ms, value)
    }

    pub fn send_at(&mut self, time_ms: i64, value: &str) -> Step {
        self.log.push((time_ms, value.to_owned()));
        self.fold_at(self.log.len() as Offset - 1)
    }

    /// Folds the record at an offset, reading what is wanted.
    pub fn fold_at(&mut self, offset: Offset) -> Step {
        let (time_ms, value) = &self.log[offset as usize];
        let mut chunk = Chunk::new(self.setup.partition, 1);
        chunk.push(offset, *time_ms, None, Some(value.as_bytes()), Vec::new());
        self.output.begin(offset, offset >= self.committed);
        let mut record = RecordRef { headers: None, ..chunk.get(0) };
        for _ in 0..100 {
            let before = (self.output.rows.len(), self.output.records.len(), self.fold.held_back_bytes());
            let step = self.fold.fold(&record, &mut self.output);
            if !matches!(step, Step::Wanting | Step::WantingHeaders) {
                return step;
            }
            let after = (self.output.rows.len(), self.output.records.len(), self.fold.held_back_bytes());
            assert_eq!(before, after, "a fold that wants something changes nothing");
            if step == Step::WantingHeaders {
                assert!(record.headers.is_none(), "headers that were read are not wanted");
                record = chunk.get(0);
                continue;
            }
            let wanted = self.fold.wanted(&mut [chunk.get(0)].into_iter());
            assert!(!wanted.is_empty(), "the fold wants something and does not say what");
            for query in wanted {
                let rows = self.read(&query);
                self.reads.push(query.clone());
                self.fold.load(&query, rows).expect("rows of the product");
            }
        }
        panic!("the fold wants for ever");
    }

    pub fn read(&self, query: &Query) -> Vec<Row> {
        self.store.read(0, query)
    }

    /// Ends the batch: its records are published, its rows are owed.
    pub fn commit(&mut self) {
        self.fold.close(&mut self.output);
        let output = std::mem::replace(&mut self.output, Output::new(BASE_US));
        self.published.extend(output.records);
        self.unwritten.push((self.batch, output.rows));
        self.committed = self.committed.max(self.log.len() as Offset);
        self.batch += 1;
        self.fold.begin_batch(self.batch);
    }

    /// Writes the owed rows of the given stages, and acknowledges the batches where those are all.
    pub fn store_stages(&mut self, stages: &[Stage]) {
        for (batch, rows) in &mut self.unwritten {
            let written = rows.extract_if(.., |row| stages.contains(&row.table.stage));
            for RowWrite { table, partition, statement, .. } in written {
                self.store.apply(0, WriteBatch::new(table, partition, vec![statement]));
            }
            if rows.is_empty() {
                self.fold.acknowledged(*batch);
            }
        }
        self.unwritten.retain(|(_, rows)| !rows.is_empty());
    }

    /// Writes some of the owed rows.
    pub fn store_rows(&mut self, which: impl Fn(&RowWrite) -> bool) {
        for (_, rows) in &mut self.unwritten {
            for RowWrite { table, partition, statement, .. } in rows.extract_if(.., |row| which(row)) {
                self.store.apply(0, WriteBatch::new(table, partition, vec![statement]));
            }
        }
    }

    /// Commits, and writes and acknowledges all rows.
    pub fn settle(&mut self) {
        self.commit();
        self.store_stages(&Stage::ALL);
    }

    /// A crash and a successor that restores at `stored` from what is in the store, and folds the log again;
    /// what the predecessor owed is lost.
    pub fn take_over(&mut self, stored: Offset) {
        let resume = self.fold.resume();
        self.unwritten.clear();
        self.output = Output::new(BASE_US);
        let setup = self.setup.clone();
        self.fold = F::new(setup, stored, Some(&resume)).expect("a successor");
        self.batch += 1;
        self.fold.begin_batch(self.batch);
        for offset in stored..self.log.len() as Offset {
            self.fold_at(offset);
        }
    }

    /// What was published on a topic, as JSON values.
    pub fn published_on(&self, topic: Topic) -> Vec<serde_json::Value> {
        let records = self.published.iter().filter(|record| record.topic == topic);
        let values = records.map(|record| record.value.as_deref().expect("a value"));
        values.map(|value| serde_json::from_slice(value).expect("JSON")).collect()
    }

    /// The reasons of the dead letters so far.
    pub fn refusals(&self) -> Vec<String> {
        let letters = self.published.iter().filter(|record| record.topic == Topic::DeadLetters);
        let reasons = letters.map(|record| record.headers.iter().find(|h| h.name == "heartline.reason"));
        reasons
            .map(|reason| {
                let value = reason.and_then(|header| header.value.as_deref()).expect("a reason");
                String::from_utf8(value.to_vec()).expect("UTF-8")
            })
            .collect()
    }

    /// How many records were forwarded.
    pub fn forwarded(&self) -> usize {
        let is_forward = |record: &&OutRecord| record.headers.iter().any(|header| header.name == FORWARDED);
        self.published.iter().filter(is_forward).count()
    }
}
