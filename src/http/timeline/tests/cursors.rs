use super::World;
use crate::http::timeline::cursors::CursorsPage;

async fn page(world: &World, user: &str, after: &str) -> CursorsPage {
    world.timeline().cursors(user, after).await.expect("a page")
}

fn json(page: &CursorsPage) -> String {
    serde_json::to_string(page).expect("JSON")
}

#[tokio::test]
async fn positions_are_not_beyond_what_there_is_to_read() {
    let world = World::new();
    assert_eq!(json(&page(&world, "bob", "").await), r#"{"inbox":0,"conversations":{}}"#);
    world.fill("bob", &[(1, 1..=5)]);
    for (conversation, position) in
        [("", 4), ("group/a:b", 2), ("direct/alice/bob", 99), ("group/nothing", 3)]
    {
        world.cursor("bob", conversation, position);
    }
    world.cursor("bo", "group/c", 1);
    world.latest("group/a:b", 2);
    world.latest("direct/alice/bob", 7);
    assert_eq!(
        json(&page(&world, "bob", "").await),
        r#"{"inbox":4,"conversations":{"direct/alice/bob":7,"group/a:b":2,"group/nothing":0}}"#
    );
    world.cursor("bob", "", 9);
    assert_eq!(page(&world, "bob", "").await.inbox, 5);
}

#[tokio::test]
async fn further_conversations_are_announced_and_follow_the_last_one() {
    let world = World::new();
    world.fill("bob", &[(1, 1..=5)]);
    world.cursor("bob", "", 5);
    for number in 0..1_001 {
        let conversation = format!("group/{number:04}");
        world.cursor("bob", &conversation, 1);
        world.latest(&conversation, 1);
    }
    let first = page(&world, "bob", "").await;
    assert_eq!((first.conversations.len(), first.more, first.inbox), (1_000, true, 5));
    let (last, _) = first.conversations.last_key_value().expect("a conversation");
    let second = page(&world, "bob", last).await;
    assert_eq!(json(&second), r#"{"inbox":5,"conversations":{"group/1000":1}}"#);
}
