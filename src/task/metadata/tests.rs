use proptest::{option, prelude::*};

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

fn any_metadata() -> impl Strategy<Value = OffsetMetadata> {
    let name = || prop_oneof!["[a-zA-Z0-9._-]{0,60}", ".{0,60}"];
    let numbers = (any::<i64>(), any::<i64>(), any::<i32>(), any::<i64>());
    (numbers, name(), name(), option::of(".{0,200}")).prop_map(|(numbers, topic_id, producer, resume)| {
        let (stored, start, generation, base_us) = numbers;
        OffsetMetadata { stored, start, generation, base_us, topic_id, producer, resume }
    })
}

proptest! {
    #[test]
    fn any_metadata_is_read_as_it_was_written(metadata in any_metadata()) {
        prop_assert_eq!(OffsetMetadata::decode(&metadata.encode()), Some(metadata));
    }

    #[test]
    fn any_text_is_refused_or_read_the_same_again(
        (metadata, at, fragment) in (any_metadata(), any::<prop::sample::Index>(), ".{0,3}"),
        text in ".{0,100}",
    ) {
        let mut edited: Vec<char> = metadata.encode().chars().collect();
        let at = at.index(edited.len());
        edited.splice(at..=at, fragment.chars());
        for text in [text, edited.into_iter().collect()] {
            if let Some(metadata) = OffsetMetadata::decode(&text) {
                prop_assert_eq!(OffsetMetadata::decode(&metadata.encode()), Some(metadata));
            }
        }
    }
}
