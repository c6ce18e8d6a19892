//! What a database makes of our writes: cell by cell the greatest timestamp wins, a batch is all or nothing.

use super::*;

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn an_older_write_loses_although_it_arrives_later() {
    let fixture = Fixture::new("heartline_test_older");
    fixture.write(vec![upsert("alice", 1, 2, 200)]);
    fixture.write(vec![upsert("alice", 1, 1, 100)]);
    assert_eq!(fixture.entries(), [entry_of("alice", 1, 2)]);
    fixture.write(vec![upsert("alice", 1, 3, 300)]);
    assert_eq!(fixture.entries(), [entry_of("alice", 1, 3)]);
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn a_delete_covers_what_is_not_newer_whatever_arrives_first() {
    let fixture = Fixture::new("heartline_test_delete");
    fixture.write(vec![delete("alice", 1, 200)]);
    fixture.write(vec![upsert("alice", 1, 1, 199)]);
    fixture.write(vec![upsert("alice", 1, 2, 200)]);
    assert_eq!(fixture.entries(), []);
    fixture.write(vec![upsert("alice", 1, 3, 201)]);
    assert_eq!(fixture.entries(), [entry_of("alice", 1, 3)]);
    fixture.write(vec![delete("alice", 1, 200)]);
    assert_eq!(fixture.entries(), [entry_of("alice", 1, 3)], "an older delete");
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn in_one_batch_each_statement_has_its_own_timestamp() {
    let fixture = Fixture::new("heartline_test_stamps");
    fixture.write(vec![upsert("alice", 1, 1, 100), upsert("bob", 1, 1, 100)]);
    // Whatever the order of the statements, the greater timestamp decides.
    fixture.write(vec![delete("alice", 1, 200), upsert("alice", 1, 2, 201)]);
    fixture.write(vec![upsert("bob", 1, 2, 200), delete("bob", 1, 201)]);
    assert_eq!(fixture.entries(), [entry_of("alice", 1, 2)]);
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn a_reader_sees_all_of_a_batch_or_nothing() {
    let fixture = Fixture::new("heartline_test_atomic");
    let cql = fixture.cql.clone();
    let writer = fixture.runtime.spawn(async move {
        for number in 1..=300 {
            let stamp = i64::from(number);
            let users = ["alice", "bob", "carol", "dave"];
            let mut statements: Vec<_> = users.iter().map(|user| upsert(user, 1, number, stamp)).collect();
            statements.push(upsert("present", stamp, number, stamp));
            statements.push(delete("present", stamp - 1, stamp));
            cql.write(&WriteBatch::new(&ENTRIES, bucket(), statements)).await.unwrap();
        }
    });
    let mut reads = 0;
    while !writer.is_finished() {
        let entries = fixture.entries();
        let numbers: HashSet<_> = entries.iter().map(|(_, _, number)| *number).collect();
        assert!(numbers.len() <= 1, "{entries:?}");
        assert!(entries.is_empty() || entries.len() == 5, "{entries:?}");
        reads += 1;
    }
    fixture.runtime.block_on(writer).unwrap();
    assert!(reads > 20, "{reads} reads prove little");
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn a_row_with_a_time_to_live_is_gone_after_it() {
    let fixture = Fixture::new("heartline_test_ttl");
    let lasting = upsert("alice", 1, 1, 100);
    let passing = Statement { ttl_s: Some(2), ..upsert("alice", 2, 2, 100) };
    let statics = Statement { ttl_s: Some(2), ..statics(5, 100) };
    fixture.write(vec![lasting, passing, statics]);
    assert_eq!(fixture.entries(), [entry_of("alice", 1, 1), entry_of("alice", 2, 2)]);
    assert_eq!(fixture.read(&ENTRIES, Select::Statics).len(), 1);
    thread::sleep(Duration::from_millis(3_100));
    assert_eq!(fixture.entries(), [entry_of("alice", 1, 1)]);
    assert_eq!(fixture.read(&ENTRIES, Select::Statics), []);
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn null_clears_a_cell_and_keeps_the_row() {
    let fixture = Fixture::new("heartline_test_null");
    fixture.write(vec![upsert("alice", 1, 1, 100)]);
    let nulls = Change::Upsert(vec![Value::Null; 4].into());
    fixture.write(vec![Statement { change: nulls, ..upsert("alice", 1, 0, 101) }]);
    let rows = fixture.read(&ENTRIES, everything());
    assert_eq!(rows, [Row { clustering: key("alice", 1), cells: vec![Value::Null; 4].into() }]);
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn values_come_back_as_they_were() {
    let fixture = Fixture::new("heartline_test_values");
    let cases: [[Value; 4]; 3] = [
        [Value::Int(i32::MIN), Value::BigInt(i64::MAX), Value::text(""), Value::Boolean(false)],
        [Value::Int(-1), Value::BigInt(i64::MIN), Value::text("\0 ' \u{1f600}"), Value::Boolean(true)],
        [Value::Null, Value::BigInt(0), Value::Null, Value::Null],
    ];
    for (seq, cells) in (0..).zip(cases) {
        let change = Change::Upsert(cells.clone().into());
        fixture.write(vec![Statement { change, ..upsert("", seq, 0, 1) }]);
        let rows = fixture.read(&ENTRIES, Select::Keys(vec![key("", seq)]));
        assert_eq!(rows, [Row { clustering: key("", seq), cells: cells.into() }]);
    }
    let blobs = [bytes::Bytes::new(), bytes::Bytes::from_static(&[0, 255, 1]), vec![7; 600_000].into()];
    for (chunk, blob) in (0..).zip(blobs) {
        let (clustering, change) =
            ([Value::Int(chunk)].into(), Change::Upsert([Value::blob(blob.clone())].into()));
        fixture
            .try_write(&CHUNKS, vec![Statement { clustering, change, timestamp_us: 1, ttl_s: None }])
            .unwrap();
        let rows = fixture.read(&CHUNKS, Select::Keys(vec![[Value::Int(chunk)].into()]));
        assert_eq!(rows[0].cells[0].as_blob(), Some(&blob));
    }
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn a_write_larger_than_what_may_be_in_flight_is_written_alone() {
    let fixture = Fixture::with("heartline_test_flight", |config| {
        config.in_flight_requests_max = 1;
        config.in_flight_bytes_max = 1_024;
    });
    let write = |chunk: i32| {
        let cql = fixture.cql.clone();
        let change = Change::Upsert([Value::blob(vec![1; 100_000])].into());
        let statement =
            Statement { clustering: [Value::Int(chunk)].into(), change, timestamp_us: 1, ttl_s: None };
        let batch = WriteBatch::new(&CHUNKS, bucket(), vec![statement]);
        fixture.runtime.spawn(async move { cql.write(&batch).await })
    };
    let writes: Vec<_> = (0..40).map(write).collect();
    for write in writes {
        fixture.runtime.block_on(write).unwrap().unwrap();
    }
    assert_eq!(fixture.read(&CHUNKS, everything()).len(), 40);
}
