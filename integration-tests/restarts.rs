//! What outlives a server that is killed, stopped or frozen.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use heartline::{
    client::StoreClient as _,
    cql::{self, Cql, CqlClient, CqlConfig, schema},
    store::{Change, Query, Select, Statement, StoreError, StoreErrorClass, WriteBatch},
    table::{Value, progress::OWNERS},
};
use libtest_mimic::Failed;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer as _},
    types::RDKafkaErrorCode as Code,
};
use tokio::runtime::Runtime;

use super::{
    case::{Case, Need},
    deployment::until,
    servers::{Server, Servers},
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// The driver's longest pause between two attempts to connect is 10 s.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// What a broker says that has just come back and does not lead its partitions yet.
const RECOVERING: [Code; 6] = [
    Code::NotLeaderForPartition,
    Code::LeaderNotAvailable,
    Code::UnknownTopicOrPartition,
    Code::BrokerTransportFailure,
    Code::AllBrokersDown,
    Code::OperationTimedOut,
];

pub fn cases() -> Vec<Case> {
    let case = |name, run: fn(&Servers) -> Result<(), Failed>| Case::real(name, Need::OwnServers, run);
    vec![
        case("acknowledged_rows_and_the_session_survive_a_kill_of_the_database", |servers| {
            database_restarts(servers, Server::kill9)
        }),
        case("the_session_survives_an_orderly_restart_of_the_database", |servers| {
            database_restarts(servers, Server::stop)
        }),
        case("a_frozen_database_is_a_retriable_failure_within_the_request_timeout", database_freezes),
        case("acknowledged_records_survive_a_kill_of_the_broker", |servers| {
            broker_restarts(servers, Server::kill9)
        }),
        case("a_database_that_writes_before_it_acknowledges_is_not_warned_about", no_warning),
        case("a_broker_that_was_stopped_comes_back_at_the_same_address", |servers| {
            broker_restarts(servers, Server::stop)
        }),
    ]
}

fn database_restarts(servers: &Servers, end: fn(&Server) -> anyhow::Result<()>) -> Result<(), Failed> {
    let _alone = servers.exclusive();
    let database = Database::connect(&servers.cql, "heartline_restarts")?;
    for number in 0..100 {
        database.write(number)?;
    }
    end(&servers.cql)?;
    let error = database.write(100).err().ok_or("a write without a database")?;
    same(error.class, StoreErrorClass::Retriable)?;
    servers.cql.start()?;
    database.recover(100)?;
    same(database.names()?, (0..=100).map(name).collect())
}

fn database_freezes(servers: &Servers) -> Result<(), Failed> {
    let _alone = servers.exclusive();
    let database = Database::connect(&servers.cql, "heartline_freezes")?;
    database.write(0)?;
    servers.cql.pause()?;
    let began = Instant::now();
    let written = database.write(1);
    let took = began.elapsed();
    servers.cql.resume()?;
    same(written.map_err(|error| error.class), Err(StoreErrorClass::Retriable))?;
    // The rest is what a loaded machine may take to say so.
    if took > REQUEST_TIMEOUT * 4 {
        return Err(format!("the write failed after {took:?}").into());
    }
    database.recover(2)
}

fn no_warning(servers: &Servers) -> Result<(), Failed> {
    let _running = servers.shared();
    let database = Database::connect(&servers.cql, "heartline_durability")?;
    same(database.runtime.block_on(database.cql.durability_warning()), None)
}

/// A session and a partition of `progress_owners` in a keyspace of its own.
struct Database {
    runtime: Runtime,
    cql: Cql,
    client: CqlClient,
}

impl Database {
    fn connect(server: &Server, keyspace: &str) -> Result<Self, Failed> {
        let runtime = Runtime::new()?;
        let mut config = CqlConfig::new(vec![server.address().into()], keyspace)?;
        config.request_timeout = REQUEST_TIMEOUT;
        let connected: Result<Cql, Failed> = runtime.block_on(async {
            let cql = cql::connect(&config).await?;
            schema::apply(&cql).await?;
            Ok(cql)
        });
        let cql = connected?;
        Ok(Self { client: CqlClient::new(cql.clone()), cql, runtime })
    }

    fn write(&self, number: u32) -> Result<(), StoreError> {
        let change = Change::Upsert([Value::BigInt(number.into())].into());
        let clustering = [Value::text(&name(number))].into();
        let statement = Statement { clustering, change, timestamp_us: 1, ttl_s: None };
        let batch = WriteBatch::new(&OWNERS, partition(), vec![statement]);
        self.runtime.block_on(self.client.write(batch))
    }

    /// Writes until it succeeds; only retriable failures may come before.
    fn recover(&self, number: u32) -> Result<(), Failed> {
        let deadline = Instant::now() + RECOVERY_TIMEOUT;
        while let Err(error) = self.write(number) {
            same(error.class, StoreErrorClass::Retriable)?;
            if Instant::now() > deadline {
                return Err(format!("still failing after {RECOVERY_TIMEOUT:?}: {error}").into());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, Failed> {
        let select = Select::Slice { prefix: [].into(), after: None, descending: false, limit: 1_000 };
        let query = Query { table: &OWNERS, partition: partition(), select };
        let rows = self.runtime.block_on(self.client.read(query))?;
        Ok(rows.iter().filter_map(|row| row.clustering[0].as_text().map(str::to_owned)).collect())
    }
}

fn partition() -> Arc<[Value]> {
    [Value::text("heartbeats"), Value::Int(0)].into()
}

fn name(number: u32) -> String {
    format!("pod-{number:03}")
}

fn broker_restarts(servers: &Servers, end: fn(&Server) -> anyhow::Result<()>) -> Result<(), Failed> {
    let _alone = servers.exclusive();
    // A broker that is not started anew for each run keeps the topics of earlier ones.
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let topic = format!("restarts-{}", began.as_micros());
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers.kafka.address());
    create_topic(&config, &topic)?;
    let producer: BaseProducer = config.clone().set("enable.idempotence", "true").create()?;
    for value in ["first", "second"] {
        producer.send(BaseRecord::<(), str>::to(&topic).payload(value)).map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(10))?;
    end(&servers.kafka)?;
    same(servers.kafka.pid(), None)?;
    servers.kafka.start()?;
    let consumer: BaseConsumer = config.create()?;
    let watermarks = until("the broker leads the topic again", RECOVERY_TIMEOUT, || {
        match consumer.fetch_watermarks(&topic, 0, Duration::from_secs(10)) {
            Ok(watermarks) => Ok(Some(watermarks)),
            Err(KafkaError::MetadataFetch(code)) if RECOVERING.contains(&code) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })?;
    same(watermarks, (0, 2))
}

fn create_topic(config: &ClientConfig, topic: &str) -> Result<(), Failed> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let created = Runtime::new()?.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
    created
        .into_iter()
        .try_for_each(|result| result.map(|_| ()).map_err(|(_, error)| error.to_string().into()))
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{found:?} where {expected:?} is due").into()) }
}
