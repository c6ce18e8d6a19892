//! What folding records brings about: rows to write and records to publish, each stamped with what caused it.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use smol_str::SmolStr;

use crate::{
    log::{Offset, OutRecord},
    mutant::{self, Mutant},
    record::arena::Arena,
    store::{Change, Statement},
    table::{Table, Value},
};

/// A row's change, in the database partition it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct RowWrite {
    pub table: &'static Table,
    pub partition: Arc<[Value]>,
    pub statement: Statement,
    /// Of the statement.
    pub size_bytes: usize,
}

/// A row that is to be written again, so that its time to live begins anew or because cells changed of which
/// the fold holds only some. The engine reads it when the rows of this batch and of all earlier ones are in
/// the store, and asks [`crate::processor::Fold::refreshed`] what to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Refresh {
    pub table: &'static Table,
    pub partition: Arc<[Value]>,
    pub clustering: Box<[Value]>,
    /// The row's cells as the fold has them, null where it has only their hash; `None`: as they are.
    pub cells: Option<Box<[Value]>>,
    /// Of the cells that the fold doesn't hold in memory.
    pub hash: u64,
    /// The record that made the refresh due.
    pub offset: Offset,
    pub timestamp_us: i64,
    pub ttl_s: u32,
}

/// Of a row that never changes: the time of its record, and how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    pub time_ms: i64,
    pub ttl_s: u32,
}

/// Those whose rows belong together, by the rows' first clustering value.
pub type Recipients = HashSet<SmolStr, FixedState>;

/// Collects the effects of records, one record after the other.
#[derive(Debug, Default)]
pub struct Output {
    pub rows: Vec<RowWrite>,
    pub refreshes: Vec<Refresh>,
    pub records: Vec<OutRecord>,
    /// Recipients of messages to so many that others would wait long for all of these: their rows may come
    /// later than those of others.
    pub large: Recipients,
    /// Those whose rows may not come before the static cells of their database partition.
    pub bound: Recipients,
    /// Of the keys and values of `records`.
    pub arena: Arena,
    /// Bytes of `rows` and of `records`.
    pub row_bytes: usize,
    pub record_bytes: usize,
    base_us: i64,
    offset: Offset,
    publishing: bool,
}

impl Output {
    /// Row timestamps will be `base_us` + offset.
    #[must_use]
    pub fn new(base_us: i64) -> Self {
        Self { base_us, ..Self::default() }
    }

    /// The next one, with room for as much as this one has: batches that follow each other are alike.
    #[must_use]
    pub fn next(&self) -> Self {
        let Self { rows, records, base_us, .. } = self;
        Self {
            rows: Vec::with_capacity(rows.len()),
            records: Vec::with_capacity(records.len()),
            ..Self::new(*base_us)
        }
    }

    /// The effects from here on are caused by the record at `offset`. Below the committed position
    /// `publishing` is off: those records are out already, only the rows are written again.
    pub fn begin(&mut self, offset: Offset, publishing: bool) {
        self.offset = offset;
        self.publishing = publishing;
    }

    /// Whether records are wanted, so that nothing is encoded in vain.
    #[must_use]
    pub fn publishing(&self) -> bool {
        self.publishing
    }

    /// The position after the record that causes the effects: their origin.
    #[must_use]
    pub fn origin(&self) -> Offset {
        self.offset + 1
    }

    /// Microseconds: base + offset, for rows that are overwritten.
    #[must_use]
    pub fn timestamp_us(&self) -> i64 {
        self.timestamp_us_of(self.offset)
    }

    /// The same of another record.
    #[must_use]
    pub fn timestamp_us_of(&self, offset: Offset) -> i64 {
        self.base_us + offset
    }

    /// Publishes a record, unless it is out already.
    pub fn publish(&mut self, record: OutRecord) {
        if self.publishing {
            self.publish_owed(record);
        }
    }

