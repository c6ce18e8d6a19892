//! The network between the workers and a server: a TCP proxy that can cut, delay and lose what passes it, and
//! knows enough of the two protocols to do so at one request.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

/// The key of Kafka's request that ends a transaction.
const END_TXN: [u8; 2] = 26_u16.to_be_bytes();
/// The operation code of a batch of CQL.
const BATCH: u8 = 0x0d;
/// Bytes of a request above which the proxy has lost its place.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long the server is given to carry out what it was sent, before its answer is lost.
const CARRIED_OUT: Duration = Duration::from_millis(50);

/// How requests are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Kafka,
    Cql,
}

/// What has passed, and what was done to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub connections: u64,
    pub cut: u64,
    pub late: u64,
    pub answers_lost: u64,
}

/// Listens as long as it is not dropped; connections are cut then.
pub struct Proxy {
    pub address: String,
    network: Arc<Network>,
}

struct Network {
    server: String,
    protocol: Protocol,
    is_over: AtomicBool,
    /// Nobody gets through.
    is_down: AtomicBool,
    /// Before anything that a client sends is passed on.
    delay_ms: AtomicU64,
    /// The next request that ends a transaction waits for so long.
    late_ms: AtomicU64,
    /// And its sender's connection ends at once, so that it is sent again before it arrives.
    late_twice: AtomicBool,
    /// The answer to the next batch is lost.
    loses_answer: AtomicBool,
    connections: Mutex<BTreeMap<u64, Connection>>,
    counts: Mutex<Counts>,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    loses_answer: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens at a port of this host and passes everything on to `server`.
    pub fn start(port: u16, server: &str, protocol: Protocol) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).context("the proxy's port is taken")?;
        let address = listener.local_addr()?.to_string();
        let network = Arc::new(Network {
            server: server.to_owned(),
            protocol,
            is_over: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            late_ms: AtomicU64::new(0),
            late_twice: AtomicBool::new(false),
            loses_answer: AtomicBool::new(false),
            connections: Mutex::default(),
            counts: Mutex::default(),
        });
        let accepting = Arc::clone(&network);
        thread::spawn(move || accepting.accept(&listener));
        Ok(Self { address, network })
    }

    /// Ends every connection there is; new ones get through.
    pub fn cut(&self) {
        self.network.cut();
    }

    /// Ends every connection there is, and lets none through for so long.
    pub fn sever(&self, duration: Duration) {
        self.network.is_down.store(true, Ordering::SeqCst);
        self.network.cut();
        thread::sleep(duration);
        self.network.is_down.store(false, Ordering::SeqCst);
    }

    /// Delays all that is sent, until this is called with zero.
    pub fn delay(&self, duration: Duration) {
        self.network.delay_ms.store(duration.as_millis() as u64, Ordering::SeqCst);
    }

    /// The next request that ends a transaction arrives late by so much, whatever its sender does meanwhile;
    /// with `twice` its connection ends at once, so that it is sent again.
    pub fn delay_next_end(&self, duration: Duration, twice: bool) {
        self.network.late_twice.store(twice, Ordering::SeqCst);
        self.network.late_ms.store(duration.as_millis() as u64, Ordering::SeqCst);
    }

    /// The next batch is carried out, and its sender's connection is cut before it is told.
    pub fn lose_next_answer(&self) {
        self.network.loses_answer.store(true, Ordering::SeqCst);
    }

    pub fn counts(&self) -> Counts {
        *lock(&self.network.counts)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.network.is_over.store(true, Ordering::SeqCst);
        self.network.cut();
        // So that it looks up.
        let _ = TcpStream::connect(&self.address);
    }
}

impl Network {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for (number, client) in (0..).zip(listener.incoming()) {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            if !self.is_down.load(Ordering::SeqCst) {
                // Where the server is away the client's connection just ends.
                let _ = self.connect(number, client);
            }
        }
    }

    fn connect(self: &Arc<Self>, number: u64, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(&self.server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let loses_answer = Arc::new(AtomicBool::new(false));
        let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
        let (mut answers, mut to_client) = (server.try_clone()?, client.try_clone()?);
        let (asking, losing) = (Arc::clone(self), Arc::clone(&loses_answer));
        lock(&self.connections).insert(number, Connection { client, server, loses_answer });
        lock(&self.counts).connections += 1;
        thread::spawn(move || {
            // Either side has closed, or was cut off.
            let _ = asking.pass_requests(&mut requests, &mut to_server, &losing);
            let _ = to_server.shutdown(Shutdown::Write);
        });
        let answering = Arc::clone(self);
        thread::spawn(move || {
            let _ = answering.pass_answers(number, &mut answers, &mut to_client);
            answering.end(number);
        });
        Ok(())
    }

    fn pass_requests(
        &self,
        client: &mut TcpStream,
        server: &mut TcpStream,
        loses_answer: &AtomicBool,
    ) -> io::Result<()> {
        loop {
            let request = self.read_request(client)?;
            thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst)));
            match self.protocol {
                Protocol::Kafka if request[4..].starts_with(&END_TXN) => {
                    let late_ms = self.late_ms.swap(0, Ordering::SeqCst);
                    if late_ms > 0 {
                        lock(&self.counts).late += 1;
                        if self.late_twice.load(Ordering::SeqCst) {
                            client.shutdown(Shutdown::Both)?;
                        }
                        thread::sleep(Duration::from_millis(late_ms));
                    }
                }
                Protocol::Cql if request[4] == BATCH && self.loses_answer.swap(false, Ordering::SeqCst) => {
                    loses_answer.store(true, Ordering::SeqCst);
                }
                Protocol::Kafka | Protocol::Cql => {}
            }
            server.write_all(&request)?;
        }
    }

    /// A whole request: of Kafka behind its length, of CQL behind the nine bytes that end with it.
    fn read_request(&self, client: &mut TcpStream) -> io::Result<Vec<u8>> {
        let head = match self.protocol {
            Protocol::Kafka => 4,
            Protocol::Cql => 9,
        };
        let mut request = vec![0; head];
        client.read_exact(&mut request)?;
        let length = request[head - 4..].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if length > REQUEST_BYTES_MAX {
            return Err(io::Error::other(format!("a request of {length} bytes")));
        }
        request.resize(head + length, 0);
        client.read_exact(&mut request[head..])?;
        Ok(request)
    }

    fn pass_answers(&self, number: u64, server: &mut TcpStream, client: &mut TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = server.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            let loses = lock(&self.connections)
                .get(&number)
                .is_some_and(|connection| connection.loses_answer.load(Ordering::SeqCst));
            if loses {
                thread::sleep(CARRIED_OUT);
                lock(&self.counts).answers_lost += 1;
                return Ok(());
            }
            client.write_all(&buffer[..length])?;
        }
    }

    fn cut(&self) {
        let numbers: Vec<u64> = lock(&self.connections).keys().copied().collect();
        lock(&self.counts).cut += numbers.len() as u64;
        numbers.into_iter().for_each(|number| self.end(number));
    }

    fn end(&self, number: u64) {
        if let Some(Connection { client, server, .. }) = lock(&self.connections).remove(&number) {
            // They may have been closed already.
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
