//! `heartline presence`: who is there.

use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError, Global, connect, output,
    reach::{Reach, Reached},
};
use crate::http::{
    now_ms,
    presence::{USERS_MAX, answer::Question, read},
};

#[derive(Debug, Args)]
pub struct Presence {
    /// Users to ask for
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    /// List their sessions too
    #[arg(long)]
    sessions: bool,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Presence {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        if self.users.len() > USERS_MAX {
            return Err(CliError::usage(format!("at most {USERS_MAX} users at a time; ask in parts")));
        }
        let answer = match self.reach.resolve(global)? {
            Reached::Server(client) => {
                let body = json!({"users": self.users, "sessions": self.sessions}).to_string();
                client.post_text("/v1/presence/query", "application/json", body.into()).await?
            }
            Reached::Direct(config) => {
                let topology = global.topology()?;
                let store = connect::store(&config).await?;
                let question = Question { users: self.users, sessions: self.sessions };
                let readings = read(&*store, &topology, &question).await;
                serde_json::to_string(&question.answer(&topology, &readings, now_ms())).map_err(unreadable)?
            }
        };
        match self.json {
            // As it came: metadata keep their bytes.
            true => output::line(&answer),
            false => {
                let answer = serde_json::from_str(&answer).map_err(unreadable)?;
                output::line(&rendered(&answer, now_ms()))
            }
        }
    }
}

fn unreadable(error: serde_json::Error) -> CliError {
    CliError::internal(format!("the answer is no JSON: {error}"))
}

/// The answer as a table; sessions stand below their user.
fn rendered(answer: &Value, now_ms: i64) -> String {
    let head = ["USER", "STATUS", "LAST SEEN", "VERSION", "TEXT"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let (mut old, mut unheard) = (false, false);
    for user in answer["users"].as_array().into_iter().flatten() {
        let text = |name: &str| output::printable(user[name].as_str().unwrap_or_default());
        if let Some(message) = user["error"]["message"].as_str() {
            rows.push(vec![
                text("user"),
                "?".to_owned(),
                String::new(),
                String::new(),
                output::printable(message),
            ]);
            continue;
        }
        if user["stale"] == true {
            *if user["as_of"].is_null() { &mut unheard } else { &mut old } = true;
        }
        let seen = user["last_seen"].as_i64().map_or_else(String::new, |seen| output::ago(now_ms, seen));
        let version = user["version"].as_i64().map_or_else(String::new, |version| version.to_string());
        let texts = [text("status_text"), text("activity")];
        let texts = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
        rows.push(vec![text("user"), text("status"), seen, version, texts]);
        for session in user["sessions"].as_array().into_iter().flatten() {
            let text = |name: &str| output::printable(session[name].as_str().unwrap_or_default());
            let place = [text("device"), text("gateway")].into_iter().filter(|part| !part.is_empty());
            let place = place.collect::<Vec<_>>().join(" on ");
            rows.push(vec![format!("  {}", text("session")), text("status"), place]);
        }
    }
    let note = match (old, unheard) {
        (true, _) => {
            "\n(stale: the store has not heard from a worker for more than 10 s; see /v1/partitions)"
        }
        (_, true) => "\n(stale: no worker has stored how far it is yet; a first one does within seconds)",
        _ => "",
    };
    format!("{}{note}", output::table(&rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::rendered;

    #[test]
    fn a_person_sees_a_table_and_whether_it_is_stale() {
        let answer = json!({"users": [
            {"user": "ann", "status": "online", "version": 7, "last_seen": 1_000, "status_text": "hi",
             "as_of": 900, "stale": true,
             "sessions": [{"session": "s-1", "status": "online", "device": "ios", "gateway": "gw"}]},
            {"user": "a/b", "error": {"code": "invalid_id", "message": "an id must not contain '/'"}},
        ]});
        let expected = "\
USER   STATUS  LAST SEEN  VERSION  TEXT
ann    online  4s ago     7        hi
  s-1  online  ios on gw
a/b    ?                           an id must not contain '/'
(stale: the store has not heard from a worker for more than 10 s; see /v1/partitions)";
        assert_eq!(rendered(&answer, 5_000), expected);
    }

    #[test]
    fn a_store_that_has_heard_nothing_yet_is_not_called_old() {
        let answer = json!({"users": [{"user": "ann", "status": "unknown", "stale": true}]});
        let expected = "\
USER  STATUS   LAST SEEN  VERSION  TEXT
ann   unknown
(stale: no worker has stored how far it is yet; a first one does within seconds)";
        assert_eq!(rendered(&answer, 5_000), expected);
    }
}
