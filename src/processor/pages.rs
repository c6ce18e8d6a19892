//! Reading a database partition page by page, all as of one moment: every page comes with the partition's
//! static cells, and pages of different moments are thrown away.

use crate::{
    limits::PAGE_ROWS_MAX,
    mutant::{self, Mutant},
    store::{Query, Row, Select},
    table::{CellError, Value},
};

/// What was read so far; `H` is what the static cells say.
#[derive(Debug)]
pub(super) struct Pages<H> {
    pub head: Option<H>,
    last: Option<Value>,
    /// All rows are read, and there were several pages: the static cells are read once more.
    checking: bool,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// A former owner's write came between: begin anew.
    Torn,
    More,
    Whole,
}

impl<H> Default for Pages<H> {
    fn default() -> Self {
        Self { head: None, last: None, checking: false }
    }
}

impl<H: PartialEq> Pages<H> {
    /// What is to be read next.
    pub fn next(&self) -> Select {
        match self.checking {
            true => Select::Statics,
            false => Select::Page { after: self.last.clone(), limit: PAGE_ROWS_MAX },
        }
    }

    /// Takes the answer to the last query; gives the rows in it. Those of a torn reading must be forgotten.
    pub fn take<'a>(
        &mut self,
        query: &Query,
        rows: &'a [Row],
        read: impl Fn(&[Value]) -> Result<H, CellError>,
    ) -> Result<(Progress, &'a [Row]), CellError> {
        let (head, rows) = match rows.split_first() {
            Some((first, rest)) if first.clustering.is_empty() => (Some(read(&first.cells)?), rest),
            _ => (None, rows),
        };
        let begun = self.last.is_some();
        // Behind the last row there may be nothing at all, not even static cells.
        let silent = rows.is_empty() && !self.checking;
        if begun && !silent && head != self.head {
            *self = Self::default();
            return Ok((Progress::Torn, &[]));
        }
        if !begun {
            self.head = head;
        }
        if let Some(last) = rows.last() {
            self.last = last.clustering.first().cloned();
        }
        let full = matches!(&query.select, Select::Page { limit, .. } if rows.len() >= *limit as usize);
        let full = full && !mutant::is(Mutant::FirstPageOnly);
        let unchecked = begun && !self.checking;
        self.checking |= unchecked && !full;
        Ok((if full || unchecked { Progress::More } else { Progress::Whole }, rows))
    }
}

#[cfg(test)]
mod tests;
