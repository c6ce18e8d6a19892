use super::harness::{BASE_US, Stage, offsets_of, values_of};
use crate::{
    engine::Phase,
    log::LogCommand,
    store::{Row, StoreErrorClass},
    table::{Value, checkpoint::HEADER, progress::ProgressRow},
    task::metadata::OffsetMetadata,
};

fn chunk_of(write: &crate::store::WriteBatch) -> i32 {
    write.statements[0].clustering[1].as_int().unwrap()
}

/// Folds one record so late that a checkpoint of the bucket is due, and commits it.
fn committed_with_checkpoint() -> (Stage, u64) {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    stage.commit();
    stage.now.boot_ms += 100;
    stage.records(fetch, 1, &["b"]);
    stage.commit();
    (stage, fetch)
}

#[test]
fn a_checkpoint_follows_the_rows_below_its_origin() {
    let (mut stage, _) = committed_with_checkpoint();
    assert_eq!(stage.writes("presence").len(), 2);
    assert!(stage.writes("presence_checkpoints").is_empty());
    stage.acknowledge("presence");
    assert!(stage.writes("presence_checkpoints").is_empty(), "one batch's rows are still owed");
    stage.acknowledge("presence");
    assert_eq!(stage.writes("presence_checkpoints").len(), 1);
}

#[test]
fn the_header_is_written_after_its_chunks() {
    let (mut stage, _) = committed_with_checkpoint();
    stage.acknowledge("presence");
    stage.acknowledge("presence");
    assert_eq!(chunk_of(&stage.acknowledge("presence_checkpoints")), 0);
    assert_eq!(chunk_of(&stage.acknowledge("presence_checkpoints")), HEADER);
}

#[test]
fn the_metadata_states_a_position_only_after_an_acknowledged_row_does() {
    let (mut stage, fetch) = committed_with_checkpoint();
    for table in ["presence", "presence", "presence_checkpoints", "presence_checkpoints"] {
        stage.acknowledge(table);
    }
    let stored = |stage: &mut Stage, from: i64| {
        stage.records(fetch, from, &["x"]);
        let metadata = offsets_of(&stage.commit())[0].1.metadata.clone();
        OffsetMetadata::decode(&metadata).unwrap().stored
    };
    assert_eq!(stored(&mut stage, 2), 0, "the row is not written");
    stage.acknowledge("presence");
    stage.pass(20);
    let write = loop {
        let write = stage.acknowledge("progress");
        let crate::store::Change::Upsert(cells) = &write.statements[0].change else { panic!("an upsert") };
        let row = ProgressRow::from_row(&Row { clustering: Box::new([]), cells: cells.clone() }).unwrap();
        if row.stored > 0 {
            break row;
        }
        stage.pass(20);
    };
    assert_eq!((write.stored, write.resume.as_deref()), (2, Some("at 2")), "the checkpoint's origin");
    assert_eq!(stored(&mut stage, 3), 2);
}

#[test]
fn a_key_that_is_not_in_memory_is_fetched_before_its_record_is_folded() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "key?", "b"]);
    assert_eq!(values_of(&stage.commit()), ["a"]);
    stage.records(fetch, 3, &["c"]);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_))), "order within the partition");
    stage.answer_read("presence", Vec::new());
    assert_eq!(values_of(&stage.commit()), ["key?", "b", "c"]);
}

#[test]
fn a_refused_write_is_written_again_until_it_is_acknowledged() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    stage.commit();
    for _ in 0..20 {
        stage.refuse("presence", StoreErrorClass::Retriable);
        assert!(stage.writes("presence").is_empty(), "after a pause");
        for _ in 0..6 {
            stage.pass(1_000);
        }
        assert_eq!(stage.writes("presence").len(), 1);
    }
    assert!(stage.engine.status().missing.iter().any(|missing| missing.part == "presence.store"));
    stage.acknowledge("presence");
    assert!(!stage.engine.status().missing.iter().any(|missing| missing.part == "presence.store"));
}

#[test]
fn a_permanent_refusal_halts_the_partition() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    stage.commit();
    stage.refuse("presence", StoreErrorClass::Permanent);
    let status = stage.engine.status();
    assert_eq!(status.partitions[0].phase, Phase::Halted);
    assert!(status.partitions[0].halted.clone().unwrap().contains("the store says no"));
}

#[test]
fn a_refresh_reads_the_row_and_writes_all_of_it_again_under_the_records_timestamp() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "again"]);
    stage.commit();
    stage.acknowledge("presence");
    let cells: Box<[Value]> = vec![Value::BigInt(1); 11].into();
    stage.answer_read("presence", vec![Row { clustering: Box::new([]), cells: cells.clone() }]);
    let write = stage.acknowledge("presence");
    assert_eq!(write.statements[0].timestamp_us, BASE_US + 1);
    assert_eq!(write.statements[0].ttl_s, Some(60));
    assert_eq!(write.statements[0].change, crate::store::Change::Upsert(cells));
}

#[test]
fn a_refreshed_row_that_is_not_what_the_fold_believes_restores() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["again"]);
    stage.pass(300);
    stage.commit();
    stage.answer_read(
        "presence",
        vec![Row { clustering: Box::new([]), cells: vec![Value::BigInt(-1); 11].into() }],
    );
    assert_eq!(stage.engine.status().restores, 1);
}

#[test]
fn after_an_idle_minute_the_metadata_follows_what_is_stored_once() {
    let (mut stage, _) = committed_with_checkpoint();
    for table in ["presence", "presence", "presence_checkpoints", "presence_checkpoints"] {
        stage.acknowledge(table);
    }
    stage.pass(20);
    while !stage.writes("progress").is_empty() {
        stage.acknowledge("progress");
        stage.pass(20);
    }
    let transacts = |stage: &Stage| stage.asks(|command| matches!(command, LogCommand::Transact(_)));
    // In steps: a longer pause would have ownership proved first.
    (0..59).for_each(|_| stage.pass(1_000));
    assert!(!transacts(&stage), "not yet idle for a minute");
    (0..2).for_each(|_| stage.pass(1_000));
    let transaction = stage.commit();
    assert!(values_of(&transaction).is_empty(), "offsets alone");
    let (partition, committed) = &offsets_of(&transaction)[0];
    let stored = OffsetMetadata::decode(&committed.metadata).unwrap().stored;
    assert_eq!((*partition, committed.offset, stored), (0, 2, 2));
    (0..70).for_each(|_| stage.pass(1_000));
    assert!(!transacts(&stage), "there is nothing new to say");
}
