//! `heartline topics plan|apply|check`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{CliError, Global, connect, output};
use crate::kafka::topics::TopicDifference;

#[derive(Debug, Args)]
pub struct Topics {
    #[command(subcommand)]
    verb: Verb,
    /// One JSON object instead of lines
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
enum Verb {
    /// Say what differs from the topology; change nothing
    Plan,
    /// Make topics and set their settings; never shrink or delete anything
    Apply,
    /// As plan, and exit 78 if a worker would refuse to run
    Check,
}

impl Topics {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let config = global.config(&[])?;
        let topology = global.topology()?;
        let admin = connect::topic_admin(&config)?;
        let differences = match self.verb {
            Verb::Plan | Verb::Check => admin.plan(&topology).await?,
            Verb::Apply => admin.apply(&topology).await?,
        };
        report(&differences, self.verb, self.json)?;
        let open = |difference: &&TopicDifference| match self.verb {
            Verb::Plan => false,
            Verb::Apply => !difference.is_applicable() && !difference.is_tolerable(),
            Verb::Check => !difference.is_tolerable(),
        };
        match differences.iter().filter(open).count() {
            0 => Ok(()),
            1 => Err(CliError::mismatch("one topic is not as it must be; see above")),
            count => Err(CliError::mismatch(format!("{count} differences must not be; see above"))),
        }
    }
}

fn report(differences: &[TopicDifference], verb: Verb, as_json: bool) -> Result<(), CliError> {
    if as_json {
        let list: Vec<Value> = differences
            .iter()
            .map(|difference| {
                json!({
                    "topic": difference.topic().name(),
                    "message": said(difference, verb),
                    "applicable": difference.is_applicable(),
                    "tolerable": difference.is_tolerable(),
                })
            })
            .collect();
        return output::line(&json!({"differences": list}).to_string());
    }
    if differences.is_empty() {
        return output::line("the topics are as the topology says");
    }
    for difference in differences {
        let mark = match (verb, difference.is_applicable()) {
            (Verb::Apply, true) => "done   ",
            (Verb::Plan | Verb::Check, true) => "apply  ",
            (_, false) => "by hand",
        };
        output::line(&format!("{mark}  {}", said(difference, verb)))?;
    }
    Ok(())
}

/// What differs, or, of what was applied, what has been done.
fn said(difference: &TopicDifference, verb: Verb) -> String {
    let done = if verb == Verb::Apply { difference.done() } else { None };
    done.unwrap_or_else(|| difference.to_string())
}
