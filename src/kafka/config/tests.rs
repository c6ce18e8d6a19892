use std::{collections::BTreeMap, time::Duration};

use rdkafka::{ClientConfig, producer::BaseProducer};

use super::{Connection, Isolation, KafkaConfig, KafkaConfigError, REFUSED};
use crate::topology::Topic;

fn connection(properties: &[(&str, &str)]) -> Result<Connection, KafkaConfigError> {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Connection::new(&["127.0.0.1:9092".to_owned()], properties)
}

fn config(session_ms: u64, transaction_ms: u64) -> Result<KafkaConfig, KafkaConfigError> {
    let connection = connection(&[])?;
    let [session, transaction] = [session_ms, transaction_ms].map(Duration::from_millis);
    KafkaConfig::new(connection, "heartline.presence", Topic::Heartbeats, session, transaction)
}

#[test]
fn a_key_that_would_break_a_promise_is_refused_with_the_reason() {
    for (key, reason) in REFUSED {
        let error = connection(&[(key, "x")]).expect_err(key);
        assert_eq!(error, KafkaConfigError::Refused { key: key.to_owned(), reason });
    }
}

#[test]
fn tls_and_sasl_pass_through_to_every_client() {
    let connection = connection(&[("security.protocol", "SASL_SSL"), ("sasl.password", "s3cret")]).unwrap();
    let all = [
        connection.admin(),
        connection.plain_producer("a"),
        connection.reader("a", "g", Isolation::Committed),
    ];
    for client in &all {
        assert_eq!(client.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(client.get("sasl.password"), Some("s3cret"));
    }
}

#[test]
fn what_may_be_set_is_not_overridden_by_any_client() {
    let clients = |connection: Connection| {
        let [session, transaction] = [10, 8].map(Duration::from_secs);
        let config = KafkaConfig::new(connection, "g", Topic::Heartbeats, session, transaction).unwrap();
        [
            config.member("a"),
            config.reader(Isolation::Committed),
            config.transactional_producer("a"),
            config.connection.plain_producer("a"),
            config.connection.admin(),
        ]
    };
    let keys: Vec<String> = clients(connection(&[]).unwrap())
        .iter()
        .flat_map(|client| client.config_map().keys().map(|key| (*key).to_owned()).collect::<Vec<_>>())
        .filter(|key| REFUSED.iter().all(|(refused, _)| refused != key))
        .collect();
    assert!(keys.iter().any(|key| key == "linger.ms"), "{keys:?}");
    for key in keys {
        for client in clients(connection(&[(&key, "mine")]).unwrap()) {
            // What a producer must be told of is told beside what an operator wants to see.
            let kept = client.get(&key) == Some("mine") || client.get(&key) == Some("mine,broker");
            assert!(kept, "{key}: {:?}", client.get(&key));
        }
    }
    for client in clients(connection(&[("compression.type", "zstd")]).unwrap()) {
        assert_eq!(client.get("compression.codec"), None);
    }
}

#[test]
fn debug_shows_no_value_of_a_property() {
    let shown = format!("{:?}", connection(&[("sasl.password", "s3cret")]).unwrap());
    assert!(shown.contains("sasl.password") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn no_brokers_is_an_error() {
    assert_eq!(Connection::new(&[], BTreeMap::new()), Err(KafkaConfigError::NoBrokers));
    assert_eq!(Connection::new(&[" ".to_owned()], BTreeMap::new()), Err(KafkaConfigError::NoBrokers));
}

#[test]
fn a_transaction_must_end_before_its_members_session() {
    assert!(config(10_000, 8_000).is_ok());
    assert!(config(10_000, 10_000).is_err());
    assert!(config(10_000, 1_000).is_err());
}

#[test]
fn librdkafka_accepts_the_settings_of_every_client() {
    let config = config(10_000, 8_000).unwrap();
    let accepts = |client: &ClientConfig| {
        client.create::<BaseProducer>().map(drop).unwrap_or_else(|error| panic!("{error}"));
    };
    accepts(&config.transactional_producer("heartline.presence.a"));
    accepts(&config.connection.plain_producer("heartline.presence.a"));
    accepts(&config.connection.admin());
    let consumer = |client: &ClientConfig| {
        client
            .create::<rdkafka::consumer::BaseConsumer>()
            .map(drop)
            .unwrap_or_else(|error| panic!("{error}"));
    };
    consumer(&config.member("heartline.presence.a"));
    consumer(&config.reader(Isolation::Uncommitted));
}
