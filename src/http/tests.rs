use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    App,
    client::{Client, Events},
    now_ms, server, sse,
    status::{PartitionStatus, Status},
};
use crate::{
    client::{StoreClient, TopicClient},
    id::bucket_of,
    log::LogError,
    store::{Change, Statement, WriteBatch},
    table::{Table, Value, presence::PRESENCE, progress::PROGRESS},
    topology::{ProcessorKind, Topic, Topology},
};

mod events;
pub(crate) mod fakes;
mod slow;
mod timeline;

use fakes::{FakeStore, FakeTopics, Shared};

/// A server on fakes, on a port of its own.
struct Server {
    address: String,
    topics: Arc<FakeTopics>,
    store: Arc<FakeStore>,
    topology: Arc<Topology>,
    status: Status,
    app: App,
    down: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

async fn server_with(token: Option<&str>) -> Server {
    server_of(|app| app.with_token(token.map(SecretString::from))).await
}

async fn server_of(settings: impl FnOnce(App) -> App) -> Server {
    let topology = Arc::new(Topology::uniform(4, 8));
    let (topics, store) = (Arc::new(FakeTopics::new(4)), Arc::new(FakeStore::default()));
    let (status, (down, shutdown)) = (Status::default(), watch::channel(false));
    let app = App::new(
        Arc::new(Shared(topics.clone())) as Arc<dyn TopicClient>,
        Arc::new(Shared(store.clone())) as Arc<dyn StoreClient>,
        topology.clone(),
        status.clone(),
        shutdown,
    );
    let app = settings(app);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let serving = tokio::spawn(server::serve(listener, app.clone()));
    Server { address, topics, store, topology, status, app, down, serving }
}

async fn server() -> Server {
    server_with(None).await
}

impl Server {
    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address), None).expect("an address")
    }

    /// Sends a request as it is; the status, the headers and the JSON of the answer.
    async fn raw(&self, head: &str, body: &[u8]) -> (u16, String, Json) {
        let mut stream = TcpStream::connect(&self.address).await.expect("listening");
        let length = body.len();
        let head = head.strip_suffix(" HTTP").map_or(head.to_owned(), |head| format!("{head} HTTP/1.1"));
        let head = format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        // A server that refuses the length closes before it has read everything.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_lowercase(), serde_json::from_str(body).unwrap_or(Json::Null))
    }

    async fn status_of(&self, request: &str) -> (u16, String) {
        let (status, _, body) = self.raw(request, b"").await;
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    fn write(
        &self,
        table: &'static Table,
        partition: Vec<Value>,
        clustering: Vec<Value>,
        cells: &[(&str, Value)],
    ) {
        let cell = |name: &str| {
            cells.iter().find(|(other, _)| *other == name).map_or(Value::Null, |(_, v)| v.clone())
        };
        let cells = table.cells.iter().map(|column| cell(column.name)).collect();
        let change = Change::Upsert(cells);
        let statement = Statement { clustering: clustering.into(), change, timestamp_us: 0, ttl_s: None };
        self.store.put(WriteBatch::new(table, partition.into(), vec![statement]));
    }

    fn write_user(&self, user: &str, status: &str, version: i64) {
        let bucket = bucket_of(user.as_bytes(), self.topology.buckets(ProcessorKind::Presence)) as i32;
        let cells = [("status", Value::text(status)), ("version", Value::BigInt(version))];
        self.write(&PRESENCE, vec![Value::Int(bucket)], vec![Value::text(user), Value::text("")], &cells);
    }

    /// The store holds everything up to this record time.
    fn write_as_of(&self, as_of_ms: i64) {
        for partition in 0..4 {
            let key = vec![Value::text("heartbeats"), Value::Int(partition)];
            self.write(&PROGRESS, key, vec![Value::text("")], &[("as_of_ms", Value::BigInt(as_of_ms))]);
        }
    }

    fn partition(&self, user: &str) -> u32 {
        self.topology.place(Topic::Presence, user.as_bytes())
    }

    async fn listen(&self, body: &Json, last_id: Option<&str>) -> Listener {
        let mut stream = TcpStream::connect(&self.address).await.expect("listening");
        let body = body.to_string();
        let resume = last_id.map_or_else(String::new, |id| format!("last-event-id: {id}\r\n"));
        let length = body.len();
        let request =
            format!("POST /v1/events HTTP/1.1\r\nhost: x\r\n{resume}content-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        Listener { stream, text: String::new() }
    }
}

/// Reads a stream as text, chunk lengths and all.
struct Listener {
    stream: TcpStream,
    text: String,
}

impl Listener {
    async fn until(&mut self, what: &str) -> &str {
        while !self.text.contains(what) {
            self.read_on(what).await;
        }
        &self.text
    }

    /// Reads until the last frame that has begun is whole.
    async fn whole(&mut self) {
        let end = "\n\n\r\n";
        while !self.text.ends_with(end) {
            self.read_on(end).await;
        }
    }

    async fn read_on(&mut self, wanted: &str) {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(5), self.stream.read(&mut buffer)).await;
        match read {
            Ok(Ok(count)) if count > 0 => self.text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            _ => panic!("'{wanted}' did not come; there came: {}", self.text),
        }
    }

    /// `user version` of the events so far.
    fn told(&self) -> Vec<String> {
        let lines: Vec<&str> = self.text.lines().collect();
        let data = lines.iter().filter_map(|line| line.strip_prefix("data: "));
        let json = data.filter_map(|data| serde_json::from_str::<Json>(data).ok());
        json.map(|data| format!("{} {}", data["user"].as_str().unwrap_or("?"), data["version"])).collect()
    }

    fn last_id(&self) -> String {
        self.text.lines().rev().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned()
    }
}

