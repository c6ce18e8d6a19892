//! `heartline sync`: a member's inbox.

use clap::Args;

use super::{
    CliError, Global, connect, output, posts,
    reach::{Reach, Reached},
};
use crate::{
    http::{
        client::escaped,
        timeline::{Timeline, sync::SyncPage},
    },
    id::check_id,
    limits::{READ_COUNT_DEFAULT, READ_COUNT_MAX},
};

#[derive(Debug, Args)]
pub struct SyncCommand {
    /// Whose inbox to read
    #[arg(value_name = "MEMBER")]
    member: String,
    /// Only entries behind this number
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
    /// How many entries at most
    #[arg(long, value_name = "N", default_value_t = READ_COUNT_DEFAULT,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(READ_COUNT_MAX)))]
    count: u32,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl SyncCommand {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let Self { member, after, count, .. } = &self;
        check_id(member).map_err(|error| CliError::usage(format!("'{member}': {error}")))?;
        let page: SyncPage = match self.reach.resolve(global)? {
            Reached::Server(client) => {
                client.read(&format!("/v1/sync/{}?after={after}&count={count}", escaped(member))).await?
            }
            Reached::Direct(config) => {
                let (topology, store) = (global.topology()?, connect::store(&config).await?);
                Timeline::new(&*store, &topology).sync(member, *after, *count).await?
            }
        };
        match self.json {
            true => output::json(&page),
            false => output::line(&posts::rendered(&page.entries, &notes(&page))),
        }
    }
}

fn notes(page: &SyncPage) -> Vec<String> {
    let mut notes = vec![format!("latest {}", page.latest_seq), format!("unread {}", page.unread)];
    notes.extend(posts::trimmed_note(page.trimmed_to));
    if page.last_seq < page.latest_seq {
        notes.push(format!("go on with --after {}", page.last_seq));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::{SyncPage, notes};

    #[test]
    fn a_person_is_told_how_to_go_on_and_what_is_gone() {
        let page = |last_seq, trimmed_to| SyncPage {
            latest_seq: 41,
            last_seq,
            trimmed_to,
            unread: 3,
            entries: Vec::new(),
        };
        assert_eq!(notes(&page(41, 0)), ["latest 41", "unread 3"]);
        let told = notes(&page(20, 5));
        assert_eq!(told[2..], ["up to 5 are no longer kept", "go on with --after 20"]);
    }
}
