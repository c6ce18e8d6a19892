use super::*;

fn topic() -> TopicDescription {
    TopicDescription { topic_id: "t-1".into(), partitions: 8 }
}

fn metadata() -> OffsetMetadata {
    OffsetMetadata {
        stored: 50,
        start: 10,
        generation: 1,
        base_us: 1_000,
        topic_id: "t-1".into(),
        producer: "p".into(),
        resume: Some("{}".into()),
    }
}

fn row() -> ProgressRow {
    ProgressRow {
        topic_id: "t-1".into(),
        generation: 1,
        partitions: 8,
        base_us: 1_000,
        stored: 60,
        resume: Some("{}".into()),
        as_of_ms: None,
    }
}

fn judge(
    committed: Option<(Offset, String)>,
    row: Option<ProgressRow>,
    first: Offset,
    end: Offset,
) -> Decision {
    let committed = committed.map(|(offset, metadata)| Committed { offset, metadata });
    decide(&Facts {
        topic: &topic(),
        committed: committed.as_ref(),
        row: row.as_ref(),
        bounds: Bounds { first, end },
        wall_us: 77,
    })
}

fn halted(decision: Decision) -> HaltReason {
    match decision {
        Decision::Halt(reason) => reason,
        other => panic!("expected a halt, got {other:?}"),
    }
}

#[test]
fn a_partition_without_row_and_offset_is_claimed_at_its_first_offset() {
    let Decision::Claim(start) = judge(None, None, 7, 90) else { panic!("not claimed") };
    assert_eq!((start.committed, start.stored, start.first, start.base_us), (7, 7, 7, 77));
}

#[test]
fn a_takeover_restores_at_the_stored_position() {
    let Decision::Restore(start) = judge(Some((100, metadata().encode())), Some(row()), 10, 200) else {
        panic!("not restored")
    };
    assert_eq!((start.committed, start.stored), (100, 50), "the metadata's k, not the row's");
}

#[test]
fn a_row_that_was_never_written_is_written_while_nothing_was_stored() {
    let fresh = OffsetMetadata { stored: 10, resume: None, ..metadata() };
    assert!(matches!(judge(Some((10, fresh.encode())), None, 10, 200), Decision::WriteRow(_)));
}

#[test]
fn a_lost_row_halts() {
    let reason = halted(judge(Some((100, metadata().encode())), None, 10, 200));
    assert_eq!(reason, HaltReason::RowMissing { stored: 50 });
}

#[test]
fn a_missing_offset_halts_though_the_row_exists() {
    assert_eq!(halted(judge(None, Some(row()), 0, 200)), HaltReason::OffsetMissing { stored: 60 });
}

#[test]
fn an_offset_that_somebody_moved_halts() {
    let reason = halted(judge(Some((100, String::new())), Some(row()), 0, 200));
    assert_eq!(reason, HaltReason::OffsetMoved { committed: 100 });
}

#[test]
fn an_offset_below_what_is_stored_halts() {
    let reason = halted(judge(Some((55, metadata().encode())), Some(row()), 0, 200));
    assert_eq!(reason, HaltReason::OffsetBehind { committed: 55, stored: 60 });
}

#[test]
fn an_old_backup_halts() {
    let old = ProgressRow { stored: 49, ..row() };
    let reason = halted(judge(Some((100, metadata().encode())), Some(old), 0, 200));
    assert_eq!(reason, HaltReason::StoreBehind { found: 49, stored: 50 });
}

#[test]
fn a_topic_that_was_created_anew_halts() {
    let other = ProgressRow { topic_id: "t-0".into(), ..row() };
    let reason = halted(judge(Some((100, metadata().encode())), Some(other), 0, 200));
    assert_eq!(reason, HaltReason::TopicRecreated { known: "t-0".into(), found: "t-1".into() });
}

#[test]
fn a_changed_partition_count_halts() {
    let other = ProgressRow { partitions: 4, ..row() };
    let reason = halted(judge(Some((100, metadata().encode())), Some(other), 0, 200));
    assert_eq!(reason, HaltReason::PartitionsChanged { known: 4, found: 8 });
}

#[test]
fn a_restore_point_below_retention_halts_and_names_the_command() {
    let reason = halted(judge(Some((100, metadata().encode())), Some(row()), 51, 200));
    assert_eq!(reason, HaltReason::OutOfRange { wanted: 50, first: 51, end: 200 });
    let sentence = reason.sentence(Topic::Heartbeats, 3);
    assert!(sentence.contains("heartline adopt heartbeats 3 --reason offsets"), "{sentence}");
}

#[test]
fn a_truncated_topic_halts() {
    let reason = halted(judge(Some((100, metadata().encode())), Some(row()), 0, 99));
    assert_eq!(reason, HaltReason::OutOfRange { wanted: 100, first: 0, end: 99 });
}
