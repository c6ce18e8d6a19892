//! `heartline ingest`: JSON lines into the log, key and partition worked out.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

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
    fn refuse(&mut self, line: u64, reason: &str, detail: &str) {
        self.refused += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push((line, format!("{reason}: {}", output::printable(detail))));
        }
    }
}

/// Values that wait to be sent to a topic, each with its line's number.
type Values = Vec<(u64, Vec<u8>)>;

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
        let done = destination.take(input, &mut tally, &progress).await;
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
    /// Takes all lines, a portion at a time.
    async fn take(
        &self,
        mut input: Box<dyn AsyncBufRead + Unpin + Send>,
        tally: &mut Tally,
        progress: &ProgressBar,
    ) -> Result<(), CliError> {
        let unreadable = |error| CliError::usage(format!("the input cannot be read: {error}"));
        let (mut portion, mut bytes, mut number) = (BTreeMap::<Topic, Values>::new(), 0, 0);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
            let read = read.map_err(unreadable)?;
            if read == 0 {
                break;
            }
            progress.inc(read as u64);
            number += 1;
            if !line.ends_with(b"\n") && read as u64 == LINE_BYTES_MAX {
                progress.inc(skip_line(&mut input).await.map_err(unreadable)?);
                tally.refuse(number, "oversize", "the line is longer than any record may be");
                continue;
            }
            match value_of(&line) {
                Ok(None) => {}
                Ok(Some((topic, value))) => {
                    bytes += value.len() + 1;
                    portion.entry(topic).or_default().push((number, value));
                }
                Err(why) => tally.refuse(number, "malformed", &why),
            }
            if bytes >= PORTION_BYTES {
                self.send_all(std::mem::take(&mut portion), tally).await?;
                bytes = 0;
            }
        }
        self.send_all(portion, tally).await
    }

    /// Sends topic by topic: there is no order between topics, and the one within a topic is kept.
    async fn send_all(&self, portion: BTreeMap<Topic, Values>, tally: &mut Tally) -> Result<(), CliError> {
        for (topic, values) in portion {
            self.send(topic, &values, tally).await?;
        }
        Ok(())
    }

    async fn send(&self, topic: Topic, values: &Values, tally: &mut Tally) -> Result<(), CliError> {
        match self {
            Self::Server(client) => {
                let answer = post(client, topic, values).await?;
                tally.accepted += answer["accepted"].as_u64().unwrap_or_default();
                for refused in answer["refused"].as_array().into_iter().flatten() {
                    let index = refused["index"].as_u64().and_then(|index| usize::try_from(index).ok());
                    let line = index.and_then(|index| values.get(index)).map_or(0, |(line, _)| *line);
                    let text = |name: &str| refused[name].as_str().unwrap_or_default().to_owned();
                    tally.refuse(line, &text("reason"), &text("detail"));
                }
                Ok(())
            }
            Self::Log { topics, topology } => {
                let mut records: Vec<OutRecord> = Vec::new();
                let mut accepted = 0;
                for (line, value) in values {
                    match place(topology, topic, value) {
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

/// The topic and the value of a line; nothing for an empty one.
fn value_of(line: &[u8]) -> Result<Option<(Topic, Vec<u8>)>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let raw: RawLine<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match Topic::from_name(raw.topic) {
        // A record is sent as one line, and its line ends are white space.
        Some(topic) if OPEN_TOPICS.contains(&topic) => Ok(Some((topic, raw.value.get().as_bytes().to_vec()))),
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
async fn post(client: &Client, topic: Topic, values: &Values) -> Result<Value, CliError> {
    let lines: Vec<&[u8]> = values.iter().map(|(_, value)| value.as_slice()).collect();
    let body = bytes::Bytes::from(lines.join(&b'\n'));
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
