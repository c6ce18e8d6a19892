//! Records that a producer should not have written, straight into the topic: each is answered by one dead
//! letter or one forward, and the partition goes on.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use heartline::{
    client::{StoreClient as _, TailFrom, TailRecord, TopicClient as _},
    cql::{self, CqlClient, CqlConfig},
    id::bucket_of,
    kafka::{KafkaTopics, config::Connection},
    log::Header,
    store::{Query, Select},
    table::{Value, presence::PRESENCE},
    topology::{ProcessorKind, Topic, Topology},
};
use rdkafka::{
    ClientConfig,
    message::{Header as RawHeader, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::Value as Json;
use tokio::{runtime::Runtime, time::timeout};

use super::{
    bad_records::{self, Bad, Fate, NAME, PARTITIONS, beat, user},
    case::Case,
    deployment::{Deployment, get, until},
    servers::Servers,
};

/// What a dead letter says about its original.
const ORIGIN: [&str; 3] = ["__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset"];
const FORWARDED: &str = "heartline.forwarded";
/// A good part of the time between two tellings of the status.
const PAUSE: Duration = Duration::from_millis(100);

pub fn cases() -> Vec<Case> {
    vec![Case::alone("what_is_refused_is_one_dead_letter_and_the_partition_goes_on", run)]
}

fn run(servers: &Servers) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "bad_input", "")?;
    let worker = deployment.start_worker()?;
    deployment.wait_ready(worker)?;
    let records = bad_records::all();
    let runtime = Runtime::new()?;
    let mut good = bad_records::applied_users();
    let positions = runtime.block_on(async {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &deployment.kafka).set("message.max.bytes", "1040000");
        let producer: FutureProducer = config.create()?;
        let mut positions = Vec::new();
        for (number, record) in records.iter().enumerate() {
            positions.push(send(&producer, record).await?);
            // A valid beat right after it, in the same partition.
            let user = user("next", record.partition, number);
            let (key, value) = (user.as_bytes().to_vec(), beat(&user, "").into_bytes());
            let (key, value, headers) = (Some(key), Some(value), Vec::new());
            let fate = Fate::Filtered;
            let next = Bad { name: "next", partition: record.partition, key, value, headers, fate };
            send(&producer, &next).await?;
            good.push(user);
        }
        anyhow::Ok(positions)
    })?;
    good.sort();
    let address = deployment.workers[worker].address.clone();
    until("every good user has a row", Duration::from_secs(60), || {
        let rows = runtime.block_on(users_in_the_store(servers, &deployment))?;
        Ok((rows.len() >= good.len()).then_some(()))
    })?;
    let rows = runtime.block_on(users_in_the_store(servers, &deployment))?;
    ensure!(rows == good, "the store has other users than the good ones: {:?}", differing(&rows, &good));
    let mut online: Vec<String> = Vec::new();
    for transition in deployment.transitions()? {
        ensure!(transition.version == 1, "{transition:?}");
        online.push(transition.user.to_string());
    }
    online.sort();
    ensure!(online == good, "others came online than the good ones: {:?}", differing(&online, &good));
    let log = runtime.block_on(read_past(&deployment, &vec![0; PARTITIONS as usize]))?;
    dead_letters(&deployment, &records, &positions, &log)?;
    forwards(&records, &log)?;
    counts(&runtime, &deployment, &address, &records)?;
    ensure!(deployment.workers[worker].is_running(), "the worker has ended");
    deployment.wait_ready(worker)
}

async fn send(producer: &FutureProducer, bad: &Bad) -> Result<(u32, i64)> {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &bad.headers {
        headers = headers.insert(RawHeader { key, value: value.as_ref() });
    }
    let mut record = FutureRecord::<Vec<u8>, Vec<u8>>::to("heartbeats").headers(headers);
    record = record.partition(bad.partition as i32);
    record.key = bad.key.as_ref();
    record.payload = bad.value.as_ref();
    let sent = producer.send(record, Duration::from_secs(10)).await;
    let delivery = sent.map_err(|(error, _)| error).with_context(|| format!("sending {}", bad.name))?;
    Ok((delivery.partition as u32, delivery.offset))
}