async fn next(events: &mut Events) -> sse::Event {
    let next = tokio::time::timeout(Duration::from_secs(5), events.next()).await.expect("in time");
    next.expect("readable").expect("not the end")
}

fn beat(user: &str) -> String {
    json!({"v": 1, "type": "heartbeat", "user": user, "session": "s", "counter": 1}).to_string()
}

#[tokio::test]
async fn heartbeats_are_accepted_once_the_log_has_them() {
    let server = server().await;
    let body = format!("[{}, {{\"v\":1,\"type\":\"heartbeat\"}}, {}]", beat("ann"), beat("bob"));
    let answer = server.client().post("/v1/heartbeats", "application/json", Bytes::from(body)).await;
    let answer = answer.expect("accepted");
    assert_eq!(answer["accepted"], 2);
    assert_eq!(answer["refused"][0]["index"], 1);
    assert_eq!(answer["refused"][0]["reason"], "invalid");
    assert!(!answer["refused"][0]["detail"].as_str().expect("a text").is_empty());
    let mut values = server.topics.values(Topic::Heartbeats);
    values.sort();
    assert_eq!(values, [beat("ann"), beat("bob")]);
}

#[tokio::test]
async fn sends_and_receipts_are_accepted_once_the_log_has_them() {
    let server = server().await;
    let send = |client_id: &str, more: &str| {
        format!(
            "{{\"v\":1,\"type\":\"message\",\"conversation\":\"group/x\",\"sender\":\"ann\",\
             \"client_id\":\"{client_id}\",\"body\":1.50{more}}}"
        )
    };
    let partly = send("c-3", ",\"recipients\":[\"bob\",\"a/b\"]");
    let body = [send("c-1", ""), send("c/2", ""), partly.clone(), beat("ann")].join("\n");
    let answer = server.client().post("/v1/sends", "application/x-ndjson", Bytes::from(body)).await;
    let answer = answer.expect("accepted");
    assert_eq!(answer["accepted"], 2);
    let refused: Vec<_> = answer["refused"].as_array().expect("a list").iter().collect();
    let told = |at: usize| (refused[at]["index"].as_u64(), refused[at]["reason"].as_str());
    assert_eq!(refused.len(), 3, "{answer}");
    assert_eq!(told(0), (Some(1), Some("invalid")));
    assert_eq!(told(1), (Some(2), Some("invalid")));
    assert!(refused[1]["detail"].as_str().is_some_and(|text| text.starts_with("[1]: ")), "{answer}");
    assert_eq!(told(2), (Some(3), Some("unsupported")));
    assert_eq!(server.topics.values(Topic::Sends), [send("c-1", ""), partly]);

    let read = r#"{"v":1,"type":"read","user":"bob","inbox":41}"#;
    let answer = server.client().post("/v1/receipts", "application/json", Bytes::from(read)).await;
    assert_eq!(answer.expect("accepted"), json!({"accepted": 1, "refused": []}));
    assert_eq!(server.topics.values(Topic::Receipts), [read]);
    assert!(server.topics.values(Topic::Heartbeats).is_empty());
}

