use std::collections::BTreeMap;

use bytes::Bytes;

use super::{OPEN_TOPICS, Placed, place};
use crate::{
    record::Reason,
    topology::{Topic, Topology},
};

fn topology() -> Topology {
    Topology::uniform(8, 8)
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn placed(value: &str) -> Placed {
    place(&topology(), Topic::Heartbeats, &bytes(value)).expect("valid")
}

fn partition(user: &str) -> u32 {
    topology().place(Topic::Heartbeats, user.as_bytes())
}

/// Values by partition.
fn values(placed: &Placed) -> BTreeMap<u32, String> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let value = |record: &crate::log::OutRecord| text(record.value.as_deref().expect("a value"));
    placed.records.iter().map(|record| (record.partition, value(record))).collect()
}

#[test]
fn a_record_of_one_user_keeps_its_bytes_and_is_keyed_by_the_user() {
    let status = r#"{"v":1,"type":"status", "user":"ann","status":"busy", "new":1.50}"#;
    for value in [
        r#"{"v":1,"type":"heartbeat","user":"ann","session":"s","counter":1 ,"metadata":{"b":1,"a": 2}}"#,
        r#"{"v":1,"type":"goodbye","user":"ann","session":"s","counter":1}"#,
        status,
    ] {
        let placed = placed(value);
        assert_eq!(values(&placed), BTreeMap::from([(partition("ann"), value.to_owned())]));
        assert_eq!(placed.records[0].key.as_deref(), Some(&b"ann"[..]));
    }
}

#[test]
fn a_gone_gateway_is_told_to_every_partition() {
    let value = r#"{"v":1,"type":"gateway_gone","gateway":"gw"}"#;
    let placed = placed(value);
    assert_eq!(placed.records.len(), 8);
    assert!(values(&placed).values().all(|other| other == value));
    assert!(placed.records.iter().all(|record| record.key.is_none()));
}

#[test]
fn a_batch_of_one_partition_keeps_its_bytes() {
    let value = r#"{"v":1, "type":"heartbeats","beats":[{"user":"ann","session":"s","counter":1}]}"#;
    assert_eq!(values(&placed(value)), BTreeMap::from([(partition("ann"), value.to_owned())]));
}

