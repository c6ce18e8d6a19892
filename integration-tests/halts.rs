//! What halts partitions: the sentence that says so, the command it names, and that the others go on.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    producer::{FutureProducer, FutureRecord},
};
use rustix::process::Signal;
use scylla::client::session_builder::SessionBuilder;
use serde_json::Value as Json;
use tokio::runtime::Runtime;

use super::{
    bad_records::{beat, user},
    case::Case,
    deployment::{Deployment, END_LIMIT, get, request, until},
    servers::Servers,
};

const ANSWER: Duration = Duration::from_secs(30);
/// From the start of a worker until it has looked at every partition; a dead member's session may have to end
/// first.
const LOOKED_WITHIN: Duration = Duration::from_secs(60);
/// Twice fenced, with a restore in between.
const TWINS_WITHIN: Duration = Duration::from_secs(60);
const MOVED: u32 = 3;
const BEYOND: u32 = 5;
const GONE: u32 = 6;

pub fn cases() -> Vec<Case> {
    vec![
        Case::alone("partitions_whose_offsets_are_in_doubt_halt_and_the_others_go_on", offsets),
        Case::alone("a_table_that_is_dropped_halts_what_writes_to_it_and_says_so", dropped_table),
        Case::alone("of_two_workers_of_one_name_at_least_one_ends_and_says_so", twins),
    ]
}

/// Runs a statement in the keyspace.
pub fn cql(servers: &Servers, keyspace: &str, statement: &str) -> Result<()> {
    Runtime::new()?.block_on(async {
        let session = SessionBuilder::new().known_node(servers.cql.address()).build().await?;
        session.use_keyspace(keyspace, false).await?;
        session.query_unpaged(statement, ()).await?;
        Ok(())
    })
}

fn offsets(servers: &Servers) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "offsets", "")?;
    let first = deployment.start_worker()?;
    deployment.wait_ready(first)?;
    let users: Vec<String> = (0..8).map(|partition| user("early", partition, 0)).collect();
    let address = deployment.workers[first].address.clone();
    post(&address, &users)?;
    until("everybody is online", ANSWER, || Ok(online(&address, &users)?.then_some(())))?;
    deployment.workers[first].signal(Signal::TERM)?;
    deployment.workers[first].wait(END_LIMIT)?;

    let group = Group::of(&deployment)?;
    group.commit(MOVED, |offset| offset - 1, |_| String::new())?;
    group.commit(BEYOND, |offset| offset + 1_000, str::to_owned)?;
    group.lose_records(&deployment, GONE)?;

    let second = deployment.start_worker()?;
    let address = deployment.workers[second].address.clone();
    let told = until("three partitions are halted and five live", LOOKED_WITHIN, || {
        let phases = phases(&address)?;
        let of = |phase: &str| phases.iter().filter(|(_, found, _)| found == phase).count();
        Ok((of("halted") == 3 && of("live") == 5).then_some(phases))
    })?;
    for (partition, doubt) in [
        (MOVED, "was not committed by a worker: somebody moved it"),
        (BEYOND, "lies beyond the end of the topic, which holds"),
        (GONE, "is gone from the topic, which holds"),
    ] {
        let (_, _, sentence) = told.get(partition as usize).context("a partition")?;
        let command = format!("heartline adopt heartbeats {partition} --reason offsets");
        let says = sentence.starts_with(&format!("heartbeats/{partition} is halted: "));
        ensure!(says && sentence.contains(doubt) && sentence.contains(&format!("`{command}`")), "{sentence}");
        let ready = get(&address, "/readyz")?;
        ensure!(ready.contains(&json_text(sentence)) && ready.contains("\"ready\":false"), "{ready}");
        ensure!(ready.contains(&format!("\"part\":\"presence.partition.{partition}\"")), "{ready}");
        // What HTTP tells first is in the log a moment later.
        let logged = || deployment.log(second).matches(sentence.as_str()).count();
        until("a halt is logged", ANSWER, || Ok((logged() > 0).then_some(())))?;
    }
    ensure!(get(&address, "/livez")?.contains("\"live\":true"), "a halted partition is no reason to restart");
    let metrics = get(&address, "/metrics")?;
    let gauge = format!("heartline_partition_halted{{processor=\"presence\",partition=\"{MOVED}\"}} 1");
    ensure!(metrics.contains(&gauge), "{metrics}");

    let users: Vec<String> = (0..8).map(|partition| user("late", partition, 0)).collect();
    post(&address, &users)?;
    let (halted, others): (Vec<_>, Vec<_>) =
        users.into_iter().zip(0..).partition(|(_, partition)| [MOVED, BEYOND, GONE].contains(partition));
    let names = |users: Vec<(String, u32)>| users.into_iter().map(|(user, _)| user).collect::<Vec<_>>();
    let (halted, others) = (names(halted), names(others));
    until("the others are online", ANSWER, || Ok(online(&address, &others)?.then_some(())))?;
    for (_, _, sentence) in told.iter().filter(|(_, phase, _)| phase == "halted") {
        let logged = deployment.log(second).matches(sentence.as_str()).count();
        ensure!(logged == 1, "it was logged {logged} times: {sentence}");
    }
    let published = deployment.transitions()?;
    let has_come = |user: &String| published.iter().any(|transition| transition.user == user.as_str());
    ensure!(others.iter().all(has_come) && !halted.iter().any(has_come), "{published:?}");
    adopted(&deployment, &address, &halted)?;
    deployment.workers[second].signal(Signal::TERM)?;
    let code = deployment.workers[second].wait(END_LIMIT)?;
    ensure!(code == Some(0), "exit code {code:?}");
    Ok(())
}