#[tokio::test]
async fn deliveries_cannot_be_written_from_outside() {
    let server = server().await;
    let deliveries = br#"{"v":1,"type":"deliveries","messages":[]}"#;
    let (status, _, _) = server.raw("POST /v1/deliveries HTTP", deliveries).await;
    assert_eq!(status, 404);
    for topic in ["heartbeats", "sends", "receipts"] {
        let (status, _, answer) = server.raw(&format!("POST /v1/{topic} HTTP"), deliveries).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(0)), "{answer}");
        assert_eq!(answer["refused"][0]["reason"], "unsupported", "{answer}");
    }
    assert!(Topic::ALL.into_iter().all(|topic| server.topics.values(topic).is_empty()));
}

#[tokio::test]
async fn a_log_that_is_away_or_behind_is_told_apart() {
    let server = server().await;
    let post = "POST /v1/heartbeats HTTP";
    let body = beat("ann");
    let outcome = |(status, head, json): (u16, String, Json)| {
        (
            status,
            json["error"]["code"].as_str().unwrap_or_default().to_owned(),
            head.contains("retry-after: 1"),
        )
    };
    *server.topics.failure.lock().expect("a lock") = Some(LogError::retriable("no broker"));
    assert_eq!(outcome(server.raw(post, body.as_bytes()).await), (503, "log_away".to_owned(), true));
    *server.topics.failure.lock().expect("a lock") = Some(LogError::behind("its queue is full"));
    assert_eq!(outcome(server.raw(post, body.as_bytes()).await), (429, "log_behind".to_owned(), true));
    *server.topics.failure.lock().expect("a lock") = Some(LogError::fatal("no right"));
    assert_eq!(outcome(server.raw(post, body.as_bytes()).await), (500, "log_failed".to_owned(), false));
    *server.topics.failure.lock().expect("a lock") = None;
    let all = server.app.waiting.0.clone().acquire_many_owned(64 * 1024).await.expect("open");
    assert_eq!(outcome(server.raw(post, body.as_bytes()).await), (429, "log_behind".to_owned(), true));
    drop(all);
    assert_eq!(server.raw(post, body.as_bytes()).await.0, 202);
}

#[tokio::test]
async fn bodies_are_refused_as_a_whole_only_when_nothing_can_be_read() {
    let server = server().await;
    let post = "POST /v1/heartbeats HTTP";
    assert_eq!(server.raw(post, b"").await.0, 400);
    assert_eq!(server.raw(post, b"hello").await.2["error"]["code"], "unreadable");
    let body = format!("nonsense\n{}\n", beat("ann"));
    let (status, _, answer) = server.raw(post, body.as_bytes()).await;
    assert_eq!(
        (status, &answer["accepted"], &answer["refused"][0]["reason"]),
        (202, &json!(1), &json!("malformed"))
    );
    let padded = format!("{}{}", beat("ann"), " ".repeat(1024 * 1024 - beat("ann").len()));
    assert_eq!(server.raw(post, padded.as_bytes()).await.0, 202);
    let too_large = format!("{padded} ");
    assert_eq!(server.raw(post, too_large.as_bytes()).await.2["error"]["code"], "too_large");
    let nowhere = server.raw("POST /v1/nothing HTTP", too_large.as_bytes()).await;
    assert_eq!(nowhere.2["error"]["code"], "not_found", "where nothing is, nothing is too large");
}

#[tokio::test]
async fn every_error_is_json() {
    let server = server().await;
    let expected = [
        ("GET /v1/nothing HTTP", 404, "not_found"),
        ("POST /v1/deliveries HTTP", 404, "not_found"),
        ("DELETE /v1/presence HTTP", 405, "method_not_allowed"),
        ("GET /v1/heartbeats HTTP", 405, "method_not_allowed"),
        ("POST /v1/heartbeats HTTP/1.1\r\ncontent-encoding: gzip", 415, "unsupported_encoding"),
        (
            "POST /v1/events HTTP/1.1\r\ncontent-encoding: Identity\r\ncontent-encoding: br",
            415,
            "unsupported_encoding",
        ),
        ("POST /v1/presence/query HTTP/1.1\r\ncontent-encoding: Identity", 400, "bad_body"),
        ("GET /v1/presence HTTP", 400, "no_users"),
        ("GET /v1/presence?usr=a HTTP", 400, "bad_query"),
        ("GET /v1/presence?user=a&sessions=yes HTTP", 400, "bad_query"),
        ("GET /v1/presence?user=%FF&user=a HTTP", 400, "bad_query"),
        ("POST /v1/presence/query HTTP", 400, "bad_body"),
        ("GET /v1/events?user=a/b HTTP", 400, "invalid_id"),
        ("GET /v1/events HTTP/1.1\r\nlast-event-id: x", 400, "bad_event_id"),
        ("GET /v1/topics/nothing/records HTTP", 404, "no_topic"),
        ("GET /v1/topics/presence/records?from=7 HTTP", 400, "bad_query"),
    ];
    for (request, status, code) in expected {
        assert_eq!(server.status_of(request).await, (status, code.to_owned()), "{request}");
    }
    let (status, _, answer) = server.raw("POST /v1/presence/query HTTP/1.1", br#"[["a"],true]"#).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_body")), "an array is no object");
    let many = json!({"users": vec!["a"; 1001]}).to_string();
    let (status, _, answer) = server.raw("POST /v1/presence/query HTTP/1.1", many.as_bytes()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("too_many_users")));
}

