//! Real servers for the tests: a Kafka broker and a CQL database, one of each per test binary.
//!
//! In this order: those that `HEARTLINE_TEST_KAFKA` and `HEARTLINE_TEST_CQL` name; those of
//! `docker-compose.yml` where a Docker daemon answers; otherwise Apache Kafka and Apache Cassandra, fetched
//! with Maven into `target/servers` and run on free ports. What was started here ends with this process,
//! however that ends.

mod cassandra;
mod compose;
mod kafka;
mod maven;
mod process;
mod ready;

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use self::{compose::Service, process::Process};
pub use self::{
    kafka::{ADMIN, WORKER},
    process::free_ports,
};

/// Why no servers can be had here; the tests that need them are then shown as ignored, with this reason.
#[derive(Debug, Clone)]
pub struct Unavailable {
    pub reason: String,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Unavailable {}

/// Both servers, ready. Dropping them stops what was started; so does the end of the process.
#[derive(Debug)]
pub struct Servers {
    pub kafka: Server,
    pub cql: Server,
    /// Of a Kafka that is a process of these tests.
    #[allow(dead_code, reason = "the benches use this file too, and have no proxy")]
    pub behind: Option<Behind>,
    turns: RwLock<()>,
}

/// A second listener of the broker, for those who come through a proxy.
#[derive(Debug, Clone, Copy)]
pub struct Behind {
    /// Where the proxy finds the broker.
    #[allow(dead_code, reason = "the benches use this file too, and have no proxy")]
    pub listens: u16,
    /// Where the broker says that it is: the proxy's port.
    pub advertised: u16,
}

/// One server and, unless somebody else runs it, the means to hurt it. Calls exclude each other.
#[derive(Debug)]
pub struct Server {
    address: String,
    ready: Ready,
    control: Control,
}

/// Asks the server at an address for something real, once.
type Ready = fn(&str) -> Result<()>;

#[derive(Debug)]
enum Control {
    /// Named by the environment: it is somebody else's.
    None,
    Compose(Service),
    Process(Mutex<Process>),
}

/// How long a server may take until it answers; on a busy machine a JVM takes its time.
const READY_TIMEOUT: Duration = Duration::from_secs(180);
const READY_INTERVAL: Duration = Duration::from_millis(200);
/// How long a server may take to stop by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

impl Servers {
    /// Finds the servers or starts them, both at the same time.
    pub fn find_or_start() -> Result<Self, Unavailable> {
        find_or_start().map_err(|error| Unavailable { reason: format!("{error:#}") })
    }

    /// A broker with passwords and an authorizer, for the test that asks for it.
    pub fn start_guarded_kafka(&self) -> Result<Server> {
        let Control::Process(process) = &self.kafka.control else {
            bail!("a further broker needs Kafka as a process of these tests");
        };
        let run = lock(process).run_directory();
        let [port, controller_port] = free_ports()?;
        kafka::start_guarded(&directory(), &run, port, controller_port)
    }

    /// Held by a test that needs the servers to run.
    pub fn shared(&self) -> RwLockReadGuard<'_, ()> {
        self.turns.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held by a test that stops, kills or pauses a server: it runs alone.
    pub fn exclusive(&self) -> RwLockWriteGuard<'_, ()> {
        self.turns.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    fn new(address: String, ready: Ready, control: Control) -> Result<Self> {
        let server = Self { address, ready, control };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let Err(error) = (self.ready)(&self.address) else { return Ok(()) };
            if let Control::Process(process) = &self.control {
                lock(process).check_runs()?;
            }
            if Instant::now() > deadline {
                let (address, seconds) = (&self.address, READY_TIMEOUT.as_secs());
                return Err(error.context(format!("the server at {address} is not ready after {seconds} s")));
            }
            thread::sleep(READY_INTERVAL);
        }
    }

    /// `host:port`; stays the same when the server is started again.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the calls below work; if not, the server is somebody else's.
    pub fn is_controlled(&self) -> bool {
        !matches!(self.control, Control::None)
    }

