//! What people and programs do with a running deployment: `ingest`, `presence` and `tail` straight on the
//! servers.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value as Json;

use super::{
    case::Case,
    deployment::{Deployment, until},
    servers::Servers,
};

const ANSWER: Duration = Duration::from_secs(60);

pub fn cases() -> Vec<Case> {
    vec![Case::alone("ingest_presence_and_tail_work_straight_on_the_servers", commands)]
}

fn line(value: &str) -> String {
    format!("{{\"topic\":\"heartbeats\",\"value\":{value}}}\n")
}

fn beat(user: &str, counter: usize) -> String {
    format!(
        r#"{{"v":1,"type":"heartbeat","user":"{user}","session":"s-1","counter":{counter},"device":"ios"}}"#
    )
}

fn goodbye(user: &str, counter: usize) -> String {
    format!(r#"{{"v":1,"type":"goodbye","user":"{user}","session":"s-1","counter":{counter}}}"#)
}

fn commands(servers: &Servers) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "commands", "")?;
    let worker = deployment.start_worker()?;
    deployment.wait_ready(worker)?;
    let address = deployment.workers[worker].address.clone();

    let file = deployment.folder.join("in.jsonl");
    let text = [line(&beat("ann", 1)), "\n".to_owned(), line(&beat("bob", 1)), line(&beat("b/ad", 1))]
        .concat()
        + "nonsense\n"
        + &line(r#"{"v":1,"type":"beacon","group":"g","incarnation":"i","elapsed_ms":1,"parameters":{}}"#);
    fs::write(&file, &text)?;
    let path = file.to_str().context("a path")?;
    let ingested = deployment.command(&["ingest", path])?;
    ensure!(ingested.status.success() && ingested.stdout == b"accepted 2, refused 3\n", "{ingested:?}");
    let refused = String::from_utf8_lossy(&ingested.stderr).into_owned();
    let lines: Vec<&str> = refused.lines().collect();
    let starts = ["line 4: invalid: `user`: ", "line 5: malformed: ", "line 6: "];
    let as_due = lines.iter().zip(starts).all(|(line, start)| line.starts_with(start));
    ensure!(lines.len() == 3 && as_due, "{refused}");
    let piped = piped(&deployment, &["ingest", "-", "--json"], &line(&beat("cat", 1)))?;
    ensure!(piped == "{\"accepted\":1,\"refused\":0}\n", "{piped}");
    let over_http = ["ingest", path, "--json", "--url", &format!("http://{address}")];
    let over_http = deployment.succeed(&over_http)?;
    ensure!(over_http == "{\"accepted\":2,\"refused\":3}\n", "{over_http}");
    fs::write(&file, "nonsense\n")?;
    let nothing = deployment.command(&["ingest", path])?;
    ensure!(nothing.status.code() == Some(2) && nothing.stdout == b"accepted 0, refused 1\n", "{nothing:?}");

    until("all three are online", ANSWER, || {
        let answer = deployment.succeed(&["presence", "ann", "bob", "cat", "--json"])?;
        Ok((answer.matches("\"status\":\"online\"").count() == 3).then_some(()))
    })?;
    let answer = deployment.succeed(&["presence", "bob", "nobody", "a/b", "--sessions", "--json"])?;
    let answer: Json = serde_json::from_str(&answer)?;
    let users = &answer["users"];
    ensure!((&users[0]["user"], &users[0]["version"]) == (&"bob".into(), &1.into()), "{answer}");
    let session = &users[0]["sessions"][0];
    ensure!((&session["session"], &session["device"]) == (&"s-1".into(), &"ios".into()), "{answer}");
    ensure!((&users[1]["user"], &users[1]["status"]) == (&"nobody".into(), &"unknown".into()), "{answer}");
    ensure!(users[2]["error"]["code"] == "invalid_id", "{answer}");
    let table = deployment.succeed(&["presence", "bob", "nobody"])?;
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    ensure!(words[0][..2] == ["USER", "STATUS"] && words[1][..2] == ["bob", "online"], "{table}");
    ensure!(words[2] == ["nobody", "unknown"], "{table}");
    tails(&deployment)
}

fn tails(deployment: &Deployment) -> Result<()> {
    let mut tail = Tail::start(deployment, &["presence", "--from", "start"])?;
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..3 {
        let record = tail.next()?;
        ensure!(record["value"]["type"] == "transition" && record["value"]["version"] == 1, "{record}");
        ensure!(record["key"] == record["value"]["user"] && record["offset"].is_i64(), "{record}");
        seen.push(record["key"].as_str().unwrap_or_default().to_owned());
    }
    seen.sort();
    ensure!(seen == ["ann", "bob", "cat"], "{seen:?}");
    piped(deployment, &["ingest", "-"], &line(&goodbye("cat", 2)))?;
    let record = tail.next()?;
    ensure!((&record["key"], &record["value"]["to"]) == (&"cat".into(), &"offline".into()), "{record}");
    let mut tail = Tail::start(deployment, &["sessions", "--from", "start", "--user", "cat"])?;
    ensure!(tail.next()?["value"]["event"] == "join", "a join is due");
    let end = tail.next()?;
    ensure!(end["value"].is_null() && end["headers"]["heartline.event"] == "leave", "{end}");
    Ok(())
}

/// Runs a command with `input` on its stdin; what it printed.
fn piped(deployment: &Deployment, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = command(deployment, arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{arguments:?} exited with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn command(deployment: &Deployment, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heartline"));
    command.args(arguments).arg("--config").arg(&deployment.config).current_dir(&deployment.folder);
    command
}

/// A running `heartline tail`, and the lines that it prints.
struct Tail {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Tail {
    fn start(deployment: &Deployment, arguments: &[&str]) -> Result<Self> {
        let arguments = [&["tail"], arguments].concat();
        let mut child = command(deployment, &arguments).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().context("stdout")?);
        let (sender, lines) = mpsc::channel();
        // Ends with the child's stdout, or when nobody listens.
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, lines })
    }

    fn next(&mut self) -> Result<Json> {
        let line = self.lines.recv_timeout(ANSWER).context("no line of the tail")?;
        serde_json::from_str(&line).with_context(|| line.clone())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
