//! What committed batches owe to the store: rows by stages, then rows to be read and written again, then
//! checkpoints.
//!
//! A stage of a batch goes out when all lower stages are acknowledged, its own and those of all earlier
//! batches; so readers never find a head whose entries are still on their way. Stages of one rank don't wait
//! for each other, their timestamps put them in order; except the last one, batch after batch: there one
//! origin covers a whole database partition, and it must not be there before what it covers. Batches are
//! settled one after the other.
//!
//! Rows of a large group are late: what else a batch writes, and what later ones do, overtakes them, stage by
//! stage behind what is not late of all earlier batches. Whose rows are late is known by recipient, and who
//! waits for one is late too; so is every origin, which must not be there before what it covers. Late rows
//! are gathered and keep their order as batches do.
//!
//! The store sets the pace: what is committed while some batches are on their way is gathered, and goes out
//! as one. More at a time would be readable later, not sooner: heads would wait in the store's queue behind
//! the entries of everything committed since.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Part;
use crate::{
    effect::{Output, Recipients, Refresh, RowWrite},
    limits::{PART_OUTPUT_BYTES_MAX, PART_ROWS_MAX},
    log::Offset,
    mutant::{self, Mutant},
    processor::Checkpoint,
    store::WriteBatch,
    table::{Stage, Value},
};
use batches::database_batches;

mod batches;

/// Rows that are read at a time to be written again.
const REFRESH_ROUND_MAX: usize = 256;
/// Batches on their way: while the heads of one are written, the entries of the next are.
const UNDER_WAY_MAX: usize = 2;
const STAGES: usize = Stage::ALL.len();
/// The stage that rows which are read and written again count for: they follow all others.
const REFRESHED: Stage = Stage::Last;
const LAST: usize = Stage::Last as usize;

/// The committed batches whose rows are not all in the store.
#[derive(Debug, Default)]
pub struct Ledger {
    /// On their way to the store, by number.
    batches: BTreeMap<u64, Owed>,
    /// Committed since, in order.
    gathered: VecDeque<Gathered>,
    /// Rows of those on their way that others may overtake, in order: the first are on their way too.
    late: VecDeque<Late>,
    waiting_bytes: usize,
}

/// Committed batches that go out as one.
#[derive(Debug)]
struct Gathered {
    /// The number of the last one.
    batch: u64,
    position: Offset,
    as_of_ms: Option<i64>,
    rows: Rows,
    large: Recipients,
    bound: Recipients,
    refreshes: Vec<Refresh>,
    checkpoints: Vec<(u32, Checkpoint)>,
}

/// Rows that may be written side by side.
#[derive(Debug, Default)]
struct Rows {
    rows: Vec<RowWrite>,
    bytes: usize,
}

#[derive(Debug)]
struct Owed {
    position: Offset,
    as_of_ms: Option<i64>,
    lane: Lane,
    /// Some of its rows are late; these overtake them and all late ones before.
    overtakes: bool,
    refreshes: VecDeque<Refresh>,
    checkpoints: Vec<(u32, Checkpoint)>,
}

/// The late rows of batches that follow each other.
#[derive(Debug)]
struct Late {
    first: u64,
    last: u64,
    recipients: Recipients,
    /// Or only rows that wait for one.
    has_large_group: bool,
    rows: LateRows,
}

#[derive(Debug)]
enum LateRows {
    Gathered(Rows),
    UnderWay(Lane),
}

/// Rows that go out stage by stage.
#[derive(Debug)]
struct Lane {
    /// By stage: what has not gone out yet.
    waiting: [Vec<WriteBatch>; STAGES],
    /// By stage: how many writes are not acknowledged, those that wait included.
    unacknowledged: [usize; STAGES],
}

/// Where a write belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub batch: u64,
    stage: Stage,
    late: bool,
}

impl Place {
    /// A row that is read and written again counts for the last stage: it follows all others.
    #[must_use]
    pub fn refreshed(batch: u64) -> Self {
        Self { batch, stage: REFRESHED, late: false }
    }
}

