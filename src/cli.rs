//! The command line: one sub-command a file. Data goes to stdout, everything said to a person to stderr.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{config::Config, topology::Topology};

mod adopt;
mod check;
mod connect;
mod crowd;
mod error;
mod history;
mod ingest;
mod logging;
mod output;
mod posts;
mod presence;
mod reach;
mod rebuild;
mod run;
mod schema;
mod serving;
mod sync;
mod tail;
mod topics;
mod up;

pub use error::{CliError, Exit};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 2 usage, 64 bad configuration, 69 a server is unavailable,
            70 internal, 78 schema or topology does not match.

New here? Run `heartline up --demo`.";
/// The heading of the options that every command takes.
const EVERYWHERE: &str = "Options of every command";

/// Presence and timelines for chat back ends: heartbeats and sends in, exactly-once transitions, histories
/// and inboxes out.
#[derive(Debug, Parser)]
#[command(name = "heartline", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Configuration file [default: heartline.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "HEARTLINE_CONFIG", help_heading = EVERYWHERE)]
    config: Option<PathBuf>,
    /// Topology file [default: the one that heartline ships]
    #[arg(long, global = true, value_name = "FILE", env = "HEARTLINE_TOPOLOGY", help_heading = EVERYWHERE)]
    topology: Option<PathBuf>,
    /// Set a key of the configuration, such as kafka.brokers=a:9092,b:9092; wins over file and environment
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", help_heading = EVERYWHERE)]
    sets: Vec<String>,
    /// What to log, such as debug or heartline=debug,warn [default: info for up and run, warn otherwise]
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG", help_heading = EVERYWHERE)]
    log: Option<String>,
    /// Log one JSON object a line
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    log_json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything in this process: embedded log and store, worker, HTTP; no server, no configuration
    Up(up::Up),
    /// Run a worker on Kafka and ScyllaDB
    Run(run::Run),
    /// Compare Kafka's topics with the topology, or make them so
    Topics(topics::Topics),
    /// Compare keyspace and tables with this program, or make them so
    Schema(schema::Schema),
    /// Check configuration and topology; with --live also the servers behind them
    Check(check::Check),
    /// Write JSON lines into the log
    Ingest(ingest::Ingest),
    /// Follow a topic
    Tail(tail::TailCommand),
    /// Say who is there
    Presence(presence::Presence),
    /// Read a member's inbox
    Sync(sync::SyncCommand),
    /// Read a conversation's messages
    History(history::History),
    /// Tell a halted partition what you know, so that it goes on
    Adopt(adopt::Adopt),
    /// Fold the topics from their start into another keyspace; publishes nothing
    Rebuild(rebuild::Rebuild),
}

impl Cli {
    /// Does what was asked and says on stderr why not.
    #[must_use]
    pub fn main(self) -> ExitCode {
        let serves = matches!(self.command, Command::Up(_) | Command::Run(_));
        let done = logging::start(&self.global, serves).and_then(|()| self.execute());
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                if !error.message.is_empty() {
                    eprintln!("heartline: {}", error.message);
                }
                ExitCode::from(error.exit.code())
            }
        }
    }

    fn execute(self) -> Result<(), CliError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| CliError::internal(format!("cannot start the runtime: {error}")))?;
        let global = &self.global;
        let done = runtime.block_on(async {
            match self.command {
                Command::Up(up) => up.execute(global).await,
                Command::Run(run) => run.execute(global).await,
                Command::Topics(topics) => topics.execute(global).await,
                Command::Schema(schema) => schema.execute(global).await,
                Command::Check(check) => check.execute(global).await,
                Command::Ingest(ingest) => ingest.execute(global).await,
                Command::Tail(tail) => tail.execute(global).await,
                Command::Presence(presence) => presence.execute(global).await,
                Command::Sync(sync) => sync.execute(global).await,
                Command::History(history) => history.execute(global).await,
                Command::Adopt(adopt) => adopt.execute(global).await,
                Command::Rebuild(rebuild) => rebuild.execute(global).await,
            }
        });
        // What still runs is of no interest any more, and a blocked read of stdin would never end.
        runtime.shutdown_background();
        done
    }
}

impl Global {
    /// The checked configuration; `more` settings win over all others.
    fn config(&self, more: &[String]) -> Result<Config, CliError> {
        let sets: Vec<String> = self.sets.iter().chain(more).cloned().collect();
        Ok(Config::load(self.config.as_deref(), &sets)?)
    }

    /// Whether somebody has configured servers: by a file, named or at its usual place.
    fn is_configured(&self) -> bool {
        self.config.is_some() || Path::new(crate::config::DEFAULT_FILE).exists()
    }

    fn topology(&self) -> Result<Topology, CliError> {
        let Some(path) = &self.topology else { return Ok(Topology::shipped()) };
        let bad = |message: String| CliError::config(format!("{}: {message}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
        Topology::parse(&text).map_err(|error| bad(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
