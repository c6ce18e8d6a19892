use std::sync::Arc;

use indicatif::ProgressBar;
use tokio::io::BufReader;

use super::{Destination, LINE_BYTES_MAX, Lines, Tally, value_of};
use crate::{
    http::tests::fakes::{FakeTopics, Shared},
    limits::SEND_BYTES_MAX,
    topology::{Topic, Topology},
};

async fn taken(input: String) -> (Tally, Arc<FakeTopics>) {
    let topics = Arc::new(FakeTopics::new(4));
    let destination = Destination::Log {
        topics: Arc::new(Shared(topics.clone())),
        topology: Box::new(Topology::uniform(4, 8)),
    };
    let mut tally = Tally::default();
    let input = BufReader::new(std::io::Cursor::new(input.into_bytes()));
    let progress = ProgressBar::hidden();
    let done = destination.take(Lines::new(Box::new(input), &progress), &mut tally).await;
    done.expect("the log takes everything");
    (tally, topics)
}

fn line(user: &str) -> String {
    format!(
        "{{\"topic\":\"heartbeats\",\"value\":{{\"v\":1,\"type\":\"heartbeat\",\"user\":\"{user}\",\
         \"session\":\"s\",\"counter\":1}}}}\n"
    )
}

#[tokio::test]
async fn good_lines_are_appended_and_bad_ones_are_listed_by_number() {
    let (good, long) = (line("ann"), " ".repeat(3 * LINE_BYTES_MAX as usize));
    let input = format!("{good}\nnonsense\n{}{long}\n{}", line("a/b"), line("bob").trim_end());
    let (tally, topics) = taken(input).await;
    assert_eq!((tally.accepted, tally.refused), (2, 3));
    let lines: Vec<u64> = tally.listed.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 5, 4], "{:?}", tally.listed);
    assert_eq!(topics.values(Topic::Heartbeats).len(), 2);
}

#[tokio::test]
async fn the_list_of_refused_lines_is_bounded() {
    let (tally, _) = taken("nonsense\n".repeat(1_000)).await;
    assert_eq!((tally.refused, tally.listed.len()), (1_000, 20));
}

#[tokio::test]
async fn many_portions_are_all_taken() {
    let users = (0..10_000).map(|n| line(&format!("user-{n}"))).collect();
    let (tally, topics) = taken(users).await;
    assert_eq!((tally.accepted, tally.refused), (10_000, 0));
    assert_eq!(topics.values(Topic::Heartbeats).len(), 10_000);
}

#[tokio::test]
async fn each_topic_gets_its_lines_in_their_order() {
    let send = |client_id: &str| {
        let head = r#"{"v":1,"type":"message","conversation":"group/x","sender":"ann""#;
        format!("{head},\"client_id\":\"{client_id}\",\"body\":1.50}}")
    };
    let line_of = |topic: &str, value: &str| format!("{{\"topic\":\"{topic}\",\"value\":{value}}}\n");
    let read = r#"{"v":1,"type":"read","user":"bob","inbox":1}"#;
    let input = [
        line_of("sends", &send("c-1")),
        line_of("receipts", read),
        line("ann"),
        line_of("sends", &send("c/2")),
        line_of("sends", &send("c-3")),
        line_of("deliveries", r#"{"v":1,"type":"deliveries","messages":[]}"#),
    ];
    let (tally, topics) = taken(input.concat()).await;
    assert_eq!((tally.accepted, tally.refused), (4, 2), "{:?}", tally.listed);
    assert_eq!(topics.values(Topic::Sends), [send("c-1"), send("c-3")]);
    assert_eq!(topics.values(Topic::Receipts), [read]);
    assert_eq!(topics.values(Topic::Heartbeats).len(), 1);
    assert!(topics.values(Topic::Deliveries).is_empty());
    let lines: Vec<u64> = tally.listed.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [6, 4], "{:?}", tally.listed);
}

#[tokio::test]
async fn a_send_as_large_as_allowed_is_taken() {
    let text = |bytes: usize| format!("\"{}\"", "b".repeat(bytes));
    let ids: Vec<String> = (0..1_450).map(|n| format!("\"{n:0>125}\"")).collect();
    let value = |padding: usize| {
        let head = r#"{"v":1,"type":"message","conversation":"group/x","sender":"ann","client_id":"c""#;
        let (body, ids, rest) = (text(60_000), ids.join(","), text(padding));
        format!("{head},\"body\":{body},\"recipients\":[{ids}],\"x\":{rest}}}")
    };
    let padding = SEND_BYTES_MAX - value(0).len();
    for (padding, accepted) in [(padding, 1), (padding + 1, 0)] {
        let (tally, _) = taken(format!("{{\"topic\":\"sends\",\"value\":{}}}\n", value(padding))).await;
        assert_eq!(tally.accepted, accepted, "{:?}", tally.listed);
    }
}

#[test]
fn only_inputs_from_outside_may_be_written() {
    for topic in Topic::ALL {
        let line = format!("{{\"topic\":\"{topic}\",\"value\":{{}}}}");
        match (topic, value_of(line.as_bytes())) {
            (Topic::Heartbeats | Topic::Sends | Topic::Receipts, taken) => {
                assert_eq!(taken, Ok(Some((topic, &b"{}"[..]))));
            }
            (_, refused) => {
                let why = refused.expect_err("written by workers only");
                assert!(why.contains(topic.name()) && why.contains("heartbeats, sends, receipts"), "{why}");
            }
        }
    }
    assert!(
        value_of(b"{\"topic\":\"heartbeats\",\"value\":{},\"key\":\"a\"}").is_err(),
        "keys are worked out"
    );
    assert!(value_of(b"[\"heartbeats\",{}]").is_err(), "an array is no object");
    assert_eq!(value_of(b"  \r\n"), Ok(None));
}