/// The users of every row of `presence`, sorted.
async fn users_in_the_store(servers: &Servers, deployment: &Deployment) -> Result<Vec<String>> {
    let config = CqlConfig::new(vec![servers.cql.address().into()], &deployment.keyspace)?;
    let client = CqlClient::new(cql::connect(&config).await?);
    let buckets = Topology::shipped().buckets(ProcessorKind::Presence);
    let mut users = Vec::new();
    for bucket in 0..buckets {
        let partition = [Value::Int(bucket as i32)].into();
        let select = Select::Slice { prefix: [].into(), after: None, descending: false, limit: 10_000 };
        for row in client.read(Query { table: &PRESENCE, partition, select }).await? {
            let user = row.clustering[0].as_text().context("a user")?.to_owned();
            ensure!(bucket_of(user.as_bytes(), buckets) == bucket, "{user} is in bucket {bucket}");
            users.push(user);
        }
    }
    users.sort();
    users.dedup();
    Ok(users)
}

fn differing<'a>(one: &'a [String], other: &'a [String]) -> Vec<&'a String> {
    let lacks = |list: &[String], user: &String| !list.contains(user);
    let more = one.iter().filter(|user| lacks(other, user));
    more.chain(other.iter().filter(|user| lacks(one, user))).collect()
}

/// Every record of `heartbeats`, up to one at or past these offsets in each partition: the next beacon is
/// one.
async fn read_past(deployment: &Deployment, offsets: &[i64]) -> Result<Vec<TailRecord>> {
    let client =
        KafkaTopics::new(Connection::new(std::slice::from_ref(&deployment.kafka), BTreeMap::new())?)?;
    let ends = client.bounds(Topic::Heartbeats).await?;
    let mut left: BTreeMap<u32, i64> = ends
        .into_iter()
        .map(|(partition, bounds)| (partition, bounds.end.max(offsets[partition as usize])))
        .collect();
    let mut tail = client.tail(Topic::Heartbeats, TailFrom::Start).await?;
    let mut records = Vec::new();
    while !left.is_empty() {
        let record = timeout(Duration::from_secs(60), tail.next()).await?.context("the tail ended")??;
        if left.get(&record.partition).is_some_and(|offset| record.offset >= *offset) {
            left.remove(&record.partition);
        }
        records.push(record);
    }
    Ok(records)
}

