use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::Client;

#[tokio::test]
async fn requests_share_a_connection_until_the_server_closes_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = tokio::spawn(async move {
        for requests in [2, 1] {
            let mut stream = BufReader::new(listener.accept().await.expect("a connection").0);
            for _ in 0..requests {
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    let bytes = stream.read_line(&mut line).await.expect("a line of a request");
                    assert_ne!(bytes, 0, "the client closed a connection that it could use again");
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).await.expect("the client reads");
            }
        }
    });
    let client = Client::new(&format!("http://{address}"), None).expect("an address");
    for _ in 0..3 {
        client.get("/readyz").await.expect("an answer");
    }
    served.await.expect("two requests over one connection, then one over another");
}

#[tokio::test]
async fn the_text_of_an_answer_is_handed_on_as_it_came() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let said = r#"{ "z":1.50, "a":12345678901234567890123 }"#;
    let served = tokio::spawn(async move {
        let mut stream = BufReader::new(listener.accept().await.expect("a connection").0);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await.expect("a line of a request");
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}", said.len());
        stream.write_all(answer.as_bytes()).await.expect("the client reads");
    });
    let client = Client::new(&format!("http://{address}"), None).expect("an address");
    let text = client.post_text("/v1/presence/query", "application/json", "".into()).await;
    assert_eq!(text.expect("an answer"), said);
    served.await.expect("one request");
}
