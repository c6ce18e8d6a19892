//! Rows as CQL keeps them: every cell with a timestamp of its own, the greatest wins whatever the order of
//! arrival.

use std::{borrow::Borrow, collections::BTreeMap, fmt, ops::Bound, sync::Arc};

use crate::{
    store::{Change, Query, Row, Select, Statement, WriteBatch},
    table::{Table, Value},
};

type Key = Box<[Value]>;

/// What is not there.
static NULL: Value = Value::Null;

/// All tables, by name.
#[derive(Debug, Default)]
pub struct Tables {
    tables: BTreeMap<&'static str, BTreeMap<Arc<[Value]>, Partition>>,
}

#[derive(Debug, Default)]
struct Partition {
    statics: Cells,
    rows: BTreeMap<Key, Cells>,
    /// Batches that were applied to it.
    changes: u64,
}

/// How a row was written last, and when it was deleted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub written_us: i64,
    pub deleted_us: Option<i64>,
    pub expires: bool,
}

/// A live row where it lies: checkers look at many rows, and copy none. The static cells of a partition are
/// a row with an empty clustering.
#[derive(Clone, Copy)]
pub struct LiveRow<'a> {
    pub partition: &'a [Value],
    pub clustering: &'a [Value],
    pub stamp: Stamp,
    now_ms: u64,
    width: usize,
    cells: &'a Cells,
}

/// The cells of a row, or the static ones of a partition.
#[derive(Debug)]
struct Cells {
    /// Whatever is not newer than this is deleted.
    deleted_us: i64,
    /// What an insert writes beside the cells: the row is there though all of them are null.
    marker: Option<Cell>,
    cells: Box<[Option<Cell>]>,
}

#[derive(Debug, Clone)]
struct Cell {
    value: Value,
    timestamp_us: i64,
    /// Virtual time at which it is gone.
    expires_ms: Option<u64>,
}

impl Default for Cells {
    fn default() -> Self {
        Self { deleted_us: i64::MIN, marker: None, cells: Box::default() }
    }
}

impl Tables {
    /// Applies a batch as a whole; its form was checked.
    pub fn apply(&mut self, now_ms: u64, batch: WriteBatch) {
        let WriteBatch { table, partition, statements, .. } = batch;
        let partitions = self.tables.entry(table.name).or_default();
        let partition = partitions.entry(partition).or_default();
        partition.changes += 1;
        for statement in statements {
            partition.apply(now_ms, table, statement);
        }
    }

    /// What a query finds at `now_ms`.
    #[must_use]
    pub fn read(&self, now_ms: u64, query: &Query) -> Vec<Row> {
        let partitions = self.tables.get(query.table.name);
        let Some(partition) = partitions.and_then(|rows| rows.get(&*query.partition)) else {
            return Vec::new();
        };
        partition.read(now_ms, query)
    }

    /// How many batches were applied to a partition.
    #[must_use]
    pub fn changes(&self, table: &Table, partition: &[Value]) -> u64 {
        let partitions = self.tables.get(table.name);
        partitions.and_then(|partitions| partitions.get(partition)).map_or(0, |partition| partition.changes)
    }

    /// Every live row of a table in the order of keys, the static cells of a partition first.
    pub fn rows(&self, now_ms: u64, table: &'static Table) -> impl Iterator<Item = LiveRow<'_>> {
        let partitions = self.tables.get(table.name).into_iter().flatten();
        partitions.flat_map(move |(key, partition)| partition.rows(now_ms, table, key))
    }

    /// Those of one partition.
    pub fn rows_of(
        &self,
        now_ms: u64,
        table: &'static Table,
        partition: &[Value],
    ) -> impl Iterator<Item = LiveRow<'_>> {
        let partitions = self.tables.get(table.name);
        let found = partitions.and_then(|partitions| partitions.get_key_value(partition));
        found.into_iter().flat_map(move |(key, partition)| partition.rows(now_ms, table, key))
    }
}

