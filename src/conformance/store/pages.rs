//! Static cells, pages that are read together with them, and rows that are written once.

use super::{Script, script_list, statements::query};
use crate::{
    conformance::{
        Bench,
        session::{Outcome, Session, check},
    },
    store::{Change, Row, Select, Statement, WriteBatch},
    table::{
        Value,
        inbox::{BucketRow, EntryRow, HEADS, HeadRow, INBOX, clustering, entries_query, window_partition},
    },
};

script_list! {
    static_cells_are_read_alone_and_with_every_page,
    static_cells_without_a_row_are_a_page,
    static_cells_are_overwritten_by_their_timestamps,
    cells_that_are_null_in_a_row_written_once_read_as_null,
}

fn statics(origin: i64) -> (BucketRow, Statement) {
    let row = BucketRow { origin, generation: 1, window: 2, entries: 3, window_since_ms: 4 };
    let change = Change::Statics(row.to_cells());
    (row, Statement { clustering: Box::default(), change, timestamp_us: origin, ttl_s: None })
}

fn head(recipient: &str, latest_seq: i64) -> Statement {
    let row = HeadRow { latest_seq, foreign_count: 1, window: 2, timestamp_us: 3 };
    let change = Change::Upsert(row.to_cells());
    Statement { clustering: [Value::text(recipient)].into(), change, timestamp_us: latest_seq, ttl_s: None }
}

fn write(session: &mut Session<'_>, bucket: i32, statements: Vec<Statement>) -> Outcome<()> {
    session.write("write", WriteBatch::new(&HEADS, [Value::Int(bucket)].into(), statements))
}

/// The origin that came with a page, and the recipients on it.
fn page(
    session: &mut Session<'_>,
    bucket: i32,
    after: Option<&str>,
    limit: u32,
) -> Outcome<(Option<i64>, Vec<String>)> {
    let select = Select::Page { after: after.map(Value::text), limit };
    let rows = session.read("page", query(&HEADS, bucket, select))?;
    let (statics, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.clustering.is_empty());
    let origin = statics.first().and_then(|row| row.cells[0].as_big_int());
    let names = rows.iter().filter_map(|row| row.clustering[0].as_text()).map(str::to_owned).collect();
    Ok((origin, names))
}

fn static_cells_are_read_alone_and_with_every_page(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let (row, changed) = statics(9);
    write(&mut session, bucket, vec![head("a", 1), head("b", 2), head("c", 3), changed])?;
    let alone = session.read("statics", query(&HEADS, bucket, Select::Statics))?;
    check("statics alone", &alone, &vec![Row { clustering: Box::default(), cells: row.to_cells() }])?;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    check("all", &page(&mut session, bucket, None, 10)?, &(Some(9), names(&["a", "b", "c"])))?;
    check("first page", &page(&mut session, bucket, None, 2)?, &(Some(9), names(&["a", "b"])))?;
    check("second page", &page(&mut session, bucket, Some("b"), 2)?, &(Some(9), names(&["c"])))?;
    let (_, beyond) = page(&mut session, bucket, Some("c"), 2)?;
    check("beyond the last", &beyond, &names(&[]))
}

fn static_cells_without_a_row_are_a_page(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    check("nothing", &page(&mut session, bucket, None, 10)?, &(None, Vec::new()))?;
    write(&mut session, bucket, vec![statics(9).1])?;
    check("statics", &page(&mut session, bucket, None, 10)?, &(Some(9), Vec::new()))
}

fn static_cells_are_overwritten_by_their_timestamps(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    write(&mut session, bucket, vec![statics(9).1, head("a", 1)])?;
    write(&mut session, bucket, vec![statics(8).1])?;
    check("an older one is ignored", &page(&mut session, bucket, None, 10)?.0, &Some(9))?;
    write(&mut session, bucket, vec![statics(10).1])?;
    check("a newer one counts", &page(&mut session, bucket, None, 10)?, &(Some(10), vec!["a".to_owned()]))
}

fn cells_that_are_null_in_a_row_written_once_read_as_null(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let row = EntryRow {
        conversation: "group/team",
        conversation_seq: 17,
        sender: "alice",
        client_id: "c-1",
        session: None,
        sent_at_ms: None,
        accepted_at_ms: 9,
        body: None,
        foreign_count: 3,
    };
    let statement = Statement {
        clustering: clustering("bob", 1),
        change: Change::Upsert(row.to_cells()),
        timestamp_us: 9_000,
        ttl_s: Some(3_600),
    };
    let partition = window_partition(bucket as u32, 1);
    session.write("entry", WriteBatch::new(&INBOX, partition, vec![statement]))?;
    let rows = session.read("entries", entries_query(bucket as u32, 1, "bob", None, 10))?;
    check("entries", &rows, &vec![Row { clustering: clustering("bob", 1), cells: row.to_cells() }])
}
