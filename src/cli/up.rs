//! `heartline up`: the whole product in one process.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Args;

use super::{
    CliError, Global,
    connect::{self, Backend},
    crowd, output,
    reach::DEFAULT_URL,
    serving::{self, Serving},
};
use crate::topology::ProcessorKind;

#[derive(Debug, Args)]
pub struct Up {
    /// Folder of log and store; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "heartline-data")]
    data: PathBuf,
    /// Address of the HTTP interface [default: 127.0.0.1:7700]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Let a crowd of users come, go and idle
    #[arg(long, value_name = "USERS", num_args = 0..=1, default_missing_value = "50",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    demo: Option<u32>,
}

impl Up {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let listen = self.listen.map(|address| format!("http.listen={address}"));
        let config = global.config(listen.as_slice())?;
        let topology = Arc::new(global.topology()?);
        let listener = serving::listen(&config).await?;
        let database = connect::database(&self.data, &topology).await?;
        let folder = self.data.canonicalize().unwrap_or_else(|_| self.data.clone());
        let backend = Backend::Embedded(database);
        let serving =
            Serving::prepare(config, topology.clone(), ProcessorKind::ALL.to_vec(), backend, listener)?;
        output::line(&banner(serving.address, &folder.display().to_string(), self.demo))?;
        if let Some(users) = self.demo {
            tokio::spawn(crowd::run(users, topology, serving.topics.clone(), serving.shutdown.clone()));
        }
        serving.run().await
    }
}

/// What a person sees first.
fn banner(address: SocketAddr, folder: &str, demo: Option<u32>) -> String {
    let url = format!("http://{address}");
    let at = if url == DEFAULT_URL { String::new() } else { format!(" --url {url}") };
    let crowd =
        demo.map_or_else(String::new, |users| format!("\n  demo      {users} users come, go and idle"));
    let user = if demo.is_some() { "user-1" } else { "alice" };
    let beat = r#"{"v":1,"type":"heartbeat","user":"alice","session":"s-1","counter":1}"#;
    format!(
        "heartline {version} is up

  HTTP      {url}
  data      {folder}
  promise   what is accepted is on disk; every transition is published exactly once, kill -9 included{crowd}

Paste into another terminal:

  curl -d '{beat}' {url}/v1/heartbeats
  heartline presence {user}{at}
  heartline tail presence --from start{at}

Ctrl-C ends it; the data stays.",
        version = env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use super::banner;

    #[test]
    fn the_banners_commands_find_a_server_that_is_elsewhere() {
        let usual = banner("127.0.0.1:7700".parse().expect("an address"), "/data", None);
        assert!(usual.contains("heartline presence alice\n") && !usual.contains("--url"), "{usual}");
        let other = banner("127.0.0.1:8080".parse().expect("an address"), "/data", Some(7));
        assert!(other.contains("heartline presence user-1 --url http://127.0.0.1:8080\n"), "{other}");
        assert!(other.contains("7 users"), "{other}");
    }
}
