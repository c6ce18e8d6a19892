use super::SimStore;
use crate::{
    store::{
        Change, Query, Select, Statement, StoreCommand, StoreError, StoreErrorClass, StoreEvent, WriteBatch,
    },
    table::{Value, checkpoint::CHECKPOINTS, progress::OWNERS},
};

fn owners(name: &str, cells: Vec<Value>) -> StoreCommand {
    let change = Change::Upsert(cells.into());
    let statement =
        Statement { clustering: [Value::text(name)].into(), change, timestamp_us: 1, ttl_s: None };
    let partition = [Value::text("heartbeats"), Value::Int(0)].into();
    StoreCommand::Write { request: 1, batch: WriteBatch::new(&OWNERS, partition, vec![statement]).into() }
}

fn is_permanent(event: &StoreEvent) -> bool {
    let permanent = StoreErrorClass::Permanent;
    matches!(event, StoreEvent::Failed { error: StoreError { class, .. }, .. } if *class == permanent)
}

#[test]
fn what_was_written_is_read() {
    let mut store = SimStore::default();
    let written = store.execute(0, owners("pod-1", vec![Value::BigInt(7)]));
    assert!(matches!(written, StoreEvent::Written { request: 1 }));
    let all: Vec<_> = store.rows(0, &OWNERS).map(|row| row.to_cells()).collect();
    assert_eq!(all, [[Value::BigInt(7)]]);
}

#[test]
fn a_statement_of_the_wrong_form_fails_for_good_and_writes_nothing() {
    let mut store = SimStore::default();
    assert!(is_permanent(&store.execute(0, owners("pod-1", vec![]))), "a column is missing");
    assert!(
        is_permanent(&store.execute(0, owners("pod-1", vec![Value::Int(7)]))),
        "a column of another kind"
    );
    let long = "x".repeat(65_536);
    assert!(is_permanent(&store.execute(0, owners(&long, vec![Value::Null]))), "a key that is too long");
    assert_eq!(store.applied(), 0);
}

#[test]
fn a_batch_that_no_server_takes_fails_for_good() {
    let cells = [Value::Null, Value::Null, Value::Null, Value::blob(vec![0; 9 << 20])];
    let statement = Statement {
        clustering: [Value::Int(0), Value::Int(0)].into(),
        change: Change::Upsert(cells.into()),
        timestamp_us: 1,
        ttl_s: None,
    };
    let partition = [Value::Int(0)].into();
    let batch = WriteBatch::new(&CHECKPOINTS, partition, vec![statement]);
    let event = SimStore::default().execute(0, StoreCommand::Write { request: 1, batch: batch.into() });
    assert!(is_permanent(&event));
}

#[test]
fn a_query_of_the_wrong_form_fails_for_good() {
    let query = |partition: Vec<Value>, select| Query { table: &OWNERS, partition: partition.into(), select };
    let whole = vec![Value::text("heartbeats"), Value::Int(0)];
    let none = Select::Slice { prefix: [].into(), after: None, descending: false, limit: 0 };
    for query in [query(vec![Value::text("heartbeats")], Select::Statics), query(whole, none)] {
        assert!(is_permanent(&SimStore::default().execute(0, StoreCommand::Read { request: 1, query })));
    }
}
