use std::sync::Arc;

use super::*;
use crate::{
    store::{Change, Statement},
    table::{
        Table,
        inbox::{HEADS, INBOX, WINDOWS, window_partition},
        presence::PRESENCE,
    },
    task::Counts,
};

fn part(position: Offset, tables: &[&'static Table]) -> Part {
    let mut output = Output::new(0);
    output.begin(position - 1, true);
    for table in tables {
        let partition = vec![Value::Int(0); table.partition.len()].into();
        let clustering = vec![Value::Int(0); table.clustering.len()].into();
        let change = Change::Upsert(vec![Value::Null; table.cells.len()].into());
        output.change_at(position - 1, table, partition, clustering, change);
    }
    let counts = Counts::default();
    Part { position, fresh: 1, counts, output, checkpoints: Vec::new(), as_of_ms: None }
}

fn of(batch: u64, stage: Stage) -> Place {
    Place { batch, stage, late: false }
}

fn names(released: &Released) -> Vec<(u64, &'static str)> {
    released.writes.iter().map(|(place, write)| (place.batch, write.table.name)).collect()
}

#[test]
fn heads_go_out_after_the_entries_and_windows_of_their_batch() {
    let mut ledger = Ledger::default();
    let released = ledger.owe(1, part(10, &[&HEADS, &WINDOWS, &INBOX]));
    assert_eq!(names(&released), [(1, "inbox")]);
    assert!(ledger.waiting_bytes() > 0);
    assert_eq!(names(&ledger.acknowledge(of(1, Stage::First))), [(1, "inbox_windows")]);
    assert_eq!(names(&ledger.acknowledge(of(1, Stage::Second))), [(1, "inbox_heads")]);
    assert_eq!(ledger.waiting_bytes(), 0);
    let settled = ledger.acknowledge(of(1, Stage::Last)).settled;
    assert_eq!((settled[0].batch, settled[0].position, ledger.is_empty()), (1, 10, true));
}

#[test]
fn heads_wait_for_the_entries_of_earlier_batches_too() {
    let mut ledger = Ledger::default();
    ledger.owe(1, part(10, &[&INBOX, &HEADS]));
    let released = ledger.owe(2, part(20, &[&INBOX, &HEADS]));
    assert_eq!(names(&released), [(2, "inbox")], "entries don't wait");
    assert!(names(&ledger.acknowledge(of(2, Stage::First))).is_empty());
    assert_eq!(names(&ledger.acknowledge(of(1, Stage::First))), [(1, "inbox_heads")]);
    let released = ledger.acknowledge(of(1, Stage::Last));
    assert_eq!((names(&released), released.settled.len()), (vec![(2, "inbox_heads")], 1));
    assert_eq!(ledger.acknowledge(of(2, Stage::Last)).settled.len(), 1);
}

#[test]
fn heads_of_a_batch_wait_for_those_of_earlier_ones_so_that_no_origin_precedes_what_it_covers() {
    let mut ledger = Ledger::default();
    assert_eq!(names(&ledger.owe(1, part(10, &[&HEADS]))), [(1, "inbox_heads")]);
    let released = ledger.owe(2, part(20, &[&INBOX, &HEADS]));
    assert_eq!(names(&released), [(2, "inbox")]);
    assert!(names(&ledger.acknowledge(of(2, Stage::First))).is_empty(), "the first heads may be lost yet");
    assert_eq!(names(&ledger.acknowledge(of(1, Stage::Last))), [(2, "inbox_heads")]);
}

/// A batch of inboxes: an entry and the head of each recipient, and the static cells; `large` are those of a
/// large group.
fn entries(position: Offset, recipients: &[&str], large: &[&str]) -> Part {
    let mut part = part(position, &[]);
    let bucket: Arc<[Value]> = [Value::Int(0)].into();
    for recipient in recipients {
        let cells = |table: &Table| Change::Upsert(vec![Value::Null; table.cells.len()].into());
        let entry = [Value::text(recipient), Value::BigInt(position)].into();
        part.output.change_at(position - 1, &INBOX, window_partition(0, 1), entry, cells(&INBOX));
        let head = [Value::text(recipient)].into();
        part.output.change_at(position - 1, &HEADS, Arc::clone(&bucket), head, cells(&HEADS));
    }
    let statics = Change::Statics(vec![Value::Null; HEADS.statics.len()].into());
    part.output.change_at(position - 1, &HEADS, bucket, Box::default(), statics);
    part.output.large.extend(large.iter().map(smol_str::SmolStr::new));
    part
}

/// What goes out: the batch, whether it is late, the table and whose rows; the static cells are "-".
fn sent(released: &Released) -> Vec<String> {
    let of = |statement: &Statement| match statement.clustering.first() {
        Some(Value::Text(recipient)) => recipient.to_string(),
        _ => "-".to_owned(),
    };
    let line = |(place, write): &(Place, WriteBatch)| {
        let rows: Vec<_> = write.statements.iter().map(of).collect();
        assert_eq!(write.is_late, place.late);
        let late = if place.late { "late " } else { "" };
        format!("{} {late}{} {}", place.batch, write.table.name, rows.join(" "))
    };
    released.writes.iter().map(line).collect()
}

fn late(batch: u64, stage: Stage) -> Place {
    Place { batch, stage, late: true }
}

#[test]
fn what_is_late_is_overtaken_by_all_but_those_who_wait_for_it() {
    let mut ledger = Ledger::default();
    let released = ledger.owe(1, entries(10, &["ann", "bob", "cid"], &["ann", "bob"]));
    assert_eq!(sent(&released), ["1 inbox cid", "1 late inbox ann bob"]);
    let released = ledger.acknowledge(of(1, Stage::First));
    assert_eq!(sent(&released), ["1 inbox_heads cid"], "its origin is late");
    let released = ledger.owe(2, entries(20, &["bob", "cid", "dan"], &[]));
    assert_eq!(sent(&released), ["2 inbox cid dan", "2 late inbox bob"]);
    let released = ledger.acknowledge(of(2, Stage::First));
    assert_eq!(sent(&released), ["2 inbox_heads cid dan"], "heads of several wait for no origin");
    assert!(sent(&ledger.acknowledge(of(2, Stage::Last))).is_empty());
    assert!(sent(&ledger.acknowledge(of(1, Stage::Last))).is_empty());
    assert!(sent(&ledger.acknowledge(late(2, Stage::First))).is_empty(), "bob has an earlier entry");
    let released = ledger.acknowledge(late(1, Stage::First));
    assert_eq!(sent(&released), ["1 late inbox_heads ann bob -"]);
    let released = ledger.acknowledge(late(1, Stage::Last));
    assert_eq!((sent(&released), released.settled.len()), (vec!["2 late inbox_heads bob -".to_owned()], 1));
    assert_eq!(ledger.acknowledge(late(2, Stage::Last)).settled.len(), 1);
    assert!(ledger.is_empty());
    assert_eq!(ledger.waiting_bytes(), 0);
}

#[test]
fn who_waited_for_what_was_late_is_not_overtaken_by_its_own() {
    let mut ledger = Ledger::default();
    ledger.owe(1, entries(10, &["ann", "bob"], &["ann", "bob"]));
    ledger.owe(2, entries(20, &["bob"], &[]));
    ledger.acknowledge(late(1, Stage::First));
    ledger.acknowledge(late(1, Stage::Last));
    // The large group is settled; bob's second entry is not there yet, and another group comes.
    let released = ledger.owe(3, entries(30, &["bob", "cid", "dan"], &["dan"]));
    assert_eq!(sent(&released), ["3 inbox cid", "3 late inbox bob dan"]);
}

#[test]
fn nothing_needs_to_overtake_those_who_waited_for_a_large_group() {
    let mut ledger = Ledger::default();
    ledger.owe(1, entries(10, &["ann", "bob"], &["ann", "bob"]));
    ledger.owe(2, entries(20, &["bob"], &[]));
    ledger.acknowledge(late(1, Stage::First));
    ledger.acknowledge(late(1, Stage::Last));
    let released = ledger.owe(3, entries(30, &["bob", "cid"], &[]));
    assert_eq!(sent(&released), ["3 inbox bob cid"], "all of it in order");
    ledger.acknowledge(of(3, Stage::First));
    assert_eq!(sent(&ledger.acknowledge(late(2, Stage::First))), ["2 late inbox_heads bob -"]);
    let released = ledger.acknowledge(late(2, Stage::Last));
    assert_eq!((sent(&released), released.settled.len()), (vec!["3 inbox_heads bob cid -".to_owned()], 1));
    assert_eq!(ledger.acknowledge(of(3, Stage::Last)).settled.len(), 1);
    assert!(ledger.is_empty());
}

#[test]
fn late_rows_are_not_gathered_across_a_batch_that_waits_for_some() {
    let mut ledger = Ledger::default();
    // Two large groups are under way, and bob waits for them.
    ledger.owe(1, entries(10, &["ann"], &["ann"]));
    ledger.owe(2, entries(20, &["ann"], &["ann"]));
    ledger.owe(3, entries(30, &["ann"], &[]));
    for batch in 1..=2 {
        ledger.acknowledge(late(batch, Stage::First));
        ledger.acknowledge(late(batch, Stage::Last));
    }
    assert_eq!(sent(&ledger.owe(4, entries(40, &["ann"], &[]))), ["4 inbox ann"], "in order");
    let released = ledger.owe(5, entries(50, &["ann"], &["ann"]));
    assert_eq!(sent(&released), ["5 late inbox ann"]);
    ledger.acknowledge(of(4, Stage::First));
    ledger.acknowledge(late(5, Stage::First));
    assert_eq!(sent(&ledger.acknowledge(late(3, Stage::First))), ["3 late inbox_heads ann -"]);
    assert_eq!(sent(&ledger.acknowledge(late(3, Stage::Last))), ["4 inbox_heads ann -"]);
    assert_eq!(sent(&ledger.acknowledge(of(4, Stage::Last))), ["5 late inbox_heads ann -"]);
    assert_eq!(ledger.acknowledge(late(5, Stage::Last)).settled.len(), 1);
    assert!(ledger.is_empty());
    assert_eq!(ledger.waiting_bytes(), 0);
}

#[test]
fn batches_without_rows_are_settled_with_the_late_ones_before_them() {
    let mut ledger = Ledger::default();
    ledger.owe(1, entries(10, &["ann"], &["ann"]));
    for batch in 2..=3 {
        assert!(ledger.owe(batch, part(batch as Offset * 10, &[])).settled.is_empty());
    }
    ledger.acknowledge(late(1, Stage::First));
    let settled = ledger.acknowledge(late(1, Stage::Last)).settled;
    assert_eq!(settled.iter().map(|settled| settled.batch).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(ledger.is_empty());
}

#[test]
fn no_origin_is_there_before_heads_that_overtook_it() {
    let mut ledger = Ledger::default();
    ledger.owe(1, entries(10, &["ann", "cid"], &["ann"]));
    assert!(sent(&ledger.acknowledge(late(1, Stage::First))).is_empty());
    assert_eq!(sent(&ledger.acknowledge(of(1, Stage::First))), ["1 inbox_heads cid"]);
    assert_eq!(sent(&ledger.acknowledge(of(1, Stage::Last))), ["1 late inbox_heads ann -"]);
}

#[test]
fn what_overtakes_waits_for_earlier_entries_that_are_not_late() {
    let mut ledger = Ledger::default();
    assert_eq!(sent(&ledger.owe(1, entries(10, &["cid"], &[]))), ["1 inbox cid"]);
    let released = ledger.owe(2, entries(20, &["ann", "cid"], &["ann"]));
    assert_eq!(sent(&released), ["2 inbox cid", "2 late inbox ann"]);
    assert!(sent(&ledger.acknowledge(of(2, Stage::First))).is_empty(), "its first entry is missing");
    let released = ledger.acknowledge(of(1, Stage::First));
    assert_eq!(sent(&released), ["1 inbox_heads cid -", "2 inbox_heads cid"]);
}

#[test]
fn rows_bound_to_the_static_cells_overtake_nothing() {
    let mut ledger = Ledger::default();
    ledger.owe(1, entries(10, &["ann"], &["ann"]));
    let mut part = entries(20, &["cid", "dan"], &[]);
    part.output.bound.insert("cid".into());
    assert_eq!(sent(&ledger.owe(2, part)), ["2 inbox dan", "2 late inbox cid"]);
}

#[test]
fn two_late_batches_are_on_their_way_and_what_follows_is_gathered() {
    let mut ledger = Ledger::default();
    for batch in 1..=4 {
        let released = ledger.owe(batch, entries(batch as Offset * 10, &["ann"], &["ann"]));
        let expected = if batch <= 2 { vec![format!("{batch} late inbox ann")] } else { Vec::new() };
        assert_eq!(sent(&released), expected);
    }
    for batch in 5..=6 {
        let released = ledger.owe(batch, entries(batch as Offset * 10, &["cid"], &[]));
        assert_eq!(sent(&released), [format!("{batch} inbox cid")]);
    }
    assert!(ledger.owe(7, entries(70, &["dan"], &[])).writes.is_empty(), "two are under way");
    assert_eq!(sent(&ledger.acknowledge(late(1, Stage::First))), ["1 late inbox_heads ann -"]);
    let released = ledger.acknowledge(late(1, Stage::Last));
    assert_eq!(sent(&released), ["6 late inbox ann ann"], "four batches as one");
    ledger.acknowledge(late(2, Stage::First));
    ledger.acknowledge(late(2, Stage::Last));
    for (batch, stage) in [(5, Stage::First), (6, Stage::First), (5, Stage::Last), (6, Stage::Last)] {
        ledger.acknowledge(of(batch, stage));
    }
    ledger.acknowledge(of(7, Stage::First));
    ledger.acknowledge(of(7, Stage::Last));
    let released = ledger.acknowledge(late(6, Stage::First));
    assert_eq!(sent(&released), ["6 late inbox_heads - ann - - -"], "of each head the last");
}

#[test]
fn rows_of_the_first_stage_wait_for_nothing() {
    let mut ledger = Ledger::default();
    ledger.owe(1, part(10, &[&PRESENCE]));
    assert_eq!(names(&ledger.owe(2, part(20, &[&PRESENCE]))), [(2, "presence")]);
    assert!(ledger.acknowledge(of(2, Stage::First)).settled.is_empty(), "batches are settled in order");
    assert_eq!(ledger.acknowledge(of(1, Stage::First)).settled.len(), 2);
}

#[test]
fn what_is_committed_while_two_batches_are_on_their_way_goes_out_as_one() {
    let mut ledger = Ledger::default();
    ledger.owe(1, part(10, &[&INBOX, &HEADS]));
    ledger.owe(2, part(20, &[&INBOX, &HEADS]));
    assert!(names(&ledger.owe(3, part(30, &[&INBOX, &HEADS]))).is_empty(), "the store has enough to do");
    assert!(names(&ledger.owe(4, part(40, &[&INBOX, &WINDOWS]))).is_empty());
    assert!(ledger.waiting_bytes() > 0);
    ledger.acknowledge(of(1, Stage::First));
    ledger.acknowledge(of(2, Stage::First));
    let released = ledger.acknowledge(of(1, Stage::Last));
    assert_eq!(names(&released), [(2, "inbox_heads"), (4, "inbox")]);
    assert_eq!(released.writes[1].1.statements.len(), 2, "their entries share a write");
    assert_eq!(
        ledger.acknowledge(of(2, Stage::Last)).settled[0].position,
        20,
        "not those that were gathered"
    );
    assert_eq!(names(&ledger.acknowledge(of(4, Stage::First))), [(4, "inbox_windows")]);
    assert_eq!(names(&ledger.acknowledge(of(4, Stage::Second))), [(4, "inbox_heads")]);
    assert_eq!(ledger.waiting_bytes(), 0);
    let settled = ledger.acknowledge(of(4, Stage::Last)).settled;
    assert_eq!((settled[0].batch, settled[0].position, ledger.is_empty()), (4, 40, true));
}

#[test]
fn what_is_gathered_is_owed_and_bounded_as_a_part_is() {
    let mut ledger = Ledger::default();
    ledger.owe(1, part(10, &[&INBOX]));
    ledger.owe(2, part(20, &[&INBOX]));
    for batch in 3..=5 {
        let mut large = part(batch as Offset * 10, &[&INBOX]);
        large.output.row_bytes = PART_OUTPUT_BYTES_MAX / 2;
        ledger.owe(batch, large);
    }
    assert_eq!(names(&ledger.acknowledge(of(1, Stage::First))), [(4, "inbox")], "two are as much as fits");
    assert_eq!(names(&ledger.acknowledge(of(2, Stage::First))), [(5, "inbox")]);
    assert_eq!(ledger.acknowledge(of(4, Stage::First)).settled.len(), 1);
    assert!(!ledger.is_empty());
    assert_eq!(ledger.acknowledge(of(5, Stage::First)).settled.len(), 1);
    assert!(ledger.is_empty());
}