#[tokio::test]
async fn a_token_is_asked_for_everywhere_but_at_livez() {
    let server = server_with(Some("s3cret")).await;
    assert_eq!(server.status_of("GET /v1/topology HTTP/1.1").await, (401, "unauthorized".to_owned()));
    assert_eq!(server.status_of("GET /nothing HTTP/1.1").await.0, 401);
    assert_eq!(server.status_of("GET /metrics HTTP/1.1").await.0, 401);
    assert_eq!(server.status_of("GET /livez HTTP/1.1").await.0, 200);
    let with = |token: &str| format!("GET /version HTTP/1.1\r\nauthorization: {token}");
    assert_eq!(server.status_of(&with("Bearer s3cre")).await.0, 401);
    assert_eq!(server.status_of(&with("s3cret")).await.0, 401);
    assert_eq!(server.status_of(&with("bearer s3cret")).await.0, 200);
    let client =
        Client::new(&format!("http://{}", server.address), Some("s3cret".into())).expect("an address");
    assert_eq!(client.get("/version").await.expect("allowed")["name"], "heartline");
}

#[tokio::test]
async fn presence_is_answered_from_the_store() {
    let server = server().await;
    server.write_as_of(now_ms());
    server.write_user("ann", "online", 3);
    let answer = server.client().get("/v1/presence?user=bob&user=ann").await.expect("answered");
    assert_eq!(answer["users"][0]["status"], "unknown");
    assert_eq!(
        (&answer["users"][1]["status"], &answer["users"][1]["version"]),
        (&json!("online"), &json!(3))
    );
    let body = json!({"users": ["ann"], "sessions": true}).to_string();
    let answer = server.client().post("/v1/presence/query", "application/json", Bytes::from(body)).await;
    assert_eq!(answer.expect("answered")["users"][0]["sessions"], json!([]));
    *server.store.unreadable.lock().expect("a lock") = Some("presence");
    let answer = server.client().get("/v1/presence?user=ann&user=a%2Fb").await.expect("answered");
    assert_eq!(answer["users"][0]["error"]["code"], "unreadable");
    assert_eq!(answer["users"][1]["error"]["code"], "invalid_id");
}

#[tokio::test]
async fn readiness_says_what_is_missing_and_liveness_does_not_depend_on_it() {
    let server = server().await;
    assert_eq!(server.raw("GET /readyz HTTP/1.1", b"").await.0, 200);
    server.status.set_missing("presence.store", Some("no node answers; start one".to_owned()));
    server.status.turned("presence");
    let (status, _, answer) = server.raw("GET /readyz HTTP/1.1", b"").await;
    assert_eq!(status, 503);
    assert_eq!(
        answer["missing"],
        json!([{"part": "presence.store", "message": "no node answers; start one"}])
    );
    assert_eq!(server.raw("GET /livez HTTP/1.1", b"").await.0, 200);
    server.status.set_missing("presence.store", None);
    assert_eq!(server.raw("GET /readyz HTTP/1.1", b"").await.0, 200);
}

