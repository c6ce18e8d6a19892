//! `heartline ingest`: JSON lines into the log, key and partition worked out.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

use super::{
    CliError, Global, connect, output,
    reach::{Reach, Reached},
};
use crate::{
    client::TopicClient,
    http::{
        BODY_BYTES_MAX,
        client::{Client, ClientError},
        ingest::{OPEN_TOPICS, place},
    },
    limits::SEND_BYTES_MAX,
    log::OutRecord,
    topology::{Topic, Topology},
};

/// Bytes of values that are sent at once, the last one beyond.
const PORTION_BYTES: usize = 512 * 1024;
/// Bytes of a line: the largest record, and what is around it.
const LINE_BYTES_MAX: u64 = SEND_BYTES_MAX as u64 + 4 * 1024;
const _: () = assert!(PORTION_BYTES + (LINE_BYTES_MAX as usize) < BODY_BYTES_MAX);
/// Refused lines that are listed; further ones are counted only.
const LISTED_MAX: usize = 20;
/// How long a log that is behind or away is waited for.
const RETRY_FOR: Duration = Duration::from_secs(30);
const RETRY_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "Each line: {\"topic\":\"heartbeats\",\"value\":{\"v\":1,\"type\":\"heartbeat\",\
                        \"user\":\"alice\",\"session\":\"s-1\",\"counter\":1}}\n\
                        The topics are heartbeats, sends and receipts.")]
pub struct Ingest {
    /// File with JSON lines; - for stdin
    #[arg(default_value = "-", value_name = "FILE")]
    file: PathBuf,
    /// The counts as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine<'a> {
    topic: &'a str,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    /// Each with its line's number: lines that cannot be read are found before those that are refused once
    /// sent.
    listed: Vec<(u64, String)>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        let room = LISTED_MAX - self.listed.len();
        self.listed.extend(other.listed.into_iter().take(room));
    }

    fn refuse(&mut self, line: u64, reason: &str, detail: &str) {
        self.refused += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push((line, format!("{reason}: {}", output::printable(detail))));
        }
    }
}

/// Values that wait to be sent to a topic, one a line, and the numbers of the lines that they come from.
#[derive(Debug, Default)]
struct Values {
    text: Vec<u8>,
    lines: Vec<u64>,
}

impl Values {
    fn push(&mut self, line: u64, value: &[u8]) {
        self.text.extend_from_slice(value);
        self.text.push(b'\n');
        self.lines.push(line);
    }
}

/// What is sent at once.
type Portion = BTreeMap<Topic, Values>;

/// Where the values go.
enum Destination {
    Server(Client),
    Log { topics: Arc<dyn TopicClient>, topology: Box<Topology> },
}

impl Ingest {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let (input, bytes) = self.open().await?;
        let destination = match self.reach.resolve(global)? {
            Reached::Server(client) => Destination::Server(client),
            Reached::Direct(config) => {
                Destination::Log { topics: connect::topics(&config)?, topology: Box::new(global.topology()?) }
            }
        };
        let progress = progress(bytes);
        let mut tally = Tally::default();
        let done = destination.take(Lines::new(input, &progress), &mut tally).await;
        progress.finish_and_clear();
        tally.listed.sort_by_key(|(line, _)| *line);
        for (line, why) in &tally.listed {
            eprintln!("line {line}: {why}");
        }
        let more = tally.refused.saturating_sub(tally.listed.len() as u64);
        if more > 0 {
            eprintln!("… and {more} more");
        }
        let (accepted, refused) = (tally.accepted, tally.refused);
        match self.json {
            true => output::line(&json!({"accepted": accepted, "refused": refused}).to_string())?,
            false => output::line(&format!("accepted {accepted}, refused {refused}"))?,
        }
        done?;
        match accepted {
            0 => Err(CliError::usage(
                "nothing was accepted; see `heartline ingest --help` for how a line looks",
            )),
            _ => Ok(()),
        }
    }

    async fn open(&self) -> Result<(Box<dyn AsyncBufRead + Unpin + Send>, Option<u64>), CliError> {
        if self.file.as_os_str() == "-" {
            return Ok((Box::new(BufReader::new(tokio::io::stdin())), None));
        }
        let unreadable = |error| CliError::usage(format!("{} cannot be read: {error}", self.file.display()));
        let file = tokio::fs::File::open(&self.file).await.map_err(unreadable)?;
        let bytes = file.metadata().await.map_err(unreadable)?.len();
        Ok((Box::new(BufReader::with_capacity(PORTION_BYTES, file)), Some(bytes)))
    }
}

impl Destination {
    /// Takes all lines, a portion at a time; the next one is read while one is sent.
    async fn take(&self, mut lines: Lines<'_>, tally: &mut Tally) -> Result<(), CliError> {
        let mut portion = lines.read(tally).await?;
        while !portion.is_empty() {
            let mut meanwhile = Tally::default();
            let (sent, next) = tokio::join!(self.send_all(portion, tally), lines.read(&mut meanwhile));
            tally.add(meanwhile);
            sent?;
            portion = next?;
        }
        Ok(())
    }

