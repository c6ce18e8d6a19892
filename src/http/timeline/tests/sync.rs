use super::{World, hole};
use crate::{
    http::timeline::sync::SyncPage,
    limits::{READ_BYTES_MAX, READ_STEP},
    table::{
        inbox::{INBOX, WINDOWS},
        message::MESSAGES,
    },
};

async fn page(world: &World, after: i64, count: u32) -> SyncPage {
    world.timeline().sync("bob", after, count).await.expect("a page")
}

fn seqs(page: &SyncPage) -> Vec<i64> {
    page.entries.iter().map(|entry| entry.seq).collect()
}

/// latest, last, trimmed.
fn bounds(page: &SyncPage) -> (i64, i64, i64) {
    (page.latest_seq, page.last_seq, page.trimmed_to)
}

#[tokio::test]
async fn a_member_that_nobody_knows_has_an_empty_inbox() {
    let world = World::new();
    world.fill("alice", &[(1, 1..=3)]);
    let page = page(&world, 0, 100).await;
    assert_eq!((bounds(&page), page.unread, page.entries.len()), ((0, 0, 0), 0, 0));
}

#[tokio::test]
async fn pages_follow_each_other_without_a_hole() {
    let world = World::new();
    world.fill("bob", &[(1, 1..=4), (3, 5..=7)]);
    world.fill("bo", &[(1, 1..=9)]);
    world.fill("bob:b", &[(1, 1..=9)]);
    let first = page(&world, 0, 5).await;
    assert_eq!((seqs(&first), bounds(&first)), (vec![1, 2, 3, 4, 5], (7, 5, 0)));
    let second = page(&world, first.last_seq, 5).await;
    assert_eq!((seqs(&second), bounds(&second)), (vec![6, 7], (7, 7, 0)));
    let third = page(&world, 7, 5).await;
    assert_eq!((seqs(&third), bounds(&third)), (vec![], (7, 7, 0)));
    let beyond = page(&world, 1_000, 5).await;
    assert_eq!((seqs(&beyond), beyond.latest_seq), (vec![], 7));
    let entry = &first.entries[4];
    assert_eq!((&*entry.conversation, entry.conversation_seq), ("group/team", Some(105)));
}

#[tokio::test]
async fn entries_above_the_head_are_not_there_yet() {
    let world = World::new();
    world.fill("bob", &[(1, 1..=3)]);
    world.entry("bob", 1, 4);
    world.window("bob", 2, 5);
    world.entry("bob", 2, 5);
    let page = page(&world, 0, 100).await;
    assert_eq!((seqs(&page), bounds(&page)), (vec![1, 2, 3], (3, 3, 0)));
}

#[tokio::test]
async fn a_page_ends_with_its_thirty_second_window() {
    let world = World::new();
    let windows: Vec<_> = (0..33).map(|n| (n + 1, n * 3 + 1..=n * 3 + 3)).collect();
    world.fill("bob", &windows);
    let first = page(&world, 1, 1_000).await;
    assert_eq!((seqs(&first), bounds(&first)), ((2..=96).collect(), (99, 96, 0)));
    let second = page(&world, first.last_seq, 1_000).await;
    assert_eq!((seqs(&second), bounds(&second)), (vec![97, 98, 99], (99, 99, 0)));
    let partitions = world.reads().iter().filter(|query| query.table == &INBOX).count();
    assert!(partitions <= 32 + 1 + 2, "two pages, and their first entries: {partitions}");
}

#[tokio::test]
async fn any_of_many_windows_is_found_with_few_reads() {
    let world = World::new();
    let windows: Vec<_> = (0..500).map(|n| (2 * n + 1, n * 2 + 1..=n * 2 + 2)).collect();
    world.fill("bob", &windows);
    for after in [0, 1, 399, 400, 401, 743, 744, 745, 998] {
        let page = page(&world, after, 3).await;
        assert_eq!(seqs(&page), (after + 1..=1_000.min(after + 3)).collect::<Vec<_>>());
        assert_eq!(page.trimmed_to, 0);
    }
    assert!(world.reads_of(&WINDOWS) < 9 * 15, "{}", world.reads_of(&WINDOWS));
}

