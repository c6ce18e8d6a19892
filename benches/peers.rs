//! What a team would use or build instead: see `peers/`, where each has its own folder and README.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    bare::Positions,
    echo, proc,
    product::{self, Group},
    real::deployment::until,
    redis::Redis,
};

/// Of the transitions that the Streams application publishes.
const STREAMS_OUTPUT: &str = "streams-presence";
const STREAMS_HEAP: &str = "-Xmx1g";
const ACTIVE_LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// Builds a peer; the folder where it is then.
fn build(name: &str) -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let output = target.parent().unwrap_or(target).join("peers").join(name);
    fs::create_dir_all(&output)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name).join("build");
    let built = Command::new(script).arg(&output).output().context("starting the build of the peer")?;
    if !built.status.success() {
        let said = [built.stderr, built.stdout].concat();
        let said = String::from_utf8_lossy(&said).replace('\n', " ");
        bail!("it could not be built: {}", said.trim().chars().take(300).collect::<String>());
    }
    Ok(output)
}

/// Ends with its owner, however that ends.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The Go package on a Redis of its own, with its sessions online.
pub struct Cihangir {
    program: PathBuf,
}

impl Cihangir {
    pub fn build() -> Result<Self> {
        ensure!(Redis::is_installed(), "there is no redis-server on the path");
        Ok(Self { program: build("cihangir")?.join("cihangir") })
    }

    /// Beats per core-second of the program and of Redis.
    pub fn beats(&self, sessions: u64, beats: u64) -> Result<f64> {
        let redis = Redis::start()?;
        let arguments = [redis.address(), sessions.to_string(), beats.to_string()];
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut peer = Peer(command.spawn().context("starting the peer")?);
        let mut said = BufReader::new(peer.0.stdout.take().context("its output")?);
        let stdin: ChildStdin = peer.0.stdin.take().context("its input")?;
        hear(&mut said, "online")?;
        let cpu = || anyhow::Ok(proc::cpu_s(peer.0.id())? + redis.cpu_s()?);
        let before = cpu()?;
        hear(&mut said, "done")?;
        let spent = cpu()? - before;
        writeln!(&stdin)?;
        Ok(beats as f64 / spent)
    }
}

fn hear(said: &mut BufReader<ChildStdout>, word: &str) -> Result<()> {
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.trim() == word, "the peer said '{}' instead of {word}", line.trim());
    Ok(())
}

/// The Streams application, which is stopped while nobody measures it.
pub struct Streams {
    peer: Peer,
    group: Group,
    broker: u32,
}

/// What it took to catch up.
pub struct StreamsRun {
    pub beats_per_core_s: f64,
    pub per_second: f64,
    pub rss_bytes: u64,
}

impl Streams {
    /// Starts it at the beginning of the topic; a first catching-up warms it up.
    pub fn start(kafka: &str, name: &str, folder: &Path, broker: u32, partitions: u32) -> Result<Self> {
        let built = build("kafka-streams")?;
        echo::make_topics(kafka, partitions, &[STREAMS_OUTPUT])?;
        let classes =
            format!("{}:{}", built.join("presence-streams.jar").display(), built.join("jars/*").display());
        let log = File::create(folder.join("streams.log"))?;
        let child = Command::new("java")
            .args([STREAMS_HEAP, "-cp", &classes, "peer.Main", kafka, name])
            .arg(folder.join("streams"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting java")?;
        let streams = Self { peer: Peer(child), group: Group::new(kafka, name, partitions)?, broker };
        until("the Streams application commits", ACTIVE_LIMIT, || {
            Ok(streams.group.committed()?.iter().any(|offset| *offset > 0).then_some(()))
        })?;
        streams.signal(Signal::STOP)?;
        Ok(streams)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.peer.0.id() as i32).context("a process id")?;
        kill_process(pid, signal).context("sending a signal")
    }

    /// Lets it go on until it has caught up, and stops it again.
    pub fn catch_up(&self, until: &Positions) -> Result<StreamsRun> {
        let pid = self.peer.0.id();
        let cpu = || anyhow::Ok(proc::cpu_s(pid)? + proc::cpu_s(self.broker)?);
        let followed = product::follow(&self.group, until, || self.signal(Signal::CONT), cpu)?;
        let spent = cpu()? - followed.cpu;
        let rss_bytes = proc::rss_bytes(pid)?;
        self.signal(Signal::STOP)?;
        let (beats_per_core_s, per_second) = (followed.records / spent, followed.records / followed.seconds);
        Ok(StreamsRun { beats_per_core_s, per_second, rss_bytes })
    }
}
