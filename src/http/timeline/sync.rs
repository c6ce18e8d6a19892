//! An inbox: a page of entries, how far retention has let go, and how many entries are unread.
//!
//! The head, the read cursor and the recipient's windows are read first; then where entries begin, unless the
//! page begins there, and, beside that, the page; then the bodies that entries do not carry themselves.
//! Whoever asks for what retention has let go, or what is in a window that began meanwhile, waits for another
//! read.

use futures_util::try_join;
use serde::{Deserialize, Serialize};

use super::{ReadError, Timeline, first_missing, post::Post, within};
use crate::{
    limits::READ_WINDOWS_MAX,
    store::Row,
    table::inbox::{EntryRow, HeadRow, entries_query, number_of},
    topology::ProcessorKind,
};
use bodies::Bodies;
use windows::{Window, Windows};

mod bodies;
mod windows;

/// A page of an inbox, in ascending order and without a hole from the greater of `after` and `trimmed_to` on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncPage {
    pub latest_seq: i64,
    /// Up to where this page goes: what to ask after next, while it is below `latest_seq`. A page may have
    /// fewer entries than were asked for.
    pub last_seq: i64,
    /// The highest number that retention has let go; 0 for none.
    pub trimmed_to: i64,
    /// Entries behind the read cursor that somebody else sent.
    pub unread: i64,
    pub entries: Vec<Post>,
}

/// The first entry that there is.
#[derive(Debug, Clone, Copy)]
struct First {
    seq: i64,
    /// Entries below it that somebody else sent.
    foreign_before: i64,
}

/// The entries that one window holds of a page.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    window: i64,
    start: i64,
    end: i64,
}

/// An inbox whose head was read.
struct Inbox<'a> {
    timeline: Timeline<'a>,
    member: &'a str,
    bucket: u32,
    head: HeadRow,
    /// The read cursor, not beyond the head.
    cursor: i64,
    windows: Windows<'a>,
}

impl Timeline<'_> {
    /// A page of an inbox behind `after`; of a member that nobody knows, an empty one.
    pub async fn sync(&self, member: &str, after: i64, count: u32) -> Result<SyncPage, ReadError> {
        within(async {
            let bucket = self.topology.bucket(ProcessorKind::Inbox, member.as_bytes());
            let windows = || Windows::read(*self, bucket, member);
            let (head, cursor, beside) =
                try_join!(self.inbox_head(member), self.inbox_cursor(member), windows())?;
            let Some(head) = head else {
                let entries = Vec::new();
                return Ok(SyncPage { latest_seq: 0, last_seq: after, trimmed_to: 0, unread: 0, entries });
            };
            let cursor = cursor.min(head.latest_seq);
            let mut inbox = Inbox { timeline: *self, member, bucket, head, cursor, windows: beside };
            let page = inbox.attempt(after, count, None).await?;
            if let Some(page) = page.ok().filter(|page| page.trimmed_to < page.latest_seq) {
                return Ok(page);
            }
            // The head may know of a window that was not there yet when they were read beside it.
            inbox.windows = windows().await?;
            inbox.page(after, count).await
        })
        .await
    }
}