    /// Sends topic by topic: there is no order between topics, and the one within a topic is kept.
    async fn send_all(&self, portion: Portion, tally: &mut Tally) -> Result<(), CliError> {
        for (topic, values) in portion {
            self.send(topic, values, tally).await?;
        }
        Ok(())
    }

    async fn send(&self, topic: Topic, values: Values, tally: &mut Tally) -> Result<(), CliError> {
        match self {
            Self::Server(client) => {
                let Values { text, lines } = values;
                let answer = post(client, topic, text.into()).await?;
                tally.accepted += answer["accepted"].as_u64().unwrap_or_default();
                for refused in answer["refused"].as_array().into_iter().flatten() {
                    let index = refused["index"].as_u64().and_then(|index| usize::try_from(index).ok());
                    let line = index.and_then(|index| lines.get(index)).copied().unwrap_or_default();
                    let text = |name: &str| refused[name].as_str().unwrap_or_default().to_owned();
                    tally.refuse(line, &text("reason"), &text("detail"));
                }
                Ok(())
            }
            Self::Log { topics, topology } => {
                let mut records: Vec<OutRecord> = Vec::new();
                let mut accepted = 0;
                let text = Bytes::from(values.text);
                for (line, value) in values.lines.iter().zip(text.split(|byte| *byte == b'\n')) {
                    match place(topology, topic, &text.slice_ref(value)) {
                        Ok(placed) => {
                            accepted += u64::from(!placed.records.is_empty());
                            records.extend(placed.records);
                            for part in placed.refused {
                                let detail = format!("[{}]: {}", part.index, part.refusal.message);
                                tally.refuse(*line, part.refusal.reason.name(), &detail);
                            }
                        }
                        Err(refusal) => tally.refuse(*line, refusal.reason.name(), &refusal.message),
                    }
                }
                topics.append(records).await?;
                tally.accepted += accepted;
                Ok(())
            }
        }
    }
}

/// Lines that are read.
struct Lines<'a> {
    input: Box<dyn AsyncBufRead + Unpin + Send>,
    /// Of the last one, from 1.
    number: u64,
    progress: &'a ProgressBar,
}

impl<'a> Lines<'a> {
    fn new(input: Box<dyn AsyncBufRead + Unpin + Send>, progress: &'a ProgressBar) -> Self {
        Self { input, number: 0, progress }
    }

    /// Reads on for one portion; there is nothing in it only when all lines were read.
    async fn read(&mut self, tally: &mut Tally) -> Result<Portion, CliError> {
        let unreadable = |error| CliError::usage(format!("the input cannot be read: {error}"));
        let (mut portion, mut bytes, mut line) = (Portion::new(), 0, Vec::new());
        while bytes < PORTION_BYTES {
            line.clear();
            let read = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
            let read = read.map_err(unreadable)?;
            if read == 0 {
                break;
            }
            self.progress.inc(read as u64);
            self.number += 1;
            if !line.ends_with(b"\n") && read as u64 == LINE_BYTES_MAX {
                self.progress.inc(skip_line(&mut self.input).await.map_err(unreadable)?);
                tally.refuse(self.number, "oversize", "the line is longer than any record may be");
                continue;
            }
            match value_of(&line) {
                Ok(None) => {}
                Ok(Some((topic, value))) => {
                    bytes += value.len() + 1;
                    portion.entry(topic).or_default().push(self.number, value);
                }
                Err(why) => tally.refuse(self.number, "malformed", &why),
            }
        }
        Ok(portion)
    }
}

/// The topic and the value of a line; nothing for an empty one.
fn value_of(line: &[u8]) -> Result<Option<(Topic, &[u8])>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    // An array of the fields' values would be taken for them.
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Err("a line is an object with topic and value".to_owned());
    }
    let raw: RawLine<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match Topic::from_name(raw.topic) {
        // A record is sent as one line, and its line ends are white space.
        Some(topic) if OPEN_TOPICS.contains(&topic) => Ok(Some((topic, raw.value.get().as_bytes()))),
        _ => {
            let open = OPEN_TOPICS.map(Topic::name).join(", ");
            Err(format!("topic '{}' takes no records from outside; those that do are {open}", raw.topic))
        }
    }
}

async fn skip_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let available = input.fill_buf().await?;
        let (count, ended) = match available.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (available.len(), available.is_empty()),
        };
        input.consume(count);
        skipped += count as u64;
        if ended {
            return Ok(skipped);
        }
    }
}

/// Sends the values; a log that is behind or away is given some time. What arrives twice changes nothing.
async fn post(client: &Client, topic: Topic, body: Bytes) -> Result<Value, CliError> {
    let began = Instant::now();
    loop {
        match client.post(&format!("/v1/{topic}"), "application/x-ndjson", body.clone()).await {
            Err(ClientError::Refused { status: 429 | 503, .. }) if began.elapsed() < RETRY_FOR => {
                tokio::time::sleep(RETRY_EVERY).await;
            }
            done => return Ok(done?),
        }
    }
}

/// On a terminal only; indicatif hides itself elsewhere.
fn progress(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => {
            (ProgressBar::new(bytes), "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta_precise} left")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {elapsed_precise}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests;
