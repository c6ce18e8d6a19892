//! The bench of the simulated log and store.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use super::{Bench, BenchRecord, Capability, INPUT};
use crate::{
    log::{Committed, Log, LogCommand, LogEvent, Offset, OutRecord, PartitionId},
    sim::{Delivery, Network, PodEvent, PodId, Settings, log::partition::Content},
    store::{Store, StoreCommand, StoreEvent},
    topology::{Topic, Topology},
};

const GROUP: &str = "conformance";
/// Virtual milliseconds of one [`Bench::wait`].
const WAIT_MS: u64 = 5;

/// A network with pods as scripts name them.
pub struct SimBench {
    topology: Topology,
    shared: Rc<RefCell<Shared>>,
    members: BTreeMap<String, SimLog>,
    store: SimStoreEnd,
    numbers: i32,
    lacking: Option<Capability>,
}

struct Shared {
    network: Network,
    events: BTreeMap<PodId, VecDeque<LogEvent>>,
    answers: VecDeque<StoreEvent>,
}

/// A pod's log as the seam has it.
struct SimLog {
    shared: Rc<RefCell<Shared>>,
    pod: PodId,
}

/// The store as the seam has it, used from a pod of its own.
struct SimStoreEnd(SimLog);

impl SimBench {
    /// A network of this seed without faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let topology = Topology::uniform(4, 4);
        let network = Network::new(seed, &topology, Settings::default());
        let shared = Shared { network, events: BTreeMap::new(), answers: VecDeque::new() };
        let shared = Rc::new(RefCell::new(shared));
        let store = SimStoreEnd(SimLog::start(&shared));
        Self { topology, shared, members: BTreeMap::new(), store, numbers: 0, lacking: None }
    }

    /// The same, as if it lacked a capability.
    #[must_use]
    pub fn without(self, capability: Capability) -> Self {
        Self { lacking: Some(capability), ..self }
    }
}

impl Bench for SimBench {
    fn has(&self, capability: Capability) -> bool {
        self.lacking != Some(capability)
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn log(&mut self, pod: &str) -> Result<&mut dyn Log, String> {
        Ok(self.members.entry(pod.to_owned()).or_insert_with(|| SimLog::start(&self.shared)))
    }

    fn store(&mut self) -> Result<&mut dyn Store, String> {
        Ok(&mut self.store)
    }

    fn append(&mut self, records: Vec<OutRecord>) -> Result<(), String> {
        let network = &mut self.shared.borrow_mut().network;
        for OutRecord { topic, partition, key, value, headers } in records {
            let appended = network.append(topic, partition, Content { key, value, headers });
            appended.ok_or_else(|| format!("there is no {topic}/{partition}"))?;
        }
        Ok(())
    }

    fn committed(
        &mut self,
        topic: Topic,
        partition: PartitionId,
        from: Offset,
    ) -> Result<Vec<BenchRecord>, String> {
        let shared = self.shared.borrow();
        let records = shared.network.broker().committed(topic, partition, from);
        Ok(records
            .map(|record| {
                let Content { key, value, headers } = record.content.clone();
                BenchRecord { offset: record.offset, key, value, headers }
            })
            .collect())
    }

    fn hold_transaction(
        &mut self,
        name: &str,
        partition: PartitionId,
        offset: Committed,
    ) -> Result<(), String> {
        let network = &mut self.shared.borrow_mut().network;
        let group = network.group(GROUP, INPUT);
        network.hold_transaction(name, group, (partition, offset))
    }

    fn wait(&mut self) {
        let shared = &mut *self.shared.borrow_mut();
        let until_ms = shared.network.now_ms() + WAIT_MS;
        while let Some((_, Delivery { pod, event, .. })) = shared.network.next_event_until(until_ms) {
            match event {
                PodEvent::Log(event) => shared.events.entry(pod).or_default().push_back(event),
                PodEvent::Store(event) => shared.answers.push_back(event),
                PodEvent::Timer => {}
            }
        }
    }

    fn elapsed_ms(&self) -> u64 {
        self.shared.borrow().network.now_ms()
    }

    fn fresh_number(&mut self) -> i32 {
        self.numbers += 1;
        self.numbers
    }
}

impl SimLog {
    fn start(shared: &Rc<RefCell<Shared>>) -> Self {
        let network = &mut shared.borrow_mut().network;
        let pod = network.add_pod(GROUP, INPUT);
        network.start(pod);
        Self { shared: Rc::clone(shared), pod }
    }
}

impl Log for SimLog {
    fn submit(&mut self, command: LogCommand) {
        self.shared.borrow_mut().network.submit_log(self.pod, command);
    }

    fn poll(&mut self) -> Option<LogEvent> {
        self.shared.borrow_mut().events.get_mut(&self.pod)?.pop_front()
    }
}

impl Store for SimStoreEnd {
    fn submit(&mut self, command: StoreCommand) {
        let SimLog { shared, pod } = &self.0;
        shared.borrow_mut().network.submit_store(*pod, command);
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        self.0.shared.borrow_mut().answers.pop_front()
    }
}
