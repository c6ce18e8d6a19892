//! What a batch promises: all of it or nothing, statement by statement, up to its size.

use bytes::Bytes;

use super::{Script, script_list, statements::*};
use crate::{
    conformance::{
        Bench,
        session::{Outcome, Session, check, request_of, require},
    },
    limits::{CHECKPOINT_CHUNK_BYTES, STORE_BATCH_BYTES_MAX},
    store::{Select, StoreCommand, StoreEvent},
    table::{Value, checkpoint::CHECKPOINTS, presence::PRESENCE},
};

script_list! {
    a_delete_and_a_newer_row_in_one_batch_leave_the_row,
    a_newer_delete_and_a_row_in_one_batch_leave_nothing,
    readers_see_all_of_a_batch_or_nothing,
    a_batch_of_the_greatest_size_is_taken,
    requests_in_flight_are_each_answered_once,
}

fn a_delete_and_a_newer_row_in_one_batch_leave_the_row(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    session.write("write", presence(bucket, vec![session_row("u", "s", "old", 10)]))?;
    let batch = vec![delete("u", "s", 20), session_row("u", "s", "new", 21)];
    session.write("delete and write", presence(bucket, batch))?;
    let rows = session.read("read", query(&PRESENCE, bucket, slice(&[])))?;
    let statuses: Vec<_> = rows.iter().map(|row| row.cells[1].clone()).collect();
    check("the statuses", &statuses, &vec![Value::text("new")])
}

fn a_newer_delete_and_a_row_in_one_batch_leave_nothing(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let batch = vec![delete("u", "s", 21), session_row("u", "s", "old", 20)];
    session.write("delete and write", presence(bucket, batch))?;
    let rows = session.read("read", query(&PRESENCE, bucket, slice(&[])))?;
    check("the rows", &rows, &vec![])
}

fn readers_see_all_of_a_batch_or_nothing(bench: &mut dyn Bench) -> Outcome<()> {
    const ROWS: usize = 200;
    const ROUNDS: i64 = 20;
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let mut requests = Vec::new();
    for round in 1..=ROUNDS {
        let status = round.to_string();
        let row = |index: usize| session_row("u", &format!("s{index:03}"), &status, round);
        let batch = presence(bucket, (0..ROWS).map(row).collect());
        let request = session.number();
        session.store_send(StoreCommand::Write { request, batch: batch.into() })?;
        requests.push(request);
        for _ in 0..3 {
            let request = session.number();
            let query = query(&PRESENCE, bucket, slice(&[]));
            session.store_send(StoreCommand::Read { request, query })?;
            requests.push(request);
            session.bench().wait();
        }
    }
    for request in requests {
        match session.store_answer(request, "an answer")? {
            StoreEvent::Written { .. } => {}
            StoreEvent::Rows { rows, .. } => {
                let statuses: Vec<_> = rows.iter().map(|row| &row.cells[1]).collect();
                let is_whole = rows.is_empty()
                    || (rows.len() == ROWS && statuses.iter().all(|status| *status == statuses[0]));
                require("a read sees whole batches", is_whole, &statuses)?;
            }
            other => return Err(format!("expected rows or an acknowledgement, got {other:?}")),
        }
    }
    Ok(())
}

fn a_batch_of_the_greatest_size_is_taken(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let count = STORE_BATCH_BYTES_MAX / CHECKPOINT_CHUNK_BYTES;
    // A little is left for keys, timestamps and lengths.
    let data = |index: usize| Bytes::from(vec![index as u8; CHECKPOINT_CHUNK_BYTES - 1_024]);
    let statements = (0..count).map(|index| chunk(0, index as i32, data(index), 1)).collect();
    session.write("write", checkpoints(bucket, statements))?;
    for index in 0..count {
        let key = [Value::Int(0), Value::Int(index as i32)].into();
        let rows = session.read("read", query(&CHECKPOINTS, bucket, Select::Keys(vec![key])))?;
        let is_same = rows.len() == 1 && rows[0].cells[CHUNK_DATA].as_blob() == Some(&data(index));
        require(&format!("chunk {index} is the same"), is_same, rows.len())?;
    }
    Ok(())
}

fn requests_in_flight_are_each_answered_once(bench: &mut dyn Bench) -> Outcome<()> {
    let bucket = bench.fresh_number();
    let mut session = Session::new(bench);
    let mut requests = Vec::new();
    for index in 0..50 {
        let (write, read) = (session.number(), session.number());
        let batch = presence(bucket, vec![session_row("u", &index.to_string(), "x", 1)]);
        session.store_send(StoreCommand::Write { request: write, batch: batch.into() })?;
        let query = query(&PRESENCE, bucket, slice(&[]));
        session.store_send(StoreCommand::Read { request: read, query })?;
        requests.extend([(write, true), (read, false)]);
    }
    for (request, is_write) in requests {
        let answer = session.store_answer(request, "an answer")?;
        let fits = match &answer {
            StoreEvent::Written { .. } => is_write,
            StoreEvent::Rows { .. } => !is_write,
            StoreEvent::Failed { .. } => false,
        };
        require("the answer is of the request's kind", fits, &answer)?;
    }
    for _ in 0..20 {
        session.bench().wait();
    }
    if let Some(event) = session.bench().store()?.poll() {
        return Err(format!("request {} was answered twice", request_of(&event)));
    }
    require("no request was answered twice", session.kept_answers().is_empty(), session.kept_answers())
}
