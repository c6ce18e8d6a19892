//! Server-Sent Events as bytes, written and read. What stays open sends a comment now and then, so that
//! neither side nor anything between them takes silence for an end.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::Stream;
use serde_json::json;

pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Bytes of one event that a reader takes.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An event to be written, or one that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Where to resume.
    pub id: Option<String>,
    pub event: String,
    pub data: String,
}

impl Event {
    /// The event's bytes. A line end within the data, which in JSON is white space only, begins a further
    /// `data:` line.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut text = String::with_capacity(self.data.len() + 64);
        if let Some(id) = &self.id {
            text.extend(["id: ", id, "\n"]);
        }
        text.extend(["event: ", &self.event, "\n"]);
        for line in self.data.split(['\n', '\r']) {
            text.extend(["data: ", line, "\n"]);
        }
        text.push('\n');
        Bytes::from(text)
    }
}

/// A comment; with an id it moves the place to resume at although nothing happens.
#[must_use]
pub fn comment(text: &str, id: Option<&str>) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    Bytes::from(format!(": {text}\n{id}\n"))
}

/// The last event of a stream that cannot go on, because the log does not.
#[must_use]
pub fn failure(message: &str) -> Bytes {
    let data = json!({"error": {"code": "log_away", "message": message}}).to_string();
    Event { id: None, event: "failure".to_owned(), data }.encode()
}

/// A response that stays open.
pub fn response<S>(frames: S) -> Response
where
    S: Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static,
{
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies of the nginx kind would otherwise collect events before they pass them on.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(frames)).into_response()
}

/// Puts events together again from pieces of any size.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    event: Event,
}

impl Reader {
    /// Takes a piece and returns the events that it completes; `None` when an event exceeds its bound.
    pub fn push(&mut self, piece: &[u8]) -> Option<Vec<Event>> {
        self.buffer.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            events.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])));
        }
        (self.buffer.len() + self.event.data.len() <= EVENT_BYTES_MAX).then_some(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => self.event.event = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Reader, comment};

    #[test]
    fn what_was_written_is_read_whatever_the_pieces() {
        let events = [
            Event {
                id: Some("0:1".to_owned()),
                event: "transition".to_owned(),
                data: "{\"a\":1}".to_owned(),
            },
            Event { id: None, event: "record".to_owned(), data: "{\n\"ä\":1}".to_owned() },
        ];
        let mut bytes = events[0].encode().to_vec();
        bytes.extend_from_slice(&comment("keep-alive", Some("0:2")));
        bytes.extend_from_slice(&events[1].encode());
        for size in [1, 3, bytes.len()] {
            let mut reader = Reader::default();
            let pieces = bytes.chunks(size);
            let read: Vec<Event> = pieces.flat_map(|piece| reader.push(piece).expect("small")).collect();
            assert_eq!(read, events, "pieces of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut reader = Reader::default();
        let piece = vec![b'x'; 1024 * 1024];
        assert!((0..9).any(|_| reader.push(&piece).is_none()));
    }
}
