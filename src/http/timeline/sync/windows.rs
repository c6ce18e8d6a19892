//! The windows of one recipient: which of them holds a number, and where its entries begin.

use super::super::{ReadError, Timeline};
use crate::{
    limits::READ_WINDOWS_MAX,
    store::Row,
    table::inbox::{first_seq, number_of, windows_query},
};

/// Windows that are read at first. Most recipients have no more, so that no search reads again.
const NEWEST: u32 = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub number: i64,
    /// The recipient's first number in it.
    pub first_seq: i64,
}

/// The newest windows of a recipient, and a way to the others.
pub struct Windows<'a> {
    timeline: Timeline<'a>,
    bucket: u32,
    recipient: &'a str,
    /// In ascending order.
    newest: Vec<Window>,
    /// Whether `newest` are all of them.
    complete: bool,
}

impl<'a> Windows<'a> {
    pub async fn read(timeline: Timeline<'a>, bucket: u32, recipient: &'a str) -> Result<Self, ReadError> {
        let rows = timeline.store.read(windows_query(bucket, recipient, None, true, NEWEST)).await?;
        let complete = rows.len() < NEWEST as usize;
        let mut newest = windows(&rows)?;
        newest.reverse();
        Ok(Self { timeline, bucket, recipient, newest, complete })
    }

    /// Whether the oldest of all is known and begins with this number.
    pub fn begin_at(&self, seq: i64) -> bool {
        self.complete && self.newest.first().is_some_and(|oldest| oldest.first_seq == seq)
    }

    /// The oldest of all.
    pub async fn oldest(&self) -> Result<Option<Window>, ReadError> {
        match self.complete {
            true => Ok(self.newest.first().copied()),
            false => Ok(self.slice(None, false, 1).await?.first().copied()),
        }
    }

    /// The last window up to a number.
    pub async fn up_to(&self, number: i64) -> Result<Option<Window>, ReadError> {
        let known = self.newest.iter().rev().find(|window| window.number <= number);
        match known {
            None if !self.complete => Ok(self.slice(Some(number + 1), true, 1).await?.first().copied()),
            known => Ok(known.copied()),
        }
    }

    /// The window that holds an entry and those behind it, one more than are read for a page.
    pub async fn holding(&self, seq: i64) -> Result<Vec<Window>, ReadError> {
        let limit = READ_WINDOWS_MAX as usize + 1;
        let known = self.newest.iter().rposition(|window| window.first_seq <= seq);
        if let Some(at) = known {
            return Ok(self.newest[at..].iter().take(limit).copied().collect());
        }
        if self.complete {
            return Ok(Vec::new());
        }
        let mut holding = None;
        let (mut low, mut high) = (1, self.newest.first().map_or(0, |window| window.number - 1));
        while low <= high {
            let number = low + (high - low) / 2;
            match self.up_to(number).await? {
                Some(window) if window.first_seq > seq => high = window.number - 1,
                Some(window) => (holding, low) = (Some(window), number + 1),
                None => low = number + 1,
            }
        }
        match holding {
            Some(window) => self.slice(Some(window.number - 1), false, READ_WINDOWS_MAX + 1).await,
            None => Ok(Vec::new()),
        }
    }

    /// The last window.
    pub fn last(&self) -> Option<Window> {
        self.newest.last().copied()
    }

    async fn slice(
        &self,
        after: Option<i64>,
        descending: bool,
        limit: u32,
    ) -> Result<Vec<Window>, ReadError> {
        let query = windows_query(self.bucket, self.recipient, after, descending, limit);
        windows(&self.timeline.store.read(query).await?)
    }
}

fn windows(rows: &[Row]) -> Result<Vec<Window>, ReadError> {
    let mut windows = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(number) = number_of(&row.clustering) {
            windows.push(Window { number, first_seq: first_seq(&row.cells)? });
        }
    }
    Ok(windows)
}
