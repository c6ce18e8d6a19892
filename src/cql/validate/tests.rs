use crate::{
    store::StoreErrorClass,
    table::{Stage, Writing, column, progress::OWNERS},
};

use super::*;

static NAMES: Table = Table {
    name: "names",
    partition: &[column("name", Kind::Text)],
    clustering: &[column("seq", Kind::BigInt)],
    statics: &[column("origin", Kind::BigInt)],
    cells: &[column("body", Kind::Blob)],
    stage: Stage::First,
    writing: Writing::InPlace,
};

fn statement(change: Change) -> Statement {
    Statement { clustering: [Value::BigInt(1)].into(), change, timestamp_us: 1, ttl_s: None }
}

fn upsert() -> Statement {
    statement(Change::Upsert([Value::Null].into()))
}

fn batch(name: &str, statements: Vec<Statement>) -> WriteBatch {
    WriteBatch::new(&NAMES, [Value::text(name)].into(), statements)
}

fn refusal(batch: &WriteBatch) -> String {
    let error = check_batch(batch).unwrap_err();
    assert_eq!(error.class, StoreErrorClass::Permanent);
    error.message
}

fn slice(prefix: &[Value], after: Option<Value>) -> Result<(), StoreError> {
    let select = Select::Slice { prefix: prefix.into(), after, descending: false, limit: 1 };
    check_query(&Query { table: &NAMES, partition: [Value::text("a")].into(), select })
}

#[test]
fn a_partition_key_is_neither_empty_nor_longer_than_the_database_can_hold() {
    assert_eq!(check_batch(&batch(&"a".repeat(65_535), vec![upsert()])), Ok(()));
    assert_eq!(
        refusal(&batch("", vec![upsert()])),
        "a write to names was refused: the partition key is empty"
    );
    let too_long = refusal(&batch(&"a".repeat(65_536), vec![upsert()]));
    assert!(too_long.contains("65536 bytes"), "{too_long}");
}

#[test]
fn the_framing_of_a_composite_partition_key_counts() {
    let query = |topic_bytes: usize| {
        let partition = [Value::text(&"t".repeat(topic_bytes)), Value::Int(0)].into();
        let select = Select::Keys(vec![[Value::text("pod-1")].into()]);
        check_query(&Query { table: &OWNERS, partition, select }).is_ok()
    };
    assert!(query(65_535 - 4 - 6));
    assert!(!query(65_535 - 4 - 5));
    assert!(query(0), "an empty component is no empty key");
}

#[test]
fn a_clustering_is_complete_and_has_no_null() {
    let with = |clustering: &[Value]| {
        let statement = Statement { clustering: clustering.into(), ..statement(Change::Delete) };
        check_batch(&batch("a", vec![statement])).is_ok()
    };
    assert!(with(&[Value::BigInt(1)]));
    assert!(!with(&[]), "a delete names one row");
    assert!(!with(&[Value::Null]));
    assert!(!with(&[Value::Int(1)]), "another kind");
}

#[test]
fn every_column_has_a_value_of_its_kind() {
    for cells in [&[][..], &[Value::Int(1)], &[Value::Null, Value::Null]] {
        let statement = statement(Change::Upsert(cells.into()));
        assert!(check_batch(&batch("a", vec![statement])).is_err(), "{cells:?}");
    }
}

#[test]
fn statics_need_a_table_that_has_them() {
    let statics = |table: &'static Table, partition: &[Value]| {
        check_query(&Query { table, partition: partition.into(), select: Select::Statics }).is_ok()
    };
    assert!(statics(&NAMES, &[Value::text("a")]));
    assert!(!statics(&OWNERS, &[Value::text("heartbeats"), Value::Int(0)]));
}

#[test]
fn a_slice_restricts_no_more_columns_than_there_are() {
    assert_eq!(slice(&[], None), Ok(()));
    assert_eq!(slice(&[], Some(Value::BigInt(3))), Ok(()));
    assert_eq!(slice(&[Value::BigInt(3)], None), Ok(()));
    assert!(slice(&[Value::BigInt(3)], Some(Value::BigInt(3))).is_err());
    assert!(slice(&[Value::Null], None).is_err());
    assert!(slice(&[], Some(Value::text("3"))).is_err(), "another kind");
}

#[test]
fn a_batch_is_bounded_in_bytes_and_statements() {
    let blob = |bytes: usize| statement(Change::Upsert([Value::blob(vec![0; bytes])].into()));
    assert_eq!(check_batch(&batch("a", vec![blob(14 * 1024 * 1024)])), Ok(()));
    assert!(refusal(&batch("a", vec![blob(16 * 1024 * 1024)])).contains("at most 15728640 bytes"));
    assert_eq!(check_batch(&batch("a", vec![upsert(); 65_535])), Ok(()));
    assert!(refusal(&batch("a", vec![upsert(); 65_536])).contains("65536"));
}

#[test]
fn a_time_to_live_is_at_least_a_second_and_at_most_twenty_years() {
    let with =
        |ttl_s: u32| check_batch(&batch("a", vec![Statement { ttl_s: Some(ttl_s), ..upsert() }])).is_ok();
    assert!(with(1) && with(630_720_000));
    assert!(!with(0) && !with(630_720_001));
}
