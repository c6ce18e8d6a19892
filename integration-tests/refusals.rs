//! What a worker and the commands refuse to begin with, each with a sentence that says what to do, and the
//! exit code that says so to a program.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use heartline::topology::{Topic, Topology};

use super::{
    case::Case,
    deployment::{Deployment, free_port},
    servers::Servers,
};

/// How long a command may take to find a server away.
const AWAY_WITHIN: Duration = Duration::from_secs(20);
/// A worker waits longer for a database, which may be started together with it.
const WORKER_AWAY_WITHIN: Duration = Duration::from_secs(45);

pub fn cases() -> Vec<Case> {
    let plain = |name, run: fn() -> Result<()>| {
        Case::plain(name, move || run().map_err(|error| format!("{error:#}").into()))
    };
    vec![
        plain("a_wrong_configuration_is_refused_with_the_place_and_what_is_due", configurations),
        plain("a_broker_that_is_away_is_named_within_seconds", broker_away),
        Case::alone("topics_and_tables_are_planned_applied_and_checked", planned),
        Case::alone("a_worker_refuses_topics_of_another_shape", other_shape),
        Case::alone("a_worker_refuses_tables_of_another_shape_and_a_database_that_is_away", other_tables),
    ]
}

/// Runs the binary with a configuration of its own.
fn run_with(name: &str, config: &str, arguments: &[&str]) -> Result<Output> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("refusals-{name}"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("heartline.toml"), config)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_heartline"));
    command.args(arguments).args(["--config", "heartline.toml"]).current_dir(folder);
    command.output().context("running the product's binary")
}

/// Exit code and, on stderr, exactly these lines in this order; a `…` at a line's end stands for anything.
fn refused(output: &Output, code: i32, lines: &[&str]) -> Result<()> {
    let error = String::from_utf8_lossy(&output.stderr);
    let found: Vec<&str> = error.lines().collect();
    let fits = |(found, due): (&&str, &&str)| match due.strip_suffix('…') {
        Some(start) => found.starts_with(start),
        None => found == due,
    };
    let as_due = found.len() == lines.len() && found.iter().zip(lines).all(fits);
    ensure!(as_due && output.status.code() == Some(code), "{}: {error}", output.status);
    Ok(())
}

fn configurations() -> Result<()> {
    for (name, config, sentence) in [
        (
            "unknown_key",
            "[kafka]\nbrokrs = [\"127.0.0.1:1\"]",
            "heartline: heartline.toml:2: there is no key 'kafka.brokrs'; did you mean 'kafka.brokers'?",
        ),
        (
            "duration",
            "[presence]\nlease = \"90 parsecs\"",
            "heartline: heartline.toml:2: presence.lease: '90 parsecs' is no duration…",
        ),
        (
            "timeouts",
            "[kafka]\nsession_timeout = \"8s\"\ntransaction_timeout = \"8s\"",
            "heartline: heartline.toml:3: kafka.transaction_timeout: 8000 ms must be below \
             kafka.session_timeout (8000 ms)…",
        ),
        (
            "open_to_all",
            "[http]\nlisten = \"0.0.0.0:7700\"",
            "heartline: heartline.toml:2: http.listen: 0.0.0.0:7700 can be reached from other machines; \
             set http.token_file…",
        ),
        (
            "promise",
            "[kafka.librdkafka]\n\"enable.idempotence\" = \"false\"",
            "heartline: heartline.toml:2: kafka.librdkafka.enable.idempotence: cannot be set: …",
        ),
        ("syntax", "[kafka\n", "heartline: heartline.toml:1: …"),
    ] {
        for command in [&["run"][..], &["check"][..]] {
            let output = run_with(name, config, command)?;
            let told = match command[0] {
                "run" => refused(&output, 64, &[sentence]),
                _ => failing(&output, 64, &[sentence.replace("heartline: ", "FAIL  configuration: ")]),
            };
            told.with_context(|| format!("{command:?} with {name}"))?;
        }
    }
    let output = run_with("no_topology", "", &["run", "--topology", "elsewhere.toml"])?;
    refused(&output, 64, &["heartline: elsewhere.toml: cannot be read: …"])
}

/// The failing items of `check`, each on its own line.
fn failing(output: &Output, code: i32, lines: &[String]) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<&str> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
    let fits = |(found, due): (&&str, &String)| match due.strip_suffix('…') {
        Some(start) => found.starts_with(start),
        None => found == due,
    };
    let as_due = found.len() == lines.len() && found.iter().zip(lines).all(fits);
    ensure!(as_due && output.status.code() == Some(code), "{}: {text}", output.status);
    Ok(())
}