    /// Publishes what earlier records of the batch owe, none of which is out already.
    pub fn publish_owed(&mut self, record: OutRecord) {
        self.record_bytes += record.size_bytes();
        self.records.push(record);
    }

    /// Writes all cells of a row that is overwritten in place.
    pub fn upsert(
        &mut self,
        table: &'static Table,
        partition: Arc<[Value]>,
        clustering: Box<[Value]>,
        cells: Box<[Value]>,
        ttl_s: Option<u32>,
    ) {
        debug_assert_eq!(cells.len(), table.cells.len(), "all columns of {} are set", table.name);
        let statement =
            Statement { clustering, change: Change::Upsert(cells), timestamp_us: self.timestamp_us(), ttl_s };
        self.push(table, partition, statement);
    }

    /// Writes a row that never changes once written, with its record's time as the timestamp.
    pub fn append(
        &mut self,
        table: &'static Table,
        partition: Arc<[Value]>,
        clustering: Box<[Value]>,
        cells: Box<[Value]>,
        lifetime: Lifetime,
    ) {
        debug_assert_eq!(cells.len(), table.cells.len(), "all columns of {} are set", table.name);
        let Lifetime { time_ms, ttl_s } = lifetime;
        let timestamp_us = match mutant::is(Mutant::OffsetAsTimestamp) {
            true => self.timestamp_us(),
            false => time_ms.saturating_mul(1_000),
        };
        let ttl_s = if mutant::is(Mutant::TimeToLiveOfZero) { 0 } else { ttl_s };
        let change = Change::Upsert(cells);
        self.push(table, partition, Statement { clustering, change, timestamp_us, ttl_s: Some(ttl_s) });
    }

    /// Changes a row that is overwritten in place as of the record at `offset`, which may be an earlier one
    /// of the batch: what several records changed is written once.
    pub fn change_at(
        &mut self,
        offset: Offset,
        table: &'static Table,
        partition: Arc<[Value]>,
        clustering: Box<[Value]>,
        change: Change,
    ) {
        let timestamp_us = self.timestamp_us_of(offset);
        self.push(table, partition, Statement { clustering, change, timestamp_us, ttl_s: None });
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: &'static Table, partition: Arc<[Value]>, clustering: Box<[Value]>) {
        let timestamp_us = self.timestamp_us();
        self.push(
            table,
            partition,
            Statement { clustering, change: Change::Delete, timestamp_us, ttl_s: None },
        );
    }

    /// Asks for a row to be written again with a new time to live.
    pub fn refresh(
        &mut self,
        table: &'static Table,
        partition: Arc<[Value]>,
        clustering: Box<[Value]>,
        hash: u64,
        ttl_s: u32,
    ) {
        self.push_refresh(table, partition, clustering, None, hash, ttl_s);
    }

    /// Asks for a row to be written with new `cells`, of which those that the fold holds only the `hash` of
    /// are null.
    pub fn rewrite(
        &mut self,
        table: &'static Table,
        partition: Arc<[Value]>,
        clustering: Box<[Value]>,
        cells: Box<[Value]>,
        hash: u64,
        ttl_s: u32,
    ) {
        self.push_refresh(table, partition, clustering, Some(cells), hash, ttl_s);
    }

    fn push_refresh(
        &mut self,
        table: &'static Table,
        partition: Arc<[Value]>,
        clustering: Box<[Value]>,
        cells: Option<Box<[Value]>>,
        hash: u64,
        ttl_s: u32,
    ) {
        let (offset, timestamp_us) = (self.offset, self.timestamp_us());
        self.refreshes.push(Refresh {
            table,
            partition,
            clustering,
            cells,
            hash,
            offset,
            timestamp_us,
            ttl_s,
        });
    }

    fn push(&mut self, table: &'static Table, partition: Arc<[Value]>, statement: Statement) {
        let size_bytes = statement.size_bytes();
        self.row_bytes += size_bytes;
        self.rows.push(RowWrite { table, partition, statement, size_bytes });
    }
}
