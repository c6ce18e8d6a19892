use super::*;
use crate::{
    store::{Change, Select},
    table::Value,
};

fn rows(writes: &[WriteBatch]) -> Vec<Row> {
    let row = |write: &WriteBatch| match &write.statements[0].change {
        Change::Upsert(cells) => {
            Row { clustering: write.statements[0].clustering.clone(), cells: cells.clone() }
        }
        other => panic!("unexpected {other:?}"),
    };
    writes.iter().map(row).collect()
}

fn checkpoint(origin: Offset) -> Checkpoint {
    Checkpoint { origin, resume: format!("at {origin}"), bytes: Bytes::from(vec![origin as u8; 10]) }
}

fn slot_of(write: &WriteBatch) -> i32 {
    write.statements[0].clustering[0].as_int().unwrap()
}

#[test]
fn slots_alternate_so_that_a_torn_write_leaves_the_other_whole() {
    let mut checkpoints = Checkpoints::default();
    let mut slots = Vec::new();
    for origin in [10, 20, 30] {
        let (_, header) = checkpoints.writes(5, &checkpoint(origin), 0);
        slots.push(slot_of(&header));
        checkpoints.taken(5);
        checkpoints.stored(5, checkpoint(origin));
    }
    assert_eq!(slots, [0, 1, 0]);
}

#[test]
fn after_a_takeover_the_slot_that_was_loaded_is_not_overwritten() {
    let mut checkpoints = Checkpoints::default();
    checkpoints.restored(5, Some(0), 10, None);
    assert_eq!(slot_of(&checkpoints.writes(5, &checkpoint(20), 0).1), 1);
}

#[test]
fn the_restore_point_is_the_least_origin() {
    let mut checkpoints = Checkpoints::default();
    checkpoints.restored(1, None, 3, None);
    checkpoints.restored(2, None, 3, None);
    checkpoints.stored(1, checkpoint(50));
    assert_eq!(checkpoints.restore_point(), Some((3, None)), "bucket 2 has none yet");
    checkpoints.stored(2, checkpoint(40));
    assert_eq!(checkpoints.restore_point(), Some((40, Some("at 40"))));
}

#[test]
fn the_newest_whole_slot_counts() {
    let (old, old_header) = checkpoint_writes(5, 0, 0, &checkpoint(10));
    let (_, new_header) = checkpoint_writes(5, 1, 0, &checkpoint(20));
    let mut load = BucketLoad::new(5, 0);
    load.begin();
    let LoadStep::Read(query) = load.take(&rows(&[old_header, new_header])) else { panic!("a read") };
    let Select::Slice { prefix, .. } = query.select else { panic!("a slice") };
    assert_eq!(*prefix, [Value::Int(1)], "the newest first");
    let LoadStep::Read(_) = load.take(&[]) else { panic!("its chunk is missing: the other slot") };
    let LoadStep::Loaded(Some((header, bytes))) = load.take(&rows(&old)) else { panic!("whole") };
    assert_eq!((header.origin, bytes), (10, checkpoint(10).bytes));
}

#[test]
fn a_bucket_without_any_whole_slot_is_read_again_and_then_halts() {
    let (_, header) = checkpoint_writes(5, 0, 0, &checkpoint(10));
    let headers = rows(&[header]);
    let mut load = BucketLoad::new(5, 0);
    for attempt in 1..=ATTEMPTS_MAX {
        load.begin();
        let LoadStep::Read(_) = load.take(&headers) else { panic!("a read") };
        match load.take(&[]) {
            LoadStep::Again => assert!(attempt < ATTEMPTS_MAX),
            LoadStep::Failed(HaltReason::Checkpoint { bucket: 5, .. }) => assert_eq!(attempt, ATTEMPTS_MAX),
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn every_bucket_has_its_turn_once_a_round() {
    let buckets = [2, 10, 18];
    let mut checkpoints = Checkpoints::default();
    let mut seen = Vec::new();
    for now_ms in (0..31_000).step_by(500) {
        seen.extend(checkpoints.due(&buckets, now_ms + 1, 30_000));
    }
    assert_eq!(seen, [2, 10, 18]);
}

#[test]
fn after_a_stall_the_turns_come_no_faster_than_before() {
    let buckets = [2, 10, 18];
    let mut checkpoints = Checkpoints::default();
    checkpoints.due(&buckets, 1, 30_000);
    let seen: Vec<_> = (100_000..110_000)
        .step_by(100)
        .flat_map(|now_ms| checkpoints.due(&buckets, now_ms, 30_000))
        .collect();
    assert!(seen.len() <= 4, "{seen:?} in a third of a round");
}

#[test]
fn a_bucket_on_its_way_is_passed_over() {
    let mut checkpoints = Checkpoints::default();
    checkpoints.due(&[7], 1, 1_000);
    checkpoints.taken(7);
    assert!(checkpoints.due(&[7], 1_002, 1_000).is_empty());
    checkpoints.stored(7, checkpoint(9));
    assert_eq!(checkpoints.due(&[7], 2_003, 1_000), [7]);
}

#[test]
fn a_checkpoint_of_another_generation_does_not_count() {
    let (_, header) = checkpoint_writes(5, 0, 77, &checkpoint(10));
    let mut load = BucketLoad::new(5, 78);
    load.begin();
    assert!(matches!(load.take(&rows(&[header])), LoadStep::Loaded(None)));
}

#[test]
fn after_a_stall_no_bucket_has_two_turns_at_once() {
    let mut checkpoints = Checkpoints::default();
    assert!(checkpoints.due(&[1, 3], 1, 1_000).is_empty());
    checkpoints.taken(1);
    assert_eq!(checkpoints.due(&[1, 3], 100_000, 1_000), [3], "bucket 1 is on its way");
}