fn broker_away() -> Result<()> {
    let broker = format!("127.0.0.1:{}", free_port()?);
    let database = format!("127.0.0.1:{}", free_port()?);
    let config = format!("[kafka]\nbrokers = [\"{broker}\"]\n[store]\nnodes = [\"{database}\"]");
    let kafka_away = format!("cannot reach Kafka at {broker}: ");
    let listen = format!("127.0.0.1:{}", free_port()?);
    for arguments in [&["run", "--listen", &listen][..], &["topics", "check"], &["topics", "apply"]] {
        let begun = Instant::now();
        let output = run_with("away", &config, arguments)?;
        let error = String::from_utf8_lossy(&output.stderr);
        let last = error.lines().last().unwrap_or_default();
        let told = last.contains(&kafka_away) && last.ends_with("; check [kafka] brokers");
        ensure!(told && output.status.code() == Some(69), "{arguments:?}: {}: {error}", output.status);
        ensure!(begun.elapsed() < AWAY_WITHIN, "{arguments:?} took {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    let output = run_with("away", &config, &["schema", "check"])?;
    let sentence = format!("heartline: cannot reach the database at {database}: …");
    refused(&output, 69, &[&sentence])?;
    ensure!(begun.elapsed() < AWAY_WITHIN, "schema check took {:?}", begun.elapsed());
    let begun = Instant::now();
    let output = run_with("away", &config, &["check", "--live"])?;
    let items = [
        format!("FAIL  topics: comparing the topics: {kafka_away}…"),
        format!("FAIL  tables: cannot reach the database at {database}: …"),
    ];
    failing(&output, 69, &items)?;
    ensure!(begun.elapsed() < AWAY_WITHIN, "check --live took {:?}", begun.elapsed());
    Ok(())
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn planned(servers: &Servers) -> Result<()> {
    let deployment = Deployment::bare(servers, "planned", "")?;
    let keyspace = &deployment.keyspace;
    let topics: Vec<Topic> = Topology::shipped().topics().map(|(topic, _)| topic).collect();
    let missing =
        |topic: &Topic| format!("apply    topic '{topic}' does not exist; `heartline topics apply` makes it");
    let plan = deployment.succeed(&["topics", "plan"])?;
    ensure!(plan.lines().count() == topics.len(), "{plan}");
    ensure!(topics.iter().all(|topic| plan.contains(&missing(topic))), "{plan}");
    let check = deployment.command(&["topics", "check"])?;
    ensure!(check.status.code() == Some(78) && out(&check) == plan, "{check:?}");

    let run = deployment.command(&["run", "--listen", "127.0.0.1:0"])?;
    let lines =
        topics.iter().map(|topic| format!("topic '{topic}' does not exist; `heartline topics apply` makes…"));
    let lines: Vec<String> = lines.collect();
    let mut due = vec!["heartline: the topics are not as they must be"];
    due.extend(lines.iter().map(String::as_str));
    refused(&run, 78, &due)?;
    let live = deployment.command(&["check", "--live"])?;
    let mut items: Vec<String> = lines.iter().map(|line| format!("FAIL  topics: {line}")).collect();
    let no_keyspace = "it does not exist; run heartline schema apply";
    items.push(format!("FAIL  tables: keyspace {keyspace} does not match this program: {no_keyspace}"));
    failing(&live, 78, &items)?;

    let applied = deployment.succeed(&["topics", "apply"])?;
    ensure!(applied.lines().count() == topics.len(), "{applied}");
    let done = |topic: &Topic| format!("done     made topic '{topic}' with ");
    ensure!(topics.iter().all(|topic| applied.contains(&done(topic))), "{applied}");
    for verb in ["apply", "plan", "check"] {
        let again = deployment.succeed(&["topics", verb])?;
        ensure!(again == "the topics are as the topology says\n", "topics {verb}: {again}");
    }
    let json = deployment.succeed(&["topics", "check", "--json"])?;
    ensure!(json == "{\"differences\":[]}\n", "{json}");

    let run = deployment.command(&["run", "--listen", "127.0.0.1:0"])?;
    refused(
        &run,
        78,
        &[&format!("heartline: keyspace {keyspace} does not match this program: {no_keyspace}")],
    )?;
    let plan = deployment.succeed(&["schema", "plan"])?;
    ensure!(plan.contains(&format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} ")), "{plan}");
    ensure!(plan.contains("CREATE TABLE"), "{plan}");
    let check = deployment.command(&["schema", "check"])?;
    refused(
        &check,
        78,
        &[&format!("heartline: keyspace {keyspace} does not match this program: {no_keyspace}")],
    )?;
    let applied = deployment.succeed(&["schema", "apply"])?;
    ensure!(applied.contains(&format!("created keyspace {keyspace}\n")), "{applied}");
    let again = deployment.succeed(&["schema", "apply"])?;
    ensure!(again == format!("keyspace {keyspace}: nothing was missing\n"), "{again}");
    let plan = deployment.succeed(&["schema", "plan"])?;
    ensure!(plan == format!("-- keyspace {keyspace}: nothing is missing\n"), "{plan}");
    deployment.succeed(&["schema", "check"])?;
    let live = deployment.succeed(&["check", "--live"])?;
    ensure!(live.lines().count() == 6 && live.lines().all(|line| line.starts_with("ok    ")), "{live}");
    Ok(())
}

fn other_shape(servers: &Servers) -> Result<()> {
    let deployment = Deployment::bare(servers, "other_shape", "")?;
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/topology.toml"))?;
    // As an older version, or a person, might have made them.
    let presence = shipped.find("[topics.presence]").context("the topic")?;
    let (before, after) = shipped.split_at(presence);
    let after = after.replacen("\"7d\"", "\"1d\"", 1);
    let former = format!("{}{after}", before.replacen("partitions = 8", "partitions = 4", 1));
    let file = deployment.folder.join("former.toml");
    fs::write(&file, former)?;
    let former = file.to_str().context("a path")?;
    deployment.succeed(&["topics", "apply", "--topology", former])?;
    deployment.succeed(&["schema", "apply"])?;
    let count = "topic 'heartbeats' has 4 partitions, the topology says 8; it is never changed here, …";
    let retention = "topic 'presence': retention.ms is 86400000, the topology says 604800000; \
                     `heartline topics apply` sets it";
    let run = deployment.command(&["run", "--listen", "127.0.0.1:0"])?;
    refused(&run, 78, &["heartline: the topics are not as they must be", count, retention])?;
    let items = [count, retention].map(|line| format!("FAIL  topics: {line}"));
    failing(&deployment.command(&["check", "--live"])?, 78, &items)?;
    // What can be applied is; what cannot is said, and nothing is shrunk or deleted.
    let apply = deployment.command(&["topics", "apply"])?;
    ensure!(
        apply.status.code() == Some(78) && out(&apply).contains("by hand  topic 'heartbeats'"),
        "{apply:?}"
    );
    let check = deployment.command(&["topics", "check"])?;
    ensure!(check.status.code() == Some(78) && out(&check).lines().count() == 1, "{check:?}");
    let set = "done     topic 'presence': set retention.ms to 604800000, it was 86400000";
    ensure!(out(&apply).lines().any(|line| line == set), "{apply:?}");
    failing(&deployment.command(&["check", "--live"])?, 78, &items[..1])?;
    let follows = deployment.command(&["topics", "check", "--topology", former])?;
    ensure!(out(&follows).lines().all(|line| line.contains("retention.ms")), "{follows:?}");
    Ok(())
}

fn other_tables(servers: &Servers) -> Result<()> {
    let deployment = Deployment::prepare(servers, "other_tables", "")?;
    let keyspace = &deployment.keyspace;
    super::halts::cql(servers, keyspace, "DROP TABLE presence")?;
    let sentence = format!(
        "heartline: keyspace {keyspace} does not match this program: table presence is missing; restore it"
    );
    refused(&deployment.command(&["run", "--listen", "127.0.0.1:0"])?, 78, &[&sentence])?;
    refused(&deployment.command(&["schema", "check"])?, 78, &[&sentence])?;
    let database = format!("127.0.0.1:{}", free_port()?);
    let begun = Instant::now();
    let away = format!("store.nodes={database}");
    let run = deployment.command(&["run", "--listen", "127.0.0.1:0", "--set", &away])?;
    refused(&run, 69, &[&format!("heartline: cannot reach the database at {database}: …")])?;
    ensure!(begun.elapsed() < WORKER_AWAY_WITHIN, "it took {:?}", begun.elapsed());
    Ok(())
}
