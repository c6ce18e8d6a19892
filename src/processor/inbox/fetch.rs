//! Reading a bucket of heads, page by page: all as of one origin.

use super::bucket::Bucket;
use crate::{
    limits::PAGE_ROWS_MAX,
    store::{Query, Row, Select},
    table::{
        CellError, Value,
        inbox::{BucketRow, HEADS, HeadRow, bucket_partition, page_query},
    },
};

/// The pages of a bucket that were read so far.
#[derive(Debug)]
pub(super) struct Fetch {
    bucket: u32,
    /// What the pages say of the bucket as a whole; another one means that a former owner's write came
    /// between.
    row: Option<BucketRow>,
    heads: Vec<(Box<str>, HeadRow)>,
    /// All pages are read, and there were several: the bucket's own row is read once more.
    checking: bool,
}

impl Fetch {
    pub fn new(bucket: u32) -> Self {
        Self { bucket, row: None, heads: Vec::new(), checking: false }
    }

    pub fn first(bucket: u32) -> Query {
        page_query(bucket, None, PAGE_ROWS_MAX)
    }

    /// What is to be read next.
    pub fn next(&self) -> Query {
        if self.checking {
            return Query {
                table: &HEADS,
                partition: bucket_partition(self.bucket),
                select: Select::Statics,
            };
        }
        let after = self.heads.last().map(|(recipient, _)| Value::Text(recipient.clone()));
        page_query(self.bucket, after.as_ref(), PAGE_ROWS_MAX)
    }

    /// Takes the answer to the last query; gives the bucket once it is whole. Pages of different moments are
    /// thrown away and the reading begins anew.
    pub fn take(
        &mut self,
        query: &Query,
        rows: &[Row],
        generation: i32,
    ) -> Result<Option<Bucket>, CellError> {
        let (statics, rows) = match rows.split_first() {
            Some((first, rest)) if first.clustering.is_empty() => {
                (Some(BucketRow::from_cells(&first.cells)?), rest)
            }
            _ => (None, rows),
        };
        let begun = self.checking || !self.heads.is_empty();
        let silent = rows.is_empty() && !self.checking;
        if begun && !silent && statics != self.row {
            *self = Self::new(self.bucket);
            return Ok(None);
        }
        if !begun {
            self.row = statics;
        }
        for row in rows {
            let Some(recipient) = row.clustering.first().and_then(Value::as_text) else { continue };
            self.heads.push((recipient.into(), HeadRow::from_cells(&row.cells)?));
        }
        let full = matches!(&query.select, Select::Page { limit, .. } if rows.len() >= *limit as usize);
        if full {
            return Ok(None);
        }
        if begun && !self.checking {
            self.checking = true;
            return Ok(None);
        }
        let mut row = self.row.unwrap_or_default();
        if row.generation != generation {
            // A position of another generation is none in this log: what the rows say is final.
            row.origin = 0;
        }
        Ok(Some(Bucket::new(row, std::mem::take(&mut self.heads))))
    }
}
