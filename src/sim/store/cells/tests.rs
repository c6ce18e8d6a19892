use super::Tables;
use crate::{
    store::{Change, Query, Row, Select, Statement, WriteBatch},
    table::{Column, Kind, Stage, Table, Value, Writing},
};

static TABLE: Table = Table {
    name: "notes",
    partition: &[Column { name: "bucket", kind: Kind::Int }],
    clustering: &[Column { name: "user", kind: Kind::Text }, Column { name: "seq", kind: Kind::BigInt }],
    statics: &[Column { name: "head", kind: Kind::BigInt }],
    cells: &[Column { name: "a", kind: Kind::Text }, Column { name: "b", kind: Kind::Int }],
    stage: Stage::First,
    writing: Writing::InPlace,
};

fn key(user: &str, seq: i64) -> Box<[Value]> {
    [Value::text(user), Value::BigInt(seq)].into()
}

fn upsert(seq: i64, a: &str, timestamp_us: i64, ttl_s: Option<u32>) -> Statement {
    let change = Change::Upsert([Value::text(a), Value::Null].into());
    Statement { clustering: key("u", seq), change, timestamp_us, ttl_s }
}

fn delete(seq: i64, timestamp_us: i64) -> Statement {
    Statement { clustering: key("u", seq), change: Change::Delete, timestamp_us, ttl_s: None }
}

fn apply(tables: &mut Tables, now_ms: u64, statements: Vec<Statement>) {
    tables.apply(now_ms, WriteBatch::new(&TABLE, [Value::Int(1)].into(), statements));
}

fn select(tables: &Tables, now_ms: u64, select: Select) -> Vec<Row> {
    tables.read(now_ms, &Query { table: &TABLE, partition: [Value::Int(1)].into(), select })
}

fn texts(tables: &Tables, now_ms: u64) -> Vec<String> {
    let all = Select::Slice { prefix: [].into(), after: None, descending: false, limit: 100 };
    let rows = select(tables, now_ms, all);
    rows.iter().map(|row| row.cells[0].as_text().unwrap_or("null").to_owned()).collect()
}

fn slice(user: &str, after: Option<i64>, descending: bool, limit: u32) -> Select {
    Select::Slice { prefix: [Value::text(user)].into(), after: after.map(Value::BigInt), descending, limit }
}

#[test]
fn the_greatest_timestamp_wins_whatever_the_order() {
    let mut tables = Tables::default();
    apply(&mut tables, 0, vec![upsert(1, "newer", 20, None)]);
    apply(&mut tables, 0, vec![upsert(1, "older", 10, None)]);
    assert_eq!(texts(&tables, 0), ["newer"]);
}

#[test]
fn a_delete_covers_what_is_not_newer_and_only_that() {
    let mut tables = Tables::default();
    apply(&mut tables, 0, vec![delete(1, 20)]);
    apply(&mut tables, 0, vec![upsert(1, "same", 20, None)]);
    assert!(texts(&tables, 0).is_empty());
    apply(&mut tables, 0, vec![upsert(1, "newer", 21, None)]);
    assert_eq!(texts(&tables, 0), ["newer"]);
}

#[test]
fn at_equal_timestamps_the_later_expiry_wins() {
    let mut tables = Tables::default();
    apply(&mut tables, 5_000, vec![upsert(1, "x", 20, Some(10))]);
    apply(&mut tables, 0, vec![upsert(1, "x", 20, Some(10))]);
    assert_eq!(texts(&tables, 14_999), ["x"]);
    assert!(texts(&tables, 15_000).is_empty());
}

#[test]
fn an_expired_cell_still_covers_older_ones() {
    let mut tables = Tables::default();
    apply(&mut tables, 0, vec![upsert(1, "brief", 20, Some(1))]);
    apply(&mut tables, 2_000, vec![upsert(1, "older", 10, None)]);
    assert!(texts(&tables, 2_000).is_empty());
}

#[test]
fn an_inserted_row_is_there_though_all_its_cells_are_null() {
    let mut tables = Tables::default();
    let change = Change::Upsert([Value::Null, Value::Null].into());
    apply(&mut tables, 0, vec![Statement { clustering: key("u", 1), change, timestamp_us: 1, ttl_s: None }]);
    assert_eq!(texts(&tables, 0), ["null"]);
}

#[test]
fn statics_are_no_row_and_survive_the_deletion_of_rows() {
    let mut tables = Tables::default();
    let change = Change::Statics([Value::BigInt(7)].into());
    let statics = Statement { clustering: [].into(), change, timestamp_us: 1, ttl_s: None };
    apply(&mut tables, 0, vec![statics, upsert(1, "x", 1, None), delete(1, 2)]);
    assert!(texts(&tables, 0).is_empty());
    let rows = select(&tables, 0, Select::Statics);
    assert_eq!(rows, [Row { clustering: [].into(), cells: [Value::BigInt(7)].into() }]);
}

#[test]
fn slices_keep_to_their_prefix_in_both_directions() {
    let mut tables = Tables::default();
    let mut statements: Vec<_> = (1..=5).map(|seq| upsert(seq, "x", 1, None)).collect();
    for (index, user) in ["a", "v"].into_iter().enumerate() {
        statements.push(Statement { clustering: key(user, index as i64), ..upsert(0, "other", 1, None) });
    }
    apply(&mut tables, 0, statements);
    let seqs = |wanted: Select| -> Vec<i64> {
        select(&tables, 0, wanted).iter().filter_map(|row| row.clustering[1].as_big_int()).collect()
    };
    assert_eq!(seqs(slice("u", None, false, 100)), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(slice("u", None, true, 2)), [5, 4]);
    assert_eq!(seqs(slice("u", Some(3), false, 100)), [4, 5]);
    assert_eq!(seqs(slice("u", Some(3), true, 100)), [2, 1]);
    assert_eq!(seqs(slice("u", Some(5), false, 100)), [0; 0]);
    assert_eq!(seqs(slice("nobody", None, true, 100)), [0; 0]);
}

#[test]
fn keys_are_found_in_clustering_order_and_absent_ones_are_left_out() {
    let mut tables = Tables::default();
    apply(&mut tables, 0, vec![upsert(2, "two", 1, None), upsert(1, "one", 1, None)]);
    let rows = select(&tables, 0, Select::Keys(vec![key("u", 2), key("u", 9), key("u", 1)]));
    let found: Vec<_> = rows.iter().filter_map(|row| row.cells[0].as_text()).collect();
    assert_eq!(found, ["one", "two"]);
}
