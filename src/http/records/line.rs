//! A record of any topic as one JSON object, for `heartline tail` and the records endpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    client::TailRecord,
    id::{ConversationId, parse_conversation},
    topology::Topic,
};

/// Headers of a dead letter: where the original stood, and whose it was.
const TOPIC: &str = "__connect.errors.topic";
const SENDER: &str = "heartline.sender";

/// A record, readable. A value that is JSON stays as it was written; anything else is a text.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    pub partition: u32,
    pub offset: i64,
    /// Record time in milliseconds.
    pub time: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    pub value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub headers: BTreeMap<String, Option<String>>,
}

impl Line {
    #[must_use]
    pub fn of(record: &TailRecord) -> Self {
        let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            partition: record.partition,
            offset: record.offset,
            time: record.time_ms,
            key: record.key.as_ref().map(text),
            value: record.value.as_ref().and_then(|value| json_or_text(value)),
            headers: record
                .headers
                .iter()
                .map(|header| (header.name.clone(), header.value.as_ref().map(text)))
                .collect(),
        }
    }

    /// The line's text, without line ends.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Keys are texts and values are checked JSON, so there is nothing that cannot be written.
        serde_json::to_string(self).unwrap_or_default().replace(['\n', '\r'], " ")
    }
}

fn json_or_text(value: &[u8]) -> Option<Box<RawValue>> {
    let checked = serde_json::from_slice::<&RawValue>(value).map(ToOwned::to_owned);
    let text = || serde_json::value::to_raw_value(&String::from_utf8_lossy(value));
    checked.or_else(|_| text()).ok()
}

/// Whether a record of `topic` is about the user. Where records have users for keys, the key says so, or,
/// without one, the value; elsewhere the value does. A dead letter is about whom the original was about.
#[must_use]
pub fn mentions(topic: Topic, record: &TailRecord, user: &str) -> bool {
    match (topic, &record.key) {
        (Topic::DeadLetters, _) => {
            let original = header(record, TOPIC).and_then(Topic::from_name);
            let original = original.filter(|topic| *topic != Topic::DeadLetters);
            header(record, SENDER) == Some(user)
                || original.is_some_and(|topic| mentions(topic, record, user))
        }
        (Topic::Sends, _) | (_, None) => {
            let value = record.value.as_deref().map(serde_json::from_slice::<&RawValue>);
            value.is_some_and(|value| value.is_ok_and(|value| names(value, user)))
        }
        (_, Some(key)) => {
            let rest = key.strip_prefix(user.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        }
    }
}

fn header<'a>(record: &'a TailRecord, name: &str) -> Option<&'a str> {
    let header = record.headers.iter().find(|header| header.name == name)?;
    std::str::from_utf8(header.value.as_deref()?).ok()
}