impl<'a> LiveRow<'a> {
    /// One value per column.
    pub fn cells(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let Self { cells, now_ms, width, .. } = *self;
        (0..width).map(move |index| cells.value(now_ms, index))
    }

    /// The value of a clustering column, where it is a text.
    #[must_use]
    pub fn key_text(&self, column: usize) -> &'a str {
        self.clustering.get(column).and_then(Value::as_text).unwrap_or_default()
    }

    #[must_use]
    pub fn to_cells(&self) -> Vec<Value> {
        self.cells().cloned().collect()
    }
}

impl fmt::Debug for LiveRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, clustering, .. } = self;
        write!(f, "{partition:?} {clustering:?}: {:?}", self.to_cells())
    }
}

impl PartialEq for LiveRow<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.partition, self.clustering) == (other.partition, other.clustering)
            && self.cells().eq(other.cells())
    }
}

impl Partition {
    fn rows<'a>(
        &'a self,
        now_ms: u64,
        table: &'static Table,
        key: &'a [Value],
    ) -> impl Iterator<Item = LiveRow<'a>> {
        let live = move |clustering: &'a [Value], cells: &'a Cells, width: usize| {
            let stamp = cells.stamp();
            let row = LiveRow { partition: key, clustering, stamp, now_ms, width, cells };
            let is_there = cells.live(now_ms, cells.marker.as_ref()).is_some()
                || row.cells().any(|value| *value != Value::Null);
            is_there.then_some(row)
        };
        let rows = self.rows.iter();
        let rows = rows.filter_map(move |(clustering, cells)| live(clustering, cells, table.cells.len()));
        live(&[], &self.statics, table.statics.len()).into_iter().chain(rows)
    }

    fn apply(&mut self, now_ms: u64, table: &Table, statement: Statement) {
        let Statement { clustering, change, timestamp_us, ttl_s } = statement;
        // A time to live of 0 is none.
        let ttl_s = ttl_s.filter(|ttl_s| *ttl_s > 0);
        let expires_ms = ttl_s.map(|ttl_s| now_ms + u64::from(ttl_s) * 1_000);
        match change {
            Change::Statics(values) => {
                self.statics.write(values, timestamp_us, expires_ms, false, table.statics.len());
            }
            Change::Upsert(values) => {
                let row = self.rows.entry(clustering).or_default();
                row.write(values, timestamp_us, expires_ms, true, table.cells.len());
            }
            Change::Delete => {
                let row = self.rows.entry(clustering).or_default();
                row.deleted_us = row.deleted_us.max(timestamp_us);
            }
        }
    }

    fn read(&self, now_ms: u64, query: &Query) -> Vec<Row> {
        let table = query.table;
        match &query.select {
            Select::Statics => self.statics.statics_row(now_ms, table).into_iter().collect(),
            Select::Page { after, limit } => {
                let rows = self.slice(&[], after.as_ref(), false);
                let mut rows = rows.filter_map(|(key, cells)| cells.row(now_ms, table, key)).peekable();
                let statics = self.statics.statics_row(now_ms, table);
                let statics = statics.filter(|_| after.is_none() || rows.peek().is_some());
                statics.into_iter().chain(rows.take(*limit as usize)).collect()
            }
            Select::Keys(keys) => {
                let mut keys: Vec<_> = keys.iter().collect();
                keys.sort();
                keys.dedup();
                let found = keys.into_iter().filter_map(|key| self.rows.get_key_value(key));
                found.filter_map(|(key, cells)| cells.row(now_ms, table, key)).collect()
            }
            Select::Slice { prefix, after, descending, limit } => {
                let rows = self.slice(prefix, after.as_ref(), *descending);
                let rows = rows.filter_map(|(key, cells)| cells.row(now_ms, table, key));
                rows.take(*limit as usize).collect()
            }
        }
    }

    fn slice(
        &self,
        prefix: &[Value],
        after: Option<&Value>,
        descending: bool,
    ) -> Box<dyn Iterator<Item = (&Key, &Cells)> + '_> {
        let with = |more: &[&Value]| prefix.iter().chain(more.iter().copied()).cloned().collect::<Key>();
        let (low, high) = match after {
            None => (with(&[]), with(&[&TOP])),
            Some(after) if descending => (with(&[]), with(&[after])),
            Some(after) => (with(&[after, &TOP]), with(&[&TOP])),
        };
        if low >= high {
            return Box::new(std::iter::empty());
        }
        let range = (Bound::Included(low.borrow()), Bound::Excluded(high.borrow()));
        let rows = self.rows.range::<[Value], _>(range);
        if descending { Box::new(rows.rev()) } else { Box::new(rows) }
    }
}

