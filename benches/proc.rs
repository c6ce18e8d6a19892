//! What processes have used, from `/proc`.

use std::{
    fs,
    path::Path,
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// What Linux counts core time in towards programs, on every architecture.
const TICKS_PER_S: f64 = 100.0;
/// A process that takes less of a core than this for a second has nothing to do.
const IDLE_CORES: f64 = 0.15;
const IDLE_FOR: Duration = Duration::from_secs(1);

/// Core time of a process so far, its ended threads included, in seconds.
pub fn cpu_s(pid: u32) -> Result<f64> {
    core_time_s(Path::new(&format!("/proc/{pid}/stat")))
}

/// Core time of what a stat file is about, a process or a thread, in seconds.
pub fn core_time_s(stat: &Path) -> Result<f64> {
    let stat = fs::read_to_string(stat).with_context(|| stat.display().to_string())?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(") ").context("a stat line")?.1.split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("user and system time of a stat line")?;
    Ok((user + system) as f64 / TICKS_PER_S)
}

/// Waits until a process has nothing left to do, like the flushes and compactions of a database after rows
/// were written. What is measured next does not pay for them then. An error if it takes longer than `limit`.
pub fn wait_idle(pid: u32, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        let before = cpu_s(pid)?;
        thread::sleep(IDLE_FOR);
        if cpu_s(pid)? - before < IDLE_CORES * IDLE_FOR.as_secs_f64() {
            return Ok(());
        }
        ensure!(begun.elapsed() < limit, "process {pid} is still busy after {limit:?}");
    }
}

/// Of this process: where a bare client runs.
pub fn own_cpu_s() -> Result<f64> {
    cpu_s(process::id())
}

/// Bytes of a process in memory.
pub fn rss_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS of a process")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}

/// The load averages of 1, 5 and 15 minutes.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The processor's name and how many there are.
pub fn processors() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("model name\t: ")).collect();
    format!("{} x {}", names.len(), names.first().unwrap_or(&"unknown processor"))
}
