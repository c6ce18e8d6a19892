use bytes::Bytes;

use super::{Answer, Failure, ProducerSession, RECORD_BYTES_MAX, Request, SimBroker, Verdict};
use crate::{
    log::OutRecord,
    topology::{Topic, Topology},
};

fn broker() -> (SimBroker, ProducerSession) {
    let mut broker = SimBroker::new(&Topology::uniform(2, 2), 8_000);
    match broker.handle(0, &mut Request::InitProducer { name: "a".to_owned() }) {
        Verdict::Answer(Answer::Producer(session)) => (broker, session),
        other => panic!("{other:?}"),
    }
}

fn produce(session: ProducerSession, partition: u32, bytes: usize) -> Request {
    let value = Some(Bytes::from(vec![0; bytes]));
    let record = OutRecord { topic: Topic::Presence, partition, key: None, value, headers: Vec::new() };
    Request::Produce { session, records: vec![record] }
}

#[test]
fn a_record_beyond_the_limit_aborts_the_transaction() {
    let (mut broker, session) = broker();
    let fits = broker.handle(0, &mut produce(session, 0, RECORD_BYTES_MAX));
    assert_eq!(fits, Verdict::Answer(Answer::Done));
    let refused = broker.handle(0, &mut produce(session, 0, RECORD_BYTES_MAX + 1));
    assert!(matches!(refused, Verdict::Answer(Answer::Failed(Failure::Abortable(_)))), "{refused:?}");
}

#[test]
fn a_partition_that_is_not_there_is_fatal() {
    let (mut broker, session) = broker();
    let refused = broker.handle(0, &mut produce(session, 2, 1));
    assert!(matches!(refused, Verdict::Answer(Answer::Failed(Failure::Fatal(_)))), "{refused:?}");
}

#[test]
fn records_of_a_call_that_must_be_tried_again_are_kept() {
    let (mut broker, session) = broker();
    broker.handle(0, &mut produce(session, 0, 1));
    broker.handle(0, &mut Request::EndTransaction { session, commit: true });
    let mut request = produce(session, 0, 1);
    assert_eq!(broker.handle(0, &mut request), Verdict::Again, "the markers are not written yet");
    assert!(matches!(&request, Request::Produce { records, .. } if records.len() == 1));
}

#[test]
fn a_group_is_known_by_its_name() {
    let (mut broker, _) = broker();
    let group = broker.group("presence", Topic::Heartbeats);
    assert_eq!(broker.group("presence", Topic::Heartbeats), group);
    assert_ne!(broker.group("other", Topic::Heartbeats), group);
}