    /// The process id of a server that was started as a process and runs.
    pub fn pid(&self) -> Option<u32> {
        match &self.control {
            Control::Process(process) => lock(process).pid(),
            Control::None | Control::Compose(_) => None,
        }
    }

    /// Ends the server at once, with SIGKILL.
    pub fn kill9(&self) -> Result<()> {
        match &self.control {
            Control::None => self.not_ours(),
            Control::Compose(service) => service.run("kill"),
            Control::Process(process) => lock(process).kill9(),
        }
    }

    /// Stops the server in an orderly way and returns when it is gone.
    pub fn stop(&self) -> Result<()> {
        match &self.control {
            Control::None => self.not_ours(),
            Control::Compose(service) => service.run("stop"),
            Control::Process(process) => lock(process).stop(STOP_TIMEOUT),
        }
    }

    /// Starts a server that was stopped or killed, with the same address and data, and returns when it is
    /// ready.
    pub fn start(&self) -> Result<()> {
        match &self.control {
            Control::None => self.not_ours()?,
            Control::Compose(service) => service.run("start")?,
            Control::Process(process) => lock(process).start()?,
        }
        self.wait_until_ready()
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub fn pause(&self) -> Result<()> {
        match &self.control {
            Control::None => self.not_ours(),
            Control::Compose(service) => service.run("pause"),
            Control::Process(process) => lock(process).pause(),
        }
    }

    pub fn resume(&self) -> Result<()> {
        match &self.control {
            Control::None => self.not_ours(),
            Control::Compose(service) => service.run("unpause"),
            Control::Process(process) => lock(process).resume(),
        }
    }

    fn not_ours(&self) -> Result<()> {
        bail!("the server at {} was named by the environment and is not this test's to stop", self.address)
    }
}

/// Grants the worker of a guarded broker what these arguments of `kafka-acls` say.
pub fn grant(guarded: &Server, arguments: &[&str]) -> Result<()> {
    kafka::grant(&directory(), guarded.address(), arguments)
}

fn find_or_start() -> Result<Servers> {
    let (kafka, cql) = (env::var("HEARTLINE_TEST_KAFKA").ok(), env::var("HEARTLINE_TEST_CQL").ok());
    let compose = (kafka.is_none() || cql.is_none()) && compose::is_available();
    let directory = directory();
    // Two that look for free ports at the same time could find the same.
    let [kafka_port, controller_port, cql_port, gossip_port, listens, advertised] = process::free_ports()?;
    let behind = Behind { listens, advertised };
    let is_own = kafka.is_none() && !compose;
    let run = if compose { None } else { Some(process::RunDirectory::create(&directory)?) };
    let run = run.as_ref();
    thread::scope(|scope| {
        let kafka = scope.spawn(|| match (kafka, run) {
            (Some(address), _) => Server::new(address, ready::kafka, Control::None),
            (None, Some(run)) => kafka::start(&directory, run, kafka_port, controller_port, behind),
            (None, None) => compose::start("kafka", 9092, ready::kafka),
        });
        let cql = match (cql, run) {
            (Some(address), _) => Server::new(address, ready::cql, Control::None),
            (None, Some(run)) => cassandra::start(&directory, run, cql_port, gossip_port),
            (None, None) => compose::start("scylla", 9042, ready::cql),
        };
        let kafka = kafka.join().unwrap_or_else(|_| bail!("the thread that started it panicked"));
        let (kafka, cql) = (kafka.context("no Kafka broker")?, cql.context("no CQL database")?);
        Ok(Servers { kafka, cql, behind: is_own.then_some(behind), turns: RwLock::new(()) })
    })
}

/// `target/servers`: fetched jars and logs stay there, data only while a test runs.
fn directory() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap_or(target).join("servers")
}

fn lock(process: &Mutex<Process>) -> MutexGuard<'_, Process> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Starting takes a while and happens before the first test: it says what it waits for.
fn progress(text: fmt::Arguments<'_>) {
    eprintln!("servers: {text}");
}
