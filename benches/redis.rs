//! Redis as a presence store: a heartbeat is an `EXPIRE` of the session's key, sixteen in a pipeline.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{proc, real::deployment::free_port};

const PROGRAM: &str = "redis-server";
const PIPELINE: u64 = 16;
const LEASE_S: u32 = 90;

/// A server of its own: in memory alone, which is the best it can do.
pub struct Redis {
    port: u16,
    child: Child,
    stream: TcpStream,
}

impl Redis {
    pub fn is_installed() -> bool {
        let version = Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    }

    pub fn start() -> Result<Self> {
        let port = free_port()?;
        let child = Command::new(PROGRAM)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("starting redis-server")?;
        for _ in 0..100 {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream.set_nodelay(true)?;
                return Ok(Self { port, child, stream });
            }
            thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("redis-server does not answer on port {port}")
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn cpu_s(&self) -> Result<f64> {
        proc::cpu_s(self.child.id())
    }

    /// Beats per core-second, client included, after every session was there once.
    pub fn expire(mut self, sessions: u64, beats: u64) -> Result<f64> {
        self.pipelined(sessions, |text, index| {
            command(text, &["SET", &key(index), "1", "EX", &LEASE_S.to_string()]);
        })?;
        let before = proc::own_cpu_s()? + self.cpu_s()?;
        let lease = LEASE_S.to_string();
        let mut stream = self.stream.try_clone()?;
        pipelined(&mut stream, beats, |text, number| {
            // A stride, so that neighbours do not follow each other.
            command(text, &["EXPIRE", &key(number.wrapping_mul(7_919) % sessions), &lease]);
        })?;
        Ok(beats as f64 / (proc::own_cpu_s()? + self.cpu_s()? - before))
    }

    fn pipelined(&mut self, count: u64, write: impl FnMut(&mut Vec<u8>, u64)) -> Result<()> {
        pipelined(&mut self.stream, count, write)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn key(index: u64) -> String {
    format!("u{index:015}/s{index:015}")
}

fn command(text: &mut Vec<u8>, parts: &[&str]) {
    // Writing to a Vec cannot fail.
    let _ = write!(text, "*{}\r\n", parts.len());
    for part in parts {
        let _ = write!(text, "${}\r\n{part}\r\n", part.len());
    }
}

/// Sends commands in pipelines; every answer is one line.
fn pipelined(stream: &mut TcpStream, count: u64, mut write: impl FnMut(&mut Vec<u8>, u64)) -> Result<()> {
    let (mut text, mut answers) = (Vec::new(), [0; 4_096]);
    for first in (0..count).step_by(PIPELINE as usize) {
        let last = (first + PIPELINE).min(count);
        text.clear();
        (first..last).for_each(|number| write(&mut text, number));
        stream.write_all(&text)?;
        let mut lines = 0;
        while lines < last - first {
            let read = stream.read(&mut answers)?;
            ensure!(read > 0 && answers[0] != b'-', "redis: {}", String::from_utf8_lossy(&answers[..read]));
            lines += answers[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
    }
    Ok(())
}
