use super::*;
use crate::{
    effect::Output,
    table::{inbox::HEADS, presence::PRESENCE},
};

#[test]
fn of_a_row_the_last_statement_goes_out_and_every_delete() {
    let mut output = Output::new(0);
    let (delete, upsert) = (Change::Delete, Change::Upsert(vec![Value::Null; PRESENCE.cells.len()].into()));
    let changes = [("a", &upsert), ("b", &delete), ("a", &delete), ("b", &upsert), ("c", &upsert)];
    for (offset, (user, change)) in (0..).zip(changes) {
        let clustering: Box<[Value]> = [Value::text(user), Value::text("")].into();
        output.change_at(offset, &PRESENCE, [Value::Int(0)].into(), clustering, change.clone());
    }
    let batches = database_batches(output.rows);
    let left: Vec<_> = batches[0].statements.iter().map(|one| (one.timestamp_us, &one.change)).collect();
    assert_eq!(left, [(1, &delete), (2, &delete), (3, &upsert), (4, &upsert)]);
}

#[test]
fn a_batch_has_the_size_of_what_is_left_in_it() {
    let mut output = Output::new(0);
    for (offset, user) in (0..).zip(["a", "b", "a", "c"]) {
        let change = Change::Upsert(vec![Value::text("busy"); PRESENCE.cells.len()].into());
        let clustering = [Value::text(user), Value::text("")].into();
        output.change_at(offset, &PRESENCE, [Value::Int(0)].into(), clustering, change);
    }
    let batches = database_batches(output.rows);
    assert_eq!(batches[0].statements.len(), 3);
    let WriteBatch { table, partition, statements, .. } = batches[0].clone();
    assert_eq!(batches[0].size_bytes(), WriteBatch::new(table, partition, statements).size_bytes());
}

#[test]
fn what_one_origin_covers_is_never_split() {
    let rows = |table: &'static Table| {
        let mut output = Output::new(0);
        for offset in 0..9 {
            let text = Value::Text("x".repeat(STORE_BATCH_BYTES_MAX / 4).into());
            let change = Change::Upsert(vec![text; table.cells.len()].into());
            let clustering = vec![Value::Int(offset as i32); table.clustering.len()].into();
            output.change_at(offset, table, [Value::Int(0)].into(), clustering, change);
        }
        database_batches(output.rows).len()
    };
    assert!(rows(&PRESENCE) > 1, "rows with an origin of their own are");
    assert_eq!(rows(&HEADS), 1);
}

#[test]
fn rows_of_one_database_partition_are_one_batch_whether_they_share_their_key_or_not() {
    let row = |table: &'static Table, partition: Arc<[Value]>, n: i64| {
        let clustering = vec![Value::BigInt(n); table.clustering.len()].into();
        let change = Change::Upsert(vec![Value::Null; table.cells.len()].into());
        let statement = Statement { clustering, change, timestamp_us: n, ttl_s: None };
        RowWrite { table, partition, statement, size_bytes: 1 }
    };
    let key = |bucket: i32| -> Arc<[Value]> { [Value::Int(bucket)].into() };
    let (one, other) = (key(1), key(2));
    let rows = vec![
        row(&PRESENCE, one.clone(), 1),
        row(&PRESENCE, other.clone(), 2),
        row(&PRESENCE, one.clone(), 3),
        row(&PRESENCE, key(1), 4),
        row(&HEADS, one, 5),
        row(&PRESENCE, key(2), 6),
        row(&PRESENCE, other, 7),
    ];
    let batches = database_batches(rows);
    let told: Vec<_> = batches
        .iter()
        .map(|batch| {
            let times: Vec<_> = batch.statements.iter().map(|one| one.timestamp_us).collect();
            (batch.table.name, batch.partition[0].clone(), times)
        })
        .collect();
    let expected = [
        ("presence", Value::Int(1), vec![1, 3, 4]),
        ("presence", Value::Int(2), vec![2, 6, 7]),
        ("inbox_heads", Value::Int(1), vec![5]),
    ];
    assert_eq!(told, expected);
}