/// The commands that the sentences name bring the halted partitions back, and nobody is announced twice.
fn adopted(deployment: &Deployment, address: &str, waiting: &[String]) -> Result<()> {
    for partition in [MOVED, BEYOND, GONE] {
        let partition = partition.to_string();
        deployment.succeed(&["adopt", "heartbeats", &partition, "--reason", "offsets", "--yes"])?;
    }
    until("all partitions are live again", LOOKED_WITHIN, || {
        Ok(phases(address)?.iter().all(|(_, phase, _)| phase == "live").then_some(()))
    })?;
    until("who waited is online", ANSWER, || Ok(online(address, waiting)?.then_some(())))?;
    let published = deployment.transitions()?;
    let mut users: Vec<&str> = published.iter().map(|transition| transition.user.as_str()).collect();
    users.sort_unstable();
    users.dedup();
    ensure!(users.len() == published.len() && users.len() == 16, "each came online once: {published:?}");
    Ok(())
}

/// A processor's consumer group, seen from outside.
struct Group {
    consumer: BaseConsumer,
}

impl Group {
    fn of(deployment: &Deployment) -> Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &deployment.kafka).set("group.id", &deployment.group);
        Ok(Self { consumer: config.create()? })
    }

    fn committed(&self, partition: u32) -> Result<(i64, String)> {
        let mut list = TopicPartitionList::new();
        list.add_partition("heartbeats", partition as i32);
        let list = self.consumer.committed_offsets(list, ANSWER)?;
        let found = list.find_partition("heartbeats", partition as i32).context("a partition")?;
        let Offset::Offset(offset) = found.offset() else { bail!("no offset: {found:?}") };
        Ok((offset, found.metadata().to_owned()))
    }

    /// Commits another offset than there is, as an operator's tool would.
    fn commit(
        &self,
        partition: u32,
        offset: impl FnOnce(i64) -> i64,
        metadata: impl FnOnce(&str) -> String,
    ) -> Result<()> {
        let (found, said) = self.committed(partition)?;
        let offset = offset(found);
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition("heartbeats", partition as i32);
        element.set_offset(Offset::Offset(offset))?;
        element.set_metadata(metadata(&said));
        until("the group takes a commit from outside", LOOKED_WITHIN, || {
            // Until the group is empty it takes commits of its members only.
            Ok(self.consumer.commit(&list, CommitMode::Sync).ok())
        })?;
        ensure!(self.committed(partition)?.0 == offset, "the offset was not taken");
        Ok(())
    }

    /// Appends records and deletes everything, as retention does under a long outage.
    fn lose_records(&self, deployment: &Deployment, partition: u32) -> Result<()> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &deployment.kafka);
        Runtime::new()?.block_on(async {
            let producer: FutureProducer = config.create()?;
            let value = beat(&user("lost", partition, 0), "");
            let record =
                FutureRecord::<str, str>::to("heartbeats").payload(&value).partition(partition as i32);
            producer.send(record, ANSWER).await.map_err(|(error, _)| error)?;
            let mut list = TopicPartitionList::new();
            list.add_partition_offset("heartbeats", partition as i32, Offset::End)?;
            let admin: AdminClient<DefaultClientContext> = config.create()?;
            let deleted = admin.delete_records(&list, &AdminOptions::new()).await?;
            deleted.elements().iter().try_for_each(|element| element.error())?;
            Ok(())
        })
    }
}