fn dead_letters(
    deployment: &Deployment,
    records: &[Bad],
    positions: &[(u32, i64)],
    log: &[TailRecord],
) -> Result<()> {
    let mut letters: BTreeMap<String, TailRecord> = BTreeMap::new();
    for letter in deployment.committed(Topic::DeadLetters)? {
        let name = text(&letter, NAME).context("a dead letter of no record of this test")?;
        let twice = letters.insert(name.clone(), letter);
        ensure!(twice.is_none(), "{name} has two dead letters");
    }
    let mut wrong = Vec::new();
    for (bad, position) in records.iter().zip(positions) {
        let letter = letters.remove(bad.name);
        let check = || match (&bad.fate, letter) {
            (Fate::Forwarded(_) | Fate::Filtered, None) => Ok(()),
            (Fate::Forwarded(_) | Fate::Filtered, Some(_)) => anyhow::bail!("a dead letter"),
            (_, None) => anyhow::bail!("no dead letter"),
            (Fate::ForwardedInParts(to, _), Some(letter)) => {
                let forward = log.iter().find(|record| is_forward(record, bad)).context("no forward")?;
                dead_letter(bad, (*to, forward.offset), &letter)
            }
            (_, Some(letter)) => dead_letter(bad, *position, &letter),
        };
        wrong.extend(check().err().map(|error| format!("{}: {error:#}", bad.name)));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(letters.is_empty(), "dead letters of {:?}", letters.keys());
    Ok(())
}

fn dead_letter(bad: &Bad, (partition, offset): (u32, i64), letter: &TailRecord) -> Result<()> {
    let origin = ORIGIN.map(|name| text(letter, name).unwrap_or_default());
    ensure!(origin == ["heartbeats".to_owned(), partition.to_string(), offset.to_string()], "{origin:?}");
    ensure!(letter.key.as_deref() == bad.key.as_deref(), "another key: {:?}", letter.key);
    let (value, original) = (letter.value.as_deref(), bad.value.as_deref());
    let reason = text(letter, "heartline.reason").unwrap_or_default();
    let message = text(letter, "__connect.errors.exception.message").unwrap_or_default();
    ensure!(!message.is_empty(), "no message");
    let truncated = text(letter, "heartline.truncated");
    let cut = matches!(bad.fate, Fate::Cut);
    match &bad.fate {
        Fate::Refused(due, says) => {
            ensure!(reason == *due && message.contains(says), "{reason}: {message}");
            ensure!(text(letter, "heartline.refused").is_none(), "a list of refused parts");
        }
        Fate::InParts(parts) | Fate::ForwardedInParts(_, parts) => {
            ensure!(reason == "beats", "{reason}: {message}");
            let list: Json = serde_json::from_str(&text(letter, "heartline.refused").unwrap_or_default())?;
            let list = list.as_array().context("a list")?;
            let found = list.iter().map(|part| (part["index"].as_u64(), part["reason"].as_str()));
            let due = parts.iter().map(|(index, reason)| (Some(*index), Some(*reason)));
            ensure!(found.eq(due), "{list:?}");
            ensure!(list.iter().all(|part| part["detail"].is_string()), "{list:?}");
        }
        Fate::Cut => {
            ensure!(reason == "oversize", "{reason}: {message}");
            let (value, original) = (value.unwrap_or_default(), original.unwrap_or_default());
            ensure!(original.starts_with(value) && value.len() > 800_000, "{} bytes", value.len());
            ensure!(truncated == Some(original.len().to_string()), "{truncated:?}");
        }
        Fate::Forwarded(_) | Fate::Filtered => {}
    }
    if !cut {
        ensure!(value == original, "another value");
        ensure!(truncated.is_none(), "{truncated:?}");
    }
    let kept: Vec<&Header> = letter.headers.iter().filter(|header| !is_ours(&header.name)).collect();
    let mut due: Vec<(&str, Option<&[u8]>)> =
        bad.headers.iter().map(|(name, v)| (*name, v.as_deref())).collect();
    due.retain(|(name, _)| !is_ours(name));
    let found = kept.iter().map(|header| (header.name.as_str(), header.value.as_deref()));
    ensure!(found.eq(due), "other headers: {kept:?}");
    let mut names: Vec<&str> = letter.headers.iter().map(|header| header.name.as_str()).collect();
    names.sort_unstable();
    ensure!(names.windows(2).all(|pair| pair[0] != pair[1]), "a header twice: {names:?}");
    Ok(())
}

/// Headers that the worker sets itself.
fn is_ours(name: &str) -> bool {
    name.starts_with("__connect.errors.") || name.starts_with("heartline.")
}

fn text(record: &TailRecord, name: &str) -> Option<String> {
    let header = record.headers.iter().find(|header| header.name == name)?;
    Some(String::from_utf8_lossy(header.value.as_deref()?).into_owned())
}

fn is_forward(record: &TailRecord, bad: &Bad) -> bool {
    text(record, NAME).as_deref() == Some(bad.name) && record.partition != bad.partition
}

/// What is misplaced is in its partition once more, as it was; nothing else is.
fn forwards(records: &[Bad], log: &[TailRecord]) -> Result<()> {
    for bad in records {
        let forwards: Vec<_> = log.iter().filter(|record| is_forward(record, bad)).collect();
        let (Fate::Forwarded(to) | Fate::ForwardedInParts(to, _)) = &bad.fate else {
            ensure!(forwards.is_empty(), "{} was forwarded", bad.name);
            continue;
        };
        let [forward] = forwards.as_slice() else {
            anyhow::bail!("{} was forwarded {} times", bad.name, forwards.len());
        };
        ensure!(forward.partition == *to, "{} is in partition {}", bad.name, forward.partition);
        let same =
            (forward.key.as_deref(), forward.value.as_deref()) == (bad.key.as_deref(), bad.value.as_deref());
        ensure!(same, "{} was changed on its way", bad.name);
        ensure!(text(forward, FORWARDED).is_some(), "{}: {:?}", bad.name, forward.headers);
    }
    Ok(())
}

/// What the partitions have consumed is what they say has become of it.
fn counts(runtime: &Runtime, deployment: &Deployment, address: &str, records: &[Bad]) -> Result<()> {
    let (committed, became) = until("a moment without a commit", Duration::from_secs(60), || {
        let before = (committed(address)?, became(address)?);
        // Counts are told before positions, one by one: two equal pairs in a row belong together.
        thread::sleep(PAUSE);
        Ok((before == (committed(address)?, became(address)?)).then_some(before))
    })?;
    let log = runtime.block_on(read_past(deployment, &committed))?;
    for (partition, committed) in committed.iter().enumerate() {
        let here = |record: &&TailRecord| record.partition == partition as u32 && record.offset < *committed;
        let consumed = log.iter().filter(here).count() as u64;
        let sum: u64 = became.iter().filter(|((of, _), _)| *of == partition).map(|(_, count)| count).sum();
        ensure!(sum == consumed, "partition {partition}: {sum} of {consumed} records: {became:?}");
        let told = |name: &str| became.get(&(partition, name.to_owned())).copied().unwrap_or(0);
        let due = |of: fn(&Bad) -> bool| {
            records.iter().filter(|bad| bad.partition == partition as u32 && of(bad)).count() as u64
        };
        let (dead, forwarded) = (due(is_dead_lettered), due(is_forwarded));
        ensure!(told("dead_lettered") == dead, "partition {partition}: {dead} are due: {became:?}");
        ensure!(told("forwarded") == forwarded, "partition {partition}: {forwarded} are due: {became:?}");
        ensure!(told("filtered") == due(|bad| matches!(bad.fate, Fate::Filtered)), "{became:?}");
    }
    Ok(())
}

/// Wholly: a batch of which a part is applied counts as applied.
fn is_dead_lettered(bad: &Bad) -> bool {
    matches!(bad.fate, Fate::Refused(..) | Fate::Cut) || bad.name == "useless_goodbyes"
}

fn is_forwarded(bad: &Bad) -> bool {
    matches!(bad.fate, Fate::Forwarded(_) | Fate::ForwardedInParts(..))
}

/// The committed position of each partition of `heartbeats`.
fn committed(address: &str) -> Result<Vec<i64>> {
    let answer: Json = serde_json::from_str(&get(address, "/v1/partitions")?)?;
    let list = answer["partitions"].as_array().context("partitions")?;
    let presence = list.iter().filter(|partition| partition["processor"] == "presence");
    presence.map(|partition| partition["committed"].as_i64().context("a position")).collect()
}

/// `heartline_records` by partition and what became of them.
fn became(address: &str) -> Result<BTreeMap<(usize, String), u64>> {
    let metrics = get(address, "/metrics")?;
    let mut all = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("heartline_records{")) {
        let label = |name: &str| line.split(&format!("{name}=\"")).nth(1)?.split('"').next();
        if label("processor") != Some("presence") {
            continue;
        }
        let partition = label("partition").context("a partition")?.parse()?;
        let count: f64 = line.rsplit(' ').next().context("a value")?.parse()?;
        all.insert((partition, label("became").context("what became")?.to_owned()), count as u64);
    }
    ensure!(!all.is_empty(), "no counts in {metrics}");
    Ok(all)
}
