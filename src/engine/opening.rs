//! From a partition's offset to its task: the `progress` row, the claim of a partition that nobody has owned
//! or that was adopted, the checkpoints of its buckets.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Engine, Executor, beacons::BeaconPace, requests::Question, stored::ProgressPace};
use crate::{
    log::{Bounds, Committed, LogCommand, LogError, Offset, PartitionId, RequestId},
    processor::Fold,
    store::Row,
    table::{
        checkpoint::SlotHeader,
        progress::{ADOPT_ENTRY, PROGRESS_ENTRY, ProgressRow, owner_write, progress_query, progress_write},
    },
    task::{
        Task,
        checkpoint::{BucketLoad, Checkpoints, LoadStep},
        opening::{Decision, Facts, HaltReason, Start, decide},
    },
};

/// The pause before a bucket without a whole checkpoint is read again.
const RELOAD_MS: i64 = 200;

/// A partition that is being opened.
pub(super) struct Opening<F> {
    committed: Option<Committed>,
    row: Option<Option<ProgressRow>>,
    decision: Option<ProgressRow>,
    bounds: Option<Bounds>,
    /// Our name is among the partition's owners: from here on a transaction of ours can be found.
    named: bool,
    pub(super) step: Step<F>,
}

pub(super) enum Step<F> {
    Facts,
    /// To be committed as the partition's first offset.
    Claim(Start),
    /// The first offset is under way, or committed and its row is being written.
    Row(Start),
    Load(Box<Loading<F>>),
    Halted(HaltReason),
}

/// The checkpoints of a partition's buckets are being read. Those that have come are restored in the next
/// turn, partitions side by side, while the database is busy with the next ones.
pub(super) struct Loading<F> {
    start: Start,
    /// The buckets that are not restored yet.
    loads: BTreeMap<u32, BucketLoad>,
    read: Vec<(u32, NewestCheckpoint)>,
    fold: F,
    checkpoints: Checkpoints,
    refused: Option<HaltReason>,
}

/// `None` where none was ever written.
type NewestCheckpoint = Option<(SlotHeader, Bytes)>;

impl<F> Opening<F> {
    pub(super) fn new(committed: Option<Committed>) -> Self {
        Self { committed, row: None, decision: None, bounds: None, named: false, step: Step::Facts }
    }
}

impl<F: Fold> Engine<F> {
    pub(super) fn ask_for_facts(&mut self, partition: PartitionId) {
        let (input, name) = (F::KIND.input(), self.config.name.clone());
        let query = progress_query(input, partition, &[PROGRESS_ENTRY, ADOPT_ENTRY]);
        self.ask(partition, Question::Progress, query);
        self.write(partition, Question::Owner, owner_write(input, partition, &name, self.now.wall_us));
    }

    pub(super) fn ask_for_bounds(&mut self, partitions: Vec<PartitionId>) -> RequestId {
        let request = self.next_id();
        self.bounds_asked.insert(request);
        self.log(LogCommand::ReadBounds { request, partitions });
        request
    }

    pub(super) fn bounds_answered(
        &mut self,
        request: RequestId,
        result: Result<Vec<(PartitionId, Bounds)>, LogError>,
    ) {
        if !self.bounds_asked.remove(&request) {
            return;
        }
        match result {
            Ok(bounds) => {
                for (partition, bounds) in bounds {
                    if let Some(opening) = self.openings.get_mut(&partition) {
                        opening.bounds = Some(bounds);
                        self.decide(partition);
                    } else {
                        self.judge_refusal(partition, request, bounds);
                    }
                }
            }
            Err(error) if error.is_fatal() => self.fatal(error.message),
            Err(error) => self.restore(&error.message),
        }
    }

    pub(super) fn progress_read(&mut self, partition: PartitionId, rows: &[Row]) {
        if let Some(opening) = self.openings.get_mut(&partition) {
            opening.row = Some(ProgressRow::find(rows, PROGRESS_ENTRY));
            opening.decision = ProgressRow::find(rows, ADOPT_ENTRY);
            if let Some(decision) = &opening.decision {
                self.seen_decisions.insert(partition, decision.base_us);
            }
            self.decide(partition);
        }
    }

