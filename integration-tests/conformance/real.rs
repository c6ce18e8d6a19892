//! The bench of Kafka and the CQL database.

use std::{
    cell::Cell,
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use heartline::{
    client::TopicClient as _,
    conformance::{Bench, BenchRecord, Capability, INPUT},
    cql::{self, Cql, CqlConfig, CqlStore},
    kafka::{
        KafkaLog, KafkaTopics,
        config::{Connection, KafkaConfig},
    },
    log::{Committed, Header, Log, Offset, OutRecord, PartitionId},
    store::Store,
    topology::{Topic, Topology},
};
use rdkafka::{
    ClientConfig, Message as _, Offset as Position, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
    producer::{BaseProducer, Producer as _},
};
use tokio::runtime::Runtime;

use super::super::{
    deployment::{Deployment, SESSION_TIMEOUT, reader},
    servers::Servers,
};

const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one call to the broker may take.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Beyond any script: what is held must not be aborted by the broker's own clock.
const HELD_TRANSACTION_TIMEOUT_MS: &str = "120000";

/// What all scripts share: the topics, made anew, a keyspace, and the clients from outside.
pub struct Suite {
    topology: Topology,
    runtime: Rc<Runtime>,
    deployment: Deployment,
    cql: Cql,
    topics: Rc<KafkaTopics>,
    numbers: Rc<Cell<i32>>,
}

pub struct RealBench {
    topology: Topology,
    runtime: Rc<Runtime>,
    kafka: String,
    config: KafkaConfig,
    group: String,
    logs: BTreeMap<String, KafkaLog>,
    store: CqlStore,
    topics: Rc<KafkaTopics>,
    /// Producers whose transactions stay open.
    held: Vec<BaseProducer>,
    numbers: Rc<Cell<i32>>,
    begun: Instant,
}

impl Suite {
    pub fn prepare(servers: &Servers) -> Result<Self> {
        let deployment = Deployment::prepare(servers, "conformance", "")?;
        let runtime = Rc::new(Runtime::new()?);
        let config = CqlConfig::new(vec![servers.cql.address().to_owned()], &deployment.keyspace)?;
        let cql = runtime.block_on(cql::connect(&config))?;
        let topics = Rc::new(KafkaTopics::new(connection(&deployment.kafka)?)?);
        let topology = Topology::shipped();
        Ok(Self { topology, runtime, deployment, cql, topics, numbers: Rc::default() })
    }

    pub fn bench(&self, script: usize) -> Result<RealBench> {
        let kafka = self.deployment.kafka.clone();
        let group = format!("{}.script-{script}", self.deployment.group);
        let config =
            KafkaConfig::new(connection(&kafka)?, &*group, INPUT, SESSION_TIMEOUT, TRANSACTION_TIMEOUT)?;
        Ok(RealBench {
            topology: self.topology.clone(),
            runtime: Rc::clone(&self.runtime),
            kafka,
            config,
            group,
            logs: BTreeMap::new(),
            store: CqlStore::new(self.cql.clone(), self.runtime.handle().clone(), Arc::new(|| {})),
            topics: Rc::clone(&self.topics),
            held: Vec::new(),
            numbers: Rc::clone(&self.numbers),
            begun: Instant::now(),
        })
    }
}

impl Bench for RealBench {
    fn has(&self, _: Capability) -> bool {
        true
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn log(&mut self, pod: &str) -> Result<&mut dyn Log, String> {
        if !self.logs.contains_key(pod) {
            let log = KafkaLog::new(self.config.clone(), Arc::new(|| {}));
            self.logs.insert(pod.to_owned(), log.map_err(|error| error.to_string())?);
        }
        self.logs.get_mut(pod).map(|log| log as &mut dyn Log).ok_or_else(|| format!("no log for {pod}"))
    }

    fn store(&mut self) -> Result<&mut dyn Store, String> {
        Ok(&mut self.store)
    }

    fn append(&mut self, records: Vec<OutRecord>) -> Result<(), String> {
        self.runtime.block_on(self.topics.append(records)).map_err(|error| error.to_string())
    }

    fn committed(
        &mut self,
        topic: Topic,
        partition: PartitionId,
        from: Offset,
    ) -> Result<Vec<BenchRecord>, String> {
        committed(&self.kafka, topic, partition, from).map_err(|error| format!("{error:#}"))
    }

    fn hold_transaction(
        &mut self,
        name: &str,
        partition: PartitionId,
        offset: Committed,
    ) -> Result<(), String> {
        let producer = hold(&self.kafka, &self.group, name, partition, &offset);
        self.held.push(producer.map_err(|error| format!("{error:#}"))?);
        Ok(())
    }

    fn wait(&mut self) {
        thread::sleep(Duration::from_millis(5));
    }

    fn elapsed_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn fresh_number(&mut self) -> i32 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }
}

fn connection(kafka: &str) -> Result<Connection> {
    Ok(Connection::new(&[kafka.to_owned()], BTreeMap::new())?)
}

fn committed(kafka: &str, topic: Topic, partition: PartitionId, from: Offset) -> Result<Vec<BenchRecord>> {
    let consumer = reader(kafka)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic.name(), partition as i32, Position::Offset(from))?;
    consumer.assign(&list)?;
    let mut records = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < CALL_LIMIT {
        match consumer.poll(Duration::from_millis(500)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(records),
            Some(message) => records.push(bench_record(&message?)),
        }
    }
    Err(anyhow!("{topic}/{partition} was not read to its end within {CALL_LIMIT:?}"))
}

fn bench_record(message: &BorrowedMessage<'_>) -> BenchRecord {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let value = |value: Option<&[u8]>| value.map(Bytes::copy_from_slice);
        let header = |header: rdkafka::message::Header<'_, &[u8]>| Header {
            name: header.key.to_owned(),
            value: value(header.value),
        };
        headers.iter().map(header).collect()
    });
    BenchRecord {
        offset: message.offset(),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers,
    }
}

/// Metadata of a consumer that never joined has no generation, which the broker does not check: whoever holds
/// the partition, this commit is pending on it.
fn hold(
    kafka: &str,
    group: &str,
    name: &str,
    partition: PartitionId,
    offset: &Committed,
) -> Result<BaseProducer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka);
    let outsider: BaseConsumer = config.clone().set("group.id", group).create()?;
    let metadata = outsider.group_metadata().context("the metadata of a group that was not joined")?;
    let producer: BaseProducer = config
        .set("transactional.id", name)
        .set("transaction.timeout.ms", HELD_TRANSACTION_TIMEOUT_MS)
        .create()?;
    producer.init_transactions(CALL_LIMIT)?;
    producer.begin_transaction()?;
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(INPUT.name(), partition as i32);
    element.set_offset(Position::Offset(offset.offset))?;
    element.set_metadata(&offset.metadata);
    producer.send_offsets_to_transaction(&list, &metadata, CALL_LIMIT)?;
    Ok(producer)
}
