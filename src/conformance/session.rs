//! How scripts talk to a bench: ask, wait for the answer for a bounded time, explain what came instead.

use std::fmt::Debug;

use super::{Bench, BenchRecord, OUTPUT, WAIT_MS_MAX};
use crate::{
    log::{
        AssignmentId, Bounds, Chunk, Committed, FetchId, Header, LogCommand, LogError, LogEvent, Offset,
        OutRecord, PartitionId, RequestId, Transaction, TransactionOutcome, TransactionStep,
    },
    store::{Query, Row, StoreCommand, StoreEvent, WriteBatch},
    topology::Topic,
};

/// What a script got, or why it failed.
pub(super) type Outcome<T> = Result<T, String>;

/// A script's conversation with its bench.
pub(super) struct Session<'a> {
    bench: &'a mut dyn Bench,
    /// Events that came while another one was waited for.
    kept: Vec<(String, LogEvent)>,
    kept_answers: Vec<StoreEvent>,
    numbers: u64,
}

/// An assignment as a script sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) assignment: AssignmentId,
    pub(super) partitions: Vec<PartitionId>,
}

/// A record as it was polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) offset: Offset,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Option<Vec<Header>>,
}

/// Fails the step unless both are equal.
pub(super) fn check<T: PartialEq + Debug>(step: &str, got: &T, expected: &T) -> Outcome<()> {
    if got == expected { Ok(()) } else { Err(format!("{step}: expected {expected:?}, got {got:?}")) }
}

/// Fails the step unless `holds`.
pub(super) fn require(step: &str, holds: bool, got: impl Debug) -> Outcome<()> {
    if holds { Ok(()) } else { Err(format!("{step}: got {got:?}")) }
}

impl<'a> Session<'a> {
    pub(super) fn new(bench: &'a mut dyn Bench) -> Self {
        Self { bench, kept: Vec::new(), kept_answers: Vec::new(), numbers: 0 }
    }

    pub(super) fn bench(&mut self) -> &mut dyn Bench {
        self.bench
    }

