//! Workers as processes, on topics and a keyspace of their own, driven as a person would: by the binary's
//! commands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use heartline::{
    client::{TailFrom, TailRecord, TopicClient as _},
    kafka::{KafkaTopics, config::Connection},
    log::PartitionId,
    record::transition::TransitionView,
    topology::{Topic, Topology},
};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    metadata::Metadata,
    topic_partition_list::TopicPartitionListElem,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{runtime::Runtime, time::timeout};

use super::servers::{Servers, free_ports};

/// The least that the broker allows, so that takeovers are quick to wait for.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const BINARY: &str = env!("CARGO_BIN_EXE_heartline");
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a process that was asked to end is waited for. Five seconds are promised, and held to where that
/// is what is tested; the rest is what a loaded machine may take to tell.
pub const END_LIMIT: Duration = Duration::from_secs(15);
/// Silence of a topic of which more is known to be there.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// A configuration, its topics made anew, its schema applied, and the workers that run on it.
pub struct Deployment {
    pub folder: PathBuf,
    pub config: PathBuf,
    pub keyspace: String,
    pub group: String,
    pub kafka: String,
    pub workers: Vec<Worker>,
}

/// A worker's process.
pub struct Worker {
    child: Child,
    pub address: String,
}

impl Deployment {
    /// Makes the product's topics anew and a fresh keyspace. The caller holds the servers for itself: topics
    /// have fixed names. `extra` is appended to the configuration.
    pub fn prepare(servers: &Servers, name: &str, extra: &str) -> Result<Self> {
        Self::bare(servers, name, extra)?.applied()
    }

    /// The same for workers that reach the servers elsewhere than the test does.
    #[allow(dead_code, reason = "the benches use this file too, and have no proxy")]
    pub fn prepare_behind(kafka: &str, proxied: (&str, &str), name: &str, extra: &str) -> Result<Self> {
        Self::through(kafka, proxied, name, extra)?.applied()
    }

    fn applied(self) -> Result<Self> {
        self.succeed(&["topics", "apply"])?;
        self.succeed(&["schema", "apply"])?;
        Ok(self)
    }

    /// The configuration alone: there are no topics and no keyspace.
    pub fn bare(servers: &Servers, name: &str, extra: &str) -> Result<Self> {
        let (kafka, cql) = (servers.kafka.address(), servers.cql.address());
        Self::through(kafka, (kafka, cql), name, extra)
    }

    /// The test itself goes to `kafka`, the product to where Kafka and the database are for it.
    fn through(kafka: &str, (brokers, cql): (&str, &str), name: &str, extra: &str) -> Result<Self> {
        let keyspace = fresh(name)?;
        let config = format!(
            "[kafka]\nbrokers = [\"{brokers}\"]\ngroup_prefix = \"{keyspace}\"\nsession_timeout = \"{}s\"\n\
             transaction_timeout = \"5s\"\n\
             [store]\nnodes = [\"{cql}\"]\nkeyspace = \"{keyspace}\"\n{extra}",
            SESSION_TIMEOUT.as_secs()
        );
        delete_topics(kafka)?;
        Self::of(&keyspace, kafka, &config)
    }

    /// Runs a command of the product with this configuration.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--config").arg(&self.config).current_dir(&self.folder);
        command.output().context("running the product's binary")
    }

    /// The same, and it must exit with 0; returns what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?} exited with {}: {error}{text}", output.status);
        Ok(text)
    }

    /// Starts a worker; it is not ready yet. Its log is `worker-N.log` in the folder.
    pub fn start_worker(&mut self) -> Result<usize> {
        self.start_worker_with(&[])
    }

    /// The same with further arguments of `run`.
    pub fn start_worker_with(&mut self, arguments: &[&str]) -> Result<usize> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let log = File::create(self.folder.join(format!("worker-{}.log", self.workers.len())))?;
        let child = Command::new(BINARY)
            .args(["run", "--listen", &address, "--config"])
            .arg(&self.config)
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting a worker")?;
        self.workers.push(Worker { child, address });
        Ok(self.workers.len() - 1)
    }

    /// What a worker has logged.
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.folder.join(format!("worker-{index}.log"))).unwrap_or_default()
    }

    /// Waits until the worker says that it is ready.
    pub fn wait_ready(&mut self, index: usize) -> Result<()> {
        let worker = &mut self.workers[index];
        let begun = Instant::now();
        loop {
            if let Some(status) = worker.child.try_wait()? {
                bail!("worker {index} exited with {status}; its log is in {}", self.folder.display());
            }
            let answer = get(&worker.address, "/readyz").unwrap_or_default();
            if answer.contains("\"ready\":true") {
                return Ok(());
            }
            ensure!(begun.elapsed() < READY_TIMEOUT, "worker {index} is not ready: {answer}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Deployment {
    /// Of a configuration as it is; there are no topics and no keyspace.
    pub fn of(name: &str, kafka: &str, config: &str) -> Result<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder)?;
        let path = folder.join("heartline.toml");
        fs::write(&path, config)?;
        let (keyspace, kafka) = (name.to_owned(), kafka.to_owned());
        Ok(Self {
            folder,
            config: path,
            keyspace,
            group: format!("{name}.presence"),
            kafka,
            workers: Vec::new(),
        })
    }

    /// Every transition that a `read_committed` consumer finds, partition by partition in their order.
    pub fn transitions(&self) -> Result<Vec<TransitionView>> {
        let records = self.committed(Topic::Presence)?;
        let values = records.iter().map(|record| record.value.as_deref().unwrap_or_default());
        values
            .map(|value| TransitionView::decode(value).map_err(|refusal| anyhow!(refusal.message)))
            .collect()
    }

    /// The committed offsets of a group on a topic, where there are any.
    pub fn committed_offsets(&self, group: &str, topic: Topic) -> Result<BTreeMap<PartitionId, i64>> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka).set("group.id", group);
        let consumer: BaseConsumer = config.create()?;
        let mut asked = TopicPartitionList::new();
        for partition in 0..Topology::shipped().partitions(topic) {
            asked.add_partition(topic.name(), partition as i32);
        }
        let answer = consumer.committed_offsets(asked, Duration::from_secs(10))?;
        let offset = |element: TopicPartitionListElem<'_>| {
            let offset = element.offset().to_raw().filter(|offset| *offset >= 0)?;
            Some((element.partition() as PartitionId, offset))
        };
        Ok(answer.elements().into_iter().filter_map(offset).collect())
    }

    /// Every committed record of a topic that is there now, partition by partition in their order.
    pub fn committed(&self, topic: Topic) -> Result<Vec<TailRecord>> {
        let runtime = Runtime::new()?;
        let connection = Connection::new(std::slice::from_ref(&self.kafka), BTreeMap::new())?;
        let client = KafkaTopics::new(connection)?;
        let mut records = runtime.block_on(async {
            let mut last = last_offsets(&self.kafka, topic)?;
            let mut tail = client.tail(topic, TailFrom::Start).await?;
            let mut records = Vec::new();
            while !last.is_empty() {
                let record = timeout(SILENCE_LIMIT, tail.next()).await;
                let record = record.with_context(|| format!("{topic} has more, up to {last:?}"))?;
                let record = record.context("the tail ended")??;
                if last.get(&record.partition).is_some_and(|offset| record.offset >= *offset) {
                    last.remove(&record.partition);
                }
                records.push(record);
            }
            anyhow::Ok(records)
        })?;
        records.sort_by_key(|record| (record.partition, record.offset));
        let repeated = records
            .windows(2)
            .filter(|pair| (pair[0].partition, pair[0].offset) == (pair[1].partition, pair[1].offset));
        let repeated = repeated.count();
        ensure!(repeated == 0, "reading {topic} gave {repeated} of {} records twice", records.len());
        Ok(records)
    }
}