    pub(super) fn owner_written(&mut self, partition: PartitionId) {
        if let Some(opening) = self.openings.get_mut(&partition) {
            opening.named = true;
            self.decide(partition);
        }
    }

    fn decide(&mut self, partition: PartitionId) {
        let (Some(opening), Some(topic)) = (self.openings.get_mut(&partition), &self.topic) else { return };
        let (Some(row), Some(bounds), true, Step::Facts) =
            (&opening.row, opening.bounds, opening.named, &opening.step)
        else {
            return;
        };
        let facts = Facts {
            topic,
            committed: opening.committed.as_ref(),
            row: row.as_ref(),
            decision: opening.decision.as_ref(),
            bounds,
            wall_us: self.now.wall_us,
        };
        match decide(&facts) {
            Decision::Claim(start) => opening.step = Step::Claim(start),
            Decision::WriteRow(start) => {
                opening.step = Step::Row(start);
                self.write_first_row(partition);
            }
            Decision::Restore(start) => self.load(partition, start),
            Decision::Halt(reason) => opening.step = Step::Halted(reason),
        }
    }

    /// Partitions whose first offset is to be committed, with that offset.
    pub(super) fn claims(&self) -> Vec<(PartitionId, Start)> {
        let openings = self.openings.iter();
        openings
            .filter_map(|(partition, opening)| match &opening.step {
                Step::Claim(start) => Some((*partition, start.clone())),
                _ => None,
            })
            .collect()
    }

    /// The first offsets are on their way.
    pub(super) fn claims_sent(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            if let Some(opening) = self.openings.get_mut(partition)
                && let Step::Claim(start) = &opening.step
            {
                opening.step = Step::Row(start.clone());
            }
        }
    }

    /// The first offset is committed: its row follows.
    pub(super) fn write_first_row(&mut self, partition: PartitionId) {
        let (Some(opening), Some(topic)) = (self.openings.get(&partition), &self.topic) else { return };
        if let Step::Row(start) = &opening.step {
            let write = progress_write(F::KIND.input(), partition, &start.row(topic), start.committed);
            self.write(partition, Question::FirstRow, write);
        }
    }

    pub(super) fn first_row_written(&mut self, partition: PartitionId) {
        if let Some(opening) = self.openings.get(&partition)
            && let Step::Row(start) = &opening.step
        {
            let start = start.clone();
            self.load(partition, start);
        }
    }

    fn load(&mut self, partition: PartitionId, start: Start) {
        let setup = self.setup(partition, start.generation);
        let fold = match F::new(setup, start.stored, start.resume.as_deref()) {
            Ok(fold) => fold,
            Err(error) => return self.halt_opening(partition, HaltReason::Unsupported(error.0)),
        };
        let mut loads: BTreeMap<_, _> = fold
            .buckets()
            .into_iter()
            .map(|bucket| (bucket, BucketLoad::new(bucket, start.base_us)))
            .collect();
        let queries: Vec<_> = loads.iter_mut().map(|(bucket, load)| (*bucket, load.begin())).collect();
        if let Some(opening) = self.openings.get_mut(&partition) {
            let checkpoints = Checkpoints::default();
            let (read, refused) = (Vec::new(), None);
            let loading = Loading { start, loads, read, fold, checkpoints, refused };
            opening.step = Step::Load(Box::new(loading));
        }
        if queries.is_empty() {
            return self.loaded(partition);
        }
        for (bucket, query) in queries {
            self.ask(partition, Question::Checkpoint { bucket }, query);
        }
    }

    pub(super) fn checkpoint_read(&mut self, partition: PartitionId, bucket: u32, rows: &[Row]) {
        let Some(Opening { step: Step::Load(loading), .. }) = self.openings.get_mut(&partition) else {
            return;
        };
        let Some(load) = loading.loads.get_mut(&bucket) else { return };
        let step = match load.take(rows) {
            // At the beginning every bucket is empty and none is needed. What a former owner wrote may have
            // been torn by the next one, which knew of no slot.
            LoadStep::Again | LoadStep::Failed(_) if loading.start.stored == loading.start.first => {
                LoadStep::Loaded(None)
            }
            step => step,
        };
        match step {
            LoadStep::Read(query) => self.ask(partition, Question::Checkpoint { bucket }, query),
            LoadStep::Again => {
                let query = load.begin();
                self.ask_later(partition, Question::Checkpoint { bucket }, query, RELOAD_MS);
            }
            LoadStep::Loaded(checkpoint) => loading.read.push((bucket, checkpoint)),
            LoadStep::Failed(reason) => self.halt_opening(partition, reason),
        }
    }

    /// Restores the buckets whose checkpoints have come.
    pub(super) fn restore_buckets(&mut self, executor: &impl Executor) {
        let mut read = Vec::new();
        for (partition, opening) in &mut self.openings {
            match &mut opening.step {
                Step::Load(loading) if !loading.read.is_empty() => read.push((*partition, loading)),
                _ => {}
            }
        }
        let partitions: Vec<_> = read.iter().map(|(partition, _)| *partition).collect();
        executor.each(read, |(_, loading)| loading.restore_read());
        for partition in partitions {
            let Some(Opening { step: Step::Load(loading), .. }) = self.openings.get_mut(&partition) else {
                continue;
            };
            match loading.refused.take() {
                Some(reason) => self.halt_opening(partition, reason),
                None if loading.loads.is_empty() => self.loaded(partition),
                None => {}
            }
        }
    }

    fn loaded(&mut self, partition: PartitionId) {
        let Some(Opening { step: Step::Load(loading), .. }) = self.openings.remove(&partition) else {
            return;
        };
        let Loading { start, mut fold, checkpoints, .. } = *loading;
        fold.begin_batch(self.batch);
        let task = Task::new(partition, start, fold, checkpoints);
        self.progress.insert(partition, ProgressPace::new(&task.start, self.now.boot_ms));
        if F::BEACONS {
            self.beacons.insert(partition, BeaconPace { next_at_ms: self.now.boot_ms, outstanding: false });
        }
        self.tasks.insert(partition, task);
    }

    pub(super) fn halt_opening(&mut self, partition: PartitionId, reason: HaltReason) {
        if let Some(opening) = self.openings.get_mut(&partition) {
            opening.step = Step::Halted(reason);
        }
    }
}

