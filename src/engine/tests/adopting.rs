//! A halted partition, the decision about it, and its next generation.

use super::harness::{BASE_US, Stage, offsets_of};
use crate::{
    engine::Phase,
    log::{Committed, LogCommand, LogEvent, Offset, TransactionOutcome},
    store::{Change, Row, StoreCommand, StoreErrorClass},
    table::{
        Value,
        progress::{ADOPT_ENTRY, PROGRESS_ENTRY, ProgressRow},
    },
};

const DECIDED_US: i64 = BASE_US + 9_000_000;

fn known() -> ProgressRow {
    ProgressRow {
        topic_id: "topic".into(),
        generation: 1,
        partitions: 2,
        base_us: BASE_US,
        stored: 4,
        resume: None,
        as_of_ms: None,
    }
}

fn decided() -> ProgressRow {
    ProgressRow { generation: 2, base_us: DECIDED_US, ..known() }
}

fn stored(entry: &str, row: &ProgressRow) -> Row {
    let Change::Upsert(cells) = row.upsert(0).change else { unreachable!() };
    Row { clustering: Box::new([Value::text(entry)]), cells }
}

fn answer_facts(stage: &mut Stage, committed: Option<Committed>, rows: Vec<Row>) {
    stage.answer_offsets(committed);
    stage.answer_bounds(0, 20);
    stage.answer_read("progress", rows);
    stage.acknowledge("progress_owners");
}

fn moved() -> Option<Committed> {
    Some(Committed { offset: 9, metadata: "moved".into() })
}

/// Halted, because somebody moved the offset to 9.
fn halted() -> Stage {
    let mut stage = Stage::new();
    stage.join();
    answer_facts(&mut stage, moved(), vec![stored(PROGRESS_ENTRY, &known())]);
    assert_eq!(phase(&stage), Phase::Halted);
    stage
}

fn phase(stage: &Stage) -> Phase {
    stage.engine.status().partitions[0].phase
}

fn looks(stage: &Stage) -> usize {
    let reads = |command: &&StoreCommand| match command {
        StoreCommand::Read { query, .. } => query.table.name == "progress",
        StoreCommand::Write { .. } => false,
    };
    stage.store.iter().filter(reads).count()
}

/// The claim of the next generation, from the reads of an opening on; its offset and metadata.
fn claim(stage: &mut Stage, at: Offset) -> Committed {
    let transaction = stage.transaction();
    let (_, offset) = offsets_of(&transaction).remove(0);
    assert!(stage.writes("progress").is_empty(), "the row only after the commit");
    stage.end(&transaction, TransactionOutcome::Committed);
    let row = stage.acknowledge("progress");
    assert_eq!(row.statements[0].timestamp_us, DECIDED_US + at);
    stage.answer_read("presence_checkpoints", Vec::new());
    assert_eq!(stage.fetch().0, at);
    offset
}

#[test]
fn a_decision_about_a_halted_partition_begins_its_next_generation_where_the_group_is() {
    let mut stage = halted();
    stage.pass(5_000);
    stage.answer_read("progress", Vec::new());
    assert_eq!(phase(&stage), Phase::Halted, "nobody has decided yet");
    stage.pass(5_000);
    stage.answer_read("progress", vec![stored(ADOPT_ENTRY, &decided())]);
    stage.pass(150);
    stage.describe();
    answer_facts(
        &mut stage,
        moved(),
        vec![stored(PROGRESS_ENTRY, &known()), stored(ADOPT_ENTRY, &decided())],
    );
    let offset = claim(&mut stage, 9);
    assert_eq!(offset.offset, 9);
    for part in ["\"k\":9", "\"start\":9", "\"generation\":2", &format!("\"base_us\":{DECIDED_US}")] {
        assert!(offset.metadata.contains(part), "{part} in {}", offset.metadata);
    }

    // A later owner finds the generation that has begun, and the decision beside it.
    let row = ProgressRow { stored: 9, ..decided() };
    stage.assign(2);
    answer_facts(
        &mut stage,
        Some(offset),
        vec![stored(PROGRESS_ENTRY, &row), stored(ADOPT_ENTRY, &decided())],
    );
    stage.answer_read("presence_checkpoints", Vec::new());
    assert_eq!(stage.fetch().0, 9);
    assert_eq!(phase(&stage), Phase::Live);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_))), "nothing is claimed again");
}

#[test]
fn a_decision_is_looked_for_every_five_seconds_and_once_at_a_time() {
    let mut stage = halted();
    stage.pass(4_999);
    assert!(looks(&stage) <= 1);
    while looks(&stage) > 0 {
        stage.answer_read("progress", Vec::new());
    }
    stage.pass(5_000);
    assert_eq!(looks(&stage), 1);
    stage.pass(5_000);
    assert_eq!(looks(&stage), 1, "not again while the first is not answered");
}