/// Whether a value names the user in one of the fields that our records have for it. Numbers are not read: a
/// body may have some that no program holds.
fn names(value: &RawValue, user: &str) -> bool {
    if let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(value.get()) {
        return fields.iter().any(|(name, field)| match name.as_str() {
            "user" | "sender" | "by" => text(field).as_deref() == Some(user),
            "conversation" => matches!(
                text(field).as_deref().map(parse_conversation),
                Some(Ok(ConversationId::Direct(a, b))) if a == user || b == user
            ),
            "recipients" | "add" | "remove" => serde_json::from_str::<Vec<&RawValue>>(field.get())
                .is_ok_and(|ids| ids.into_iter().any(|id| text(id).as_deref() == Some(user))),
            // What users wrote is about whatever they like.
            "body" | "metadata" => false,
            _ => names(field, user),
        });
    }
    serde_json::from_str::<Vec<&RawValue>>(value.get())
        .is_ok_and(|elements| elements.into_iter().any(|element| names(element, user)))
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Line, SENDER, TOPIC, mentions};
    use crate::{client::TailRecord, log::Header, topology::Topic};

    fn record(key: Option<&'static str>, value: Option<&'static str>) -> TailRecord {
        TailRecord {
            partition: 1,
            offset: 2,
            time_ms: 3,
            key: key.map(|key| Bytes::from_static(key.as_bytes())),
            value: value.map(|value| Bytes::from_static(value.as_bytes())),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_json_value_stays_as_it_was_written() {
        let line = Line::of(&record(Some("ann"), Some("{\"b\": 1.0,\n\"a\":2}"))).to_json();
        assert_eq!(line, r#"{"partition":1,"offset":2,"time":3,"key":"ann","value":{"b": 1.0, "a":2}}"#);
        let line = Line::of(&record(None, Some("no json"))).to_json();
        assert_eq!(line, r#"{"partition":1,"offset":2,"time":3,"value":"no json"}"#);
        assert_eq!(
            Line::of(&record(None, None)).to_json(),
            r#"{"partition":1,"offset":2,"time":3,"value":null}"#
        );
    }

    #[test]
    fn a_record_is_about_those_whom_its_key_or_its_value_names() {
        let mentions = |key, value, user| mentions(Topic::Heartbeats, &record(key, value), user);
        assert!(mentions(Some("ann"), None, "ann"));
        assert!(mentions(Some("ann/s-1"), None, "ann"));
        assert!(!mentions(Some("anna"), Some("{\"user\":\"ann\"}"), "ann"));
        let batch = "{\"beats\":[{\"user\":\"bob\",\"metadata\":{\"user\":\"cat\"}},{\"user\":\"ann\"}]}";
        assert!(mentions(None, Some(batch), "ann"));
        assert!(!mentions(None, Some(batch), "cat"));
    }

    #[test]
    fn a_send_is_about_its_sender_its_recipients_and_whom_it_adds_or_removes() {
        let send = |value, user| mentions(Topic::Sends, &record(Some("group/team"), Some(value)), user);
        let message = r#"{"conversation":"group/team","sender":"ann","recipients":["bob"],"body":{"user":"cat","a":1e400}}"#;
        assert_eq!(
            ["ann", "bob", "cat", "group"].map(|user| send(message, user)),
            [true, true, false, false]
        );
        let change = r#"{"conversation":"group/team","by":"ann","add":["bob"],"remove":["cat"]}"#;
        assert_eq!(["ann", "bob", "cat", "team"].map(|user| send(change, user)), [true, true, true, false]);
        let direct = r#"{"conversation":"direct/ann/bob","sender":"ann","body":"cat"}"#;
        assert_eq!(
            ["ann", "bob", "cat", "direct"].map(|user| send(direct, user)),
            [true, true, false, false]
        );
    }

    #[test]
    fn deliveries_and_entries_are_about_those_who_get_them() {
        let deliveries = r#"{"messages":[{"sender":"ann","recipients":["bob","cat"],"body":["dan",1e400]}]}"#;
        let inbox =
            r#"{"messages":[{"sender":"ann","entries":[{"user":"bob","seq":1},{"user":"cat","seq":2}]}]}"#;
        for (topic, value) in [(Topic::Deliveries, deliveries), (Topic::Inbox, inbox)] {
            let about = |user| mentions(topic, &record(None, Some(value)), user);
            assert_eq!(["ann", "bob", "cat", "dan"].map(about), [true, true, true, false], "{topic}");
        }
    }

    #[test]
    fn a_dead_letter_is_about_whom_the_original_was_about() {
        let letter = |key, value, headers: &[(&str, &'static str)]| {
            let header = |(name, value): &(&str, &'static str)| Header {
                name: (*name).to_owned(),
                value: Some(Bytes::from_static(value.as_bytes())),
            };
            let headers = headers.iter().map(header).collect();
            TailRecord { headers, ..record(key, value) }
        };
        let about = |letter: &TailRecord, user| mentions(Topic::DeadLetters, letter, user);
        let beat = letter(Some("ann"), Some("nonsense"), &[(TOPIC, "heartbeats")]);
        assert_eq!(["ann", "bob"].map(|user| about(&beat, user)), [true, false]);
        let send = letter(Some("group/x"), Some("nonsense"), &[(TOPIC, "sends"), (SENDER, "ann")]);
        assert_eq!(["ann", "group"].map(|user| about(&send, user)), [true, false]);
        let looped = letter(Some("ann"), None, &[(TOPIC, "dead-letters")]);
        assert!(!about(&looped, "ann"));
    }
}