/// What may be done now that the store has acknowledged something.
#[derive(Debug, Default)]
pub struct Released {
    pub writes: Vec<(Place, WriteBatch)>,
    /// Rows of a batch to be read and written again, each key once: all rows below are in the store.
    pub refreshes: Vec<(u64, Refresh)>,
    pub checkpoints: Vec<(u32, Checkpoint)>,
    /// The batches that are settled, in order.
    pub settled: Vec<Settled>,
}

/// A batch all of whose rows, and all of those before, are in the store.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    pub batch: u64,
    pub position: Offset,
    pub as_of_ms: Option<i64>,
}

impl Ledger {
    /// A batch was committed.
    pub fn owe(&mut self, batch: u64, part: Part) -> Released {
        let mut next = Gathered::new(batch, part);
        let is_early = mutant::is(Mutant::CheckpointBeforeItsRows);
        let early = if is_early { std::mem::take(&mut next.checkpoints) } else { Vec::new() };
        self.waiting_bytes += next.rows.bytes;
        match self.gathered.back_mut() {
            Some(last) if last.rows.have_room_for(&next.rows) => last.add(next),
            _ => self.gathered.push_back(next),
        }
        let mut released = self.release();
        released.checkpoints.extend(early);
        released
    }

    /// The store acknowledged a write.
    pub fn acknowledge(&mut self, place: Place) -> Released {
        let lane = match place.late {
            false => self.batches.get_mut(&place.batch).map(|owed| &mut owed.lane),
            true => self.late.iter_mut().find(|late| late.last == place.batch).and_then(Late::lane),
        };
        if let Some(lane) = lane {
            let count = &mut lane.unacknowledged[place.stage as usize];
            *count = count.saturating_sub(1);
        }
        self.release()
    }