#[tokio::test]
async fn a_halted_partition_is_seen_in_every_view() {
    let server = server().await;
    let partition = PartitionStatus {
        processor: ProcessorKind::Presence,
        partition: 3,
        end: Some(100),
        committed: Some(90),
        stored: Some(80),
        lease_clock_ms: 5,
        brake_held: 2,
        users: 1,
        sessions: 1,
        keys: 0,
        phase: "halted",
        halted: Some("the topic id changed; run heartline adopt".to_owned()),
    };
    let unopened =
        PartitionStatus { partition: 4, end: None, committed: None, stored: None, ..partition.clone() };
    let missing = ("presence.partition.3".to_owned(), "the topic id changed; run heartline adopt".to_owned());
    server.status.set_processor(ProcessorKind::Presence, vec![partition, unopened], [missing]);
    let partitions = server.client().get("/v1/partitions").await.expect("answered");
    let partition = &partitions["partitions"][0];
    assert_eq!(
        (&partition["lag"], &partition["phase"], &partition["topic"]),
        (&json!(10), &json!("halted"), &json!("heartbeats"))
    );
    let unopened = &partitions["partitions"][1];
    let unknown = ["end", "committed", "stored", "lag"].map(|name| &unopened[name]);
    assert_eq!(unknown, [&Json::Null; 4], "what is not known is not 0");
    assert_eq!(server.raw("GET /readyz HTTP/1.1", b"").await.0, 503);
    let mut stream = TcpStream::connect(&server.address).await.expect("listening");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("read");
    assert!(text.contains("heartline_partition_halted{processor=\"presence\",partition=\"3\"} 1"), "{text}");
    assert!(text.contains("heartline_partition_lag{processor=\"presence\",partition=\"3\"} 10"), "{text}");
    assert!(!text.contains("heartline_partition_lag{processor=\"presence\",partition=\"4\"}"), "{text}");
    server.status.set_processor(ProcessorKind::Presence, Vec::new(), []);
    assert_eq!(server.raw("GET /readyz HTTP/1.1", b"").await.0, 200);
}

#[tokio::test]
async fn the_topology_lets_a_gateway_place_records() {
    let answer = server().await.client().get("/v1/topology").await.expect("answered");
    assert_eq!(answer["partitioner"], "murmur2");
    let topics = answer["topics"].as_array().expect("a list");
    assert!(topics.contains(&json!({"name": "heartbeats", "partitions": 4})));
    let processors = answer["processors"].as_array().expect("a list");
    assert_eq!(processors.len(), 4);
    let inbox = json!({"name": "inbox", "topic": "deliveries", "outputs": ["inbox", "dead-letters"]});
    assert!(processors.contains(&inbox), "{answer}");
}

#[tokio::test]
async fn a_processor_tells_of_nothing_that_it_does_not_have() {
    let server = server().await;
    let of = |processor| PartitionStatus {
        processor,
        partition: 0,
        end: Some(9),
        committed: Some(8),
        stored: Some(7),
        lease_clock_ms: 5,
        brake_held: 0,
        users: 1,
        sessions: 1,
        keys: 3,
        phase: "running",
        halted: None,
    };
    for processor in ProcessorKind::ALL {
        server.status.set_processor(processor, vec![of(processor)], []);
    }
    let answer = server.client().get("/v1/partitions").await.expect("answered");
    let partitions = answer["partitions"].as_array().expect("a list");
    assert_eq!(partitions.len(), 4);
    let mut text = String::new();
    let mut stream = TcpStream::connect(&server.address).await.expect("listening");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
    stream.read_to_string(&mut text).await.expect("read");
    for partition in partitions {
        let name = partition["processor"].as_str().expect("a name");
        let is_presence = name == "presence";
        assert_eq!(partition.get("lease_clock_ms").is_some(), is_presence, "{partition}");
        assert_eq!(partition.get("sessions").is_some(), is_presence, "{partition}");
        assert_eq!(partition["keys"] == 3, !is_presence, "{partition}");
        let sample =
            |gauge: &str| text.contains(&format!("heartline_partition_{gauge}{{processor=\"{name}\""));
        assert_eq!(["lease_clock_ms", "users", "keys"].map(sample), [is_presence, is_presence, !is_presence]);
        assert!(sample("lag"), "{name}");
    }
}

#[tokio::test]
async fn a_topics_records_can_be_followed_from_its_start() {
    let server = server().await;
    server.client().post("/v1/heartbeats", "", Bytes::from(beat("ann"))).await.expect("accepted");
    server.client().post("/v1/heartbeats", "", Bytes::from(beat("bob"))).await.expect("accepted");
    let path = "/v1/topics/heartbeats/records?from=start&user=bob";
    let event = next(&mut server.client().events(path).await.expect("open")).await;
    let line: Json = serde_json::from_str(&event.data).expect("JSON");
    let partition = json!(server.partition("bob"));
    assert_eq!(
        (&line["key"], &line["value"]["user"], &line["partition"]),
        (&json!("bob"), &json!("bob"), &partition)
    );
}

#[tokio::test]
async fn a_shutdown_ends_open_streams_at_once() {
    let mut server = server().await;
    let mut events = server.client().events("/v1/events").await.expect("open");
    server.down.send(true).expect("somebody listens");
    let end = tokio::time::timeout(Duration::from_secs(1), events.next()).await.expect("in time");
    assert!(end.expect("a clean end").is_none());
    let served = tokio::time::timeout(Duration::from_secs(1), &mut server.serving).await;
    served.expect("in time").expect("no panic");
}
