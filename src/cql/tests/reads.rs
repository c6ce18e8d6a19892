//! Slices, keys and statics of one partition.

use super::*;

/// Users a and b with the sequence numbers 1, 2 and 3 each.
fn six(keyspace: &str) -> Fixture {
    let fixture = Fixture::new(keyspace);
    let rows = ["b", "a"].iter().flat_map(|user| (1..=3).map(|seq| upsert(user, seq, 1, 1)));
    fixture.write(rows.collect());
    fixture
}

fn slice(prefix: &[Value], after: Option<Value>, descending: bool, limit: u32) -> Select {
    Select::Slice { prefix: prefix.into(), after, descending, limit }
}

fn names(fixture: &Fixture, select: Select) -> String {
    let rows = fixture.read(&ENTRIES, select);
    let names = rows.iter().map(entry).map(|(user, seq, _)| format!("{user}{seq}"));
    names.collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn a_slice_is_in_clustering_order_or_against_it() {
    let fixture = six("heartline_test_slice");
    let (a, two) = ([Value::text("a")], || Some(Value::BigInt(2)));
    assert_eq!(names(&fixture, slice(&[], None, false, 10)), "a1 a2 a3 b1 b2 b3");
    assert_eq!(names(&fixture, slice(&[], None, true, 10)), "b3 b2 b1 a3 a2 a1");
    assert_eq!(names(&fixture, slice(&a, None, false, 10)), "a1 a2 a3");
    assert_eq!(names(&fixture, slice(&a, None, true, 2)), "a3 a2");
    assert_eq!(names(&fixture, slice(&a, two(), false, 10)), "a3");
    assert_eq!(names(&fixture, slice(&a, two(), true, 10)), "a1");
    assert_eq!(names(&fixture, slice(&[], Some(Value::text("a")), false, 2)), "b1 b2");
    assert_eq!(names(&fixture, slice(&[], Some(Value::text("a")), true, 2)), "");
    assert_eq!(names(&fixture, slice(&[Value::text("a"), Value::BigInt(2)], None, true, 10)), "a2");
    assert_eq!(names(&fixture, slice(&[], None, false, 0)), "");
    assert_eq!(names(&fixture, slice(&[], None, false, u32::MAX)), "a1 a2 a3 b1 b2 b3");
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn a_slice_of_many_pages_stops_at_its_limit() {
    let fixture = Fixture::new("heartline_test_pages");
    for first in (0..2_500).step_by(250) {
        fixture.write((first..first + 250).map(|seq| upsert("a", seq, 1, 1)).collect());
    }
    let seqs = |limit| -> Vec<i64> {
        fixture.read(&ENTRIES, slice(&[], None, false, limit)).iter().map(|row| entry(row).1).collect()
    };
    assert_eq!(seqs(10_000), (0..2_500).collect::<Vec<_>>());
    assert_eq!(seqs(1_700), (0..1_700).collect::<Vec<_>>());
    let chunk = |chunk: i32| {
        let change = Change::Upsert([Value::blob(vec![0; 10])].into());
        Statement { clustering: [Value::Int(chunk)].into(), change, timestamp_us: 1, ttl_s: None }
    };
    fixture.try_write(&CHUNKS, (-1..50).map(chunk).collect()).unwrap();
    let chunks = fixture.read(&CHUNKS, slice(&[], None, false, 1_000));
    let chunks: Vec<_> = chunks.iter().filter_map(|row| row.clustering[0].as_int()).collect();
    assert_eq!(chunks, (-1..50).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn keys_are_read_in_clustering_order_and_once_each() {
    let fixture = six("heartline_test_keys");
    let keys = |keys: &[(&str, i64)]| Select::Keys(keys.iter().map(|(user, seq)| key(user, *seq)).collect());
    assert_eq!(
        names(&fixture, keys(&[("b", 1), ("a", 3), ("c", 1), ("a", 1), ("b", 1), ("b", 4)])),
        "a1 a3 b1"
    );
    assert_eq!(names(&fixture, keys(&[])), "");
    assert_eq!(names(&fixture, keys(&[("c", 1)])), "");

    let fixture = Fixture::new("heartline_test_many_keys");
    fixture.write((0..500).map(|seq| upsert("a", seq, 1, 1)).collect());
    // Three times each, so that copies of a key come to lie on both sides of a statement's bound.
    let odd = || (0..500).filter(|seq| seq % 2 == 1);
    let odd_keys = Select::Keys((0..3).flat_map(|_| odd().rev()).map(|seq| key("a", seq)).collect());
    let found: Vec<_> = fixture.read(&ENTRIES, odd_keys).iter().map(|row| entry(row).1).collect();
    assert_eq!(found, odd().collect::<Vec<_>>());
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn statics_are_one_row_of_their_own() {
    let fixture = Fixture::new("heartline_test_statics");
    let statics_row = || fixture.read(&ENTRIES, Select::Statics);
    assert_eq!(statics_row(), [], "an empty partition");
    fixture.write(vec![upsert("alice", 1, 1, 100)]);
    assert_eq!(statics_row(), [], "a partition with rows and no statics");
    fixture.write(vec![statics(5, 100), upsert("bob", 1, 1, 100)]);
    let row = Row { clustering: [].into(), cells: [Value::BigInt(5), Value::Null].into() };
    assert_eq!(statics_row(), [row]);
    fixture.write(vec![delete("alice", 1, 200), delete("bob", 1, 200)]);
    assert_eq!(statics_row().len(), 1);
    assert_eq!(fixture.entries(), [], "statics without rows are no row");
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn a_table_that_is_not_as_described_is_a_permanent_error() {
    static OTHER: Table = Table {
        name: "entries",
        partition: &[column("bucket", Kind::Int)],
        clustering: &[column("user", Kind::Text), column("seq", Kind::BigInt)],
        statics: &[],
        cells: &[column("big", Kind::Int)],
        stage: Stage::First,
        writing: Writing::InPlace,
    };
    let fixture = six("heartline_test_described");
    let query = Query { table: &OTHER, partition: bucket(), select: everything() };
    let error = fixture.runtime.block_on(fixture.cql.read(&query)).unwrap_err();
    assert_eq!(error.class, StoreErrorClass::Permanent);
    assert!(error.message.starts_with("a read of entries failed: column big is no Int: "), "{error}");
}
