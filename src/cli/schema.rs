//! `heartline schema plan|apply|check`.

use clap::{Args, Subcommand};

use super::{CliError, Global, connect, output};
use crate::{
    cql::schema::{self, Plan},
    table::TABLES,
};

#[derive(Debug, Args)]
pub struct Schema {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Verb {
    /// Print the statements that are missing; change nothing
    Plan,
    /// Create what is missing and record it
    Apply,
    /// Exit 78 if a worker would refuse to run
    Check,
}

impl Schema {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let config = global.config(&[])?;
        let cql = connect::cql(&config).await?;
        let keyspace = &config.store.keyspace;
        match self.verb {
            Verb::Plan => {
                let plan = schema::plan(&cql).await?;
                match plan.is_empty() {
                    true => output::line(&format!("-- keyspace {keyspace}: nothing is missing")),
                    false => output::line(plan.to_string().trim()),
                }
            }
            Verb::Apply => output::line(&applied(keyspace, &schema::apply(&cql).await?)),
            Verb::Check => {
                schema::check(&cql, TABLES).await?;
                output::line(&format!("keyspace {keyspace} is as this program needs it"))
            }
        }
    }
}

fn applied(keyspace: &str, plan: &Plan) -> String {
    if plan.is_empty() {
        return format!("keyspace {keyspace}: nothing was missing");
    }
    let created = plan.keyspace.iter().map(|_| format!("created keyspace {keyspace}"));
    let migrations = plan
        .migrations
        .iter()
        .map(|migration| format!("applied {}_{} to keyspace {keyspace}", migration.number(), migration.name));
    created.chain(migrations).collect::<Vec<_>>().join("\n")
}
