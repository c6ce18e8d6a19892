use super::*;
use crate::{
    limits::{WINDOW_ENTRIES_MAX, WINDOW_MS_MAX},
    log::Chunk,
    processor::bench::{Bench, START_MS, setup},
    record::posted::DeliveriesWriter,
    table::{
        Stage,
        inbox::{BucketRow, EntryRow, HeadRow, entries_query, heads_query, windows_query},
    },
    topology::Topology,
};

fn bench() -> Bench<Inbox> {
    Bench::new(setup(1, 0))
}

fn posted(seq: i64, sender: &str, body: &'static str) -> Posted<'static> {
    Posted {
        conversation: "group/team".into(),
        seq,
        sender: sender.to_owned().into(),
        client_id: format!("c-{seq}").into(),
        session: None,
        sent_at: None,
        accepted_at: START_MS + seq,
        body,
    }
}

/// A record of deliveries: messages from alice, each to the same recipients.
fn deliveries(seqs: &[i64], recipients: &[&str]) -> String {
    let mut writer = DeliveriesWriter::new();
    for seq in seqs {
        writer.message(&posted(*seq, "alice", "{}"));
        recipients.iter().for_each(|recipient| writer.recipient(recipient));
    }
    String::from_utf8(writer.finish().to_vec()).expect("UTF-8")
}

fn bucket(bench: &Bench<Inbox>, user: &str) -> u32 {
    bench.fold.setup.topology.bucket(ProcessorKind::Inbox, user.as_bytes())
}

fn head(bench: &Bench<Inbox>, user: &str) -> HeadRow {
    let rows = bench.read(&heads_query(bucket(bench, user), &[user]));
    rows.first().map_or_else(HeadRow::default, |row| HeadRow::from_cells(&row.cells).expect("a head"))
}

/// The conversation's numbers of the entries in a window, in the order of the inbox.
fn entries(bench: &Bench<Inbox>, user: &str, window: i64) -> Vec<(i64, i64)> {
    let rows = bench.read(&entries_query(bucket(bench, user), window, user, None, 1_000));
    rows.iter()
        .map(|row| {
            let seq = row.clustering[1].as_big_int().expect("a number");
            (seq, EntryRow::from_cells(&row.cells).expect("an entry").conversation_seq)
        })
        .collect()
}

#[test]
fn every_recipient_has_numbers_of_its_own_from_one() {
    let mut bench = bench();
    bench.send(&deliveries(&[1, 2], &["alice", "bob"]));
    bench.send(&deliveries(&[3], &["bob"]));
    bench.settle();
    assert_eq!(entries(&bench, "alice", 1), [(1, 1), (2, 2)]);
    assert_eq!(entries(&bench, "bob", 1), [(1, 1), (2, 2), (3, 3)]);
    let (alice, bob) = (head(&bench, "alice"), head(&bench, "bob"));
    assert_eq!((alice.latest_seq, alice.foreign_count), (2, 0), "own messages are not foreign");
    assert_eq!((bob.latest_seq, bob.foreign_count), (3, 3));
    let published = bench.published_on(Topic::Inbox);
    assert_eq!(published[1]["messages"][0]["entries"][0]["seq"], 3);
    assert_eq!(published.len(), 2);
}

#[test]
fn entries_above_a_head_are_written_again_with_the_same_numbers() {
    let mut bench = bench();
    bench.send(&deliveries(&[1], &["bob"]));
    bench.settle();
    bench.send(&deliveries(&[2], &["bob"]));
    bench.commit();
    bench.store_stages(&[Stage::First]);
    let before = entries(&bench, "bob", 1);
    bench.take_over(0);
    bench.send(&deliveries(&[3], &["bob"]));
    bench.settle();
    assert_eq!(before, [(1, 1), (2, 2)]);
    assert_eq!(entries(&bench, "bob", 1), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(bench.published.len(), 3, "nothing is published twice");
}

#[test]
fn a_bucket_skips_what_lies_below_its_origin() {
    let mut bench = bench();
    bench.send(&deliveries(&[1], &["bob"]));
    bench.send(&deliveries(&[2], &["bob"]));
    bench.settle();
    bench.take_over(0);
    assert_eq!(bench.fold_at(0), Step::Filtered);
    bench.settle();
    assert_eq!(head(&bench, "bob").latest_seq, 2);
}

fn recipients_of(set: &crate::effect::Recipients) -> Vec<&str> {
    let mut names: Vec<_> = set.iter().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}

fn one_bucket() -> Bench<Inbox> {
    let topology = Topology::uniform(1, 1).into();
    Bench::<Inbox>::new(Setup { topology, large_group: 2, ..setup(1, 0) })
}

#[test]
fn a_head_that_is_beyond_its_buckets_origin_counts_what_it_includes() {
    let mut bench = one_bucket();
    bench.send(&deliveries(&[1], &["bob"]));
    assert_eq!(recipients_of(&bench.output.bound), ["bob"], "the bucket has no row yet");
    bench.settle();
    bench.send(&deliveries(&[2], &["ann", "bob", "cid"]));
    bench.send(&deliveries(&[3, 4], &["dan"]));
    assert_eq!(recipients_of(&bench.output.large), ["ann", "bob", "cid"]);
    assert!(bench.output.bound.is_empty());
    bench.commit();
    // dan's rows overtake those of the group, and the bucket's origin; then somebody else takes over.
    bench.store_rows(|row| row.statement.clustering.first() == Some(&Value::text("dan")));
    assert_eq!(head(&bench, "dan").latest_seq, 2);
    bench.take_over(0);
    bench.send(&deliveries(&[5], &["dan", "bob"]));
    bench.settle();
    assert_eq!(entries(&bench, "dan", 1), [(1, 3), (2, 4), (3, 5)]);
    assert_eq!(entries(&bench, "bob", 1), [(1, 1), (2, 2), (3, 5)]);
    assert_eq!(
        bench.fold.buckets.get_mut(&0, 0).expect("loaded").row.entries,
        8,
        "dan's too have their place"
    );
}

#[test]
fn of_another_generation_the_windows_of_heads_count_that_are_beyond_their_buckets() {
    let statics = BucketRow { generation: 1, window: 3, entries: 7, origin: 9, window_since_ms: 0 };
    let heads = [("ann", 3), ("cid", 4)].map(|(user, window)| {
        (user.into(), HeadRow { latest_seq: 1, foreign_count: 1, window, timestamp_us: 5 })
    });
    let same = Bucket::new(statics, heads.clone(), 1);
    assert_eq!((same.row, same.is_unclaimed(0)), (statics, false), "the replay comes to window 4 again");
    let other = Bucket::new(statics, heads, 2);
    assert_eq!((other.row.window, other.row.entries, other.row.origin), (4, WINDOW_ENTRIES_MAX, 0));
    assert!(other.is_unclaimed(u64::MAX));
}

#[test]
fn a_batch_of_records_writes_every_head_once() {
    let mut bench = bench();
    for seq in 1..=10 {
        bench.send(&deliveries(&[seq], &["bob"]));
    }
    let applied = bench.store.applied();
    bench.commit();
    bench.store_stages(&[Stage::Last]);
    assert_eq!(bench.store.applied() - applied, 2, "one head and the bucket's own row");
}

#[test]
fn a_window_rolls_when_it_is_full_in_the_middle_of_a_record() {
    let mut bench = bench();
    bench.send(&deliveries(&[1], &["bob"]));
    let number = bucket(&bench, "bob");
    let state = bench.fold.buckets.get_mut(&number, 1).expect("bob's bucket");
    state.row.entries = WINDOW_ENTRIES_MAX - 1;
    bench.send(&deliveries(&[2, 3], &["bob"]));
    bench.settle();
    assert_eq!(entries(&bench, "bob", 1), [(1, 1), (2, 2)]);
    assert_eq!(entries(&bench, "bob", 2), [(3, 3)]);
    let windows = bench.read(&windows_query(number, "bob", None, false, 10));
    let first: Vec<_> = windows.iter().map(|row| row.cells[0].as_big_int().expect("a number")).collect();
    assert_eq!(first, [1, 3]);
}

#[test]
fn a_window_rolls_after_a_week_of_record_time_also_after_a_takeover() {
    let mut bench = bench();
    bench.send(&deliveries(&[1], &["bob"]));
    bench.settle();
    bench.take_over(1);
    bench.send_at(START_MS + WINDOW_MS_MAX, &deliveries(&[2], &["bob"]));
    bench.send_at(START_MS + WINDOW_MS_MAX + 1, &deliveries(&[3], &["bob"]));
    bench.settle();
    assert_eq!(entries(&bench, "bob", 1), [(1, 1), (2, 2)]);
    assert_eq!(entries(&bench, "bob", 2), [(3, 3)]);
}

#[test]
fn a_bucket_of_several_pages_is_read_whole() {
    let mut bench = bench();
    let users: Vec<_> = (0..5_000).map(|number| format!("user-{number}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    bench.send(&deliveries(&[1], &names));
    bench.settle();
    bench.take_over(1);
    bench.send(&deliveries(&[2], &names));
    bench.settle();
    assert!(users.iter().all(|user| head(&bench, user).latest_seq == 2));
}

#[test]
fn records_are_looked_at_until_every_bucket_is_needed() {
    let bench = bench();
    let of_bucket = |number: u32| {
        let user = (0..).map(|number| format!("user-{number}")).find(|user| bucket(&bench, user) == number);
        deliveries(&[1], &[&user.expect("a user of the bucket")])
    };
    let buckets = bench.fold.setup.topology.buckets(ProcessorKind::Inbox);
    let values: Vec<String> = [0, 0].into_iter().chain(0..buckets).chain([0; 100]).map(of_bucket).collect();
    let mut chunk = Chunk::new(0, 1);
    for (offset, value) in values.iter().enumerate() {
        chunk.push(offset as Offset, START_MS, None, Some(value.as_bytes()), Vec::new());
    }
    let mut looked_at = 0;
    let queries =
        bench.fold.wanted(&mut (0..chunk.len()).map(|index| chunk.get(index)).inspect(|_| looked_at += 1));
    assert_eq!(queries.len(), buckets as usize);
    assert!(looked_at <= 2 + buckets + 1, "{looked_at} of {} records", chunk.len());
}

#[test]
fn a_large_body_is_left_to_the_history() {
    let mut bench = bench();
    let large: &'static str = format!("\"{}\"", "x".repeat(INLINE_BODY_BYTES)).leak();
    let mut writer = DeliveriesWriter::new();
    for (seq, body) in [(1, large), (2, "\"small\"")] {
        writer.message(&posted(seq, "alice", body));
        writer.recipient("bob");
    }
    bench.send(std::str::from_utf8(&writer.finish()).expect("UTF-8"));
    bench.settle();
    let rows = bench.read(&entries_query(bucket(&bench, "bob"), 1, "bob", None, 10));
    let bodies: Vec<_> =
        rows.iter().map(|row| EntryRow::from_cells(&row.cells).expect("an entry").body).collect();
    assert_eq!(bodies, [None, Some("\"small\"")]);
    let published = bench.published_on(Topic::Inbox);
    assert_eq!(
        published[0]["messages"][0]["body"],
        large.trim_matches('"'),
        "push services get it all the same"
    );
}

#[test]
fn recipients_of_another_partition_are_listed_in_one_dead_letter_and_the_others_get_theirs() {
    let mut bench = Bench::<Inbox>::new(setup(4, 0));
    let users: Vec<_> = (0..20).map(|number| format!("user-{number}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    assert_eq!(bench.send(&deliveries(&[1], &names)), Step::Applied);
    bench.settle();
    let ours = |user: &&String| bench.fold.setup.topology.place(Topic::Deliveries, user.as_bytes()) == 0;
    assert!(users.iter().filter(ours).all(|user| head(&bench, user).latest_seq == 1));
    assert_eq!(bench.refusals(), ["recipients"]);
    assert_eq!(bench.send("{"), Step::DeadLettered);
}

#[test]
fn a_bucket_that_leaves_memory_is_read_again_and_its_numbers_go_on() {
    let mut bench = Bench::<Inbox>::new(Setup { state_bytes_max: 1, ..setup(1, 0) });
    for seq in 1..=5 {
        bench.send(&deliveries(&[seq], &["alice", "bob", "carol"]));
        bench.settle();
        assert_eq!(bench.fold.buckets.len(), 0);
    }
    assert_eq!(entries(&bench, "bob", 1).len(), 5);
    assert_eq!(head(&bench, "bob").latest_seq, 5);
}

#[test]
fn a_bucket_stays_while_its_rows_are_not_acknowledged() {
    let mut bench = Bench::<Inbox>::new(Setup { state_bytes_max: 1, ..setup(1, 0) });
    bench.send(&deliveries(&[1], &["bob"]));
    bench.commit();
    bench.store_stages(&[Stage::First, Stage::Second]);
    bench.send(&deliveries(&[2], &["bob"]));
    bench.settle();
    assert_eq!(head(&bench, "bob").latest_seq, 2);
}
