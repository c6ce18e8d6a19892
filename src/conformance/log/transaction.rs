//! What a transaction makes visible, what a refused one does not, and who fences whom.

use bytes::Bytes;

use super::{Script, script_list};
use crate::{
    conformance::{
        Bench, OUTPUT,
        session::{Outcome, Session, check, offset_step, record, require},
    },
    limits::OFFSET_METADATA_BYTES_MAX,
    log::{Committed, Header, LogCommand, LogEvent, OutRecord, TransactionOutcome, TransactionStep},
};

script_list! {
    LOG: no_offset_is_there_before_the_first_commit,
        a_transaction_makes_records_and_offsets_visible_together,
        records_of_a_transaction_keep_their_order_and_their_parts,
        offsets_alone_are_a_transaction,
        offset_metadata_of_the_greatest_length_round_trips,
        a_refused_transaction_leaves_no_trace,
        a_producer_can_be_opened_again;
    SEVERAL: a_second_producer_of_a_name_fences_the_first;
    HOLD: a_stable_read_does_not_answer_while_a_transaction_holds_offsets,
        fencing_the_name_of_the_dead_frees_its_offsets;
}

const POD: &str = "pod-1";

fn no_offset_is_there_before_the_first_commit(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    check("the stable offset", &session.stable_offset(POD, 0)?, &None)?;
    check("the unstable offset", &session.read_offset(POD, 0, false, 5_000)?, &Ok(None))
}

fn a_transaction_makes_records_and_offsets_visible_together(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let assignment = session.join(POD)?.assignment;
    let end = session.published_end()?;
    let steps = vec![
        offset_step(7, "{\"k\":5}"),
        TransactionStep::Records(vec![record(OUTPUT, Some("u"), Some("online"))]),
    ];
    let outcome = session.transact(POD, assignment, steps)?;
    check("the outcome", &outcome, &TransactionOutcome::Committed)?;
    let offset = session.stable_offset(POD, 0)?;
    let expected = Committed { offset: 7, metadata: "{\"k\":5}".to_owned() };
    check("the offset", &offset, &Some(expected))?;
    let records = session.published(end, 1)?;
    check("the record", &records[0].value, &Some(Bytes::from_static(b"online")))
}

fn records_of_a_transaction_keep_their_order_and_their_parts(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let assignment = session.join(POD)?.assignment;
    let end = session.published_end()?;
    let header = Header { name: "reason".to_owned(), value: Some(Bytes::from_static(b"malformed")) };
    let records = vec![
        record(OUTPUT, Some("b"), Some("1")),
        record(OUTPUT, Some("a"), None),
        OutRecord { headers: vec![header], ..record(OUTPUT, None, Some("3")) },
        record(OUTPUT, Some("b"), Some("4")),
    ];
    let (first, second) = (records[..2].to_vec(), records[2..].to_vec());
    let steps = vec![offset_step(7, ""), TransactionStep::Records(first), TransactionStep::Records(second)];
    let outcome = session.transact(POD, assignment, steps)?;
    check("the outcome", &outcome, &TransactionOutcome::Committed)?;
    let seen = session.published(end, records.len())?;
    let parts: Vec<_> = seen.into_iter().map(|seen| (seen.key, seen.value, seen.headers)).collect();
    let expected: Vec<_> = records.into_iter().map(|sent| (sent.key, sent.value, sent.headers)).collect();
    check("the records", &parts, &expected)
}

fn offsets_alone_are_a_transaction(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let assignment = session.join(POD)?.assignment;
    for offset in [7, 9] {
        let outcome = session.transact(POD, assignment, vec![offset_step(offset, "only")])?;
        check("the outcome", &outcome, &TransactionOutcome::Committed)?;
        let read = session.stable_offset(POD, 0)?;
        check("the offset", &read, &Some(Committed { offset, metadata: "only".to_owned() }))?;
    }
    Ok(())
}

fn offset_metadata_of_the_greatest_length_round_trips(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let assignment = session.join(POD)?.assignment;
    let metadata: String = ('a'..='z').cycle().take(OFFSET_METADATA_BYTES_MAX).collect();
    let outcome = session.transact(POD, assignment, vec![offset_step(7, &metadata)])?;
    check("the outcome", &outcome, &TransactionOutcome::Committed)?;
    check("the offset", &session.stable_offset(POD, 0)?, &Some(Committed { offset: 7, metadata }))
}

