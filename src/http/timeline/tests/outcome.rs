use super::World;
use crate::{http::timeline::outcome::Outcome, table::conversation::Entry};

async fn outcome(world: &World, sender: &str, client_id: &str) -> Outcome {
    world.timeline().outcome("group/team", sender, client_id).await.expect("an outcome")
}

fn accepted(seq: i64) -> Outcome {
    Outcome::Accepted { seq: Some(seq) }
}

#[tokio::test]
async fn a_send_is_found_by_its_sender_and_id_up_to_the_head() {
    let world = World::new();
    assert_eq!(outcome(&world, "alice", "c-1").await, Outcome::Unknown);
    world.talk("group/team", 1..=3);
    world.message("group/team", 4, "1");
    assert_eq!(outcome(&world, "alice", "c-3").await, accepted(3));
    assert_eq!(outcome(&world, "bob", "c-3").await, Outcome::Unknown);
    assert_eq!(outcome(&world, "alice", "c-4").await, Outcome::Unknown, "above the head");
}

#[tokio::test]
async fn a_send_is_known_in_the_last_two_blocks() {
    let world = World::new();
    for seq in [999, 1_000, 1_999] {
        world.message("group/team", seq, "1");
    }
    world.latest("group/team", 2_000);
    assert_eq!(outcome(&world, "alice", "c-1999").await, accepted(1_999));
    assert_eq!(outcome(&world, "alice", "c-1000").await, accepted(1_000));
    assert_eq!(outcome(&world, "alice", "c-999").await, Outcome::Unknown);
}

#[tokio::test]
async fn a_membership_change_is_accepted_and_has_no_number() {
    let world = World::new();
    world.latest("group/team", 0);
    world.conversation_entry("group/team", Entry::Recent { by: "alice", client_id: "m:1" });
    assert_eq!(outcome(&world, "alice", "m:1").await, Outcome::Accepted { seq: None });
    assert_eq!(outcome(&world, "alice", "m:2").await, Outcome::Unknown);
    world.conversation_entry("group/team", Entry::Recent { by: "alice", client_id: "c-1" });
    world.talk("group/team", 1..=1);
    assert_eq!(outcome(&world, "alice", "c-1").await, accepted(1), "the message is the one with a number");
}

#[test]
fn an_outcome_is_told_in_one_word_and_a_number() {
    let json = |outcome| serde_json::to_string(&outcome).expect("JSON");
    assert_eq!(json(accepted(17)), r#"{"state":"accepted","seq":17}"#);
    assert_eq!(json(Outcome::Accepted { seq: None }), r#"{"state":"accepted"}"#);
    assert_eq!(json(Outcome::Unknown), r#"{"state":"unknown"}"#);
}
