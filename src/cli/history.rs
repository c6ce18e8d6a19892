//! `heartline history`: a conversation's messages.

use clap::Args;

use super::{
    CliError, Global, connect, output, posts,
    reach::{Reach, Reached},
};
use crate::{
    http::{
        client::escaped,
        timeline::{
            Timeline,
            history::{HistoryPage, Range, conversation_name},
        },
    },
    limits::{READ_COUNT_DEFAULT, READ_COUNT_MAX},
};

#[derive(Debug, Args)]
pub struct History {
    /// The conversation: group/ID or direct/USER/USER
    #[arg(value_name = "CONVERSATION")]
    conversation: String,
    /// The first messages behind this number [default: the last messages]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
    /// The last messages before this number
    #[arg(long, value_name = "N", conflicts_with = "after",
        value_parser = clap::value_parser!(i64).range(0..))]
    before: Option<i64>,
    /// How many messages at most
    #[arg(long, value_name = "N", default_value_t = READ_COUNT_DEFAULT,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(READ_COUNT_MAX)))]
    count: u32,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl History {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let conversation = conversation_name(&self.conversation)
            .map_err(|error| CliError::usage(format!("'{}': {error}", self.conversation)))?;
        let (range, query) = match (self.after, self.before) {
            (Some(after), _) => (Range::After(after), format!("&after={after}")),
            (None, Some(before)) => (Range::Before(before), format!("&before={before}")),
            (None, None) => (Range::Newest, String::new()),
        };
        let count = self.count;
        let page: HistoryPage = match self.reach.resolve(global)? {
            Reached::Server(client) => {
                let path: Vec<String> = conversation.split('/').map(escaped).collect();
                client.read(&format!("/v1/history/{}?count={count}{query}", path.join("/"))).await?
            }
            Reached::Direct(config) => {
                let (topology, store) = (global.topology()?, connect::store(&config).await?);
                Timeline::new(&*store, &topology).history(&conversation, range, count).await?
            }
        };
        match self.json {
            true => output::json(&page),
            false => output::line(&posts::rendered(&page.messages, &notes(&page))),
        }
    }
}

fn notes(page: &HistoryPage) -> Vec<String> {
    let mut notes = vec![format!("latest {}", page.latest_seq)];
    notes.extend(posts::trimmed_note(page.trimmed_to));
    if let Some(first) = page.messages.first().filter(|first| first.seq > page.trimmed_to + 1) {
        notes.push(format!("go back with --before {}", first.seq));
    }
    if let Some(last) = page.messages.last().filter(|last| last.seq < page.latest_seq) {
        notes.push(format!("go on with --after {}", last.seq));
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{HistoryPage, notes};

    #[test]
    fn a_person_is_told_how_to_go_back_and_on() {
        let page = |seqs: &[i64], trimmed_to: i64| -> HistoryPage {
            let message = |seq: &i64| {
                json!({"seq": seq, "conversation": "group/x", "sender": "a", "client_id": "c", "body": 1,
                    "accepted_at": 1})
            };
            let messages: Vec<_> = seqs.iter().map(message).collect();
            let page = json!({"latest_seq": 9, "trimmed_to": trimmed_to, "messages": messages});
            serde_json::from_str(&page.to_string()).expect("a page")
        };
        assert_eq!(notes(&page(&[1, 9], 0)), ["latest 9"]);
        let both =
            ["latest 9", "up to 2 are no longer kept", "go back with --before 4", "go on with --after 5"];
        assert_eq!(notes(&page(&[4, 5], 2)), both);
        assert_eq!(notes(&page(&[3, 9], 2)), both[..2]);
    }
}
