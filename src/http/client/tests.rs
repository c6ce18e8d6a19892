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