#[test]
fn a_batch_over_partitions_is_split_and_its_elements_keep_their_bytes() {
    let others: Vec<String> =
        (0..).map(|n| format!("u{n}")).filter(|u| partition(u) != partition("ann")).take(1).collect();
    let bob = &others[0];
    let (first, third) = (
        r#"{"user":"ann", "session":"s","counter":1,"metadata":{"x": 1.0}}"#,
        r#"{"user":"ann","session":"t","counter":2}"#,
    );
    let second = format!(r#"{{"user":"{bob}","session":"s","counter":9}}"#);
    let batch =
        format!(r#"{{"v":1,"type":"heartbeats","gateway":"gw\u002d1","beats":[{first},{second},{third}]}}"#);
    let head = r#"{"v":1,"type":"heartbeats","gateway":"gw\u002d1","beats":["#;
    let expected = BTreeMap::from([
        (partition("ann"), format!("{head}{first},{third}]}}")),
        (partition(bob), format!("{head}{second}]}}")),
    ]);
    assert_eq!(values(&placed(&batch)), expected);
    let ends = format!(r#"{{"v":1,"type":"goodbyes","ends":[{second},{third}]}}"#);
    let expected = BTreeMap::from([
        (partition("ann"), format!(r#"{{"v":1,"type":"goodbyes","ends":[{third}]}}"#)),
        (partition(bob), format!(r#"{{"v":1,"type":"goodbyes","ends":[{second}]}}"#)),
    ]);
    assert_eq!(values(&placed(&ends)), expected);
}

#[test]
fn refused_elements_of_a_batch_are_named_and_left_out() {
    let good = r#"{"user":"ann","session":"s","counter":1}"#;
    let placed = placed(&format!(
        r#"{{"v":1,"type":"heartbeats","beats":[{{"user":"a/b","session":"s","counter":1}},{good}]}}"#
    ));
    assert_eq!(placed.refused.iter().map(|part| part.index).collect::<Vec<_>>(), [0]);
    let expected = format!(r#"{{"v":1,"type":"heartbeats","beats":[{good}]}}"#);
    assert_eq!(values(&placed), BTreeMap::from([(partition("ann"), expected)]));
}

#[test]
fn a_beacon_is_refused() {
    let beacon = crate::record::beacon::encode_beacon(
        "heartline.presence",
        "i",
        1_000,
        &crate::record::beacon::Parameters::VERSION_1,
    );
    let refusal = place(&topology(), Topic::Heartbeats, &beacon).expect_err("refused");
    assert_eq!(refusal.reason, Reason::Invalid);
}

#[test]
fn what_the_worker_would_refuse_is_refused() {
    let reason =
        |value: &str| place(&topology(), Topic::Heartbeats, &bytes(value)).expect_err("refused").reason;
    assert_eq!(reason("{"), Reason::Malformed);
    assert_eq!(reason(r#"{"v":1,"type":"heartbeat","user":"ann"}"#), Reason::Invalid);
    assert_eq!(reason(r#"{"v":2,"type":"heartbeat"}"#), Reason::Unsupported);
    assert_eq!(
        reason(&format!(r#"{{"v":1,"type":"status","user":"a","x":"{}"}}"#, "x".repeat(4096))),
        Reason::Oversize
    );
}

/// A valid record of an open topic, and its key.
fn sample(topic: Topic) -> (&'static str, &'static str) {
    match topic {
        Topic::Heartbeats => (r#"{"v":1,"type":"heartbeat","user":"ann","session":"s","counter":1}"#, "ann"),
        Topic::Sends => (
            concat!(
                r#"{"v":1, "type":"message","conversation":"direct/ann/bob","sender":"ann","client_id":"c","#,
                r#""body":{"b":1.0,"a": 9007199254740993}}"#
            ),
            "direct/ann/bob",
        ),
        _ => (r#"{"v":1,"type":"read", "user":"bob","conversation":"group/x","seq":7}"#, "bob"),
    }
}

#[test]
fn a_record_keeps_its_bytes_and_lies_where_its_key_does() {
    let members =
        r#"{"v":1,"type":"members","conversation":"group/x","by":"ann","client_id":"m","add":["bob"]}"#;
    let samples = OPEN_TOPICS.map(|topic| (topic, sample(topic)));
    for (topic, (value, key)) in samples.into_iter().chain([(Topic::Sends, (members, "group/x"))]) {
        let placed = place(&topology(), topic, &bytes(value)).expect("valid");
        let [record] = &placed.records[..] else { panic!("one record is due: {placed:?}") };
        assert_eq!(record.topic, topic);
        assert_eq!(record.key.as_deref(), Some(key.as_bytes()));
        assert_eq!(record.value.as_deref(), Some(value.as_bytes()));
        assert_eq!(record.partition, topology().place(topic, key.as_bytes()));
        assert!(placed.refused.is_empty());
    }
}

#[test]
fn unusable_recipients_are_named_and_the_send_keeps_its_bytes() {
    let value = concat!(
        r#"{"v":1,"type":"message","conversation":"group/x","sender":"ann","client_id":"c","body":1,"#,
        r#""recipients":["bob","a/b",7]}"#
    );
    let placed = place(&topology(), Topic::Sends, &bytes(value)).expect("valid");
    assert_eq!(placed.records[0].value.as_deref(), Some(value.as_bytes()));
    assert_eq!(placed.refused.iter().map(|part| part.index).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_record_of_one_topic_is_none_of_another() {
    for (topic, other) in [
        (Topic::Sends, Topic::Receipts),
        (Topic::Receipts, Topic::Sends),
        (Topic::Heartbeats, Topic::Sends),
        (Topic::Sends, Topic::Heartbeats),
    ] {
        let refusal = place(&topology(), topic, &bytes(sample(other).0)).expect_err("refused");
        assert_eq!(refusal.reason, Reason::Unsupported, "{topic}");
    }
}

#[test]
fn what_workers_write_is_refused_whatever_its_topic_is_called() {
    let deliveries = r#"{"v":1,"type":"deliveries","messages":[]}"#;
    for topic in Topic::ALL {
        let refusal = place(&topology(), topic, &bytes(deliveries)).expect_err("refused");
        let expected = if OPEN_TOPICS.contains(&topic) { Reason::Unsupported } else { Reason::Invalid };
        assert_eq!(refusal.reason, expected, "{topic}");
    }
}

#[test]
fn a_topic_that_the_topology_lacks_is_named() {
    let smaller = topology().without(Topic::Receipts);
    let refusal = place(&smaller, Topic::Receipts, &bytes(sample(Topic::Receipts).0)).expect_err("refused");
    assert_eq!(refusal.reason, Reason::Unsupported);
    assert!(refusal.message.contains("'receipts'"), "{}", refusal.message);
}
