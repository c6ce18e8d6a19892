use bytes::Bytes;

use super::{Content, PartitionLog, ReadLimits};
use crate::{log::Chunk, sim::log::ProducerId};

const A: ProducerId = ProducerId(0);
const B: ProducerId = ProducerId(1);
const ALL: ReadLimits = ReadLimits { records_max: 100, bytes_max: 100_000 };

fn content(value: &str) -> Content {
    Content { value: Some(Bytes::copy_from_slice(value.as_bytes())), ..Content::default() }
}

fn values(log: &PartitionLog) -> Vec<String> {
    let text = |bytes: &Option<Bytes>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into();
    log.committed(0).map(|record| text(&record.content.value)).collect()
}

#[test]
fn the_last_stable_offset_waits_for_the_first_open_transaction() {
    let mut log = PartitionLog::default();
    log.append(content("plain"), 0, None);
    log.append(content("a"), 0, Some(A));
    log.append(content("b"), 0, Some(B));
    log.append(content("beacon"), 0, None);
    assert_eq!(log.stable_end(), 1);
    log.end_transaction(B, true, 0);
    assert_eq!((log.stable_end(), values(&log)), (1, vec!["plain".to_owned()]));
    log.end_transaction(A, true, 0);
    assert_eq!(values(&log), ["plain", "a", "b", "beacon"]);
}

#[test]
fn a_read_does_not_pass_an_open_transaction() {
    let mut log = PartitionLog::default();
    log.append(content("before"), 0, None);
    log.append(content("open"), 0, Some(A));
    log.append(content("beacon"), 0, None);
    let mut chunk = Chunk::new(0, 1);
    assert_eq!((log.read(0, ALL, &mut chunk), chunk.len()), (1, 1));
    log.end_transaction(A, false, 0);
    let mut chunk = Chunk::new(0, 1);
    assert_eq!((log.read(1, ALL, &mut chunk), chunk.len()), (4, 1));
}

#[test]
fn a_marker_occupies_an_offset() {
    let mut log = PartitionLog::default();
    log.append(content("a"), 0, Some(A));
    log.end_transaction(A, true, 0);
    assert_eq!(log.append(content("next"), 0, None), 2);
    let offsets: Vec<_> = log.committed(0).map(|record| record.offset).collect();
    assert_eq!(offsets, [0, 2]);
}

#[test]
fn aborted_records_are_never_read_and_keep_their_offsets() {
    let mut log = PartitionLog::default();
    log.append(content("gone"), 0, Some(A));
    log.end_transaction(A, false, 0);
    log.append(content("there"), 0, None);
    let mut chunk = Chunk::new(0, 1);
    assert_eq!(log.read(0, ALL, &mut chunk), 3);
    assert_eq!((chunk.len(), chunk.get(0).offset), (1, 2));
}

#[test]
fn a_read_keeps_its_limits_but_gives_at_least_one_record() {
    let mut log = PartitionLog::default();
    for _ in 0..5 {
        log.append(content("0123456789"), 0, None);
    }
    let mut chunk = Chunk::new(0, 1);
    assert_eq!(log.read(0, ReadLimits { records_max: 2, ..ALL }, &mut chunk), 2);
    let mut chunk = Chunk::new(0, 1);
    assert_eq!(log.read(2, ReadLimits { bytes_max: 1, ..ALL }, &mut chunk), 3);
}

#[test]
fn what_was_trimmed_is_out_of_bounds_and_still_known_to_checkers() {
    let mut log = PartitionLog::default();
    for value in ["a", "b", "c"] {
        log.append(content(value), 0, None);
    }
    log.trim(2);
    assert_eq!(log.bounds().first, 2);
    assert_eq!(values(&log), ["a", "b", "c"]);
}

#[test]
fn trimming_stops_at_the_last_stable_offset() {
    let mut log = PartitionLog::default();
    log.append(content("a"), 0, None);
    log.append(content("b"), 0, Some(A));
    log.trim(2);
    assert_eq!(log.bounds().first, 1);
}
