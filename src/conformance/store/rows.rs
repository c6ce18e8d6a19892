//! What one row is after writes in any order.

use bytes::Bytes;

use super::{Script, script_list, statements::*};
use crate::{
    conformance::{
        Bench, WAIT_MS_MAX,
        session::{Outcome, Session, check, require},
    },
    store::{Row, Statement},
    table::{Value, checkpoint::CHECKPOINTS, presence::PRESENCE},
};

script_list! {
    what_is_written_is_read_with_all_its_cells,
    empty_texts_and_blobs_are_not_null,
    a_null_clears_a_cell,
    the_greatest_timestamp_wins_whatever_the_order,
    a_delete_covers_what_is_older_and_nothing_newer,
    a_delete_covers_what_comes_later_with_an_older_timestamp,
    the_same_statement_twice_is_the_same_row,
    a_row_with_a_time_to_live_is_gone_after_it,
    a_row_that_is_written_again_lives_on,
    partitions_and_tables_do_not_touch_each_other,
}

const USER: &str = "ursula";

fn what_is_written_is_read_with_all_its_cells(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let texts = ["busy", "auto", "in a meeting ☕", "typing", "phone", "gw-1", "{\"a\":\"\\u0000\"}"];
    let [status, choice, text, activity, device, gateway, metadata] = texts.map(Value::text);
    let cells = vec![
        Value::BigInt(i64::MAX),
        status,
        choice,
        Value::BigInt(i64::MIN),
        text,
        activity,
        Value::BigInt(-1),
        Value::BigInt(0),
        device,
        gateway,
        metadata,
        Value::Int(i32::MIN),
    ];
    let clustering = [Value::text(USER), Value::text("")];
    session.write("write the row", presence(bucket, vec![upsert(&clustering, cells.clone(), 1)]))?;
    let rows = session.read("read it", query(&PRESENCE, bucket, slice(&[])))?;
    check("the row", &rows, &vec![Row { clustering: clustering.into(), cells: cells.into() }])?;

    let data = Bytes::from((0..=255).collect::<Vec<u8>>());
    let cells = vec![
        Value::BigInt(7),
        Value::BigInt(i64::MIN),
        Value::Int(i32::MIN),
        Value::BigInt(1 << 40),
        Value::text("{}"),
        Value::blob(data),
    ];
    let clustering = [Value::Int(1), Value::Int(i32::MAX)];
    session.write("write the other row", checkpoints(bucket, vec![upsert(&clustering, cells.clone(), 1)]))?;
    let rows = session.read("read it", query(&CHECKPOINTS, bucket, slice(&[])))?;
    check("the other row", &rows, &vec![Row { clustering: clustering.into(), cells: cells.into() }])
}

fn empty_texts_and_blobs_are_not_null(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    session.write("write a row", presence(bucket, vec![session_row(USER, "", "", 1)]))?;
    check("the status", &statuses(&mut session, bucket)?, &vec![String::new()])?;
    session.write("write a chunk", checkpoints(bucket, vec![chunk(0, 0, Bytes::new(), 1)]))?;
    let rows = session.read("read it", query(&CHECKPOINTS, bucket, slice(&[])))?;
    let data: Vec<_> = rows.into_iter().map(|row| row.cells[CHUNK_DATA].clone()).collect();
    check("the data", &data, &vec![Value::blob(Bytes::new())])
}

fn a_null_clears_a_cell(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let clustering = [Value::text(USER), Value::text("")];
    let mut cells = vec![Value::Null; PRESENCE.cells.len()];
    (cells[0], cells[4]) = (Value::BigInt(1), Value::text("at lunch"));
    session.write("write the row", presence(bucket, vec![upsert(&clustering, cells.clone(), 1)]))?;
    (cells[0], cells[4]) = (Value::BigInt(2), Value::Null);
    session.write("write it again", presence(bucket, vec![upsert(&clustering, cells.clone(), 2)]))?;
    let rows = session.read("read it", query(&PRESENCE, bucket, slice(&[])))?;
    check("the row", &rows, &vec![Row { clustering: clustering.into(), cells: cells.into() }])
}

fn the_greatest_timestamp_wins_whatever_the_order(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    for (status, timestamp_us) in [("online", 20), ("away", 10), ("busy", 30), ("offline", 25)] {
        session.write("write", presence(bucket, vec![session_row(USER, "", status, timestamp_us)]))?;
    }
    check("the status", &statuses(&mut session, bucket)?, &vec!["busy".to_owned()])
}

