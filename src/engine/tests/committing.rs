use super::harness::{BASE_US, Stage, offsets_of, values_of};
use crate::{
    engine::{Command, Exit},
    limits::POLL_RECORDS_MAX,
    log::{Chunk, LogCommand, LogEvent, TransactionOutcome, TransactionStep},
};

#[test]
fn offsets_are_sent_before_records() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "b"]);
    let transaction = stage.transaction();
    assert!(matches!(
        &transaction.steps[..],
        [TransactionStep::Offsets(offsets), TransactionStep::Records(records)]
            if offsets[0].1.offset == 2 && records.len() == 2
    ));
}

#[test]
fn no_row_is_written_before_its_batch_is_committed() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    assert!(stage.writes("presence").is_empty());
    stage.commit();
    assert_eq!(
        stage.writes("presence")[0].statements[0].timestamp_us,
        BASE_US,
        "base + offset of the record"
    );
}

#[test]
fn every_statement_has_the_timestamp_of_its_own_record() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "b", "c"]);
    stage.commit();
    let writes = stage.writes("presence");
    assert_eq!(writes.len(), 1, "one batch for a database partition");
    let stamps: Vec<_> =
        writes[0].statements.iter().map(|statement| statement.timestamp_us - BASE_US).collect();
    assert_eq!(stamps, [0, 1, 2]);
}

#[test]
fn below_the_committed_position_rows_are_written_again_and_nothing_is_published() {
    let mut stage = Stage::live(4, 6);
    let (from, fetch) = stage.fetch();
    assert_eq!(from, 4, "restored at the stored position");
    stage.records(fetch, 4, &["four", "five", "six", "seven"]);
    let transaction = stage.commit();
    assert_eq!(values_of(&transaction), ["six", "seven"]);
    assert_eq!(offsets_of(&transaction)[0].1.offset, 8);
    assert_eq!(stage.writes("presence")[0].statements.len(), 4);
}

#[test]
fn replay_alone_needs_no_transaction() {
    let mut stage = Stage::live(4, 6);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 4, &["four", "five"]);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_))));
    assert_eq!(stage.writes("presence").len(), 1);
}

#[test]
fn a_row_that_was_overwritten_within_its_batch_is_written_once() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "b", "a"]);
    stage.commit();
    let writes = stage.writes("presence");
    let stamps: Vec<_> =
        writes[0].statements.iter().map(|statement| statement.timestamp_us - BASE_US).collect();
    assert_eq!(stamps, [1, 2], "the last one of each row");
}

#[test]
fn behind_batches_are_not_closed_for_every_record_that_somebody_waits_for() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    let many = vec!["a"; POLL_RECORDS_MAX / 8];
    stage.records(fetch, 0, &many);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_))), "more of it is on its way");
    stage.records(fetch, many.len() as i64, &["b"]);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_))), "a small poll between large ones");
    let due_ms = stage.engine.next_wake_ms() - stage.now.boot_ms;
    assert!(due_ms < 250, "the engine wakes when it is no longer behind, in {due_ms} ms");
    stage.pass(due_ms);
    let transaction = stage.transaction();
    assert_eq!(offsets_of(&transaction)[0].1.offset, many.len() as i64 + 1);
}

#[test]
fn behind_a_batch_may_become_as_old_as_the_log_has_been_ahead_up_to_one_second() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    let nobody_waits_for = vec!["again"; POLL_RECORDS_MAX / 8];
    let (mut closed_ms, mut from) = (vec![stage.now.boot_ms], 0);
    for _ in 0..200 {
        stage.records(fetch, from, &nobody_waits_for);
        from += nobody_waits_for.len() as i64;
        if stage.asks(|c| matches!(c, LogCommand::Transact(_))) {
            stage.commit();
            closed_ms.push(stage.now.boot_ms);
        }
        stage.pass(25);
    }
    let apart_ms: Vec<_> = closed_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((250..=300).contains(&apart_ms[0]), "{apart_ms:?}");
    assert!(apart_ms[1..].iter().all(|ms| (1_000..=1_050).contains(ms)), "{apart_ms:?}");
    assert!(apart_ms.len() >= 4, "{apart_ms:?}");
}

#[test]
fn after_a_takeover_batches_begin_small_and_become_twice_as_large_each_time() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    let large: Vec<String> = (0..200).map(|number| format!("{number:060000}")).collect();
    let large: Vec<&str> = large.iter().map(String::as_str).collect();
    stage.records(fetch, 0, &large);
    let mut position = 0;
    let sizes = [(); 4].map(|()| {
        let transaction = stage.commit();
        let former = std::mem::replace(&mut position, offsets_of(&transaction)[0].1.offset);
        position - former
    });
    assert!((2..=12).contains(&sizes[0]), "at most a sixteenth of 12 MiB: {sizes:?}");
    assert!(sizes.windows(2).all(|pair| (2 * pair[0] - 2..=2 * pair[0] + 2).contains(&pair[1])), "{sizes:?}");
}

#[test]
fn the_next_records_are_asked_for_before_the_last_ones_are_folded() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.expect_log(|command| matches!(command, LogCommand::Poll { .. }));
    let mut chunk = Chunk::new(0, fetch);
    chunk.push(0, 5, None, Some(b"a"), Vec::new());
    stage.engine.handle_log(LogEvent::Polled { chunks: vec![chunk] }, stage.now);
    assert!(matches!(stage.engine.poll_command(), Some(Command::Log(LogCommand::Poll { .. }))));
}