#[test]
fn a_decision_that_was_seen_and_does_not_apply_disturbs_nobody() {
    let mut stage = Stage::new();
    stage.join();
    let other = ProgressRow { stored: 3, ..decided() };
    answer_facts(&mut stage, moved(), vec![stored(PROGRESS_ENTRY, &known()), stored(ADOPT_ENTRY, &other)]);
    assert_eq!(phase(&stage), Phase::Halted, "it is about another situation");
    stage.pass(5_000);
    stage.answer_read("progress", vec![stored(ADOPT_ENTRY, &other)]);
    assert_eq!((phase(&stage), stage.engine.status().restores), (Phase::Halted, 0));
    stage.pass(5_000);
    let again = ProgressRow { base_us: DECIDED_US + 1, ..decided() };
    stage.answer_read("progress", vec![stored(ADOPT_ENTRY, &again)]);
    assert_eq!(stage.engine.status().restores, 1, "the operator has decided once more");
}

#[test]
fn a_partition_that_halted_while_it_ran_is_adopted_too() {
    let mut stage = Stage::live(4, 9);
    let (_, fetch) = stage.fetch();
    stage.event(LogEvent::OutOfRange { partition: 0, fetch });
    stage.answer_bounds(12, 20);
    assert_eq!(phase(&stage), Phase::Halted);
    stage.pass(5_000);
    stage.answer_read("progress", vec![stored(ADOPT_ENTRY, &decided())]);
    stage.pass(150);
    stage.describe();
    stage.answer_offsets(Some(Committed { offset: 9, metadata: Stage::metadata(4) }));
    stage.answer_bounds(12, 20);
    stage.answer_read("progress", vec![stored(PROGRESS_ENTRY, &known()), stored(ADOPT_ENTRY, &decided())]);
    stage.acknowledge("progress_owners");
    assert_eq!(claim(&mut stage, 12).offset, 12, "where the topic begins: 9 is gone");
}

#[test]
fn a_position_that_the_log_has_is_asked_for_again_and_what_was_read_twice_counts_once() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "b"]);
    stage.commit();
    stage.event(LogEvent::OutOfRange { partition: 0, fetch });
    stage.answer_bounds(0, 20);
    assert_eq!(phase(&stage), Phase::Live);
    let (from, again) = stage.fetch();
    assert_eq!(from, 2);
    assert_ne!(again, fetch);
    stage.records(fetch, 2, &["of the former reading"]);
    stage.records(again, 2, &["c"]);
    let transaction = stage.commit();
    assert_eq!(crate::engine::tests::harness::values_of(&transaction), ["c"]);
}

#[test]
fn what_a_refused_reading_still_brings_does_not_lie_beyond_the_bounds_that_were_asked_for_before_it() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "b"]);
    stage.commit();
    stage.event(LogEvent::OutOfRange { partition: 0, fetch });
    stage.records(fetch, 2, &["c", "d"]);
    stage.answer_bounds(0, 2);
    assert_eq!(phase(&stage), Phase::Live);
    let (from, again) = stage.fetch();
    assert_eq!(from, 2);
    stage.records(again, 2, &["c", "d"]);
    let transaction = stage.commit();
    assert_eq!(crate::engine::tests::harness::values_of(&transaction), ["c", "d"]);
}

#[test]
fn bounds_that_were_asked_for_before_a_reading_began_decide_nothing_about_it() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    let chunk = crate::log::Chunk::new(0, fetch).keeping_headers(false);
    stage.chunk(chunk, 0, &["a", "key?", "headers?"]);
    stage.event(LogEvent::OutOfRange { partition: 0, fetch });
    // Folding goes on, and what is there must be read anew.
    stage.answer_read("presence", Vec::new());
    let (from, again) = stage.fetch();
    assert_eq!(from, 2);
    stage.records(again, 2, &["headers?", "b", "c"]);
    stage.answer_bounds(0, 2);
    assert_eq!(phase(&stage), Phase::Live);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Fetch { .. })));
}

#[test]
fn offsets_are_read_again_only_when_the_own_transaction_has_ended() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    // A doubt, while the broker may not even know of the transaction.
    stage.event(LogEvent::OutOfRange { partition: 0, fetch });
    let asked = stage.expect_log(|c| matches!(c, LogCommand::ReadBounds { .. }));
    let LogCommand::ReadBounds { request, .. } = asked else { unreachable!() };
    let result = Err(crate::log::LogError::retriable("no answer in time"));
    stage.event(LogEvent::BoundsRead { request, result });
    stage.pass(3_000);
    let is_question =
        |c: &LogCommand| matches!(c, LogCommand::Describe { .. } | LogCommand::ReadOffsets { .. });
    assert!(!stage.asks(is_question));
    stage.end(&transaction, TransactionOutcome::Committed);
    stage.describe();
    stage.take_over(0, 1);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "b"]);
    assert_eq!(crate::engine::tests::harness::values_of(&stage.transaction()), ["b"]);
}

#[test]
fn a_halted_partition_is_read_no_more() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "halt"]);
    assert_eq!(phase(&stage), Phase::Halted);
    stage.expect_log(|c| matches!(c, LogCommand::StopFetch { partition: 0 }));
}

#[test]
fn a_partition_that_no_decision_can_cure_is_not_looked_after() {
    let mut stage = Stage::new();
    stage.join();
    stage.answer_offsets(moved());
    stage.refuse("progress_owners", StoreErrorClass::Permanent);
    assert_eq!(phase(&stage), Phase::Halted);
    while looks(&stage) > 0 {
        stage.answer_read("progress", Vec::new());
    }
    stage.pass(6_000);
    assert_eq!(looks(&stage), 0);
}
