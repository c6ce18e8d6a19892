use super::*;
use crate::{
    limits::{IDEMPOTENCE_MS, MEMBERS_MAX},
    processor::bench::{Bench, START_MS, setup},
    table::{
        Stage,
        conversation::{ConversationHead, Entry, head_query, members_query},
        message::{MessageRow, block_of, messages_query, seq_of},
    },
};

fn bench() -> Bench<Conversation> {
    Bench::new(setup(1, 0))
}

fn message(sender: &str, client_id: &str, body: &str) -> String {
    format!(
        r#"{{"v":1,"type":"message","conversation":"group/team","sender":"{sender}","client_id":"{client_id}","body":{body}}}"#
    )
}

fn members(client_id: &str, add: &[&str], remove: &[&str]) -> String {
    format!(
        r#"{{"v":1,"type":"members","conversation":"group/team","by":"alice","client_id":"{client_id}","add":{add:?},"remove":{remove:?}}}"#
    )
}

fn head(bench: &Bench<Conversation>) -> ConversationHead {
    let rows = bench.read(&head_query("group/team"));
    rows.first().map_or_else(ConversationHead::default, |row| {
        ConversationHead::from_cells(&row.cells).expect("a head")
    })
}

fn history(bench: &Bench<Conversation>, block: i64) -> Vec<(i64, String)> {
    let rows = bench.read(&messages_query("group/team", block, None, false, 2_000));
    rows.iter()
        .map(|row| {
            let row_of = MessageRow::from_cells(&row.cells).expect("a message");
            (seq_of(&row.clustering).expect("a number"), row_of.body.to_owned())
        })
        .collect()
}

/// (recipient, number) in the order of the deliveries.
fn delivered(bench: &Bench<Conversation>) -> Vec<(String, i64)> {
    let mut delivered = Vec::new();
    for record in bench.published_on(Topic::Deliveries) {
        for message in record["messages"].as_array().expect("messages") {
            for recipient in message["recipients"].as_array().expect("recipients") {
                let recipient = recipient.as_str().expect("a name").to_owned();
                delivered.push((recipient, message["seq"].as_i64().expect("a number")));
            }
        }
    }
    delivered
}

fn one_of(name: &str, seq: i64) -> (String, i64) {
    (name.to_owned(), seq)
}

#[test]
fn messages_are_numbered_from_one_and_kept_byte_for_byte() {
    let mut bench = bench();
    let body = r#"{"b" : 9007199254740993, "a":[1e400, 1.0]}"#;
    bench.send(&message("alice", "c-1", body));
    bench.send(&message("alice", "c-2", "null"));
    bench.settle();
    assert_eq!(history(&bench, 0), [one_of(body, 1), one_of("null", 2)].map(|(body, seq)| (seq, body)));
    assert_eq!((head(&bench).latest_seq, head(&bench).origin), (2, 2));
}

