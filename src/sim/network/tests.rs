use bytes::Bytes;

use super::{Delivery, Network, PodEvent, Settings};
use crate::{
    log::{
        AssignmentId, Chunk, Committed, LogCommand, LogEvent, OutRecord, PartitionId, Transaction,
        TransactionOutcome, TransactionStep,
    },
    sim::{Keep, PodId, log::GroupNo, log::partition::Content},
    topology::{Topic, Topology},
};

mod determinism;
mod groups;
mod lives;
mod reads;
mod stores;
mod transactions;

const GROUP: &str = "presence";
const INPUT: Topic = Topic::Heartbeats;
const OUTPUT: Topic = Topic::Presence;

/// A network with what tests say over and over.
struct Rig {
    network: Network,
    group: GroupNo,
    /// What was delivered while something else was waited for.
    seen: Vec<(PodId, PodEvent)>,
}

impl Rig {
    fn new(seed: u64) -> Self {
        Self::with(seed, Settings { keep: Keep::Lines, ..Settings::default() })
    }

    fn with(seed: u64, settings: Settings) -> Self {
        let mut network = Network::new(seed, &Topology::uniform(4, 4), settings);
        let group = network.group(GROUP, INPUT);
        Self { network, group, seen: Vec::new() }
    }

    /// A pod that runs and has an open producer of its name.
    fn pod(&mut self, name: &str) -> PodId {
        let pod = self.network.add_pod(GROUP, INPUT);
        self.start(pod, name);
        pod
    }

    fn start(&mut self, pod: PodId, name: &str) {
        self.network.start(pod);
        self.log(pod, LogCommand::OpenProducer { name: name.to_owned() });
        self.until(pod, |event| matches!(event, LogEvent::ProducerOpened).then_some(()));
    }

    /// A pod that is the group's only member.
    fn lone_member(&mut self, name: &str) -> (PodId, AssignmentId) {
        let pod = self.pod(name);
        self.log(pod, LogCommand::Join);
        let (assignment, partitions) = self.assigned(pod);
        assert_eq!(partitions, [0, 1, 2, 3]);
        (pod, assignment)
    }

    fn log(&mut self, pod: PodId, command: LogCommand) {
        self.network.submit_log(pod, command);
    }

    /// The pod's next event of the log that `wanted` takes; others are kept in `seen`.
    fn until<T>(&mut self, pod: PodId, mut wanted: impl FnMut(&LogEvent) -> Option<T>) -> T {
        for index in 0..self.seen.len() {
            if let (from, PodEvent::Log(event)) = &self.seen[index]
                && *from == pod
                && let Some(found) = wanted(event)
            {
                self.seen.remove(index);
                return found;
            }
        }
        let limit_ms = self.network.now_ms() + 120_000;
        while let Some((_, Delivery { pod: from, event, .. })) = self.network.next_event_until(limit_ms) {
            if let PodEvent::Log(event) = &event
                && from == pod
                && let Some(found) = wanted(event)
            {
                return found;
            }
            self.seen.push((from, event));
        }
        panic!("the event did not come within 120 s; transcript:\n{}", self.network.transcript().text());
    }

    fn assigned(&mut self, pod: PodId) -> (AssignmentId, Vec<PartitionId>) {
        self.until(pod, |event| match event {
            LogEvent::Assigned { assignment, partitions, .. } => Some((*assignment, partitions.clone())),
            _ => None,
        })
    }

    fn outcome(&mut self, pod: PodId, id: u64) -> TransactionOutcome {
        self.until(pod, |event| match event {
            LogEvent::TransactionEnded { id: ended, outcome } if *ended == id => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Lets time pass; what is delivered is kept in `seen`.
    fn pass(&mut self, for_ms: u64) {
        let limit_ms = self.network.now_ms() + for_ms;
        while let Some((_, Delivery { pod, event, .. })) = self.network.next_event_until(limit_ms) {
            self.seen.push((pod, event));
        }
    }

    fn saw(&self, pod: PodId, wanted: impl Fn(&LogEvent) -> bool) -> bool {
        self.seen
            .iter()
            .any(|(from, event)| *from == pod && matches!(event, PodEvent::Log(event) if wanted(event)))
    }

    fn transact(&mut self, pod: PodId, id: u64, assignment: AssignmentId, offset: i64) -> TransactionOutcome {
        self.log(pod, transaction(id, assignment, offset));
        self.outcome(pod, id)
    }

    fn read_offset(&mut self, pod: PodId, stable: bool) -> Result<Option<Committed>, String> {
        self.log(pod, LogCommand::ReadOffsets { request: 1, partitions: vec![0], stable, limit_ms: 500 });
        self.until(pod, |event| match event {
            LogEvent::OffsetsRead { result, .. } => Some(result.clone()),
            _ => None,
        })
        .map(|offsets| offsets[0].1.clone())
        .map_err(|error| error.message)
    }

    fn poll(&mut self, pod: PodId) -> Vec<Chunk> {
        self.log(pod, LogCommand::Poll { records_max: 1_000, bytes_max: 100_000, wait_ms: 100 });
        self.until(pod, |event| match event {
            LogEvent::Polled { chunks } => Some(chunks.clone()),
            _ => None,
        })
    }

    fn append(&mut self, value: &str) {
        let content = Content { value: Some(Bytes::copy_from_slice(value.as_bytes())), ..Content::default() };
        self.network.append(INPUT, 0, content).expect("the broker is up");
    }

    /// Committed values of the output's first partition.
    fn published(&self) -> Vec<String> {
        let records = self.network.broker().committed(OUTPUT, 0, 0);
        records.map(|record| text(record.content.value.as_deref())).collect()
    }

    fn committed(&self) -> Option<i64> {
        self.network.broker().group_state(self.group).offset(0).map(|offset| offset.offset)
    }
}

/// Offsets of partition 0 first, then one record that names the offset.
fn transaction(id: u64, assignment: AssignmentId, offset: i64) -> LogCommand {
    let committed = Committed { offset, metadata: format!("at {offset}") };
    let record = OutRecord {
        topic: OUTPUT,
        partition: 0,
        key: None,
        value: Some(Bytes::from(offset.to_string())),
        headers: Vec::new(),
    };
    let steps = vec![TransactionStep::Offsets(vec![(0, committed)]), TransactionStep::Records(vec![record])];
    LogCommand::Transact(Transaction { id, assignment, steps })
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}