#[test]
fn the_next_batch_is_folded_while_a_transaction_is_under_way_and_waits_for_it() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let first = stage.transaction();
    stage.records(fetch, 1, &["b"]);
    stage.records(fetch, 2, &["c"]);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_))), "one at a time");
    stage.end(&first, TransactionOutcome::Committed);
    assert_eq!(values_of(&stage.transaction()), ["b", "c"], "what came meanwhile is one batch");
}

#[test]
fn chunks_of_an_older_fetch_and_duplicates_are_ignored() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch + 77, 0, &["stale"]);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_))));
    stage.records(fetch, 0, &["a"]);
    stage.commit();
    stage.records(fetch, 0, &["a", "b"]);
    assert_eq!(values_of(&stage.transaction()), ["b"]);
}

#[test]
fn a_record_that_goes_out_with_its_headers_is_read_anew_and_so_is_what_follows_it() {
    let is_fetch = |command: &LogCommand| matches!(command, LogCommand::Fetch { .. });
    let mut stage = Stage::live(0, 0);
    let LogCommand::Fetch { from: 0, fetch: former, headers: false, .. } = stage.expect_log(is_fetch) else {
        panic!("a partition is read without headers at first");
    };
    stage.chunk(Chunk::new(0, former).keeping_headers(false), 0, &["a", "headers?", "b"]);
    let LogCommand::Fetch { from: 1, fetch, headers: true, .. } = stage.expect_log(is_fetch) else {
        panic!("the record is read anew");
    };
    assert_eq!(values_of(&stage.commit()), ["a"]);
    stage.chunk(Chunk::new(0, former).keeping_headers(false), 2, &["b"]);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_))), "the former reading is over");
    stage.records(fetch, 1, &["headers?", "b", "headers?"]);
    assert_eq!(values_of(&stage.commit()), ["headers?", "b", "headers?"]);
    assert!(!stage.asks(is_fetch));
}

#[test]
fn an_unclear_end_taints_the_producer_and_drops_all_state() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.end(&transaction, TransactionOutcome::Unclear { reason: "timed out".into() });
    assert!(stage.asks(|c| matches!(c, LogCommand::OpenProducer { .. })), "a new producer of the same name");
    stage.pass(5_000);
    assert!(
        !stage.asks(|c| matches!(c, LogCommand::ReadOffsets { .. } | LogCommand::Transact(_))),
        "not before it is open"
    );
    assert!(stage.writes("presence").is_empty());
    stage.expect_log(|c| matches!(c, LogCommand::OpenProducer { .. }));
    stage.event(LogEvent::ProducerOpened);
    stage.describe();
    stage.take_over(0, 1);
    assert_eq!(stage.fetch().0, 0, "the transaction had been committed: its rows are written again");
}

#[test]
fn a_confirmed_abort_restores_with_the_same_producer() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.end(&transaction, TransactionOutcome::Aborted { reason: "rebalance".into() });
    assert!(!stage.asks(|c| matches!(c, LogCommand::OpenProducer { .. })));
    stage.pass(150);
    stage.describe();
    stage.take_over(0, 0);
    assert_eq!(stage.fetch().0, 0);
}

#[test]
fn a_transaction_carries_the_assignment_of_its_partitions() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    assert_eq!(stage.transaction().assignment, 1);
}

#[test]
fn revoked_partitions_are_released_only_after_the_transaction_has_ended() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.event(LogEvent::Revoking { partitions: vec![0] });
    assert!(!stage.asks(|c| matches!(c, LogCommand::Release)));
    stage.end(&transaction, TransactionOutcome::Committed);
    stage.expect_log(|c| matches!(c, LogCommand::Release));
    stage.log.clear();
    stage.pass(1_000);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_) | LogCommand::Beacon { .. })));
}

#[test]
fn lost_partitions_are_dropped_and_nothing_is_committed() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.records(fetch, 1, &["b"]);
    stage.event(LogEvent::Lost { partitions: vec![0] });
    stage.end(&transaction, TransactionOutcome::Committed);
    stage.pass(1_000);
    assert!(!stage.asks(|c| matches!(c, LogCommand::Release | LogCommand::Transact(_))));
    assert!(stage.writes("presence").is_empty(), "the new owner writes them");
}

#[test]
fn a_fatal_error_ends_the_engine_with_its_sentence() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.end(&transaction, TransactionOutcome::Fatal { reason: "not authorised".into() });
    assert_eq!(stage.engine.exit(), Some(&Exit::Fatal("not authorised".into())));
}

#[test]
fn leaving_waits_for_the_transaction_under_way() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.engine.shut_down();
    stage.turn();
    assert!(!stage.asks(|c| matches!(c, LogCommand::Leave)));
    stage.end(&transaction, TransactionOutcome::Committed);
    stage.expect_log(|c| matches!(c, LogCommand::Leave));
    stage.event(LogEvent::Left);
    assert_eq!(stage.engine.exit(), Some(&Exit::Left));
}

#[test]
fn a_fold_that_halts_keeps_what_came_before_and_stops() {
    let mut stage = Stage::live(0, 0);
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a", "halt", "b"]);
    let transaction = stage.commit();
    assert_eq!(values_of(&transaction), ["a"]);
    assert_eq!(offsets_of(&transaction)[0].1.offset, 1);
    let sentence = stage.engine.status().partitions[0].halted.clone().unwrap();
    assert!(sentence.contains("this record is of the future"), "{sentence}");
}
