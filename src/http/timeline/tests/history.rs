use super::{World, hole};
use crate::{
    http::timeline::history::{HistoryPage, Range, conversation_name},
    id::{ConversationError, IdError},
    limits::{READ_BYTES_MAX, READ_STEP},
    table::message::MESSAGES,
};

async fn page(world: &World, range: Range, count: u32) -> HistoryPage {
    world.timeline().history("group/team", range, count).await.expect("a page")
}

async fn seqs(world: &World, range: Range, count: u32) -> Vec<i64> {
    page(world, range, count).await.messages.iter().map(|message| message.seq).collect()
}

#[test]
fn a_direct_conversation_has_one_name_whoever_is_named_first() {
    let name = |text: &str| conversation_name(text);
    assert_eq!(name("direct/bob/alice"), Ok("direct/alice/bob".to_owned()));
    assert_eq!(name("direct/alice/bob"), Ok("direct/alice/bob".to_owned()));
    assert_eq!(name("direct/a:b/a:b"), Ok("direct/a:b/a:b".to_owned()));
    assert_eq!(name("group/x:y z"), Ok("group/x:y z".to_owned()));
    assert_eq!(name("group/a/b"), Err(ConversationError::Id(IdError::Slash)));
    assert_eq!(name("team"), Err(ConversationError::Form));
}

#[tokio::test]
async fn a_conversation_that_nobody_knows_has_no_messages() {
    let world = World::new();
    world.talk("group/teams", 1..=2);
    let page = page(&world, Range::Newest, 10).await;
    assert_eq!((page.latest_seq, page.trimmed_to, page.messages.len()), (0, 0, 0));
}

#[tokio::test]
async fn pages_lead_forward_and_backward_over_the_borders_of_blocks() {
    let world = World::new();
    world.talk("group/team", 1..=2_005);
    assert_eq!(seqs(&world, Range::After(0), 3).await, [1, 2, 3]);
    assert_eq!(seqs(&world, Range::After(998), 3).await, [999, 1_000, 1_001]);
    assert_eq!(seqs(&world, Range::After(2_003), 3).await, [2_004, 2_005]);
    assert!(seqs(&world, Range::After(2_005), 3).await.is_empty());
    assert_eq!(seqs(&world, Range::Before(2_001), 3).await, [1_998, 1_999, 2_000]);
    assert_eq!(seqs(&world, Range::Before(3), 3).await, [1, 2]);
    assert_eq!(seqs(&world, Range::Before(9_999), 2).await, [2_004, 2_005]);
    for number in [0, 1] {
        assert!(seqs(&world, Range::Before(number), 3).await.is_empty());
    }
    assert_eq!(seqs(&world, Range::Newest, 2).await, [2_004, 2_005]);
    let before = world.reads_of(&MESSAGES);
    assert_eq!(seqs(&world, Range::After(500), 1_000).await, (501..=1_500).collect::<Vec<_>>());
    let steps = 1_000_usize.div_ceil(READ_STEP);
    assert_eq!(world.reads_of(&MESSAGES) - before, steps + 2, "also the first message, and a second block");
}

#[tokio::test]
async fn a_page_of_large_bodies_ends_early_on_the_side_that_was_not_asked_for() {
    let world = World::new();
    let body = format!("\"{}\"", "x".repeat(READ_BYTES_MAX / READ_STEP));
    (1..=1_000).for_each(|seq| world.message("group/team", seq, &body));
    world.latest("group/team", 1_000);
    let step = READ_STEP as i64;
    assert_eq!(seqs(&world, Range::After(0), 1_000).await, (1..=step).collect::<Vec<_>>());
    assert_eq!(seqs(&world, Range::After(step), 5).await, (step + 1..=step + 5).collect::<Vec<_>>());
    assert_eq!(seqs(&world, Range::Newest, 1_000).await, (1_001 - step..=1_000).collect::<Vec<_>>());
    assert_eq!(seqs(&world, Range::Before(500), 1_000).await, (500 - step..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn messages_are_told_as_they_were_sent() {
    let world = World::new();
    let body = r#"{"b" : 9007199254740993, "a":[1e400, 1.0]}"#;
    world.message("group/team", 1, body);
    world.latest("group/team", 1);
    let text = serde_json::to_string(&page(&world, Range::Newest, 1).await).expect("JSON");
    let message = format!(
        r#"{{"seq":1,"conversation":"group/team","sender":"alice","client_id":"c-1","body":{body},"sent_at":7,"accepted_at":1001,"session":"s-1"}}"#
    );
    assert_eq!(text, format!(r#"{{"latest_seq":1,"trimmed_to":0,"messages":[{message}]}}"#));
}

#[tokio::test]
async fn messages_above_the_head_are_not_there_yet() {
    let world = World::new();
    world.talk("group/team", 1..=3);
    world.message("group/team", 4, "1");
    assert_eq!(seqs(&world, Range::After(0), 10).await, [1, 2, 3]);
    assert_eq!(seqs(&world, Range::Newest, 10).await, [1, 2, 3]);
    let world = World::new();
    world.message("group/team", 1, "1");
    assert!(seqs(&world, Range::Newest, 10).await.is_empty());
}

#[tokio::test]
async fn a_message_that_is_missing_is_an_error() {
    let world = World::new();
    world.talk("group/team", 1..=1_002);
    for seq in [3, 1_002] {
        world.store.0.put(world.forgotten("group/team", seq));
    }
    assert_eq!(hole(world.timeline().history("group/team", Range::After(0), 10).await), 3);
    assert_eq!(hole(world.timeline().history("group/team", Range::Newest, 10).await), 1_002);
    assert_eq!(seqs(&world, Range::After(3), 2).await, [4, 5]);
}

#[tokio::test]
async fn what_retention_has_let_go_is_found_by_few_reads() {
    let world = World::new();
    (9_000..=20_001).step_by(1).for_each(|seq| world.message("group/team", seq, "1"));
    world.latest("group/team", 20_001);
    let first = page(&world, Range::After(0), 2).await;
    let seqs_of: Vec<i64> = first.messages.iter().map(|message| message.seq).collect();
    assert_eq!((seqs_of, first.trimmed_to), (vec![9_000, 9_001], 8_999));
    assert!(world.reads_of(&MESSAGES) <= 8, "{}", world.reads_of(&MESSAGES));
    assert_eq!(seqs(&world, Range::Before(9_002), 10).await, [9_000, 9_001]);
    assert!(seqs(&world, Range::Before(8_000), 10).await.is_empty());
    let world = World::new();
    world.message("group/team", 20_002, "1");
    world.latest("group/team", 20_001);
    let nothing = page(&world, Range::Newest, 2).await;
    assert_eq!((nothing.latest_seq, nothing.trimmed_to, nothing.messages.len()), (20_001, 20_001, 0));
}

#[tokio::test]
async fn messages_that_expire_while_they_are_read_are_let_go() {
    let world = World::new();
    world.talk("group/team", 1..=5);
    world.afterwards(vec![world.forgotten("group/team", 1)]);
    let page = page(&world, Range::After(0), 2).await;
    let seqs_of: Vec<i64> = page.messages.iter().map(|message| message.seq).collect();
    assert_eq!((seqs_of, page.trimmed_to), (vec![2, 3], 1));
}