    /// Bytes of rows that have not gone out yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.gathered.is_empty()
    }

    fn release(&mut self) -> Released {
        let mut released = Released::default();
        while self.late.front().is_some_and(|late| late.unfinished() == STAGES) {
            self.late.pop_front();
        }
        self.settle(&mut released);
        while self.batches.values().filter(|owed| owed.is_under_way()).count() < UNDER_WAY_MAX
            && let Some(next) = self.gathered.pop_front()
        {
            self.begin(next);
            self.settle(&mut released);
        }
        for late in self.late.iter_mut().take(UNDER_WAY_MAX) {
            let LateRows::Gathered(rows) = &mut late.rows else { continue };
            self.waiting_bytes -= rows.bytes;
            let mut lane = Lane::new(std::mem::take(rows));
            self.waiting_bytes += lane.waiting_bytes();
            lane.waiting.iter_mut().flatten().for_each(|write| write.is_late = true);
            late.rows = LateRows::UnderWay(lane);
        }
        self.send(&mut released);
        released
    }

    /// Batches that were committed begin their way.
    fn begin(&mut self, mut next: Gathered) {
        self.waiting_bytes -= next.rows.bytes;
        let late = self.take_late(&mut next);
        let Gathered { batch, position, as_of_ms, rows, refreshes, checkpoints, .. } = next;
        let (lane, overtakes, refreshes) = (Lane::new(rows), late.is_some(), refreshes.into());
        self.waiting_bytes += lane.waiting_bytes();
        // Without late rows it still has to wait for those before it.
        if let Some(late) = late.filter(|late| late.bytes() > 0) {
            self.waiting_bytes += late.bytes();
            // Not across a batch that waits for what was late before it, and that what follows waits for.
            let overtaken = |last: &Late| self.batches.range(last.last + 1..).all(|(_, owed)| owed.overtakes);
            match self.late.back_mut() {
                Some(last) if last.has_room_for(&late) && overtaken(last) => last.add(late),
                _ => self.late.push_back(late),
            }
        }
        self.batches.insert(batch, Owed { position, as_of_ms, lane, overtakes, refreshes, checkpoints });
    }

    /// Takes out of a batch the rows that others may overtake; `None` where nobody needs to: behind rows that
    /// only waited for a large group, which are few and soon gone, everything goes out in order.
    fn take_late(&self, next: &mut Gathered) -> Option<Late> {
        let (mut recipients, bound) = (std::mem::take(&mut next.large), std::mem::take(&mut next.bound));
        let has_large_group = !recipients.is_empty();
        if !has_large_group && !self.late.iter().any(|late| late.has_large_group) {
            return None;
        }
        let mut is_late = |row: &RowWrite| match row.statement.clustering.first() {
            // The static cells of a database partition cover all of it.
            None => !mutant::is(Mutant::OriginOvertakes),
            Some(Value::Text(first)) if recipients.contains(first) => true,
            Some(Value::Text(first)) if !mutant::is(Mutant::LateOnesOvertaken) => {
                let waits = self.late.iter().any(|late| late.recipients.contains(first));
                (waits || bound.contains(first)) && recipients.insert(first.clone())
            }
            Some(_) => false,
        };
        let rows = Rows::of(next.rows.rows.extract_if(.., |row| is_late(row)).collect());
        next.rows.bytes -= rows.bytes;
        let (first, last, rows) = (next.batch, next.batch, LateRows::Gathered(rows));
        Some(Late { first, last, recipients, has_large_group, rows })
    }

    /// Sends what need not wait any more.
    fn send(&mut self, released: &mut Released) {
        let mut lowest = STAGES;
        for (batch, owed) in &mut self.batches {
            let unfinished = owed.lane.unfinished();
            let mut highest = if owed.overtakes {
                lowest
            } else {
                let late = self.late.iter().filter(|late| late.first < *batch).map(Late::unfinished);
                in_order(late.min().unwrap_or(STAGES).min(lowest))
            };
            highest = highest.min(unfinished);
            if mutant::is(Mutant::HeadsBeforeEarlierEntries) {
                highest = unfinished;
            }
            if mutant::is(Mutant::HeadsWithTheirEntries) {
                highest = STAGES;
            }
            self.waiting_bytes -= owed.lane.send(highest, *batch, false, released);
            lowest = lowest.min(unfinished);
        }
        let mut lowest = STAGES;
        for late in &mut self.late {
            let (last, unfinished) = (late.last, late.unfinished());
            let Some(lane) = late.lane() else { break };
            let before = self.batches.range(..=last).map(|(_, owed)| owed.lane.unfinished());
            let highest = in_order(before.min().unwrap_or(STAGES).min(lowest)).min(unfinished);
            self.waiting_bytes -= lane.send(highest, last, true, released);
            lowest = lowest.min(unfinished);
        }
    }

    /// A later batch whose rows are in the store waits for the earlier ones, so that a row is read for its
    /// refresh only when everything below is in the store.
    fn settle(&mut self, released: &mut Released) {
        while let Some(mut first) = self.batches.first_entry() {
            let batch = *first.key();
            let early = mutant::is(Mutant::RefreshBeforeEarlierRows) && !first.get().refreshes.is_empty();
            let waits = self.late.iter().any(|late| late.first <= batch);
            if (waits || first.get().lane.unfinished() < STAGES) && !early {
                break;
            }
            let round = next_round(&mut first.get_mut().refreshes);
            if !round.is_empty() {
                first.get_mut().lane.unacknowledged[REFRESHED as usize] += round.len();
                released.refreshes.extend(round.into_iter().map(|refresh| (batch, refresh)));
                break;
            }
            let Owed { position, as_of_ms, checkpoints, .. } = first.remove();
            released.settled.push(Settled { batch, position, as_of_ms });
            released.checkpoints.extend(checkpoints);
        }
    }
}

/// The highest stage that may go out in order behind rows of which `lowest` is the first unfinished one: no
/// origin may be there before what it covers.
fn in_order(lowest: usize) -> usize {
    if lowest == LAST && !mutant::is(Mutant::HeadsOfSeveralBatches) { LAST - 1 } else { lowest }
}

impl Gathered {
    fn new(batch: u64, part: Part) -> Self {
        let Part { position, as_of_ms, checkpoints, output, .. } = part;
        let Output { rows, row_bytes: bytes, large, bound, refreshes, .. } = output;
        let rows = Rows { rows, bytes };
        Self { batch, position, as_of_ms, rows, large, bound, refreshes, checkpoints }
    }

