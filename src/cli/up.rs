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
    /// Let a crowd of users come, go, idle and chat
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
        let token_file = config.http.token_file.as_ref().map(|path| {
            std::path::absolute(path).map_or_else(|_| path.clone(), |path| path.display().to_string())
        });
        let serving =
            Serving::prepare(config, topology.clone(), ProcessorKind::ALL.to_vec(), backend, listener)?;
        let folder = folder.display().to_string();
        // With a configuration file, the commands ask Kafka unless they are told where.
        let is_usual = format!("http://{}", serving.address) == DEFAULT_URL && !global.is_configured();
        output::line(&banner(serving.address, is_usual, &folder, self.demo, token_file.as_deref()))?;
        if let Some(users) = self.demo {
            let (topics, store) = (serving.topics.clone(), serving.store.clone());
            tokio::spawn(crowd::run(users, topology, topics, store, serving.shutdown.clone()));
        }
        serving.run().await
    }
}

/// What a person sees first.
fn banner(
    address: SocketAddr,
    is_usual: bool,
    folder: &str,
    demo: Option<u32>,
    token_file: Option<&str>,
) -> String {
    let url = format!("http://{address}");
    let mut at = if is_usual { String::new() } else { format!(" --url {url}") };
    let mut curl = "curl".to_owned();
    if let Some(file) = token_file.map(quoted) {
        at.push_str(&format!(" --token-file {file}"));
        curl.push_str(&format!(" -H \"Authorization: Bearer $(cat {file})\""));
    }
    let crowd =
        demo.map_or_else(String::new, |users| format!("\n  demo      {users} users come, go, idle and chat"));
    let (user, member) = if demo.is_some() { ("user-1", "user-1") } else { ("alice", "bob") };
    let beat = r#"{"v":1,"type":"heartbeat","user":"alice","session":"s-1","counter":1}"#;
    let send = concat!(
        r#"{"v":1,"type":"message","conversation":"direct/alice/bob","sender":"alice","client_id":"c-1","#,
        r#""body":{"text":"hi"}}"#
    );
    format!(
        "heartline {version} is up

  HTTP      {url}
  data      {folder}
  promise   what is accepted is on disk; every transition, message and entry comes exactly once,
            kill -9 included{crowd}

Paste into another terminal:

  {curl} -d '{beat}' {url}/v1/heartbeats
  {curl} -d '{send}' {url}/v1/sends
  heartline presence {user}{at} && heartline sync {member}{at}

Ctrl-C ends it; the data stays.",
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// One word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::banner;
    use crate::{
        http::ingest::place,
        topology::{Topic, Topology},
    };

    #[test]
    fn the_banners_commands_find_a_server_that_is_elsewhere() {
        let usual = banner("127.0.0.1:7700".parse().expect("an address"), true, "/data", None, None);
        assert!(usual.contains("  heartline presence alice && heartline sync bob\n"), "{usual}");
        let other = banner("127.0.0.1:8080".parse().expect("an address"), false, "/data", Some(7), None);
        let url = "--url http://127.0.0.1:8080";
        let asked = format!("  heartline presence user-1 {url} && heartline sync user-1 {url}\n");
        assert!(other.contains(&asked), "{other}");
        assert!(other.contains("7 users"), "{other}");
    }

    #[test]
    fn the_banners_commands_carry_the_token_that_is_asked_for() {
        let address = "127.0.0.1:7700".parse().expect("an address");
        let text = banner(address, true, "/data", None, Some("/run/it's/token"));
        let file = r"'/run/it'\''s/token'";
        let token = format!("curl -H \"Authorization: Bearer $(cat {file})\" -d '");
        assert_eq!(text.matches(&token).count(), 2, "{text}");
        let asked = format!("presence alice --token-file {file} && heartline sync bob --token-file {file}\n");
        assert!(text.contains(&asked), "{text}");
    }

    #[test]
    fn what_the_banner_has_pasted_is_taken() {
        let text = banner("127.0.0.1:7700".parse().expect("an address"), true, "/data", None, None);
        let mut taken = Vec::new();
        for line in text.lines().filter(|line| line.starts_with("  curl -d '")) {
            let (value, url) = line["  curl -d '".len()..].split_once("' ").expect("a value and an address");
            let name = url.strip_prefix("http://127.0.0.1:7700/v1/").expect("our address");
            let topic = Topic::from_name(name).expect("a topic");
            place(&Topology::shipped(), topic, &value.to_owned().into()).expect("a valid record");
            taken.push(topic);
        }
        assert_eq!(taken, [Topic::Heartbeats, Topic::Sends]);
    }
}