impl<F: Fold> Loading<F> {
    fn restore_read(&mut self) {
        let mut read = std::mem::take(&mut self.read).into_iter();
        self.refused = read.find_map(|(bucket, checkpoint)| self.restore(bucket, checkpoint).err());
    }

    /// Takes the newest whole checkpoint of a bucket.
    fn restore(&mut self, bucket: u32, checkpoint: NewestCheckpoint) -> Result<(), HaltReason> {
        let Self { start, loads, fold, checkpoints, .. } = self;
        loads.remove(&bucket);
        match checkpoint {
            Some((SlotHeader { slot, origin, resume, .. }, bytes)) => {
                check_origin(bucket, origin, start)?;
                fold.restore_bucket(bucket, origin, &bytes)
                    .map_err(|error| HaltReason::Checkpoint { bucket, why: error.0 })?;
                checkpoints.restored(bucket, Some(slot), origin, Some(resume));
            }
            None if start.stored == start.first => checkpoints.restored(bucket, None, start.stored, None),
            None => {
                let why = format!("it is missing, though the log says stored up to {}", start.stored);
                return Err(HaltReason::Checkpoint { bucket, why });
            }
        }
        Ok(())
    }
}

fn check_origin(bucket: u32, origin: Offset, start: &Start) -> Result<(), HaltReason> {
    if origin < start.stored {
        let why =
            format!("it ends at {origin}, though the log says stored up to {}: an old backup", start.stored);
        return Err(HaltReason::Checkpoint { bucket, why });
    }
    if origin > start.committed {
        return Err(HaltReason::OffsetBehind { committed: start.committed, stored: origin });
    }
    Ok(())
}
