//! `heartline tail`: follows a topic, committed records only.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};

use super::{
    CliError, Global, connect, output,
    reach::{Reach, Reached},
};
use crate::{
    client::TailFrom,
    http::{
        client::escaped,
        records::line::{Line, mentions},
    },
    topology::Topic,
};

#[derive(Debug, Args)]
pub struct TailCommand {
    /// Topic to follow, such as presence
    #[arg(value_parser = topic)]
    topic: Topic,
    /// Where to begin
    #[arg(long, value_enum, default_value_t = From::End)]
    from: From,
    /// Only records about this user, as key, user, sender or recipient
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// One JSON object a line [default when stdout is no terminal]
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    Start,
    End,
}

impl TailCommand {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let as_json = self.json || !std::io::stdout().is_terminal();
        let show = |line: &Line| match as_json {
            true => output::line(&line.to_json()),
            false => output::line(&rendered(line)),
        };
        match self.reach.resolve(global)? {
            Reached::Server(client) => {
                let from = if self.from == From::Start { "start" } else { "end" };
                let user = self.user.map_or_else(String::new, |user| format!("&user={}", escaped(&user)));
                let path = format!("/v1/topics/{}/records?from={from}{user}", self.topic);
                let mut events = client.events(&path).await?;
                while let Some(event) = events.next().await? {
                    if event.event == "failure" {
                        return Err(CliError::unavailable(event.data));
                    }
                    let line: Line = serde_json::from_str(&event.data).map_err(|error| {
                        CliError::internal(format!(
                            "{} sent something else than records: {error}",
                            client.url()
                        ))
                    })?;
                    show(&line)?;
                }
                Err(CliError::unavailable(format!("{} has ended the reading", client.url())))
            }
            Reached::Direct(config) => {
                let from = if self.from == From::Start { TailFrom::Start } else { TailFrom::End };
                let mut tail = connect::topics(&config)?.tail(self.topic, from).await?;
                while let Some(record) = tail.next().await {
                    let record = record?;
                    if self.user.as_ref().is_none_or(|user| mentions(self.topic, &record, user)) {
                        show(&Line::of(&record))?;
                    }
                }
                Err(CliError::unavailable(format!("reading topic {} has ended", self.topic)))
            }
        }
    }
}

/// Time, place, key and value for a person.
fn rendered(line: &Line) -> String {
    let value = line.value.as_ref().map_or("null", |value| value.get());
    let headers =
        line.headers.iter().map(|(name, value)| format!(" {name}={}", value.as_deref().unwrap_or("null")));
    let text = format!(
        "{}  {}@{}  {}  {value}{}",
        output::local_time(line.time),
        line.partition,
        line.offset,
        line.key.as_deref().unwrap_or("-"),
        headers.collect::<String>()
    );
    output::printable(&text)
}

fn topic(name: &str) -> Result<Topic, String> {
    Topic::from_name(name).ok_or_else(|| format!("the topics are {}", Topic::ALL.map(Topic::name).join(", ")))
}