fn a_delete_covers_what_is_older_and_nothing_newer(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let rows = [session_row(USER, "older", "x", 10), session_row(USER, "newer", "y", 30)];
    session.write("write", presence(bucket, rows.to_vec()))?;
    let deletes = vec![delete(USER, "older", 20), delete(USER, "newer", 20)];
    session.write("delete", presence(bucket, deletes))?;
    check("what is left", &statuses(&mut session, bucket)?, &vec!["y".to_owned()])
}

fn a_delete_covers_what_comes_later_with_an_older_timestamp(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    session.write("delete", presence(bucket, vec![delete(USER, "s", 20)]))?;
    for (timestamp_us, left) in [(10, vec![]), (20, vec![]), (21, vec!["x".to_owned()])] {
        session.write("write", presence(bucket, vec![session_row(USER, "s", "x", timestamp_us)]))?;
        check(&format!("after timestamp {timestamp_us}"), &statuses(&mut session, bucket)?, &left)?;
    }
    Ok(())
}

fn the_same_statement_twice_is_the_same_row(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let batch = presence(bucket, vec![session_row(USER, "s", "x", 10), delete(USER, "gone", 10)]);
    session.write("write", batch.clone())?;
    let first = session.read("read", query(&PRESENCE, bucket, slice(&[])))?;
    session.write("write again", batch)?;
    let second = session.read("read again", query(&PRESENCE, bucket, slice(&[])))?;
    check("the count", &first.len(), &1)?;
    check("the rows", &second, &first)
}

fn a_row_with_a_time_to_live_is_gone_after_it(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let brief = Statement { ttl_s: Some(3), ..session_row(USER, "brief", "x", 10) };
    session.write("write", presence(bucket, vec![brief, session_row(USER, "for ever", "y", 10)]))?;
    let both = vec!["x".to_owned(), "y".to_owned()];
    check("at first", &statuses(&mut session, bucket)?, &both)?;
    wait_until_gone(&mut session, bucket, &["y".to_owned()])
}

fn a_row_that_is_written_again_lives_on(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let row = |session: &str, ttl_s, timestamp_us| Statement {
        ttl_s: Some(ttl_s),
        ..session_row(USER, session, session, timestamp_us)
    };
    session.write("write", presence(bucket, vec![row("a", 3, 10), row("b", 3, 10), row("c", 3, 10)]))?;
    // A later timestamp, or the same one with a later end, takes the place of what was there.
    session.write("again", presence(bucket, vec![row("a", 1_000, 11), row("b", 1_000, 10)]))?;
    wait_until_gone(&mut session, bucket, &["a".to_owned(), "b".to_owned()])
}

fn partitions_and_tables_do_not_touch_each_other(bench: &mut dyn Bench) -> Outcome<()> {
    let (one, other) = (bench.fresh_number(), bench.fresh_number());
    let mut session = Session::new(bench);
    session.write("write one", presence(one, vec![session_row(USER, "s", "x", 10)]))?;
    session.write("delete the other", presence(other, vec![delete(USER, "s", 20)]))?;
    session.write("another table", checkpoints(one, vec![chunk(0, 0, Bytes::new(), 20)]))?;
    check("the one", &statuses(&mut session, one)?, &vec!["x".to_owned()])?;
    check("the other", &statuses(&mut session, other)?, &vec![])
}

fn statuses(session: &mut Session<'_>, bucket: i32) -> Outcome<Vec<String>> {
    let rows = session.read("read the statuses", query(&PRESENCE, bucket, slice(&[])))?;
    Ok(rows.iter().map(|row| row.cells[1].as_text().unwrap_or("null").to_owned()).collect())
}

fn wait_until_gone(session: &mut Session<'_>, bucket: i32, left: &[String]) -> Outcome<()> {
    let began_ms = session.bench().elapsed_ms();
    loop {
        let got = statuses(session, bucket)?;
        let took_ms = session.bench().elapsed_ms() - began_ms;
        if got == left {
            return require("it does not end before its time", took_ms >= 1_000, took_ms);
        }
        if took_ms > WAIT_MS_MAX {
            return check("what is left after the time to live", &got.as_slice(), &left);
        }
        session.bench().wait();
    }
}
