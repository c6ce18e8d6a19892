//! A record of any topic as one JSON object, for `heartline tail` and the records endpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::client::TailRecord;

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

/// Whether the record is about the user: by its key, or, where it has none, by a `user` in its value.
#[must_use]
pub fn mentions(record: &TailRecord, user: &str) -> bool {
    if let Some(key) = &record.key {
        let rest = key.strip_prefix(user.as_bytes());
        return rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    }
    let value = record.value.as_deref().and_then(|value| serde_json::from_slice::<Value>(value).ok());
    value.is_some_and(|value| names(&value, user))
}

fn names(value: &Value, user: &str) -> bool {
    match value {
        Value::Object(fields) => {
            fields.get("user").and_then(Value::as_str) == Some(user)
                || fields.values().any(|field| names(field, user))
        }
        Value::Array(elements) => elements.iter().any(|element| names(element, user)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Line, mentions};
    use crate::client::TailRecord;

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
        assert!(mentions(&record(Some("ann"), None), "ann"));
        assert!(mentions(&record(Some("ann/s-1"), None), "ann"));
        assert!(!mentions(&record(Some("anna"), Some("{\"user\":\"ann\"}")), "ann"));
        let batch = "{\"beats\":[{\"user\":\"bob\"},{\"user\":\"ann\"}]}";
        assert!(mentions(&record(None, Some(batch)), "ann"));
        assert!(!mentions(&record(None, Some(batch)), "cat"));
    }
}