impl Worker {
    #[allow(dead_code, reason = "the benches use this file too, and it")]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id() as i32).context("a process id")?;
        kill_process(pid, signal).context("sending a signal")
    }

    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for the process to end by itself; its exit code.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<i32>> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("the worker still runs after {limit:?}")
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a GET, over a connection of its own.
pub fn get(address: &str, path: &str) -> Result<String> {
    request(address, "GET", path, "")
}

/// Sends a request and reads the whole answer; the status is not looked at.
pub fn request(address: &str, method: &str, path: &str, body: &str) -> Result<String> {
    use std::io::{Read as _, Write as _};
    let address = address.parse()?;
    let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).context("an answer without a body")
}

/// A name that no earlier run has used.
pub fn fresh(name: &str) -> Result<String> {
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() % 1_000_000_000;
    Ok(format!("{name}_{stamp}"))
}

/// Asks until the answer is there, for at most `limit`.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        ensure!(begun.elapsed() < limit, "after {limit:?} still not: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A port that was free a moment ago, and that the kernel gives to nobody who does not name it.
pub fn free_port() -> Result<u16> {
    let [port] = free_ports()?;
    Ok(port)
}

/// The offset of the last committed record of each partition that has one. Markers take offsets too, so that
/// only reading to the end tells.
fn last_offsets(kafka: &str, topic: Topic) -> Result<BTreeMap<u32, i64>> {
    let mut last = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    let mut open: BTreeSet<i32> = (0..Topology::shipped().partitions(topic) as i32).collect();
    for partition in &open {
        list.add_partition_offset(topic.name(), *partition, Offset::Beginning)?;
    }
    let consumer = reader(kafka)?;
    consumer.assign(&list)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(500)) {
            None => ensure!(heard.elapsed() < SILENCE_LIMIT, "no end of {topic} in partitions {open:?}"),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
                heard = Instant::now();
            }
            Some(message) => {
                let message = message?;
                last.insert(u32::try_from(message.partition())?, message.offset());
                heard = Instant::now();
            }
        }
    }
    Ok(last)
}

/// A client that lives through an outage of the broker: it is back soon after it, so that what a test times
/// is the product, and a broker that is stopped by the test is no news.
pub fn lasting_client(kafka: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka)
        .set("reconnect.backoff.max.ms", "500")
        .set_log_level(RDKafkaLogLevel::Emerg);
    config
}

/// Reads what is committed, from assigned positions to the end that the broker names, which is before what
/// is in an open transaction.
pub fn reader(kafka: &str) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka)
        .set("group.id", "heartline.test-reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "20");
    Ok(config.create()?)
}

fn delete_topics(kafka: &str) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topology = Topology::shipped();
    let names: Vec<_> = topology.topics().map(|(topic, _)| topic.name()).collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    // Those that are not there are no error here.
    Runtime::new()?.block_on(admin.delete_topics(&names, &options))?;
    let consumer: BaseConsumer = config.create()?;
    until("the topics of a former test are gone", Duration::from_secs(60), || {
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(5));
        let gone = |metadata: Metadata| !metadata.topics().iter().any(|topic| names.contains(&topic.name()));
        Ok(metadata.is_ok_and(gone).then_some(()))
    })
}
