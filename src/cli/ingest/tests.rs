use std::sync::Arc;

use indicatif::ProgressBar;
use tokio::io::BufReader;

use super::{Destination, LINE_BYTES_MAX, Tally, value_of};
use crate::{
    http::tests::fakes::{FakeTopics, Shared},
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
    let done = destination.take(Box::new(input), &mut tally, &ProgressBar::hidden()).await;
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

#[test]
fn only_inputs_from_outside_may_be_written() {
    assert!(value_of(b"{\"topic\":\"presence\",\"value\":{}}").is_err_and(|why| why.contains("'presence'")));
    assert!(
        value_of(b"{\"topic\":\"heartbeats\",\"value\":{},\"key\":\"a\"}").is_err(),
        "keys are worked out"
    );
    assert_eq!(value_of(b"  \r\n"), Ok(None));
}
