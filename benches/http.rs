//! GETs over one connection that stays open, as a gateway would have it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);
const HEAD_LIMIT: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Http {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Http {
    pub fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { stream: BufReader::new(stream), address: address.to_owned() })
    }

    /// The body of an answer that must be 200.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut head, mut length) = (String::new(), None);
        loop {
            let begin = head.len();
            ensure!(self.stream.read_line(&mut head)? > 0, "{path}: the connection ended");
            let line = head[begin..].trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse::<usize>()?);
            }
        }
        let mut body = vec![0; length.with_context(|| format!("{path}: no length in {head}"))?];
        self.stream.read_exact(&mut body)?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}{}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    pub fn json(&mut self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.get(path)?)?)
    }

    /// Waits until the head of an inbox is at a number. A worker with much to write may say meanwhile that it
    /// is too busy to read.
    pub fn wait_for_head(&mut self, member: &str, seq: u64) -> Result<()> {
        let path = format!("/v1/sync/{member}?after={}&count=1", seq - 1);
        let begun = Instant::now();
        loop {
            let page = self.json(&path);
            if page.as_ref().is_ok_and(|page| page["latest_seq"].as_u64() >= Some(seq)) {
                return Ok(());
            }
            ensure!(begun.elapsed() < HEAD_LIMIT, "{member} is not at {seq}: {page:?}");
            thread::sleep(LOOK_EVERY);
        }
    }
}