    /// What the next batch owes goes out with this one.
    fn add(&mut self, next: Self) {
        self.batch = next.batch;
        self.position = next.position;
        self.as_of_ms = next.as_of_ms.or(self.as_of_ms);
        self.rows.add(next.rows);
        self.large.extend(next.large);
        self.bound.extend(next.bound);
        self.refreshes.extend(next.refreshes);
        self.checkpoints.extend(next.checkpoints);
    }
}

impl Rows {
    fn of(rows: Vec<RowWrite>) -> Self {
        let bytes = rows.iter().map(|row| row.size_bytes).sum();
        Self { rows, bytes }
    }

    /// Together they are bounded as one partition's share of a transaction is, for the same reason.
    fn have_room_for(&self, next: &Self) -> bool {
        self.rows.len() + next.rows.len() <= PART_ROWS_MAX && self.bytes + next.bytes <= PART_OUTPUT_BYTES_MAX
    }

    fn add(&mut self, next: Self) {
        self.rows.extend(next.rows);
        self.bytes += next.bytes;
    }
}

impl Owed {
    /// Whether others have to wait for it: not where all that is left is late.
    fn is_under_way(&self) -> bool {
        !self.overtakes || self.lane.unfinished() < STAGES
    }
}

impl Late {
    fn lane(&mut self) -> Option<&mut Lane> {
        match &mut self.rows {
            LateRows::Gathered(_) => None,
            LateRows::UnderWay(lane) => Some(lane),
        }
    }

    fn unfinished(&self) -> usize {
        match &self.rows {
            LateRows::Gathered(_) => 0,
            LateRows::UnderWay(lane) => lane.unfinished(),
        }
    }

    /// Bytes of rows that are gathered.
    fn bytes(&self) -> usize {
        match &self.rows {
            LateRows::Gathered(rows) => rows.bytes,
            LateRows::UnderWay(_) => 0,
        }
    }

    fn has_room_for(&self, next: &Self) -> bool {
        match (&self.rows, &next.rows) {
            (LateRows::Gathered(rows), LateRows::Gathered(next)) => rows.have_room_for(next),
            _ => false,
        }
    }

    fn add(&mut self, next: Self) {
        self.last = next.last;
        self.recipients.extend(next.recipients);
        self.has_large_group |= next.has_large_group;
        if let (LateRows::Gathered(rows), LateRows::Gathered(next)) = (&mut self.rows, next.rows) {
            rows.add(next);
        }
    }
}

impl Lane {
    fn new(rows: Rows) -> Self {
        let mut waiting: [Vec<WriteBatch>; STAGES] = Default::default();
        for write in database_batches(rows.rows) {
            waiting[write.table.stage as usize].push(write);
        }
        let unacknowledged = [0, 1, 2].map(|stage: usize| waiting[stage].len());
        Self { waiting, unacknowledged }
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting.iter().flatten().map(WriteBatch::size_bytes).sum()
    }

    /// The lowest stage that is not acknowledged; beyond all of them where it is done.
    fn unfinished(&self) -> usize {
        self.unacknowledged.iter().position(|count| *count > 0).unwrap_or(STAGES)
    }

    /// Sends the stages up to `highest`; their bytes.
    fn send(&mut self, highest: usize, batch: u64, late: bool, released: &mut Released) -> usize {
        let mut bytes = 0;
        for write in self.waiting.iter_mut().take(highest + 1).flat_map(|writes| writes.drain(..)) {
            bytes += write.size_bytes();
            released.writes.push((Place { batch, stage: write.table.stage, late }, write));
        }
        bytes
    }
}

/// Takes refreshes from the front while their rows differ: two of one row are read one after the other.
fn next_round(refreshes: &mut VecDeque<Refresh>) -> Vec<Refresh> {
    let mut keys = BTreeSet::new();
    let mut round = Vec::new();
    while let Some(refresh) = refreshes.front()
        && round.len() < REFRESH_ROUND_MAX
        && keys.insert((refresh.table.name, refresh.partition.clone(), refresh.clustering.clone()))
    {
        round.extend(refreshes.pop_front());
    }
    round
}

#[cfg(test)]
mod tests;
