use super::*;
use crate::{
    processor::bench::{Bench, setup},
    table::cursor::user_query,
};

fn bench() -> Bench<Cursor> {
    Bench::new(setup(1, 0))
}

fn positions(bench: &Bench<Cursor>, user: &str) -> Vec<(String, i64)> {
    let bucket = bench.fold.setup.topology.bucket(ProcessorKind::Cursor, user.as_bytes());
    let rows = bench.read(&user_query(bucket, user, None, 100));
    rows.iter()
        .map(|row| {
            let conversation = row.clustering[1].as_text().expect("a conversation").to_owned();
            (conversation, CursorRow::from_cells(&row.cells).expect("a row").position)
        })
        .collect()
}

#[test]
fn a_cursor_moves_forward_only_and_each_advance_is_published_once() {
    let mut bench = bench();
    assert_eq!(bench.send(r#"{"v":1,"type":"read","user":"bob","inbox":41}"#), Step::Applied);
    assert_eq!(bench.send(r#"{"v":1,"type":"read","user":"bob","inbox":40}"#), Step::Filtered);
    assert_eq!(bench.send(r#"{"v":1,"type":"read","user":"bob","inbox":41}"#), Step::Filtered);
    assert_eq!(bench.send(r#"{"v":1,"type":"read","user":"bob","inbox":42}"#), Step::Applied);
    bench.settle();
    let inbox: Vec<_> =
        bench.published_on(Topic::Cursors).iter().map(|value| value["inbox"].clone()).collect();
    assert_eq!(inbox, [41, 42]);
    assert_eq!(positions(&bench, "bob"), [(String::new(), 42)]);
}

#[test]
fn a_receipt_can_move_the_inbox_and_a_conversation() {
    let mut bench = bench();
    bench.send(r#"{"v":1,"type":"read","user":"bob","inbox":3,"conversation":"group/team","seq":17}"#);
    bench.settle();
    assert_eq!(positions(&bench, "bob"), [(String::new(), 3), ("group/team".to_owned(), 17)]);
    let keys: Vec<_> = bench.published.iter().map(|record| record.key.clone().expect("a key")).collect();
    assert_eq!(keys, ["bob", "bob/group/team"]);
}

#[test]
fn a_successor_goes_on_from_the_rows_and_publishes_nothing_twice() {
    let mut bench = bench();
    bench.send(r#"{"v":1,"type":"read","user":"bob","inbox":41}"#);
    bench.settle();
    bench.send(r#"{"v":1,"type":"read","user":"bob","inbox":50}"#);
    bench.commit();
    bench.take_over(0);
    bench.send(r#"{"v":1,"type":"read","user":"bob","inbox":45}"#);
    bench.settle();
    assert_eq!(bench.published.len(), 2);
    assert_eq!(positions(&bench, "bob"), [(String::new(), 50)]);
}

#[test]
fn a_receipt_in_the_wrong_partition_is_forwarded_and_a_bad_one_is_a_dead_letter() {
    let mut bench = Bench::<Cursor>::new(setup(4, 0));
    let elsewhere = (0..).map(|number| format!("user-{number}"));
    let mut elsewhere =
        elsewhere.filter(|user| bench.fold.setup.topology.place(Topic::Receipts, user.as_bytes()) != 0);
    let user = elsewhere.next().expect("a user of another partition");
    let record = format!(r#"{{"v":1,"type":"read","user":"{user}","inbox":41}}"#);
    assert_eq!(bench.send(&record), Step::Forwarded);
    assert_eq!(bench.send(r#"{"v":1,"type":"read","user":"bob"}"#), Step::DeadLettered);
    bench.settle();
    assert_eq!((bench.forwarded(), bench.refusals()), (1, vec!["invalid".to_owned()]));
}
