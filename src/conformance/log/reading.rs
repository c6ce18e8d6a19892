//! Fetching, polling, bounds, beacons.

use bytes::Bytes;

use super::{Script, script_list};
use crate::{
    conformance::{
        Bench, INPUT,
        session::{Outcome, Seen, Session, check, record, require},
    },
    log::{Header, LogCommand, LogEvent, OutRecord},
};

script_list! {
    LOG: records_are_read_in_order_with_all_their_parts,
        record_times_do_not_decrease,
        an_idle_poll_is_answered_once_and_empty,
        a_poll_keeps_its_limit_of_records,
        a_poll_that_waits_is_answered_when_a_record_comes,
        a_fetch_reads_again_from_where_it_is_told,
        a_partition_that_is_not_fetched_any_more_is_silent,
        a_position_beyond_the_end_is_out_of_range,
        bounds_move_with_what_is_appended,
        a_beacon_is_read_like_any_record;
}

const POD: &str = "pod-1";

fn records_are_read_in_order_with_all_their_parts(bench: &mut dyn Bench) -> Outcome<()> {
    let header = |name: &str, value: Option<&'static str>| Header {
        name: name.to_owned(),
        value: value.map(|text| Bytes::from_static(text.as_bytes())),
    };
    let headers = vec![header("a", Some("1")), header("b", None), header("a", Some(""))];
    let records = vec![
        record(INPUT, Some("key"), Some("value")),
        record(INPUT, None, Some("no key")),
        record(INPUT, Some("no value"), None),
        record(INPUT, Some(""), Some("")),
        OutRecord { headers, ..record(INPUT, Some("headers"), Some("three")) },
    ];
    let mut session = Session::new(bench);
    session.join(POD)?;
    let end = session.bounds(POD, 0)?.end;
    let fetch = session.fetch(POD, 0, end)?;
    session.bench().append(records.clone())?;
    let seen = session.records(POD, fetch, records.len())?;
    let expected: Vec<_> =
        records.into_iter().zip(end..).map(|(record, offset)| seen_as(record, offset)).collect();
    check("the records", &seen, &expected)?;
    let fetch = session.fetch_parts(POD, 0, end, false)?;
    let seen = session.records(POD, fetch, expected.len())?;
    let bare: Vec<_> = expected.into_iter().map(|seen| Seen { headers: None, ..seen }).collect();
    check("the records without headers", &seen, &bare)
}

fn record_times_do_not_decrease(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    let end = session.bounds(POD, 0)?.end;
    session.fetch(POD, 0, end)?;
    let mut times = Vec::new();
    for value in ["a", "b", "c"] {
        append(&mut session, &[value])?;
        session.bench().wait();
    }
    for _ in 0..30 {
        if times.len() >= 3 {
            break;
        }
        for chunk in session.poll(POD, 10, 1_000)? {
            times.extend((0..chunk.len()).map(|index| chunk.get(index).time_ms));
        }
    }
    check("the count of records", &times.len(), &3)?;
    // Milliseconds since 1970 have 13 digits for a long time to come.
    let are_milliseconds =
        times.iter().all(|time_ms| (1_000_000_000_000..10_000_000_000_000).contains(time_ms));
    require(
        "times are milliseconds since 1970 that do not decrease",
        are_milliseconds && times.is_sorted(),
        &times,
    )
}

fn an_idle_poll_is_answered_once_and_empty(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    let end = session.bounds(POD, 0)?.end;
    session.fetch(POD, 0, end)?;
    for _ in 0..2 {
        let records: usize = session.poll(POD, 10, 50)?.iter().map(crate::log::Chunk::len).sum();
        check("records of an idle poll", &records, &0)?;
    }
    // A record that comes afterwards waits for the next poll.
    append(&mut session, &["a"])?;
    session.pass(&[POD], 500)?;
    let more = session.kept(POD).into_iter().filter(|event| matches!(event, LogEvent::Polled { .. })).count();
    check("answers that no poll asked for", &more, &0)
}

