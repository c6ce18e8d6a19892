//! A server as a child process that cannot outlive the tests.

use std::{
    fs::{self, File, OpenOptions},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

const POLL_INTERVAL: Duration = Duration::from_millis(50);
const PAUSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Below the range that the kernel takes outgoing ports from: a port stays free while its server is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A program that can be started again and again. Each time a watchdog kills it when this process ends.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    running: Option<Running>,
    /// Removed when the last process that has its data there is dropped.
    run: RunDirectory,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Reads a pipe that only this process writes to; at its end, however that comes, it kills the child by
    /// its id.
    watchdog: Child,
}

impl Process {
    /// Starts the program; what it prints goes to the end of `log`.
    pub fn spawn(program: PathBuf, arguments: Vec<String>, log: PathBuf, run: RunDirectory) -> Result<Self> {
        let mut process = Self { program, arguments, log, running: None, run };
        process.start()?;
        Ok(process)
    }

    /// Where this process and others of the same test run have their data.
    pub fn run_directory(&self) -> RunDirectory {
        self.run.clone()
    }

    pub fn start(&mut self) -> Result<()> {
        if self.pid().is_some() {
            bail!("{} runs already", self.program.display());
        }
        let log = open_log(&self.log)?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the tests; the watchdog passes it on.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let child = KillOnDrop(Some(child));
        let watchdog = watch(child.id()?)?;
        self.running = child.into_inner().map(|child| Running { child, watchdog });
        Ok(())
    }

    /// `None` also after the program has ended by itself.
    pub fn pid(&mut self) -> Option<u32> {
        let running = self.running.as_mut()?;
        match running.child.try_wait() {
            Ok(None) => Some(running.child.id()),
            _ => {
                self.forget();
                None
            }
        }
    }

    pub fn check_runs(&mut self) -> Result<()> {
        match self.pid() {
            Some(_) => Ok(()),
            None => bail!("{} does not run; see {}", self.name(), self.log.display()),
        }
    }

    pub fn kill9(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait(Duration::from_secs(30))
    }

    pub fn stop(&mut self, timeout: Duration) -> Result<()> {
        // A paused process gets a signal only once it is resumed.
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)?;
        self.wait(timeout).or_else(|_| self.kill9())
    }

    /// Returns when all threads of the process stand still: a signal alone leaves those on other cores
    /// time enough to answer a request.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let pid = self.process_id()?;
        let deadline = Instant::now() + PAUSE_TIMEOUT;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(pid), stopped).context("cannot wait for a stop")?.is_none() {
            if Instant::now() > deadline {
                bail!("{} does not stop within {} s", self.name(), PAUSE_TIMEOUT.as_secs());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        self.check_runs()?;
        kill_process(self.process_id()?, signal)
            .with_context(|| format!("cannot send a signal to {}", self.name()))
    }

    fn process_id(&mut self) -> Result<Pid> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.with_context(|| format!("{} has just ended", self.name()))
    }

    fn wait(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while self.pid().is_some() {
            if Instant::now() > deadline {
                bail!("{} still runs after {} s", self.name(), timeout.as_secs());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.log.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Ends the watchdog before the id of its charge can be anybody else's.
    fn forget(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.watchdog.kill();
            let _ = running.watchdog.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.pid().is_some() {
            let _ = self.kill9();
        }
        self.forget();
    }
}

fn watch(pid: u32) -> Result<Child> {
    Command::new("sh")
        .args(["-c", "cat; kill -9 \"$0\"", &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot run the watchdog, sh")
}

/// A child without a watchdog yet.
struct KillOnDrop(Option<Child>);

impl KillOnDrop {
    fn id(&self) -> Result<u32> {
        self.0.as_ref().map(Child::id).context("no child")
    }

    fn into_inner(mut self) -> Option<Child> {
        self.0.take()
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a command to its end, within `timeout`; what it prints goes to `log`, which an error names.
pub fn run(command: &mut Command, log: &Path, timeout: Duration) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = open_log(log)?;
    let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn();
    let mut child = KillOnDrop(Some(child.with_context(|| format!("cannot run {program}"))?));
    let deadline = Instant::now() + timeout;
    loop {
        let status = child.0.as_mut().context("no child")?.try_wait()?;
        match status {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("{program} failed ({status}); see {}", log.display()),
            None if Instant::now() > deadline => {
                bail!("{program} took longer than {} s; see {}", timeout.as_secs(), log.display())
            }
            None => thread::sleep(POLL_INTERVAL),
        }
    }
}

fn open_log(path: &Path) -> Result<File> {
    let log = OpenOptions::new().create(true).append(true).open(path);
    log.with_context(|| format!("cannot write {}", path.display()))
}

/// Free ports of 127.0.0.1, all different, and different from those of all calls before: who got one of them
/// may not listen yet.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    static LOOKED_AT: AtomicU16 = AtomicU16::new(0);
    // Two test runs at the same time begin to look in different places.
    let count = PORTS.end - PORTS.start;
    let first = (process::id() % 1_000 * 11) as u16 % count;
    let steps = (0..count).map(|_| LOOKED_AT.fetch_add(1, Ordering::Relaxed) % count);
    let candidates = steps.map(|step| PORTS.start + (first + step) % count);
    let mut free = candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let mut ports = [0; N];
    for port in &mut ports {
        *port = free.next().context("no free port")?;
    }
    Ok(ports)
}

/// `target/servers/run-<pid>`, where the servers of one test run have their data.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    directory: Arc<Removed>,
}

#[derive(Debug)]
struct Removed(PathBuf);

impl RunDirectory {
    pub fn create(servers: &Path) -> Result<Self> {
        let path = servers.join(format!("run-{}", process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        remove_abandoned(servers);
        Ok(Self { directory: Arc::new(Removed(path)) })
    }

    /// An empty directory of this name.
    pub fn make(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.0.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A run that was killed leaves its data behind; the next one clears it away.
fn remove_abandoned(servers: &Path) {
    for entry in fs::read_dir(servers).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("run-")?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