fn a_refused_transaction_leaves_no_trace(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let assignment = session.join(POD)?.assignment;
    let end = session.published_end()?;
    let too_long = "x".repeat(OFFSET_METADATA_BYTES_MAX + 1);
    let produced = || TransactionStep::Records(vec![record(OUTPUT, Some("u"), Some("refused"))]);
    let outcome = session.transact(POD, assignment, vec![produced(), offset_step(7, &too_long)])?;
    require("it is not committed", outcome != TransactionOutcome::Committed, &outcome)?;
    if !matches!(outcome, TransactionOutcome::Aborted { .. }) {
        session.open_producer(POD, POD)?;
    }
    check("the offset", &session.stable_offset(POD, 0)?, &None)?;
    let next = TransactionStep::Records(vec![record(OUTPUT, Some("u"), Some("next"))]);
    let outcome = session.transact(POD, assignment, vec![offset_step(7, ""), next])?;
    check("the next outcome", &outcome, &TransactionOutcome::Committed)?;
    let records = session.published(end, 1)?;
    check("the only record", &records[0].value, &Some(Bytes::from_static(b"next")))
}

fn a_producer_can_be_opened_again(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let assignment = session.join(POD)?.assignment;
    for offset in [7, 9] {
        session.open_producer(POD, POD)?;
        let outcome = session.transact(POD, assignment, vec![offset_step(offset, "")])?;
        check("the outcome", &outcome, &TransactionOutcome::Committed)?;
    }
    Ok(())
}

fn a_second_producer_of_a_name_fences_the_first(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let assignment = session.join(POD)?.assignment;
    let end = session.published_end()?;
    session.open_producer("pod-2", POD)?;
    let produced = TransactionStep::Records(vec![record(OUTPUT, Some("u"), Some("fenced"))]);
    let outcome = session.transact(POD, assignment, vec![offset_step(7, ""), produced])?;
    require("the first is fenced", matches!(outcome, TransactionOutcome::Fenced { .. }), &outcome)?;
    check("the offset", &session.stable_offset("pod-2", 0)?, &None)?;
    session.published(end, 0).map(|_| ())
}

fn a_stable_read_does_not_answer_while_a_transaction_holds_offsets(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    let assignment = session.join(POD)?.assignment;
    let outcome = session.transact(POD, assignment, vec![offset_step(7, "stable")])?;
    check("the outcome", &outcome, &TransactionOutcome::Committed)?;
    let stable = session.stable_offset(POD, 0)?;
    hold(&mut session, "dead-1")?;
    let began_ms = session.bench().elapsed_ms();
    let read = session.read_offset(POD, 0, true, 500)?;
    let took_ms = session.bench().elapsed_ms() - began_ms;
    require("the stable read has no offset to tell", read.is_err(), &read)?;
    require("it says so about when its limit is over", took_ms < 3_000, took_ms)?;
    check("the unstable read", &session.read_offset(POD, 0, false, 5_000)?, &Ok(stable))
}

fn fencing_the_name_of_the_dead_frees_its_offsets(bench: &mut dyn Bench) -> Outcome<()> {
    let mut session = Session::new(bench);
    session.join(POD)?;
    hold(&mut session, "dead-2")?;
    let request = session.number();
    let name = "dead-2".to_owned();
    session.send(POD, LogCommand::FenceName { request, name })?;
    let result = session.expect(POD, "the name is fenced", |event| match event {
        LogEvent::NameFenced { request: of, result, .. } if *of == request => Some(result.clone()),
        _ => None,
    })?;
    check("the fencing", &result, &Ok(()))?;
    check("the stable read", &session.read_offset(POD, 0, true, 2_000)?, &Ok(None))
}

fn hold(session: &mut Session<'_>, name: &str) -> Outcome<()> {
    let offset = Committed { offset: 9, metadata: "held".to_owned() };
    session.bench().hold_transaction(name, 0, offset)
}
