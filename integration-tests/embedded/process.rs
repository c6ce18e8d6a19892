//! The process of `heartline up`, its lives, and what it is asked over HTTP.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::value::RawValue;
use tempfile::TempDir;

use super::super::deployment::free_port;

const READY_LIMIT: Duration = Duration::from_secs(30);
/// A client's patience with one request; shorter than a freeze, so that what it gave up is still carried out
/// afterwards.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);
/// Silence after which what is read of a topic is taken to be all of it.
const SILENCE: Duration = Duration::from_millis(700);

/// One start of the binary on the folder `data` within another.
pub struct Start {
    child: Child,
    address: String,
    log: std::path::PathBuf,
}

/// A folder and the process that runs on it, in one life after the other at one address.
pub struct Up {
    folder: Option<TempDir>,
    now: Start,
    lives: Vec<Life>,
    /// Wall milliseconds.
    frozen: Vec<(i64, i64)>,
}

/// Wall milliseconds of a process.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    pub spawned_ms: i64,
    pub ready_ms: i64,
    pub ended_ms: i64,
}

/// A record as `GET /v1/topics/{topic}/records` tells of it.
#[derive(serde::Deserialize)]
pub struct Record {
    pub time: i64,
    pub value: Box<RawValue>,
}

impl Start {
    /// On a port of its own.
    pub fn on(folder: &Path) -> Result<Self> {
        Self::at(folder, &format!("127.0.0.1:{}", free_port()?))
    }

    fn at(folder: &Path, address: &str) -> Result<Self> {
        let port = address.rsplit(':').next().unwrap_or_default();
        let path = folder.join(format!("up-{port}.log"));
        let log = File::options().create(true).append(true).open(&path)?;
        let child = Command::new(env!("CARGO_BIN_EXE_heartline"))
            .args(["up", "--listen", address, "--data"])
            .arg(folder.join("data"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting heartline up")?;
        Ok(Self { child, address: address.to_owned(), log: path })
    }

    /// Waits until it says that it is ready.
    fn wait_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !is_ready(&self.address) {
            if let Some(status) = self.child.try_wait()? {
                bail!("heartline up exited with {status}: {}", self.log()?);
            }
            ensure!(begun.elapsed() < READY_LIMIT, "it is not ready after {READY_LIMIT:?}: {}", self.log()?);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits for the process to end by itself; its exit code.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<i32>> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            ensure!(begun.elapsed() < limit, "it still runs after {limit:?}: {}", self.log()?);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it said.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    /// Starts on an empty folder and waits until it is ready.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let spawned_ms = wall_ms();
        let mut now = Start::on(folder.path())?;
        now.wait_ready()?;
        let life = Life { spawned_ms, ready_ms: wall_ms(), ended_ms: i64::MAX };
        Ok(Self { folder: Some(folder), now, lives: vec![life], frozen: Vec::new() })
    }

    pub fn address(&self) -> &str {
        &self.now.address
    }

    pub fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), TempDir::path)
    }

    pub fn is_ready(&self) -> bool {
        is_ready(self.address())
    }

    pub fn lives(&self) -> &[Life] {
        &self.lives
    }

    pub fn frozen(&self) -> &[(i64, i64)] {
        &self.frozen
    }

    /// `kill -9`, and after a pause a start on the same folder and address.
    pub fn kill_and_start(&mut self, pause: Duration) -> Result<()> {
        self.now.child.kill()?;
        self.now.child.wait()?;
        if let Some(life) = self.lives.last_mut() {
            life.ended_ms = wall_ms();
        }
        thread::sleep(pause);
        self.start_again()
    }

    /// A start on the same folder and address, after the process has ended.
    pub fn start_again(&mut self) -> Result<()> {
        let spawned_ms = wall_ms();
        let address = self.now.address.clone();
        self.now = Start::at(self.folder(), &address)?;
        self.now.wait_ready()?;
        self.lives.push(Life { spawned_ms, ready_ms: wall_ms(), ended_ms: i64::MAX });
        Ok(())
    }

    pub fn freeze(&mut self, duration: Duration) -> Result<()> {
        let from_ms = wall_ms();
        self.signal(Signal::STOP)?;
        thread::sleep(duration);
        self.signal(Signal::CONT)?;
        self.frozen.push((from_ms, wall_ms()));
        Ok(())
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.now.child.id() as i32).context("a process id")?;
        kill_process(pid, signal).context("sending a signal")
    }

    pub fn wait(&mut self, limit: Duration) -> Result<Option<i32>> {
        self.now.wait(limit)
    }

    /// Leaves the folder behind for whoever looks into a failure, and says where it is.
    pub fn keep(&mut self) -> String {
        let kept = self.folder.take().map(TempDir::keep).unwrap_or_default();
        format!("log and data are in {}", kept.display())
    }
}

fn is_ready(address: &str) -> bool {
    get(address, "/readyz").is_ok_and(|answer| answer.contains("\"ready\":true"))
}

/// The body of the answer, whatever its status.
fn get(address: &str, path: &str) -> Result<String> {
    body(request(address, "GET", path, "", REQUEST_LIMIT)?)
}

pub fn post(address: &str, path: &str, content: &str) -> Result<String> {
    body(request(address, "POST", path, content, REQUEST_LIMIT)?)
}

/// A topic from its start: at least `count` records, and what comes until there is silence.
pub fn records(address: &str, topic: &str, count: usize) -> Result<Vec<Record>> {
    let path = format!("/v1/topics/{topic}/records?from=start");
    let stream = request(address, "GET", &path, "", Duration::from_secs(10))?;
    let mut reader = BufReader::new(stream);
    let mut records = Vec::new();
    let mut line = String::new();
    loop {
        if records.len() == count {
            reader.get_ref().set_read_timeout(Some(SILENCE))?;
        }
        line.clear();
        match reader.read_line(&mut line) {
            Ok(0) => bail!("the reading of {topic} ended after {} records", records.len()),
            Ok(_) => {
                if let Some(data) = line.strip_prefix("data: ") {
                    records.push(serde_json::from_str(data).with_context(|| line.clone())?);
                }
            }
            Err(_) if records.len() >= count => return Ok(records),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} of {count} records of {topic} came", records.len()));
            }
        }
    }
}

/// In HTTP 1.0, whose answers end with the connection and come in no chunks.
fn request(address: &str, method: &str, path: &str, content: &str, limit: Duration) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address.parse()?, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let length = content.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{content}"
    )?;
    Ok(stream)
}

fn body(mut stream: TcpStream) -> Result<String> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).context("an answer without a body")
}

pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}
