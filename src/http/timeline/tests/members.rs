use super::World;
use crate::{
    http::timeline::members::MembersPage,
    table::conversation::{ConversationHead, Entry},
};

async fn page(world: &World, after: &str, count: u32) -> MembersPage {
    world.timeline().members("group/team", after, count).await.expect("a page")
}

fn of(members: &[&str], origin: i64) -> MembersPage {
    MembersPage { members: members.iter().map(|user| (*user).into()).collect(), origin }
}

#[tokio::test]
async fn members_come_page_by_page_with_their_origin_on_each() {
    let world = World::new();
    assert_eq!(page(&world, "", 10).await, of(&[], 0), "nobody knows the conversation");
    let head = ConversationHead { latest_seq: 9, members_origin: 17, ..ConversationHead::default() };
    world.conversation_head("group/team", head);
    assert_eq!(page(&world, "", 10).await, of(&[], 17));
    for user in ["bob", "a:b", "zoë", "r"] {
        world.conversation_entry("group/team", Entry::Member(user));
    }
    world.conversation_entry("group/team", Entry::Recent { by: "alice", client_id: "m-1" });
    assert_eq!(page(&world, "", 2).await, of(&["a:b", "bob"], 17));
    assert_eq!(page(&world, "bob", 2).await, of(&["r", "zoë"], 17));
    assert_eq!(page(&world, "zoë", 2).await, of(&[], 17), "recent changes are no members");
    assert_eq!(page(&world, "", 10).await, of(&["a:b", "bob", "r", "zoë"], 17));
}

#[tokio::test]
async fn a_page_behind_the_last_member_has_its_origin_too() {
    let world = World::new();
    let head = ConversationHead { members_origin: 3, ..ConversationHead::default() };
    world.conversation_head("group/team", head);
    world.conversation_entry("group/team", Entry::Member("bob"));
    assert_eq!(page(&world, "bob", 2).await, of(&[], 3));
}