fn dropped_table(servers: &Servers) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "dropped_table", "")?;
    let worker = deployment.start_worker()?;
    deployment.wait_ready(worker)?;
    let address = deployment.workers[worker].address.clone();
    let there = user("there", 2, 0);
    post(&address, std::slice::from_ref(&there))?;
    until("a first row", ANSWER, || Ok(online(&address, std::slice::from_ref(&there))?.then_some(())))?;
    cql(servers, &deployment.keyspace, "DROP TABLE presence")?;
    post(&address, &[user("homeless", 2, 1)])?;
    let (partition, _, sentence) = until("the partition is halted", LOOKED_WITHIN, || {
        Ok(phases(&address)?.into_iter().find(|(_, phase, _)| phase == "halted"))
    })?;
    ensure!(partition == 2, "partition {partition} is halted: {sentence}");
    ensure!(sentence.starts_with("heartbeats/2 is halted: the store refuses for good: "), "{sentence}");
    ensure!(sentence.contains("presence") && sentence.contains("heartline schema check"), "{sentence}");
    let phases = phases(&address)?;
    ensure!(phases.iter().filter(|(_, phase, _)| phase == "live").count() == 7, "{phases:?}");
    ensure!(get(&address, "/readyz")?.contains(&json_text(&sentence)), "readiness does not say it");
    ensure!(get(&address, "/livez")?.contains("\"live\":true"), "restarting the worker is no cure");
    let check = deployment.command(&["schema", "check"])?;
    ensure!(check.status.code() == Some(78), "{check:?}");
    deployment.workers[worker].signal(Signal::TERM)?;
    let code = deployment.workers[worker].wait(END_LIMIT)?;
    ensure!(code == Some(0), "exit code {code:?}");
    Ok(())
}

fn twins(servers: &Servers) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "twins", "")?;
    let text = std::fs::read_to_string(&deployment.config)?;
    std::fs::write(&deployment.config, text.replacen("[kafka]\n", "[kafka]\ninstance = \"twin\"\n", 1))?;
    let first = deployment.start_worker()?;
    deployment.wait_ready(first)?;
    let second = deployment.start_worker()?;
    let ended = until("one of the twins has ended", TWINS_WITHIN, || {
        Ok([first, second].into_iter().find(|worker| !deployment.workers[*worker].is_running()))
    })?;
    says_that_it_has_a_twin(&mut deployment, ended)?;
    // The other one goes on alone, unless one of its processors was fenced twice meanwhile.
    let other = first + second - ended;
    match deployment.wait_ready(other) {
        Err(_) if !deployment.workers[other].is_running() => says_that_it_has_a_twin(&mut deployment, other),
        ready => ready,
    }
}

fn says_that_it_has_a_twin(deployment: &mut Deployment, worker: usize) -> Result<()> {
    let code = deployment.workers[worker].wait(Duration::from_secs(1))?;
    let log = deployment.log(worker);
    ensure!(code == Some(70), "exit code {code:?}: {log}");
    let last = log.lines().last().unwrap_or_default();
    let name = format!("another pod uses the name '{}.", deployment.keyspace);
    ensure!(last.contains(&name) && last.contains(".twin'") && last.contains("[kafka] instance"), "{log}");
    Ok(())
}

/// Partition of `heartbeats`, phase and why it is halted.
fn phases(address: &str) -> Result<Vec<(u32, String, String)>> {
    let answer = get(address, "/v1/partitions").unwrap_or_default();
    let answer: Json = serde_json::from_str(&answer).unwrap_or_default();
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let list = answer["partitions"].as_array().cloned().unwrap_or_default();
    let one = |status: &Json| {
        let partition = u32::try_from(status["partition"].as_u64().context("a partition")?)?;
        Ok((partition, text(&status["phase"]), text(&status["halted"])))
    };
    list.iter().filter(|status| status["processor"] == "presence").map(one).collect()
}

fn json_text(text: &str) -> String {
    Json::from(text).to_string()
}

fn post(address: &str, users: &[String]) -> Result<()> {
    let beats: Vec<String> = users.iter().map(|user| beat(user, "")).collect();
    let answer = request(address, "POST", "/v1/heartbeats", &beats.join("\n"))?;
    ensure!(answer == format!("{{\"accepted\":{},\"refused\":[]}}", users.len()), "{answer}");
    Ok(())
}

fn online(address: &str, users: &[String]) -> Result<bool> {
    let query: Vec<String> = users.iter().map(|user| format!("user={user}")).collect();
    let answer = get(address, &format!("/v1/presence?{}", query.join("&")))?;
    Ok(answer.matches("\"status\":\"online\"").count() == users.len())
}
