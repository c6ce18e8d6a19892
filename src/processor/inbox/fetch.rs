//! Reading a bucket of heads.

use smol_str::SmolStr;

use super::bucket::Bucket;
use crate::{
    mutant::{self, Mutant},
    processor::pages::{Pages, Progress},
    store::{Query, Row},
    table::{
        CellError, Value,
        inbox::{BucketRow, HEADS, HeadRow, bucket_partition},
    },
};

/// What was read of a bucket so far.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    pages: Pages<BucketRow>,
    heads: Vec<(SmolStr, HeadRow)>,
}

impl Fetch {
    /// What is to be read next.
    pub fn next(&self, bucket: u32) -> Query {
        Query { table: &HEADS, partition: bucket_partition(bucket), select: self.pages.next() }
    }

    /// Takes the answer to the last query; gives the bucket once it is whole.
    pub fn take(
        &mut self,
        query: &Query,
        rows: &[Row],
        generation: i32,
    ) -> Result<Option<Bucket>, CellError> {
        let (progress, rows) = self.pages.take(query, rows, BucketRow::from_cells)?;
        for row in rows {
            let Some(Value::Text(recipient)) = row.clustering.first() else { continue };
            self.heads.push((recipient.clone(), HeadRow::from_cells(&row.cells)?));
        }
        match progress {
            Progress::Torn => self.heads.clear(),
            Progress::More => {}
            Progress::Whole => {
                let mut row = self.pages.head.unwrap_or_default();
                if mutant::is(Mutant::WindowBeginsAnew) {
                    row.entries = 0;
                }
                return Ok(Some(Bucket::new(row, std::mem::take(&mut self.heads), generation)));
            }
        }
        Ok(None)
    }
}
