use super::*;

fn sample() -> OffsetMetadata {
    OffsetMetadata {
        stored: 991,
        start: 3,
        generation: 2,
        base_us: 1_760_000_000_000_000,
        topic_id: "t-1".into(),
        producer: "heartline.presence.pod-1".into(),
        resume: Some(r#"{"clock":5,"quote":"\""}"#.into()),
    }
}

#[test]
fn metadata_is_read_as_it_was_written() {
    let metadata = sample();
    assert_eq!(OffsetMetadata::decode(&metadata.encode()), Some(metadata));
    let fresh = OffsetMetadata { resume: None, ..sample() };
    assert_eq!(OffsetMetadata::decode(&fresh.encode()), Some(fresh));
}

#[test]
fn the_longest_names_fit_the_brokers_limit() {
    let metadata = OffsetMetadata {
        topic_id: "t".repeat(64),
        producer: "p".repeat(300),
        resume: Some("\"".repeat(1_500)),
        ..sample()
    };
    assert!(metadata.encode().len() <= OFFSET_METADATA_BYTES_MAX);
}

#[test]
fn what_somebody_else_committed_is_not_taken_for_ours() {
    for text in ["", "{}", "moved by hand", r#"{"v":2,"k":1}"#] {
        assert_eq!(OffsetMetadata::decode(text), None, "{text}");
    }
}
