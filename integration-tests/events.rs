//! `/v1/events` to clients that come and go: with `Last-Event-ID`, none of them misses a transition or gets
//! one twice.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value as Json, json};

use super::{
    case::Case,
    deployment::{Deployment, get, request, until},
    servers::Servers,
};

const ANSWER: Duration = Duration::from_secs(30);
const SEEN_WITHIN: Duration = Duration::from_secs(120);
const USERS: usize = 12;
/// In each round every user comes and goes: two transitions.
const ROUNDS: usize = 20;
/// Rounds before the listener with a snapshot connects.
const EARLY: usize = 2;
const LAST: u64 = 2 * ROUNDS as u64;

pub fn cases() -> Vec<Case> {
    vec![Case::alone("a_listener_that_comes_and_goes_sees_every_transition_once", run)]
}

fn run(servers: &Servers) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "events", "")?;
    let worker = deployment.start_worker()?;
    deployment.wait_ready(worker)?;
    let address = deployment.workers[worker].address.clone();
    let users: Vec<String> = (0..USERS).map(|n| format!("user-{n}")).collect();

    let mut everybody = Listener::new(&address, json!({}));
    everybody.listen(0)?;
    come_and_go(&address, &users, 0..EARLY)?;
    let query = format!("/v1/presence?user={}", users.join("&user="));
    until("the first rounds are in the store", ANSWER, || {
        let version = format!("\"version\":{}", 2 * EARLY);
        Ok((get(&address, &query)?.matches(&version).count() == USERS).then_some(()))
    })?;
    let mut some = Listener::new(&address, json!({"users": users[..USERS / 2], "snapshot": true}));
    // The snapshot may take seconds: what follows must not be over before it is there.
    some.listen(0)?;
    thread::scope(|scope| {
        let producer = scope.spawn(|| come_and_go(&address, &users, EARLY..ROUNDS));
        let everybody = scope.spawn(|| everybody.listen_to_the_end(USERS));
        let some = scope.spawn(|| some.listen_to_the_end(USERS / 2));
        for thread in [producer, everybody, some] {
            thread.join().map_err(|_| anyhow!("a thread has panicked"))??;
        }
        anyhow::Ok(())
    })?;
    for (listener, first) in [(&everybody, 1), (&some, 2 * EARLY as u64)] {
        ensure!(listener.connections > 4, "{} connections show nothing", listener.connections);
        for (user, versions) in &listener.versions {
            // A snapshot may be newer than the state that was waited for, never older.
            let begin = if first == 1 { 1 } else { versions[0] };
            let due: Vec<u64> = (begin..=LAST).collect();
            ensure!(begin >= first && *versions == due, "{user} saw {versions:?}");
        }
    }
    ensure!(everybody.snapshots == 0 && some.snapshots == USERS / 2, "{} snapshots", some.snapshots);
    let refused = request(&address, "POST", "/v1/events", r#"{"snapshot":true}"#)?;
    let says_why = refused.contains("\"code\":\"no_users\"") && refused.contains("there is no list of all");
    ensure!(says_why, "{refused}");
    Ok(())
}

fn come_and_go(address: &str, users: &[String], rounds: Range<usize>) -> Result<()> {
    for round in rounds {
        for (kind, counter) in [("heartbeat", 2 * round + 1), ("goodbye", 2 * round + 2)] {
            let record = |user: &String| {
                json!({"v": 1, "type": kind, "user": user, "session": "s", "counter": counter}).to_string()
            };
            let lines: Vec<String> = users.iter().map(record).collect();
            let answer = request(address, "POST", "/v1/heartbeats", &lines.join("\n"))?;
            ensure!(answer.contains(&format!("\"accepted\":{USERS},")), "{answer}");
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// A client that keeps what it was told last, and goes away in the midst of everything.
struct Listener {
    address: String,
    body: String,
    last_id: Option<String>,
    versions: BTreeMap<String, Vec<u64>>,
    snapshots: usize,
    connections: usize,
}

impl Listener {
    fn new(address: &str, body: Json) -> Self {
        let (address, body) = (address.to_owned(), body.to_string());
        let versions = BTreeMap::new();
        Self { address, body, last_id: None, versions, snapshots: 0, connections: 0 }
    }

    fn listen_to_the_end(&mut self, users: usize) -> Result<()> {
        let begun = Instant::now();
        while self.versions.values().filter(|versions| versions.last() == Some(&LAST)).count() < users {
            ensure!(begun.elapsed() < SEEN_WITHIN, "not all was seen: {:?}", self.versions);
            self.listen(3 + self.connections * 7 % 31)?;
        }
        Ok(())
    }

    /// Connects where it was, takes this many transitions, or as many as come within a second, and goes away.
    /// What is told before the first id belongs together.
    fn listen(&mut self, mut transitions: usize) -> Result<()> {
        let mut stream = TcpStream::connect(&self.address)?;
        // Who has no id yet would lose its place by giving up.
        let patience = if self.last_id.is_some() { Duration::from_secs(1) } else { SEEN_WITHIN };
        stream.set_read_timeout(Some(patience))?;
        let resumed = self.last_id.as_ref().map_or_else(String::new, |id| format!("last-event-id: {id}\r\n"));
        // In this version the body is what comes until the connection ends.
        write!(
            stream,
            "POST /v1/events HTTP/1.0\r\n{resumed}content-length: {}\r\n\r\n{}",
            self.body.len(),
            self.body
        )?;
        self.connections += 1;
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().context("an answer")??;
        ensure!(status.contains(" 200 "), "{status}");
        while !lines.next().context("a head")??.is_empty() {}
        let (mut id, mut event, mut data) = (None, String::new(), String::new());
        while transitions > 0 || self.last_id.is_none() {
            // Silence: nothing more has happened yet.
            let Some(Ok(line)) = lines.next() else {
                ensure!(self.last_id.is_some(), "no event came within {SEEN_WITHIN:?}");
                return Ok(());
            };
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("event", value)) => value.clone_into(&mut event),
                Some(("data", value)) => data.push_str(value),
                _ if line.is_empty() => {
                    transitions = transitions.saturating_sub(usize::from(event == "transition"));
                    self.take(&std::mem::take(&mut event), &std::mem::take(&mut data))?;
                    self.last_id = id.take().or(self.last_id.take());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &str, data: &str) -> Result<()> {
        if event.is_empty() {
            return Ok(());
        }
        ensure!(["transition", "snapshot"].contains(&event), "{event}: {data}");
        self.snapshots += usize::from(event == "snapshot");
        let value: Json = serde_json::from_str(data)?;
        let user = value["user"].as_str().context("a user")?.to_owned();
        self.versions.entry(user).or_default().push(value["version"].as_u64().context("a version")?);
        Ok(())
    }
}