impl Inbox<'_> {
    async fn page(&self, after: i64, count: u32) -> Result<SyncPage, ReadError> {
        let mut missing = None;
        // Comes round only while retention goes on below it.
        loop {
            match self.attempt(after, count, missing).await? {
                Ok(page) => return Ok(page),
                Err(seq) => missing = Some(seq),
            }
        }
    }

    /// Reads a page, in which a number that was missing the last time must have been let go; `Err` is a
    /// number that is missing now.
    async fn attempt(
        &self,
        after: i64,
        count: u32,
        missing: Option<i64>,
    ) -> Result<Result<SyncPage, i64>, ReadError> {
        let latest_seq = self.head.latest_seq;
        let (first, next, read) = match self.windows.begin_at(after.saturating_add(1)) {
            // The page's first entry is the first there is.
            true => {
                let (next, read) = try_join!(self.next(after, count), self.at_cursor())?;
                let first = match next.0.first() {
                    Some((seq, row)) => Some(self.first_of(*seq, row)?),
                    None => self.first().await?,
                };
                (first, next, read)
            }
            false => try_join!(self.first(), self.next(after, count), self.at_cursor())?,
        };
        let mut trimmed_to = first.map_or(latest_seq, |first| first.seq - 1);
        if let Some(seq) = missing.filter(|seq| *seq > trimmed_to) {
            return Err(ReadError::Hole { what: format!("the inbox of {}", self.member), seq });
        }
        let (entries, end) = if trimmed_to > after { self.next(trimmed_to, count).await? } else { next };
        let start = after.max(trimmed_to).saturating_add(1);
        if let Some(seq) = first_missing(entries.iter().map(|(seq, _)| *seq), start, end) {
            return Ok(Err(seq));
        }
        let Some(foreign_read) = self.foreign_read(first, &read)? else { return Ok(Err(self.cursor)) };
        let bodies = Bodies::read(self.timeline, &entries).await?;
        trimmed_to = trimmed_to.max(bodies.trimmed_to);
        let mut posts = Vec::with_capacity(entries.len());
        for (seq, row) in entries[..bodies.entries].iter().filter(|(seq, _)| *seq > trimmed_to) {
            let entry = EntryRow::from_cells(&row.cells)?;
            posts.push(Post::of_entry(*seq, &entry, bodies.of(&entry)?)?);
        }
        Ok(Ok(SyncPage {
            latest_seq,
            last_seq: posts.last().map_or(after.max(trimmed_to), |post| post.seq),
            trimmed_to,
            unread: self.head.foreign_count - foreign_read,
            entries: posts,
        }))
    }

    /// The first entry up to the head: entries expire in the order of their numbers, so that windows without
    /// any come first.
    async fn first(&self) -> Result<Option<First>, ReadError> {
        let Some(oldest) = self.windows.oldest().await? else { return Ok(None) };
        let mut first = self.first_in(oldest).await?;
        if first.is_none() {
            let (mut low, mut high) =
                (oldest.number + 1, self.windows.last().map_or(0, |window| window.number));
            while low <= high {
                let number = low + (high - low) / 2;
                let window = self.windows.up_to(number).await?.filter(|window| window.number >= low);
                let found = match window {
                    Some(window) => self.first_in(window).await?.map(|first| (window, first)),
                    None => None,
                };
                match found {
                    Some((window, found)) => (first, high) = (Some(found), window.number - 1),
                    None => low = number + 1,
                }
            }
        }
        Ok(first.filter(|first| first.seq <= self.head.latest_seq))
    }

    async fn first_in(&self, window: Window) -> Result<Option<First>, ReadError> {
        let query = entries_query(self.bucket, window.number, self.member, None, 1);
        let rows = self.timeline.store.read(query).await?;
        let first = rows.first().and_then(|row| Some((number_of(&row.clustering)?, row)));
        first.map(|(seq, row)| self.first_of(seq, row)).transpose()
    }

    fn first_of(&self, seq: i64, row: &Row) -> Result<First, ReadError> {
        let entry = EntryRow::from_cells(&row.cells)?;
        Ok(First { seq, foreign_before: entry.foreign_count - i64::from(entry.sender != self.member) })
    }

    /// Entries up to the read cursor that somebody else sent, those that retention has let go among them;
    /// `None` where the entry that says it is not there.
    fn foreign_read(&self, first: Option<First>, read: &[(i64, Row)]) -> Result<Option<i64>, ReadError> {
        match first {
            Some(first) if self.cursor < first.seq => Ok(Some(first.foreign_before)),
            Some(_) if self.cursor < self.head.latest_seq => {
                let Some((_, row)) = read.first() else { return Ok(None) };
                Ok(Some(EntryRow::from_cells(&row.cells)?.foreign_count))
            }
            _ => Ok(Some(self.head.foreign_count)),
        }
    }

    /// The entry at the read cursor, where there is one and it is not the last.
    async fn at_cursor(&self) -> Result<Vec<(i64, Row)>, ReadError> {
        match (1..self.head.latest_seq).contains(&self.cursor) {
            true => Ok(self.entries(self.cursor, self.cursor).await?.0),
            false => Ok(Vec::new()),
        }
    }

    /// The entries behind a number, and where their page ends.
    async fn next(&self, after: i64, count: u32) -> Result<(Vec<(i64, Row)>, i64), ReadError> {
        let start = after.saturating_add(1);
        self.entries(start, self.head.latest_seq.min(after.saturating_add(i64::from(count)))).await
    }

    /// The entries that there are from `start` to `end`, or to where the windows of a page end.
    async fn entries(&self, start: i64, end: i64) -> Result<(Vec<(i64, Row)>, i64), ReadError> {
        if start > end {
            return Ok((Vec::new(), end));
        }
        let (parts, end) = parts(&self.windows.holding(start).await?, start, end);
        let queries = parts.iter().map(|Part { window, start, end }| {
            let count = u32::try_from(end - start + 1).unwrap_or(u32::MAX);
            entries_query(self.bucket, *window, self.member, Some(start - 1), count)
        });
        let rows = self.timeline.all(queries.collect()).await?.into_iter().flatten();
        let entries = rows.filter_map(|row| Some((number_of(&row.clustering)?, row)));
        Ok((entries.filter(|(seq, _)| *seq <= end).collect(), end))
    }
}

/// What is read from which window, and where the page ends. The first window is the one that holds `start`;
/// one beyond the bound only says where the one before it ends.
fn parts(windows: &[Window], start: i64, end: i64) -> (Vec<Part>, i64) {
    let (page, beyond) = windows.split_at(windows.len().min(READ_WINDOWS_MAX as usize));
    let end = beyond.first().map_or(end, |window| end.min(window.first_seq - 1));
    let ends = page.iter().skip(1).map(|next| next.first_seq - 1).chain([end]);
    let parts = page.iter().zip(ends).map(|(window, last)| Part {
        window: window.number,
        start: start.max(window.first_seq),
        end: end.min(last),
    });
    (parts.filter(|part| part.start <= part.end).collect(), end)
}