    /// A number for a request, a fetch or a transaction.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn send(&mut self, pod: &str, command: LogCommand) -> Outcome<()> {
        self.bench.log(pod)?.submit(command);
        Ok(())
    }

    /// The pod's first event that `wanted` takes, whether it came before or comes now.
    pub(super) fn expect<T>(
        &mut self,
        pod: &str,
        step: &str,
        mut wanted: impl FnMut(&LogEvent) -> Option<T>,
    ) -> Outcome<T> {
        for index in 0..self.kept.len() {
            let (from, event) = &self.kept[index];
            if from == pod
                && let Some(found) = wanted(event)
            {
                self.kept.remove(index);
                return Ok(found);
            }
        }
        let until_ms = self.bench.elapsed_ms() + WAIT_MS_MAX;
        while self.bench.elapsed_ms() < until_ms {
            while let Some(event) = self.bench.log(pod)?.poll() {
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
                self.kept.push((pod.to_owned(), event));
            }
            self.bench.wait();
        }
        Err(format!("{step}: expected an event within {WAIT_MS_MAX} ms, got only {:?}", self.kept))
    }

    /// Lets time pass and keeps what comes.
    pub(super) fn pass(&mut self, pods: &[&str], for_ms: u64) -> Outcome<()> {
        let until_ms = self.bench.elapsed_ms() + for_ms;
        while self.bench.elapsed_ms() < until_ms {
            self.bench.wait();
            for pod in pods {
                while let Some(event) = self.bench.log(pod)?.poll() {
                    self.kept.push(((*pod).to_owned(), event));
                }
            }
        }
        Ok(())
    }

    /// Events of a pod that were kept and not asked for.
    pub(super) fn kept(&self, pod: &str) -> Vec<&LogEvent> {
        self.kept.iter().filter(|(from, _)| from == pod).map(|(_, event)| event).collect()
    }

    pub(super) fn open_producer(&mut self, pod: &str, name: &str) -> Outcome<()> {
        self.send(pod, LogCommand::OpenProducer { name: name.to_owned() })?;
        let opened = self.expect(pod, "open the producer", |event| match event {
            LogEvent::ProducerOpened => Some(Ok(())),
            LogEvent::ProducerFailed { error } => Some(Err(error.clone())),
            _ => None,
        })?;
        opened.map_err(|error| format!("open the producer: {error}"))
    }

    /// Opens the producer named as the pod, and joins; does not wait.
    pub(super) fn begin_join(&mut self, pod: &str) -> Outcome<()> {
        self.open_producer(pod, pod)?;
        self.send(pod, LogCommand::Join)
    }

    /// A pod that is the group's only member.
    pub(super) fn join(&mut self, pod: &str) -> Outcome<Assigned> {
        self.begin_join(pod)?;
        self.assigned(pod)
    }

    pub(super) fn assigned(&mut self, pod: &str) -> Outcome<Assigned> {
        self.expect(pod, "be assigned partitions", |event| match event {
            LogEvent::Assigned { assignment, partitions, .. } => {
                Some(Assigned { assignment: *assignment, partitions: partitions.clone() })
            }
            _ => None,
        })
    }

    pub(super) fn revoking(&mut self, pod: &str) -> Outcome<Vec<PartitionId>> {
        self.expect(pod, "be asked to release", |event| match event {
            LogEvent::Revoking { partitions } => Some(partitions.clone()),
            _ => None,
        })
    }

    /// Carries out a transaction of these steps.
    pub(super) fn transact(
        &mut self,
        pod: &str,
        assignment: AssignmentId,
        steps: Vec<TransactionStep>,
    ) -> Outcome<TransactionOutcome> {
        let id = self.number();
        self.send(pod, LogCommand::Transact(Transaction { id, assignment, steps }))?;
        self.expect(pod, "the transaction's outcome", |event| match event {
            LogEvent::TransactionEnded { id: ended, outcome } if *ended == id => Some(outcome.clone()),
            _ => None,
        })
    }

    /// The group's offset of a partition, or the error of the read.
    pub(super) fn read_offset(
        &mut self,
        pod: &str,
        partition: PartitionId,
        stable: bool,
        limit_ms: u64,
    ) -> Outcome<Result<Option<Committed>, LogError>> {
        let request = self.number();
        let partitions = vec![partition];
        self.send(pod, LogCommand::ReadOffsets { request, partitions, stable, limit_ms })?;
        let result = self.expect(pod, "read the offsets", |event| match event {
            LogEvent::OffsetsRead { request: of, result } if *of == request => Some(result.clone()),
            _ => None,
        })?;
        match result {
            Err(error) => Ok(Err(error)),
            Ok(offsets) => match <[_; 1]>::try_from(offsets) {
                Ok([(of, offset)]) if of == partition => Ok(Ok(offset)),
                other => {
                    Err(format!("read the offsets: expected those of partition {partition}, got {other:?}"))
                }
            },
        }
    }

    /// The stable offset, asked for until the broker answers.
    pub(super) fn stable_offset(&mut self, pod: &str, partition: PartitionId) -> Outcome<Option<Committed>> {
        let until_ms = self.bench.elapsed_ms() + WAIT_MS_MAX;
        loop {
            match self.read_offset(pod, partition, true, 2_000)? {
                Ok(offset) => return Ok(offset),
                Err(error) if self.bench.elapsed_ms() > until_ms => {
                    return Err(format!("read the stable offset: {error}"));
                }
                Err(_) => self.bench.wait(),
            }
        }
    }

    pub(super) fn bounds(&mut self, pod: &str, partition: PartitionId) -> Outcome<Bounds> {
        let request = self.number();
        self.send(pod, LogCommand::ReadBounds { request, partitions: vec![partition] })?;
        let result = self.expect(pod, "read the bounds", |event| match event {
            LogEvent::BoundsRead { request: of, result } if *of == request => Some(result.clone()),
            _ => None,
        })?;
        match result.as_deref() {
            Ok([(of, bounds)]) if *of == partition => Ok(*bounds),
            other => Err(format!("read the bounds: expected those of partition {partition}, got {other:?}")),
        }
    }

    pub(super) fn fetch(&mut self, pod: &str, partition: PartitionId, from: Offset) -> Outcome<FetchId> {
        self.fetch_parts(pod, partition, from, true)
    }

    /// Fetches with or without headers.
    pub(super) fn fetch_parts(
        &mut self,
        pod: &str,
        partition: PartitionId,
        from: Offset,
        headers: bool,
    ) -> Outcome<FetchId> {
        let fetch = self.number();
        self.send(pod, LogCommand::Fetch { partition, from, fetch, headers })?;
        Ok(fetch)
    }

    pub(super) fn poll(&mut self, pod: &str, records_max: usize, wait_ms: u64) -> Outcome<Vec<Chunk>> {
        self.send(pod, LogCommand::Poll { records_max, bytes_max: 4 << 20, wait_ms })?;
        self.expect(pod, "a poll's answer", |event| match event {
            LogEvent::Polled { chunks } => Some(chunks.clone()),
            _ => None,
        })
    }

    /// Polls until this many records of the fetch have come; more are a failure.
    pub(super) fn records(&mut self, pod: &str, fetch: FetchId, count: usize) -> Outcome<Vec<Seen>> {
        let until_ms = self.bench.elapsed_ms() + WAIT_MS_MAX;
        let mut seen = Vec::new();
        while seen.len() < count && self.bench.elapsed_ms() < until_ms {
            for chunk in self.poll(pod, 1_000, 200)?.iter().filter(|chunk| chunk.fetch == fetch) {
                seen.extend((0..chunk.len()).map(|index| seen_record(chunk, index)));
            }
        }
        require(&format!("{count} records are read"), seen.len() == count, &seen)?;
        Ok(seen)
    }

    /// Committed records of the output's first partition, once there are `count`.
    pub(super) fn published(&mut self, from: Offset, count: usize) -> Outcome<Vec<BenchRecord>> {
        let until_ms = self.bench.elapsed_ms() + WAIT_MS_MAX;
        loop {
            let records = self.bench.committed(OUTPUT, 0, from)?;
            if records.len() >= count || self.bench.elapsed_ms() > until_ms {
                require(&format!("{count} records are published"), records.len() == count, &records)?;
                return Ok(records);
            }
            self.bench.wait();
        }
    }

    /// The position behind the last committed record of the output's first partition.
    pub(super) fn published_end(&mut self) -> Outcome<Offset> {
        let records = self.bench.committed(OUTPUT, 0, 0)?;
        Ok(records.last().map_or(0, |record| record.offset + 1))
    }

    pub(super) fn store_send(&mut self, command: StoreCommand) -> Outcome<()> {
        self.bench.store()?.submit(command);
        Ok(())
    }

    /// The answer to a request to the store.
    pub(super) fn store_answer(&mut self, request: RequestId, step: &str) -> Outcome<StoreEvent> {
        let until_ms = self.bench.elapsed_ms() + WAIT_MS_MAX;
        loop {
            while let Some(event) = self.bench.store()?.poll() {
                self.kept_answers.push(event);
            }
            let found = self.kept_answers.iter().position(|event| request_of(event) == request);
            if let Some(index) = found {
                return Ok(self.kept_answers.remove(index));
            }
            if self.bench.elapsed_ms() > until_ms {
                return Err(format!("{step}: the store did not answer within {WAIT_MS_MAX} ms"));
            }
            self.bench.wait();
        }
    }

    /// Answers of the store that nobody asked for.
    pub(super) fn kept_answers(&self) -> &[StoreEvent] {
        &self.kept_answers
    }

    pub(super) fn write(&mut self, step: &str, batch: WriteBatch) -> Outcome<()> {
        let request = self.number();
        self.store_send(StoreCommand::Write { request, batch: batch.into() })?;
        match self.store_answer(request, step)? {
            StoreEvent::Written { .. } => Ok(()),
            other => Err(format!("{step}: expected an acknowledgement, got {other:?}")),
        }
    }

    pub(super) fn read(&mut self, step: &str, query: Query) -> Outcome<Vec<Row>> {
        let request = self.number();
        self.store_send(StoreCommand::Read { request, query })?;
        match self.store_answer(request, step)? {
            StoreEvent::Rows { rows, .. } => Ok(rows),
            other => Err(format!("{step}: expected rows, got {other:?}")),
        }
    }
}

/// A record for the first partition of a topic.
pub(super) fn record(topic: Topic, key: Option<&str>, value: Option<&str>) -> OutRecord {
    let bytes = |text: Option<&str>| text.map(|text| bytes::Bytes::copy_from_slice(text.as_bytes()));
    OutRecord { topic, partition: 0, key: bytes(key), value: bytes(value), headers: Vec::new() }
}

/// A step that commits an offset of the first partition.
pub(super) fn offset_step(offset: Offset, metadata: &str) -> TransactionStep {
    TransactionStep::Offsets(vec![(0, Committed { offset, metadata: metadata.to_owned() })])
}

pub(super) fn request_of(event: &StoreEvent) -> RequestId {
    match event {
        StoreEvent::Written { request }
        | StoreEvent::Rows { request, .. }
        | StoreEvent::Failed { request, .. } => *request,
    }
}

fn seen_record(chunk: &Chunk, index: usize) -> Seen {
    let record = chunk.get(index);
    Seen {
        offset: record.offset,
        key: record.key.map(Vec::from),
        value: record.value.map(Vec::from),
        headers: record.headers.map(<[Header]>::to_vec),
    }
}
