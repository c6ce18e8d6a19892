//! Values to and from CQL's binary form, straight between [`Value`] and the driver's buffers.

use std::fmt;

use scylla::{
    deserialize::row::ColumnIterator,
    errors::SerializationError,
    serialize::{
        row::{RowSerializationContext, SerializeRow},
        writers::{CellOverflowError, CellWriter, RowWriter},
    },
};
use thiserror::Error;

use crate::{
    store::{Change, Query, Row, Select, Statement},
    table::{Column, Kind, Value},
};

/// The bound values of one statement of a batch, in the order of the statement's question marks.
pub(super) struct WriteValues<'a> {
    pub(super) partition: &'a [Value],
    pub(super) statement: &'a Statement,
    /// Of a table whose rows are written once: what is null was never there, and needs no tombstone.
    pub(super) unset_nulls: bool,
}

/// The bound values of a read; of a read by keys, those of `keys`.
pub(super) struct ReadValues<'a> {
    pub(super) query: &'a Query,
    pub(super) keys: &'a [&'a [Value]],
}

impl SerializeRow for WriteValues<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let Statement { clustering, change, timestamp_us, ttl_s } = self.statement;
        let timestamp = Value::BigInt(*timestamp_us);
        match change {
            Change::Upsert(cells) => {
                write_all(writer, [self.partition, clustering])?;
                for cell in cells {
                    match cell {
                        Value::Null if self.unset_nulls => drop(writer.make_cell_writer().set_unset()),
                        value => write(writer.make_cell_writer(), value)?,
                    }
                }
                write_all(writer, [&[timestamp]])?;
            }
            Change::Statics(cells) => write_all(writer, [self.partition, cells, &[timestamp]])?,
            Change::Delete => return write_delete(context, writer, timestamp, self.partition, clustering),
        }
        if let Some(ttl_s) = ttl_s {
            write(writer.make_cell_writer(), &Value::Int(i32::try_from(*ttl_s).unwrap_or(i32::MAX)))?;
        }
        check_count(context, writer)
    }

    fn is_empty(&self) -> bool {
        false
    }
}

fn write_delete(
    context: &RowSerializationContext<'_>,
    writer: &mut RowWriter<'_>,
    timestamp: Value,
    partition: &[Value],
    clustering: &[Value],
) -> Result<(), SerializationError> {
    write_all(writer, [&[timestamp], partition, clustering])?;
    check_count(context, writer)
}

impl SerializeRow for ReadValues<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        write_all(writer, [&self.query.partition])?;
        match &self.query.select {
            Select::Slice { prefix, after, limit, .. } => {
                let limit = Value::Int(i32::try_from(*limit).unwrap_or(i32::MAX));
                write_all(writer, [prefix, after.as_slice(), &[limit]])?;
            }
            Select::Page { after, limit } => {
                let limit = Value::Int(i32::try_from(*limit).unwrap_or(i32::MAX));
                write_all(writer, [after.as_slice(), &[limit]])?;
            }
            Select::Keys(_) => write_keys(writer.make_cell_writer(), self.keys)?,
            Select::Statics => {}
        }
        check_count(context, writer)
    }

    fn is_empty(&self) -> bool {
        false
    }
}

fn write_all<const N: usize>(
    writer: &mut RowWriter<'_>,
    groups: [&[Value]; N],
) -> Result<(), SerializationError> {
    groups.into_iter().flatten().try_for_each(|value| write(writer.make_cell_writer(), value))
}

fn write(cell: CellWriter<'_>, value: &Value) -> Result<(), SerializationError> {
    let written = match value {
        Value::Null => Ok(cell.set_null()),
        Value::Int(number) => cell.set_value(&number.to_be_bytes()),
        Value::BigInt(number) => cell.set_value(&number.to_be_bytes()),
        Value::Text(text) => cell.set_value(text.as_bytes()),
        Value::Blob(bytes) => cell.set_value(bytes),
        Value::Boolean(boolean) => cell.set_value(&[u8::from(*boolean)]),
    };
    written.map(|_| ()).map_err(SerializationError::new)
}

/// A list of values where keys have one column, of tuples where they have several.
fn write_keys(cell: CellWriter<'_>, keys: &[&[Value]]) -> Result<(), SerializationError> {
    let count = i32::try_from(keys.len()).map_err(|_| SerializationError::new(CellOverflowError))?;
    let mut list = cell.into_value_builder();
    list.append_bytes(&count.to_be_bytes());
    for key in keys {
        if let [value] = key {
            write(list.make_sub_writer(), value)?;
            continue;
        }
        let mut tuple = list.make_sub_writer().into_value_builder();
        for value in *key {
            write(tuple.make_sub_writer(), value)?;
        }
        tuple.finish().map_err(SerializationError::new)?;
    }
    list.finish().map(|_| ()).map_err(SerializationError::new)
}

#[derive(Debug, Error)]
#[error("{given} values for a statement that takes {taken}")]
struct Miscounted {
    given: usize,
    taken: usize,
}

fn check_count(
    context: &RowSerializationContext<'_>,
    writer: &RowWriter<'_>,
) -> Result<(), SerializationError> {
    let (given, taken) = (writer.value_count(), context.columns().len());
    if given == taken { Ok(()) } else { Err(SerializationError::new(Miscounted { given, taken })) }
}

/// Reads a row whose columns are `statics`, `clustering`, then `cells`; the static cells come first in the
/// answer. `None` stands for the statics of a partition
/// that has no row: their clustering is null.
///
/// # Errors
/// With a sentence about the column, when a value is not of the column's kind: the table is not as described.
pub(super) fn read_row(
    mut row: ColumnIterator<'_, '_>,
    statics: &[Column],
    clustering: &[Column],
    cells: &[Column],
) -> Result<(Box<[Value]>, Option<Row>), String> {
    let mut read = |columns: &[Column]| {
        columns.iter().map(|column| read_column(&mut row, *column)).collect::<Result<Box<[_]>, _>>()
    };
    let statics = read(statics)?;
    let row = Row { clustering: read(clustering)?, cells: read(cells)? };
    Ok((statics, (!row.clustering.contains(&Value::Null)).then_some(row)))
}

fn read_column(row: &mut ColumnIterator<'_, '_>, column: Column) -> Result<Value, String> {
    let name = column.name;
    let raw = row.next().ok_or_else(|| format!("the answer has no column {name}"))?;
    let raw = raw.map_err(|error| format!("column {name} cannot be read: {error}"))?;
    let Some(slice) = raw.slice else { return Ok(Value::Null) };
    let bytes = slice.as_slice();
    let wrong = |problem: &dyn fmt::Display| format!("column {name} is no {:?}: {problem}", column.kind);
    match column.kind {
        Kind::Int => bytes.try_into().map(i32::from_be_bytes).map(Value::Int).map_err(|error| wrong(&error)),
        Kind::BigInt => {
            bytes.try_into().map(i64::from_be_bytes).map(Value::BigInt).map_err(|error| wrong(&error))
        }
        Kind::Text => std::str::from_utf8(bytes).map(Value::text).map_err(|error| wrong(&error)),
        // Shares the answer's buffer: the blobs of a page are nearly all of it.
        Kind::Blob => Ok(Value::blob(slice.to_bytes())),
        Kind::Boolean => match bytes {
            [byte] => Ok(Value::Boolean(*byte != 0)),
            _ => Err(wrong(&format_args!("it has {} bytes", bytes.len()))),
        },
    }
}
