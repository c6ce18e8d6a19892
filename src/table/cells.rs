//! Reading a row's cells into a domain type: each by its place in [`Table::cells`] or [`Table::statics`].

use thiserror::Error;

use super::{Column, Table, Value};

/// Cells that the product does not write: another hand did, or a newer version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("table {table}: column `{column}` holds {found:?}")]
pub struct CellError {
    table: &'static str,
    column: &'static str,
    found: Value,
}

pub(super) struct Cells<'a> {
    table: &'static str,
    columns: &'static [Column],
    cells: &'a [Value],
}

impl<'a> Cells<'a> {
    /// Of a row.
    pub fn of_row(table: &'static Table, cells: &'a [Value]) -> Self {
        Self { table: table.name, columns: table.cells, cells }
    }

    /// Of a partition's static cells.
    pub fn of_statics(table: &'static Table, cells: &'a [Value]) -> Self {
        Self { table: table.name, columns: table.statics, cells }
    }

    fn get(&self, at: usize) -> &'a Value {
        self.cells.get(at).unwrap_or(&Value::Null)
    }

    pub fn text(&self, at: usize) -> Result<Option<&'a str>, CellError> {
        match self.get(at) {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.unexpected(at)),
        }
    }

    pub fn required_text(&self, at: usize) -> Result<&'a str, CellError> {
        self.text(at)?.ok_or_else(|| self.unexpected(at))
    }

    pub fn optional_big_int(&self, at: usize) -> Result<Option<i64>, CellError> {
        match self.get(at) {
            Value::Null => Ok(None),
            Value::BigInt(number) => Ok(Some(*number)),
            _ => Err(self.unexpected(at)),
        }
    }

    pub fn big_int(&self, at: usize) -> Result<i64, CellError> {
        self.optional_big_int(at)?.ok_or_else(|| self.unexpected(at))
    }

    pub fn int(&self, at: usize) -> Result<i32, CellError> {
        self.get(at).as_int().ok_or_else(|| self.unexpected(at))
    }

    pub fn unexpected(&self, at: usize) -> CellError {
        let column = self.columns.get(at).map_or("", |column| column.name);
        CellError { table: self.table, column, found: self.get(at).clone() }
    }
}
