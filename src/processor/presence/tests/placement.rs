//! Records that belong elsewhere, parts that are refused, and what lies below an origin.

use super::harness::{BASE_US, Logged, START_MS, World, fold, restored};
use crate::{
    effect::Output,
    id::{bucket_of, partition_of},
    log::Header,
    processor::{Checkpoint, Fold, Step},
    table::Value,
    topology::Topic,
};

/// The first users of each of two partitions.
fn users() -> (String, String, String) {
    let name = |partition: u32, skip: usize| {
        let names = (0..).map(|n| format!("u{n}"));
        names.filter(|name| partition_of(name.as_bytes(), 2) == partition).nth(skip).unwrap()
    };
    (name(0, 0), name(0, 1), name(1, 0))
}

fn beats(users: &[&str]) -> String {
    let beat = |user: &&str| format!(r#"{{"user":"{user}","session":"s","counter":1}}"#);
    let beats: Vec<String> = users.iter().map(beat).collect();
    format!(r#"{{"v":1,"type":"heartbeats","beats":[{}]}}"#, beats.join(","))
}

#[test]
fn a_record_of_another_partition_is_forwarded_once() {
    let (_, _, other) = users();
    let mut world = World::of(2, 4);
    assert_eq!(world.beat(&other, "s", 1, ""), Step::Forwarded);
    let forwarded = world.published.pop().unwrap();
    assert_eq!((forwarded.topic, forwarded.partition), (Topic::Heartbeats, 1));
    assert_eq!(forwarded.value.as_deref(), Some(&world.log[1].value[..]));
    assert_eq!(forwarded.headers[0].name, "heartline.forwarded");
    let value = world.log[1].value.clone();
    assert_eq!(world.append_with(value, forwarded.headers), Step::DeadLettered);
    assert_eq!(world.dead_letters()[0].0, "invalid");
}

#[test]
fn a_header_of_the_producer_is_forwarded_too() {
    let (_, _, other) = users();
    let mut world = World::of(2, 4);
    let header = Header { name: "trace".to_owned(), value: None };
    world.append_with(beats(&[&other]), vec![header.clone()]);
    assert_eq!(world.published[0].headers[0], header);
}

#[test]
fn the_first_beat_decides_where_a_batch_belongs_and_the_others_are_refused() {
    let (ours, too, other) = users();
    let mut world = World::of(2, 4);
    assert_eq!(world.append(beats(&[&ours, &other, &too])), Step::Applied);
    assert_eq!(world.moves().len(), 2);
    let letter = world.published.iter().find(|record| record.topic == Topic::DeadLetters).unwrap();
    let refused = letter.headers.iter().find(|header| header.name == "heartline.refused").unwrap();
    let refused: serde_json::Value = serde_json::from_slice(refused.value.as_ref().unwrap()).unwrap();
    assert_eq!((&refused[0]["index"], refused.as_array().unwrap().len()), (&1.into(), 1));
    assert_eq!(world.dead_letters()[0].0, "beats");
    assert_eq!(world.append(beats(&[&other, &ours])), Step::Forwarded);
}

#[test]
fn a_batch_of_nothing_is_filtered_and_no_dead_letter() {
    let mut world = World::new();
    assert_eq!(world.append(r#"{"v":1,"type":"heartbeats","beats":[]}"#), Step::Filtered);
    assert_eq!(world.append(r#"{"v":1,"type":"goodbyes","ends":[]}"#), Step::Filtered);
    assert!(world.dead_letters().is_empty());
}

#[test]
fn a_batch_without_a_usable_part_is_a_dead_letter() {
    let mut world = World::new();
    assert_eq!(world.append(r#"{"v":1,"type":"heartbeats","beats":[{"user":""}]}"#), Step::DeadLettered);
    assert_eq!(world.dead_letters().len(), 1);
}

#[test]
fn what_cannot_be_read_is_a_dead_letter() {
    let mut world = World::new();
    assert_eq!(world.append("{"), Step::DeadLettered);
    assert_eq!(world.append(r#"{"v":1,"type":"telegram"}"#), Step::DeadLettered);
    let reasons: Vec<String> = world.dead_letters().into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["malformed", "unsupported"]);
}

#[test]
fn a_record_is_folded_wholly_or_not_at_all_while_a_user_is_not_in_memory() {
    let (ours, too, _) = users();
    let mut world = World::of(2, 4);
    world.beat(&ours, "s", 0, "");
    world.published.clear();
    let record = Logged {
        offset: world.log.len() as i64,
        time_ms: world.time_ms,
        value: beats(&[&ours, &too]).into(),
        headers: Vec::new(),
    };
    let mut output = Output::new(0);
    output.begin(record.offset, true);
    let before = world.checkpoints();
    assert_eq!(world.fold.fold(&record.as_ref(), &mut output), Step::Wanting);
    assert!(output.records.is_empty() && output.rows.is_empty());
    let after = world.checkpoints();
    let bytes = |all: &[(u32, Checkpoint)]| -> Vec<bytes::Bytes> {
        all.iter().map(|(_, one)| one.bytes.clone()).collect()
    };
    assert_eq!(bytes(&before), bytes(&after));
    let queries = world.fold.wanted(&mut [record.as_ref(), record.as_ref()].into_iter());
    assert_eq!(queries.len(), 1, "each key once, and not the user that is there");
}

#[test]
fn a_bucket_skips_what_lies_below_its_own_origin_and_only_that() {
    let (ours, too, _) = {
        // Two users of different buckets of partition 0.
        let names = || (0..).map(|n| format!("u{n}"));
        let of = |bucket: u32| names().find(|name| bucket_of(name.as_bytes(), 4) == bucket).unwrap();
        (of(0), of(2), ())
    };
    let mut world = World::of(2, 4);
    world.beat(&ours, "s", 1, "");
    let early = world.checkpoints();
    world.beat(&too, "s", 1, "");
    world.beat(&ours, "s", 2, r#""busy":true"#);
    let late = world.checkpoints();
    assert_eq!(early[1].1.origin, 1, "the beacon at 0 was the last that changed it");
    assert_eq!((late[0].1.origin, late[1].1.origin), (4, 3));
    // Bucket 0 as of 4, bucket 2 as of 1: from 1 on.
    let checkpoints = [late[0].clone(), early[1].clone()];
    world.fold = restored(world.fold.setup.clone(), &checkpoints);
    let mut output = Output::new(BASE_US);
    let steps: Vec<Step> = world.log[1..]
        .to_vec()
        .iter()
        .map(|record| fold(&mut world.fold, record, &Default::default(), &mut output, 0))
        .collect();
    assert_eq!(steps, [Step::Filtered, Step::Applied, Step::Filtered]);
    let bytes = |all: &[(u32, Checkpoint)]| -> Vec<bytes::Bytes> {
        all.iter().map(|(_, one)| one.bytes.clone()).collect()
    };
    assert_eq!(bytes(&world.checkpoints()), bytes(&late));
}

#[test]
fn records_below_a_users_row_are_folded_but_neither_numbered_nor_published() {
    let mut world = World::new();
    let start = world.checkpoints();
    world.beat("alice", "s-1", 1, "");
    world.goodbye("alice", "s-1", 2, 0);
    world.beat("alice", "s-1", 3, "");
    assert_eq!(world.moves().len(), 3);
    // A successor whose checkpoint is older than the row, which says version 3 as of 4.
    let log = world.log.split_off(1);
    world.fold = restored(world.fold.setup.clone(), &start);
    for record in log {
        world.append(record.value);
    }
    assert_eq!(world.moves(), [""; 0]);
    world.goodbye("alice", "s-1", 4, 0);
    assert_eq!(world.moves(), ["alice 4 online>offline goodbye"]);
}

/// Folds the log again from its start, with the rows as they are now: what a successor does whose checkpoint
/// is older.
fn fold_again(world: &mut World, start: &[(u32, Checkpoint)]) {
    let log = world.log.split_off(1);
    world.fold = restored(world.fold.setup.clone(), start);
    for record in log {
        world.time_ms = record.time_ms;
        world.append(record.value);
    }
    world.moves();
}

#[test]
fn records_below_a_users_row_do_not_move_last_seen() {
    let mut world = World::new();
    let start = world.checkpoints();
    world.beat("alice", "a", 1, "");
    world.status("alice", r#""status":"invisible""#);
    world.time_ms += 5;
    world.beat("alice", "a", 2, "");
    world.beat("alice", "b", 1, "");
    world.goodbye("alice", "b", 2, 60_000);
    world.status("alice", r#""status":"auto""#);
    fold_again(&mut world, &start);
    world.status("alice", r#""status_text":"back""#);
    assert_eq!(world.transitions()[0]["last_seen"], START_MS);
}

#[test]
fn a_choice_does_not_lapse_below_the_row_that_says_it() {
    let mut world = World::new();
    world.pass(10_000);
    let start = world.checkpoints();
    let head = world.log.len();
    world.goodbye("alice", "s-1", 1, 0);
    world.status("alice", &format!(r#""status":"busy","until":{}"#, START_MS));
    let log = world.log.split_off(head);
    world.fold = restored(world.fold.setup.clone(), &start);
    for record in log {
        world.append(record.value);
    }
    assert_eq!(world.rows.cells("alice", "").unwrap()["choice"], Value::text("busy"));
    world.goodbye("alice", "s-2", 1, 0);
    assert_eq!(world.rows.cells("alice", "").unwrap()["choice"], Value::Null);
}