#[test]
fn a_refused_message_burns_no_number() {
    let mut bench = bench();
    bench.send(&message("alice", "c-1", "1"));
    assert_eq!(bench.send(r#"{"v":1,"type":"message","conversation":"group/team"}"#), Step::DeadLettered);
    assert_eq!(bench.send(&message("alice", "c-1", "2")), Step::DeadLettered);
    let only = message("mallory", "c-9", "3").replace("\"body\"", "\"members_only\":true,\"body\"");
    assert_eq!(bench.send(&only), Step::DeadLettered);
    bench.send(&message("alice", "c-2", "4"));
    bench.settle();
    assert_eq!(history(&bench, 0), [(1, "1".to_owned()), (2, "4".to_owned())]);
    assert_eq!(bench.refusals(), ["invalid", "conflict", "not_member"]);
}

#[test]
fn the_same_message_again_is_the_same_message() {
    let mut bench = bench();
    bench.send(&message("alice", "c-1", "1"));
    bench.send(&message("alice", "c-1", "1"));
    bench.send(&message("bob", "c-1", "1"));
    bench.settle();
    assert_eq!(history(&bench, 0).len(), 2, "an id counts per sender");
    assert_eq!(delivered(&bench), [one_of("alice", 1), one_of("bob", 2)]);
    assert!(bench.refusals().is_empty());
}

#[test]
fn the_same_message_again_is_recognised_after_a_takeover_by_its_row() {
    let mut bench = bench();
    bench.send(&message("alice", "c-1", "1"));
    bench.settle();
    bench.take_over(1);
    bench.send(&message("alice", "c-1", "1"));
    assert_eq!(bench.send(&message("alice", "c-1", "2")), Step::DeadLettered);
    bench.settle();
    assert_eq!(history(&bench, 0), [(1, "1".to_owned())]);
    assert_eq!(delivered(&bench), [one_of("alice", 1)]);
    assert_eq!(bench.refusals(), ["conflict"]);
}

#[test]
fn a_message_is_recognised_by_its_row_though_the_clock_stepped_back_after_it() {
    let mut bench = bench();
    let later_ms = START_MS + 7 * IDEMPOTENCE_MS;
    bench.send_at(later_ms, &message("alice", "c-1", "1"));
    bench.send_at(START_MS, &message("alice", "c-2", "2"));
    bench.settle();
    bench.take_over(2);
    bench.send_at(START_MS + 2 * IDEMPOTENCE_MS, &message("alice", "c-1", "1"));
    bench.settle();
    assert_eq!(history(&bench, 0).len(), 2, "an owner that numbered it itself would have known it, too");
    assert_eq!(head(&bench).latest_at_ms, later_ms);
}

#[test]
fn a_message_whose_rows_are_above_the_head_is_numbered_as_before() {
    let mut bench = bench();
    bench.send(&message("alice", "c-1", "1"));
    bench.settle();
    bench.send(&message("alice", "c-2", "2"));
    bench.commit();
    bench.store_stages(&[Stage::First]);
    bench.take_over(0);
    bench.send(&message("alice", "c-3", "3"));
    bench.settle();
    assert_eq!(history(&bench, 0).len(), 3);
    assert_eq!(head(&bench).latest_seq, 3);
    assert_eq!(delivered(&bench), [one_of("alice", 1), one_of("alice", 2), one_of("alice", 3)]);
}

#[test]
fn an_id_counts_for_a_day_of_record_time() {
    let mut bench = bench();
    bench.send_at(START_MS, &message("alice", "c-1", "1"));
    bench.send_at(START_MS + IDEMPOTENCE_MS, &message("alice", "c-1", "1"));
    bench.send_at(START_MS + IDEMPOTENCE_MS + 1, &message("alice", "c-1", "1"));
    bench.settle();
    assert_eq!(head(&bench).latest_seq, 2);
    // The second use counts from then on, and has a row of its own.
    bench.take_over(3);
    bench.send_at(START_MS + 2 * IDEMPOTENCE_MS, &message("alice", "c-1", "1"));
    bench.settle();
    assert_eq!(head(&bench).latest_seq, 2);
}

#[test]
fn a_retry_is_recognised_when_it_is_replayed_after_its_id_was_used_anew() {
    let mut bench = bench();
    bench.send_at(START_MS, &message("alice", "c-1", "1"));
    bench.settle();
    bench.send_at(START_MS + 5, &message("alice", "c-1", "1"));
    bench.send_at(START_MS + IDEMPOTENCE_MS + 1, &message("alice", "c-1", "1"));
    bench.commit();
    bench.store_stages(&[Stage::First]);
    bench.take_over(1);
    bench.send_at(START_MS + IDEMPOTENCE_MS + 2, &message("alice", "c-2", "2"));
    bench.settle();
    assert_eq!(delivered(&bench), [one_of("alice", 1), one_of("alice", 2), one_of("alice", 3)]);
}

#[test]
fn an_id_counts_in_its_block_and_the_next_whether_in_memory_or_not() {
    let outcomes = |takeover: bool| {
        let mut bench = bench();
        bench.send(&message("alice", "c-500", "1"));
        for number in 2..2_000 {
            bench.send(&message("alice", &format!("c{number}"), "1"));
        }
        bench.settle();
        if takeover {
            bench.take_over(bench.log.len() as Offset);
        }
        // The next is 2,000: blocks 1 and 2 count, and the first message is in block 0.
        bench.send(&message("alice", "c1500", "1"));
        bench.send(&message("alice", "c-500", "1"));
        bench.settle();
        assert_eq!(block_of(head(&bench).latest_seq), 2);
        head(&bench).latest_seq
    };
    assert_eq!(outcomes(false), 2_000);
    assert_eq!(outcomes(true), 2_000);
}

#[test]
fn ids_are_not_read_where_no_row_can_matter() {
    let mut bench = bench();
    bench.send(&message("alice", "c-1", "1"));
    bench.send(&message("alice", "c-2", "1"));
    bench.settle();
    assert_eq!(bench.reads.len(), 1, "a new conversation");
    bench.take_over(2);
    bench.reads.clear();
    bench.send_at(START_MS + 3 * IDEMPOTENCE_MS, &message("alice", "c-3", "1"));
    assert_eq!(bench.reads.len(), 1, "all that was sent is older than a day");
}

#[test]
fn a_message_goes_to_the_members_as_of_its_offset_and_to_its_sender() {
    let mut bench = bench();
    bench.send(&members("m-1", &["bob", "alice"], &[]));
    bench.send(&message("alice", "c-1", "1"));
    bench.send(&members("m-2", &["carol"], &["bob"]));
    bench.send(&message("alice", "c-2", "2"));
    bench.send(&message("guest", "c-3", "3"));
    bench.settle();
    let expected =
        [("alice", 1), ("bob", 1), ("alice", 2), ("carol", 2), ("alice", 3), ("carol", 3), ("guest", 3)];
    assert_eq!(delivered(&bench), expected.map(|(name, seq)| one_of(name, seq)));
}

#[test]
fn a_conversation_takes_members_up_to_its_limit_and_refuses_one_above() {
    let mut bench = bench();
    let users: Vec<_> = (0..=MEMBERS_MAX).map(|number| format!("u{number}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let (below, rest) = names.split_at(MEMBERS_MAX - 1);
    let (at, above) = (rest[0], rest[1]);
    for (index, names) in below.chunks(10_000).enumerate() {
        assert_eq!(bench.send(&members(&format!("m-{index}"), names, &[])), Step::Applied);
    }
    assert_eq!(bench.send(&members("below", &[at, above], &[])), Step::DeadLettered);
    assert_eq!(bench.send(&members("at", &[at], &[])), Step::Applied);
    assert_eq!(bench.send(&members("above", &[above], &[])), Step::DeadLettered);
    assert_eq!(bench.send(&members("gone", &[], &[at])), Step::Applied);
    assert_eq!(bench.send(&members("again", &[above], &[])), Step::Applied);
}

#[test]
fn members_outlive_a_takeover_and_are_read_page_by_page() {
    let mut bench = bench();
    let users: Vec<_> = (0..3_000).map(|number| format!("user-{number:04}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    bench.send(&members("m-1", &names, &[]));
    bench.settle();
    bench.take_over(1);
    bench.send(&message("user-0000", "c-1", "1"));
    bench.settle();
    assert_eq!(delivered(&bench).len(), 3_000);
    let page = bench.read(&members_query("group/team", "user-2998", 10));
    let after: Vec<_> = page.iter().filter_map(|row| Entry::from_clustering(&row.clustering)).collect();
    assert_eq!(after[0], Entry::Member("user-2999"));
}

#[test]
fn the_same_membership_change_again_is_the_same_change_after_a_takeover_too() {
    let mut bench = bench();
    bench.send(&members("m-1", &["bob"], &[]));
    bench.send(&members("m-2", &[], &["bob"]));
    bench.settle();
    bench.send(&members("m-1", &["bob"], &[]));
    bench.take_over(2);
    bench.send(&members("m-1", &["bob"], &[]));
    assert_eq!(bench.send(&members("m-1", &["carol"], &[])), Step::DeadLettered);
    bench.send(&message("alice", "c-1", "1"));
    bench.settle();
    assert_eq!(delivered(&bench), [one_of("alice", 1)]);
    assert_eq!(bench.refusals(), ["conflict"]);
}

#[test]
fn old_membership_changes_are_forgotten_and_their_rows_deleted() {
    let mut bench = bench();
    bench.send_at(START_MS, &members("m-1", &["bob"], &[]));
    bench.send_at(START_MS + IDEMPOTENCE_MS + 1, &members("m-2", &[], &["bob"]));
    bench.settle();
    let rows = bench.read(&crate::table::conversation::page_query("group/team", None, 100));
    let entries: Vec<_> = rows.iter().filter_map(|row| Entry::from_clustering(&row.clustering)).collect();
    assert_eq!(entries, [Entry::Recent { by: "alice", client_id: "m-2" }]);
}

#[test]
fn named_recipients_collapse_and_the_sender_gets_a_copy() {
    let mut bench = bench();
    let named = message("alice", "c-1", "1")
        .replace("\"body\"", "\"recipients\":[\"bob\",\"carol\",\"bob\",\"alice\"],\"body\"");
    bench.send(&named);
    bench.settle();
    assert_eq!(delivered(&bench), [one_of("alice", 1), one_of("bob", 1), one_of("carol", 1)]);
}

#[test]
fn unusable_recipients_are_listed_and_the_others_get_theirs() {
    let mut bench = bench();
    let named =
        message("alice", "c-1", "1").replace("\"body\"", "\"recipients\":[\"bob\",\"a/b\",\"\"],\"body\"");
    assert_eq!(bench.send(&named), Step::Applied);
    bench.send(&named);
    bench.settle();
    assert_eq!(delivered(&bench), [one_of("alice", 1), one_of("bob", 1)]);
    assert_eq!(bench.refusals(), ["recipients"], "and not again with the retry");
    let letter = bench.published.iter().find(|record| record.topic == Topic::DeadLetters).expect("one");
    let listed = letter.headers.iter().find(|header| header.name == "heartline.refused").expect("a list");
    let listed: serde_json::Value =
        serde_json::from_slice(listed.value.as_deref().expect("a value")).expect("JSON");
    assert_eq!((listed[0]["index"].as_i64(), listed.as_array().map(Vec::len)), (Some(1), Some(2)));
}

#[test]
fn a_direct_conversation_goes_to_its_two_users() {
    let mut bench = bench();
    let direct = |sender: &str, id: &str| message(sender, id, "1").replace("group/team", "direct/alice/bob");
    bench.send(&direct("alice", "c-1"));
    bench.send(&direct("bob", "c-1"));
    let only = direct("mallory", "c-1").replace("\"body\"", "\"members_only\":true,\"body\"");
    assert_eq!(bench.send(&only), Step::DeadLettered);
    bench.settle();
    assert_eq!(
        delivered(&bench),
        [("alice", 1), ("bob", 1), ("alice", 2), ("bob", 2)].map(|(n, s)| one_of(n, s))
    );
}

#[test]
fn a_large_group_is_cut_into_records_that_a_producer_takes() {
    let mut bench = bench();
    let users: Vec<_> = (0..40_000).map(|number| format!("user-{number:0>100}")).collect();
    for (index, users) in users.chunks(2_000).enumerate() {
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        assert_eq!(bench.send(&members(&format!("m-{index}"), &names, &[])), Step::Applied);
    }
    bench.send(&message("alice", "c-1", "1"));
    bench.settle();
    assert_eq!(delivered(&bench).len(), 40_001);
    assert!(bench.published.iter().all(|record| record.size_bytes() < 1_000_000));
}

#[test]
fn a_batch_owes_one_record_per_target_partition() {
    let mut bench = Bench::<Conversation>::new(setup(4, 0));
    let group = (0..).map(|number| format!("group/g-{number}"));
    let mut groups =
        group.filter(|group| bench.fold.setup.topology.place(Topic::Sends, group.as_bytes()) == 0);
    let (one, other) = (groups.next().expect("a group"), groups.next().expect("another"));
    for (number, group) in [&one, &other, &one].into_iter().enumerate() {
        let text = message("alice", &format!("c-{number}"), "1").replace("group/team", group);
        bench
            .send(&text.replace("\"body\"", "\"recipients\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"],\"body\""));
    }
    bench.settle();
    let records: Vec<_> = bench.published.iter().map(|record| record.partition).collect();
    let mut partitions = records.clone();
    partitions.dedup();
    assert_eq!(records, partitions, "one a partition, in order");
    assert_eq!(delivered(&bench).len(), 3 * 7);
    assert_eq!(
        bench.send(&message("alice", "c-1", "1").replace("group/team", "direct/a/b")),
        Step::Forwarded
    );
}

#[test]
fn what_leaves_memory_is_read_again_and_nothing_else_changes() {
    let run = |state_bytes_max: usize| {
        let mut bench = Bench::<Conversation>::new(Setup { state_bytes_max, ..setup(1, 0) });
        for round in 0..4 {
            for group in 0..20 {
                let in_group = |text: String| text.replace("group/team", &format!("group/g-{group}"));
                bench.send(&in_group(members(&format!("m-{round}"), &[&format!("user-{round}")], &[])));
                bench.send(&in_group(message("alice", &format!("c-{round}"), "1")));
                bench.send(&in_group(message("alice", "c-0", "1")));
            }
            bench.settle();
        }
        let (delivered, reads) = (delivered(&bench), bench.reads.len());
        (delivered, bench.refusals(), reads)
    };
    let (all, short) = (run(usize::MAX), run(1_000));
    assert_eq!((all.0, all.1), (short.0, short.1));
    assert!(short.2 > all.2, "vacuous: {} reads and {}", short.2, all.2);
}
