//! Who says nothing holds nothing open.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Server, server_of};

const WITHIN: Duration = Duration::from_millis(200);

impl Server {
    /// Says this and no more, and reads until the server has closed; what came, and how long it took.
    async fn say_and_wait(&self, text: &str) -> (String, Duration) {
        let (begun, mut answer) = (Instant::now(), Vec::new());
        let mut stream = TcpStream::connect(&self.address).await.expect("listening");
        stream.write_all(text.as_bytes()).await.expect("sent");
        let end = tokio::time::timeout(WITHIN * 100, stream.read_to_end(&mut answer)).await;
        end.expect("closed by the server").expect("an end");
        (String::from_utf8(answer).expect("a text"), begun.elapsed())
    }
}

async fn impatient() -> Server {
    server_of(|app| app.with_request_within(WITHIN)).await
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let server = impatient().await;
    for text in ["", "GET /livez HTTP/1.1\r\nhost: x\r\n"] {
        let (answer, took) = server.say_and_wait(text).await;
        assert!(answer.is_empty() && took >= WITHIN, "{text}: {answer} after {took:?}");
    }
}

#[tokio::test]
async fn a_connection_without_a_further_request_is_closed() {
    let (answer, took) = impatient().await.say_and_wait("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && took >= WITHIN, "{answer} after {took:?}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_and_not_waited_for() {
    let server = impatient().await;
    for route in ["heartbeats", "sends", "receipts", "presence/query", "events"] {
        let head = format!("POST /v1/{route} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n");
        let (answer, took) = server.say_and_wait(&format!("{head}{{")).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
        assert!(took >= WITHIN, "after {took:?}");
    }
}

#[tokio::test]
async fn events_may_be_listened_to_for_longer() {
    let server = impatient().await;
    let mut stream = TcpStream::connect(&server.address).await.expect("listening");
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut buffer = [0; 4096];
    assert!(stream.read(&mut buffer).await.expect("a head") > 0);
    tokio::time::sleep(WITHIN * 3).await;
    while let Ok(count) = stream.try_read(&mut buffer) {
        assert!(count > 0, "closed");
    }
}