fn a_poll_keeps_its_limit_of_records(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    let end = session.bounds(POD, 0)?.end;
    session.fetch(POD, 0, end)?;
    append(&mut session, &["a", "b", "c", "d", "e", "f", "g"])?;
    let mut offsets = Vec::new();
    for _ in 0..100 {
        let chunks = session.poll(POD, 3, 200)?;
        let before = offsets.len();
        for chunk in chunks {
            offsets.extend((0..chunk.len()).map(|index| chunk.get(index).offset - end));
        }
        require("a poll's records", offsets.len() - before <= 3, &offsets)?;
        if offsets.len() >= 7 {
            break;
        }
    }
    check("the offsets from the end that was", &offsets, &(0..7).collect())
}

fn a_poll_that_waits_is_answered_when_a_record_comes(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    let end = session.bounds(POD, 0)?.end;
    session.fetch(POD, 0, end)?;
    session.poll(POD, 10, 1_000)?;
    session.send(POD, LogCommand::Poll { records_max: 10, bytes_max: 1_000, wait_ms: 20_000 })?;
    append(&mut session, &["a"])?;
    let began_ms = session.bench().elapsed_ms();
    let count = session.expect(POD, "the poll's answer", |event| match event {
        LogEvent::Polled { chunks } => Some(chunks.iter().map(crate::log::Chunk::len).sum::<usize>()),
        _ => None,
    })?;
    check("its records", &count, &1)?;
    let took_ms = session.bench().elapsed_ms() - began_ms;
    require("it does not wait any longer", took_ms < 10_000, took_ms)
}

fn a_fetch_reads_again_from_where_it_is_told(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    let end = session.bounds(POD, 0)?.end;
    append(&mut session, &["a", "b", "c"])?;
    let fetch = session.fetch(POD, 0, end)?;
    let first = session.records(POD, fetch, 3)?;
    let fetch = session.fetch(POD, 0, end + 1)?;
    let second = session.records(POD, fetch, 2)?;
    check("what is read again", &second.as_slice(), &&first[1..])
}

fn a_partition_that_is_not_fetched_any_more_is_silent(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    let end = session.bounds(POD, 0)?.end;
    let fetch = session.fetch(POD, 0, end)?;
    append(&mut session, &["a"])?;
    session.records(POD, fetch, 1)?;
    session.send(POD, LogCommand::StopFetch { partition: 0 })?;
    // What was under way may still come.
    session.poll(POD, 10, 500)?;
    append(&mut session, &["b"])?;
    let records: usize = session.poll(POD, 10, 500)?.iter().map(crate::log::Chunk::len).sum();
    check("records", &records, &0)
}

fn a_position_beyond_the_end_is_out_of_range(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    let end = session.bounds(POD, 0)?.end;
    let fetch = session.fetch(POD, 0, end + 1_000)?;
    session.send(POD, LogCommand::Poll { records_max: 10, bytes_max: 1_000, wait_ms: 5_000 })?;
    session.expect(POD, "out of range", |event| match event {
        LogEvent::OutOfRange { partition: 0, fetch: of } if *of == fetch => Some(()),
        _ => None,
    })
}

fn bounds_move_with_what_is_appended(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    let before = session.bounds(POD, 0)?;
    append(&mut session, &["a", "b", "c"])?;
    let after = session.bounds(POD, 0)?;
    check("the next offset", &after.end, &(before.end + 3))?;
    require("the first offset is not beyond it", (0..=after.end).contains(&after.first), after)
}

fn a_beacon_is_read_like_any_record(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    let end = session.bounds(POD, 0)?.end;
    let fetch = session.fetch(POD, 0, end)?;
    session.send(POD, LogCommand::Beacon { partition: 0, value: Bytes::from_static(b"beacon") })?;
    let result = session.expect(POD, "the beacon's answer", |event| match event {
        LogEvent::BeaconAppended { partition: 0, result } => Some(result.clone()),
        _ => None,
    })?;
    check("the beacon", &result, &Ok(()))?;
    let seen = session.records(POD, fetch, 1)?;
    check("its value", &seen[0].value, &Some(b"beacon".to_vec()))
}

fn append(session: &mut Session<'_>, values: &[&str]) -> Outcome<()> {
    let records = values.iter().map(|value| record(INPUT, Some("key"), Some(value))).collect();
    session.bench().append(records)
}

fn seen_as(record: OutRecord, offset: i64) -> Seen {
    let bytes = |part: Option<Bytes>| part.map(|bytes| bytes.to_vec());
    Seen { offset, key: bytes(record.key), value: bytes(record.value), headers: Some(record.headers) }
}