impl Cells {
    fn write(
        &mut self,
        values: Box<[Value]>,
        timestamp_us: i64,
        expires_ms: Option<u64>,
        with_marker: bool,
        width: usize,
    ) {
        if self.cells.is_empty() {
            self.cells = vec![None; width].into();
        }
        for (cell, value) in self.cells.iter_mut().zip(values) {
            Cell { value, timestamp_us, expires_ms }.reconcile(cell);
        }
        if with_marker {
            // Its value only has to differ from null, which would be a tombstone.
            Cell { value: Value::Boolean(true), timestamp_us, expires_ms }.reconcile(&mut self.marker);
        }
    }

    fn live<'a>(&self, now_ms: u64, cell: Option<&'a Cell>) -> Option<&'a Value> {
        let cell = cell?;
        let expired = cell.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms);
        let gone = expired || cell.timestamp_us <= self.deleted_us || cell.value == Value::Null;
        (!gone).then_some(&cell.value)
    }

    fn value(&self, now_ms: u64, index: usize) -> &Value {
        self.live(now_ms, self.cells.get(index).and_then(Option::as_ref)).unwrap_or(&NULL)
    }

    fn values(&self, now_ms: u64, width: usize) -> Key {
        (0..width).map(|index| self.value(now_ms, index).clone()).collect()
    }

    fn stamp(&self) -> Stamp {
        let marker = self.marker.as_ref();
        Stamp {
            written_us: marker.map_or(0, |marker| marker.timestamp_us),
            deleted_us: Some(self.deleted_us).filter(|deleted_us| *deleted_us > i64::MIN),
            expires: marker.is_some_and(|marker| marker.expires_ms.is_some()),
        }
    }

    fn row(&self, now_ms: u64, table: &Table, clustering: &[Value]) -> Option<Row> {
        let cells = self.values(now_ms, table.cells.len());
        let is_there = self.live(now_ms, self.marker.as_ref()).is_some()
            || cells.iter().any(|value| *value != Value::Null);
        is_there.then(|| Row { clustering: clustering.into(), cells })
    }

    fn statics_row(&self, now_ms: u64, table: &Table) -> Option<Row> {
        let cells = self.values(now_ms, table.statics.len());
        let is_there = cells.iter().any(|value| *value != Value::Null);
        is_there.then(|| Row { clustering: Box::default(), cells })
    }
}

impl Cell {
    /// Takes the place of what is there if it wins.
    fn reconcile(self, there: &mut Option<Self>) {
        if there.as_ref().is_none_or(|there| self.rank() > there.rank()) {
            *there = Some(self);
        }
    }

    /// The order in which cells win, as Cassandra has it: the timestamp; at equal ones a tombstone, then what
    /// expires over what does not, then the later expiry, then the greater value.
    fn rank(&self) -> (i64, bool, bool, Option<u64>, &Value) {
        let is_tombstone = self.value == Value::Null;
        (self.timestamp_us, is_tombstone, self.expires_ms.is_some(), self.expires_ms, &self.value)
    }
}

/// Above every value of a clustering column: none is a boolean.
const TOP: Value = Value::Boolean(true);

#[cfg(test)]
mod tests;