#[tokio::test]
async fn what_retention_has_let_go_is_told_apart_from_what_is_missing() {
    let world = World::new();
    world.fill("bob", &[(1, 1..=3), (2, 4..=6), (5, 7..=9)]);
    for (window, seq) in [(1, 1), (1, 2), (1, 3), (2, 4)] {
        world.expire("bob", window, seq);
    }
    let first = page(&world, 0, 2).await;
    assert_eq!((seqs(&first), bounds(&first)), (vec![5, 6], (9, 6, 4)));
    let later = page(&world, 6, 100).await;
    assert_eq!((seqs(&later), bounds(&later)), (vec![7, 8, 9], (9, 9, 4)));
    world.expire("bob", 2, 5);
    world.expire("bob", 2, 6);
    assert_eq!(bounds(&page(&world, 0, 100).await), (9, 9, 6), "windows without entries are passed");
    (7..=9).for_each(|seq| world.expire("bob", 5, seq));
    world.entry("bob", 5, 10);
    let nothing = page(&world, 0, 100).await;
    assert_eq!((seqs(&nothing), bounds(&nothing), nothing.unread), (vec![], (9, 9, 9), 0));
}

#[tokio::test]
async fn the_first_entry_is_found_among_many_windows_that_have_none() {
    let world = World::new();
    let windows: Vec<_> = (0..500).map(|n| (2 * n + 1, n * 2 + 1..=n * 2 + 2)).collect();
    world.fill("bob", &windows);
    for (window, seqs) in &windows[..200] {
        seqs.clone().for_each(|seq| world.expire("bob", *window, seq));
    }
    world.expire("bob", 401, 401);
    let page = page(&world, 0, 3).await;
    assert_eq!((seqs(&page), page.trimmed_to), (vec![402, 403, 404], 401));
    assert!(world.reads().len() < 50, "{}", world.reads().len());
}

#[tokio::test]
async fn a_missing_entry_is_an_error_and_no_page_with_a_hole() {
    let world = World::new();
    world.fill("bob", &[(1, 1..=3), (2, 4..=6)]);
    world.expire("bob", 1, 2);
    assert_eq!(hole(world.timeline().sync("bob", 0, 100).await), 2);
    assert_eq!(hole(world.timeline().sync("bob", 1, 1).await), 2);
    assert_eq!(seqs(&page(&world, 2, 100).await), [3, 4, 5, 6]);
    world.expire("bob", 2, 6);
    assert_eq!(hole(world.timeline().sync("bob", 2, 100).await), 6, "the head says that it is there");
}

#[tokio::test]
async fn a_window_that_is_missing_is_an_error() {
    let world = World::new();
    world.fill("bob", &[(1, 1..=3)]);
    world.entry("bob", 2, 4);
    world.inbox_head("bob", 4, 2);
    assert_eq!(hole(world.timeline().sync("bob", 0, 100).await), 4);
}

#[tokio::test]
async fn a_window_that_begins_while_the_head_is_read_is_looked_for_again() {
    for (let_go, after) in [(0, 0), (0, 3), (3, 0)] {
        let world = World::new();
        world.fill("bob", &[(1, 1..=3)]);
        (1..=let_go).for_each(|seq| world.expire("bob", 1, seq));
        world.entry("bob", 2, 4);
        world.inbox_head("bob", 4, 2);
        world.afterwards(vec![world.begun("bob", 2, 4)]);
        let page = page(&world, after, 100).await;
        let due: Vec<_> = (let_go.max(after) + 1..=4).collect();
        assert_eq!((seqs(&page), bounds(&page)), (due, (4, 4, let_go)));
        assert_eq!(world.reads_of(&WINDOWS), 2);
    }
}

#[tokio::test]
async fn entries_that_expire_while_they_are_read_are_let_go() {
    let world = World::new();
    world.fill("bob", &[(1, 1..=3), (2, 4..=6)]);
    // A page that begins with the first entry is also the look for it.
    world.afterwards(vec![world.gone("bob", 1, 1)]);
    let page_then = page(&world, 0, 4).await;
    assert_eq!((seqs(&page_then), page_then.trimmed_to), (vec![1, 2, 3, 4], 0));
    assert_eq!(world.reads_of(&INBOX), 2, "one of each window");
    let page_then = page(&world, 0, 4).await;
    assert_eq!((seqs(&page_then), page_then.trimmed_to), (vec![2, 3, 4, 5], 1));
    // After the first entry was found, and before the page is read.
    let mut gone = world.gone("bob", 1, 2);
    gone.statements.extend(world.gone("bob", 1, 3).statements);
    world.afterwards(vec![gone]);
    let page_then = page(&world, 2, 4).await;
    assert_eq!((seqs(&page_then), page_then.trimmed_to), (vec![4, 5, 6], 3));
}

