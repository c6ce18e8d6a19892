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
    judge_with(None, committed, row, first, end)
}

fn judge_with(
    decision: Option<ProgressRow>,
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
        decision: decision.as_ref(),
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
    assert!(sentence.contains("position 50 is gone from the topic, which holds 51 to 200"), "{sentence}");
    assert!(sentence.contains("retention"), "{sentence}");
    assert!(sentence.contains("heartline adopt heartbeats 3 --reason offsets`"), "{sentence}");
}

#[test]
fn a_truncated_topic_halts_and_does_not_speak_of_retention() {
    let reason = halted(judge(Some((100, metadata().encode())), Some(row()), 0, 99));
    assert_eq!(reason, HaltReason::OutOfRange { wanted: 100, first: 0, end: 99 });
    let sentence = reason.sentence(Topic::Heartbeats, 3);
    assert!(
        sentence.contains("position 100 lies beyond the end of the topic, which holds 0 to 99"),
        "{sentence}"
    );
    assert!(sentence.contains("put it back") && !sentence.contains("retention"), "{sentence}");
}

/// An operator's decision about the row above.
fn decision() -> ProgressRow {
    ProgressRow { generation: 2, base_us: 5_000, resume: Some("{}".into()), ..row() }
}

fn adopted(decision: Decision) -> Start {
    match decision {
        Decision::Claim(start) => start,
        other => panic!("expected a claim, got {other:?}"),
    }
}

fn begins_at(position: Offset, generation: i32) -> Start {
    let (committed, stored, first) = (position, position, position);
    Start { committed, stored, first, generation, base_us: 5_000, resume: None }
}

#[test]
fn an_adopted_partition_begins_its_next_generation_at_the_groups_offset() {
    let moved = Some((100, String::new()));
    assert_eq!(adopted(judge_with(Some(decision()), moved, Some(row()), 10, 200)), begins_at(100, 2));
}

#[test]
fn an_adopted_partition_whose_offset_is_missing_or_gone_begins_at_the_first_offset() {
    let missing = judge_with(Some(decision()), None, Some(row()), 10, 200);
    assert_eq!(adopted(missing), begins_at(10, 2));
    let gone = judge_with(Some(decision()), Some((100, metadata().encode())), Some(row()), 101, 200);
    assert_eq!(adopted(gone), begins_at(101, 2));
    let beyond = judge_with(Some(decision()), Some((100, metadata().encode())), Some(row()), 0, 99);
    assert_eq!(adopted(beyond), begins_at(0, 2));
}

#[test]
fn the_offset_of_a_former_topic_says_nothing_about_the_one_that_was_created_anew() {
    let former = OffsetMetadata { topic_id: "t-0".into(), ..metadata() };
    let start = judge_with(Some(decision()), Some((100, former.encode())), Some(row()), 0, 200);
    assert_eq!(adopted(start), begins_at(0, 2));
}

#[test]
fn a_decision_is_carried_out_though_the_objection_is_found_only_later() {
    let start = judge_with(Some(decision()), Some((100, metadata().encode())), Some(row()), 10, 200);
    assert_eq!(adopted(start), begins_at(100, 2));
}

#[test]
fn an_adopted_generation_is_restored_like_any_other_and_the_decision_does_not_apply_again() {
    let start = begins_at(100, 2);
    let row = start.row(&topic());
    let next =
        OffsetMetadata { stored: 100, start: 100, generation: 2, base_us: 5_000, resume: None, ..metadata() };
    let judged = judge_with(Some(decision()), Some((120, next.encode())), Some(row.clone()), 10, 200);
    assert_eq!(judged, Decision::Restore(Start { committed: 120, ..start }));
    let moved = judge_with(Some(decision()), Some((120, String::new())), Some(row), 10, 200);
    assert_eq!(halted(moved), HaltReason::OffsetMoved { committed: 120 });
}

#[test]
fn a_claim_whose_row_was_never_written_is_claimed_again_as_the_same_generation() {
    let next =
        OffsetMetadata { stored: 100, start: 100, generation: 2, base_us: 5_000, resume: None, ..metadata() };
    let start = judge_with(Some(decision()), Some((100, next.encode())), Some(row()), 10, 200);
    assert_eq!(adopted(start), begins_at(100, 2));
}

#[test]
fn a_decision_about_something_else_does_not_apply() {
    let moved = HaltReason::OffsetMoved { committed: 100 };
    for other in [
        ProgressRow { stored: 59, ..decision() },
        ProgressRow { generation: 1, ..decision() },
        ProgressRow { base_us: 1_000, ..decision() },
    ] {
        let judged = judge_with(Some(other), Some((100, String::new())), Some(row()), 10, 200);
        assert_eq!(halted(judged), moved);
    }
}

#[test]
fn where_the_row_is_lost_the_generation_goes_on_from_the_log() {
    let first = ProgressRow { generation: 1, stored: 0, ..decision() };
    let start = judge_with(Some(first), Some((100, metadata().encode())), None, 10, 200);
    assert_eq!(adopted(start), begins_at(100, 2));
}

#[test]
fn every_sentence_names_a_reason_that_the_command_knows() {
    let reasons = [
        (HaltReason::TopicRecreated { known: "a".into(), found: "b".into() }, "recreated"),
        (HaltReason::PartitionsChanged { known: 4, found: 8 }, "recreated"),
        (HaltReason::OffsetMissing { stored: 1 }, "offsets"),
        (HaltReason::OffsetMoved { committed: 1 }, "offsets"),
        (HaltReason::OffsetBehind { committed: 1, stored: 2 }, "offsets"),
        (HaltReason::OutOfRange { wanted: 1, first: 2, end: 3 }, "offsets"),
        (HaltReason::OutOfRange { wanted: 4, first: 2, end: 3 }, "offsets"),
        (HaltReason::StoreBehind { found: 1, stored: 2 }, "backup"),
        (HaltReason::RowMissing { stored: 2 }, "backup"),
        (HaltReason::Checkpoint { bucket: 1, why: "torn".into() }, "backup"),
    ];
    for (reason, name) in reasons {
        assert!(reason.is_adoptable());
        let sentence = reason.sentence(Topic::Heartbeats, 3);
        assert!(sentence.ends_with(&format!("--reason {name}`")), "{sentence}");
    }
    assert!(!HaltReason::Unsupported(String::new()).is_adoptable());
    assert!(!HaltReason::Store(String::new()).is_adoptable());
}
