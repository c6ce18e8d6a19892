//! `heartline up` taking a file of heartbeats, against a bare loop that appends them to fjall.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use crate::{
    load::{BEAT_EVERY_S, Changes, Load},
    real::deployment::{free_port, fresh, get},
    suite::Suite,
};

const BINARY: &str = env!("CARGO_BIN_EXE_heartline");
const SESSIONS: u64 = 20_000;
const BEATS: u64 = 600_000;
/// What `ingest` sends at once, and `up` syncs at once.
const PORTION_BYTES: usize = 512 * 1024;
const READY_LIMIT: Duration = Duration::from_secs(30);

pub fn run(suite: &Suite) -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(fresh("embedded")?);
    fs::create_dir_all(&folder)?;
    let file = folder.join("beats.jsonl");
    let beats = write_file(&file, suite.scaled(BEATS, 20_000))?;
    let mut rounds = Vec::new();
    for round in 0..suite.rounds() {
        let up = ingest(&file, &folder.join(format!("up-{round}")))?;
        let bare = append(&file, &folder.join(format!("fjall-{round}")))?;
        eprintln!("  round {round}: up {:.0}/s, fjall {:.0}/s", beats as f64 / up, beats as f64 / bare);
        rounds.push((beats as f64 / up, beats as f64 / bare));
    }
    fs::remove_dir_all(&folder)?;
    suite.record("embedded_vs_fjall", rounds)
}

fn write_file(path: &Path, beats: u64) -> Result<u64> {
    let load = Load::new(SESSIONS, 0);
    let mut file = BufWriter::new(File::create(path)?);
    let due = (0..).flat_map(|second| load.due(second).map(move |index| (second / BEAT_EVERY_S, index)));
    for (round, index) in due.take(beats as usize) {
        let value = load.beat(index, round, Changes::OnePercent);
        writeln!(file, r#"{{"topic":"heartbeats","value":{value}}}"#)?;
    }
    file.flush()?;
    Ok(beats)
}

/// Ends with the test, however that ends.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Seconds from the start of `ingest` until all is accepted, which is durable.
fn ingest(file: &Path, data: &Path) -> Result<f64> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let up = Command::new(BINARY)
        .args(["up", "--listen", &address, "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let _up = Up(up);
    let begun = Instant::now();
    while !get(&address, "/readyz").is_ok_and(|answer| answer.contains("\"ready\":true")) {
        ensure!(begun.elapsed() < READY_LIMIT, "`up` is not ready within {READY_LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    let url = format!("http://{address}");
    let output = Command::new(BINARY).arg("ingest").arg(file).args(["--url", &url, "--json"]).output()?;
    let seconds = begun.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("\"refused\":0"), "{said}");
    Ok(seconds)
}

/// Seconds to read the lines and append their values, one synced batch for what `ingest` sends at once.
fn append(file: &Path, data: &Path) -> Result<f64> {
    let begun = Instant::now();
    let database = Database::builder(data).open()?;
    let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
    let mut batch = database.batch().durability(Some(PersistMode::SyncData));
    let (mut bytes, mut offset) = (0, 0_u64);
    for line in BufReader::with_capacity(PORTION_BYTES, File::open(file)?).lines() {
        let line = line?;
        let value = line.split_once(r#""value":"#).context("a value")?.1;
        let value = &value[..value.len() - 1];
        batch.insert(&records, offset.to_be_bytes(), value.as_bytes());
        offset += 1;
        bytes += value.len() + 1;
        if bytes >= PORTION_BYTES {
            batch.commit()?;
            batch = database.batch().durability(Some(PersistMode::SyncData));
            bytes = 0;
        }
    }
    batch.commit()?;
    Ok(begun.elapsed().as_secs_f64())
}