#[tokio::test]
async fn large_bodies_are_read_from_the_history_each_block_once_a_step() {
    let world = World::new();
    world.window("bob", 1, 1);
    let body = r#"{"b" : 9007199254740993, "a":[1e400, 1.0]}"#;
    for seq in 1..=1_000 {
        let large = seq % 2 == 0;
        world.entry_of("bob", 1, seq, "alice", (!large).then_some("1.50"));
        if large {
            world.message("group/team", seq + 100, body);
        }
    }
    world.inbox_head("bob", 1_000, 1);
    let page = page(&world, 0, 1_000).await;
    let bodies: Vec<_> = page.entries.iter().take(2).map(|entry| entry.body.get()).collect();
    assert_eq!((page.entries.len(), bodies), (1_000, vec!["1.50", body]));
    let steps = 1_000_usize.div_ceil(READ_STEP);
    assert_eq!(world.reads_of(&MESSAGES), steps + 1, "the messages 102 to 1,100 are in two blocks");
    let text = serde_json::to_string(&page).expect("JSON");
    assert!(text.contains(&format!("\"body\":{body}")), "byte for byte");
}

#[tokio::test]
async fn a_page_of_large_bodies_ends_early_and_says_where() {
    let world = World::new();
    let body = format!("\"{}\"", "x".repeat(READ_BYTES_MAX / READ_STEP));
    world.window("bob", 1, 1);
    for seq in 1..=400 {
        world.entry_of("bob", 1, seq, "alice", None);
        world.message("group/team", seq + 100, &body);
    }
    world.inbox_head("bob", 400, 1);
    world.latest("group/team", 500);
    let (mut after, mut found) = (0, Vec::new());
    while after < 400 {
        let page = page(&world, after, 1_000).await;
        assert!(page.entries.len() <= READ_STEP, "{} entries", page.entries.len());
        assert_eq!((page.latest_seq, page.trimmed_to), (400, 0));
        found.extend(seqs(&page));
        after = page.last_seq;
    }
    assert_eq!(found, (1..=400).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_body_that_is_missing_is_an_error_and_one_that_is_let_go_is_trimmed() {
    let world = World::new();
    world.window("bob", 1, 1);
    for seq in 1..=4 {
        let large = seq == 2 || seq == 3;
        world.entry_of("bob", 1, seq, "alice", (!large).then_some("1"));
    }
    world.inbox_head("bob", 4, 1);
    assert_eq!(hole(world.timeline().sync("bob", 0, 100).await), 103, "the conversation is not there yet");
    world.talk("group/team", 101..=104);
    assert_eq!(seqs(&page(&world, 0, 100).await), [1, 2, 3, 4]);
    world.store.0.put(world.forgotten("group/team", 103));
    assert_eq!(hole(world.timeline().sync("bob", 0, 100).await), 103, "102 is there");
    (101..=102).for_each(|seq| world.store.0.put(world.forgotten("group/team", seq)));
    let page = page(&world, 0, 100).await;
    assert_eq!((seqs(&page), bounds(&page)), (vec![4], (4, 4, 3)));
}

#[tokio::test]
async fn unread_are_the_entries_of_others_behind_the_cursor() {
    let world = World::new();
    world.window("bob", 1, 1);
    for (seq, sender) in (1..).zip(["alice", "bob", "alice", "bob", "carol", "alice"]) {
        world.entry_of("bob", 1, seq, sender, Some("1"));
    }
    world.inbox_head("bob", 6, 1);
    assert_eq!(page(&world, 0, 1).await.unread, 4, "nothing was read");
    for (cursor, unread) in [(1, 3), (2, 3), (3, 2), (4, 2), (5, 1), (6, 0), (7, 0)] {
        world.cursor("bob", "", cursor);
        assert_eq!(page(&world, 0, 1).await.unread, unread, "read up to {cursor}");
    }
    assert_eq!(page(&world, 6, 1).await.unread, 0, "whatever the page is");
}

#[tokio::test]
async fn behind_a_cursor_that_is_let_go_everything_that_there_is_counts() {
    let world = World::new();
    world.window("bob", 1, 1);
    for (seq, sender) in (1..).zip(["alice", "alice", "bob", "alice"]) {
        world.entry_of("bob", 1, seq, sender, Some("1"));
    }
    world.inbox_head("bob", 4, 1);
    world.cursor("bob", "", 1);
    world.expire("bob", 1, 1);
    assert_eq!(page(&world, 0, 100).await.unread, 2, "2 and 4");
    world.expire("bob", 1, 2);
    assert_eq!(page(&world, 0, 100).await.unread, 1, "4: the first there is, 3, is an own one");
}

#[tokio::test]
async fn without_the_entry_at_the_cursor_nothing_is_said_about_what_is_unread() {
    let world = World::new();
    world.fill("bob", &[(1, 1..=5)]);
    world.cursor("bob", "", 2);
    world.expire("bob", 1, 2);
    assert_eq!(hole(world.timeline().sync("bob", 3, 100).await), 2);
}
