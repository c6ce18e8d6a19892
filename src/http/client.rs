//! The other end: what the command line needs to ask a running `heartline`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpStream;

use super::sse;

/// An answer that has not begun after so long will not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);

#[derive(Debug, Error)]
pub enum ClientError {
    #[error("'{0}' is no address of a server; write http://HOST:PORT")]
    BadUrl(String),
    #[error("{url} does not answer: {message}; is `heartline up` running there?")]
    Away { url: String, message: String },
    #[error("{url} answered {status}: {message}")]
    Refused { url: String, status: u16, message: String },
    #[error(
        "{url} answered something else than was asked for: {message}; is it a heartline of this version?"
    )]
    Unreadable { url: String, message: String },
}

/// Where a server is, and the token it asks for.
#[derive(Debug, Clone)]
pub struct Client {
    authority: String,
    token: Option<SecretString>,
    /// A connection that was used and is open.
    idle: Arc<Mutex<Option<Connection>>>,
}

type Connection = SendRequest<Full<Bytes>>;

/// An answer, and the connection that is free again once its body is read.
type Answer = (Response<Incoming>, Connection);

impl Client {
    /// `http://HOST:PORT`; TLS is a proxy's business.
    pub fn new(url: &str, token: Option<SecretString>) -> Result<Self, ClientError> {
        let bad = || ClientError::BadUrl(url.to_owned());
        let authority = url.strip_prefix("http://").ok_or_else(bad)?.trim_end_matches('/');
        let port = authority.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => Ok(Self { authority: authority.to_owned(), token, idle: Arc::default() }),
            _ => Err(bad()),
        }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.json(self.send(Method::GET, path, Bytes::new(), "").await?).await
    }

    /// Asks for something of a known form; what stands in it as raw JSON keeps its bytes.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let body = self.body(self.send(Method::GET, path, Bytes::new(), "").await?).await?;
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::Unreadable { url: self.url(), message: error.to_string() })
    }

    /// Sends a body of JSON or of JSON lines.
    pub async fn post(&self, path: &str, content_type: &str, body: Bytes) -> Result<Value, ClientError> {
        self.json(self.send(Method::POST, path, body, content_type).await?).await
    }

    /// The same, for who keeps the bytes of the answer.
    pub async fn post_text(
        &self,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<String, ClientError> {
        let body = self.body(self.send(Method::POST, path, body, content_type).await?).await?;
        String::from_utf8(body.into())
            .map_err(|error| ClientError::Unreadable { url: self.url(), message: error.to_string() })
    }

    /// Begins to read events.
    pub async fn events(&self, path: &str) -> Result<Events, ClientError> {
        let (response, connection) = self.send(Method::GET, path, Bytes::new(), "").await?;
        match response.status().is_success() {
            true => Ok(Events {
                url: self.url(),
                body: response.into_body(),
                reader: sse::Reader::default(),
                waiting: Vec::new(),
            }),
            false => {
                Err(self.json((response, connection)).await.err().unwrap_or_else(|| self.away("no events")))
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        content_type: &str,
    ) -> Result<Answer, ClientError> {
        let answer = async {
            let mut request = Request::builder().method(method).uri(path).header(HOST, &self.authority);
            if !content_type.is_empty() {
                request = request.header(CONTENT_TYPE, content_type);
            }
            if let Some(token) = &self.token {
                request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
            }
            let request = request.body(Full::new(body)).map_err(|error| self.away(error))?;
            let idle = self.idle().take();
            if let Some(mut connection) = idle
                && connection.ready().await.is_ok()
                && let Ok(response) = connection.send_request(request.clone()).await
            {
                return Ok((response, connection));
            }
            // A server may close what was idle, at any time: what arrives twice changes nothing.
            let mut connection = self.connect().await?;
            let response = connection.send_request(request).await.map_err(|error| self.away(error))?;
            Ok((response, connection))
        };
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(self.away("no answer in time")),
        }
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| self.away(error))?;
        let (connection, driver) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.away(error))?;
        // How the connection ends, the requests on it say.
        tokio::spawn(driver);
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Option<Connection>> {
        // A panic elsewhere leaves a connection whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn json(&self, answer: Answer) -> Result<Value, ClientError> {
        Ok(serde_json::from_slice(&self.body(answer).await?).unwrap_or(Value::Null))
    }

    /// The body of an answer that is a success.
    async fn body(&self, (response, connection): Answer) -> Result<Bytes, ClientError> {
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| self.away(error))?.to_bytes();
        *self.idle() = Some(connection);
        if status.is_success() {
            return Ok(body);
        }
        let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let message = value["error"]["message"].as_str().unwrap_or("no reason given").to_owned();
        Err(ClientError::Refused { url: self.url(), status: status.as_u16(), message })
    }

    fn away(&self, error: impl ToString) -> ClientError {
        ClientError::Away { url: self.url(), message: error.to_string() }
    }
}

/// Events as they come.
#[derive(Debug)]
pub struct Events {
    url: String,
    body: Incoming,
    reader: sse::Reader,
    /// Read and not yet asked for, the next one last.
    waiting: Vec<sse::Event>,
}

impl Events {
    /// The next event; `None` when the server has ended.
    pub async fn next(&mut self) -> Result<Option<sse::Event>, ClientError> {
        loop {
            if let Some(event) = self.waiting.pop() {
                return Ok(Some(event));
            }
            let away = |message: String| ClientError::Away { url: self.url.clone(), message };
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| away(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            self.waiting = self
                .reader
                .push(&data)
                .ok_or_else(|| away("an event is larger than any of ours".to_owned()))?;
            self.waiting.reverse();
        }
    }
}

/// A value for use in a query.
#[must_use]
pub fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests;
