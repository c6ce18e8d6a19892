use std::{collections::BTreeMap, io::Write};

use secrecy::ExposeSecret;

use super::{Config, settings::Sources};
use crate::{
    cql::{Consistency, Replication},
    record::beacon::Parameters,
};

fn loaded(file: &str, environment: &[(&str, &str)], sets: &[&str]) -> Result<Config, String> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let sources = Sources { file: Some(("heartline.toml", file)), environment, sets: &sets };
    Config::from_sources(&sources).map_err(|errors| errors.to_string())
}

fn refusal(file: &str) -> String {
    loaded(file, &[], &[]).expect_err("the file is refused")
}

fn secret_file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

#[test]
fn the_defaults_are_complete_and_valid() {
    let config = loaded("", &[], &[]).expect("valid");
    assert_eq!(config.kafka.connection.brokers(), "127.0.0.1:9092");
    assert_eq!((config.kafka.session_timeout.as_secs(), config.kafka.transaction_timeout.as_secs()), (10, 8));
    assert_eq!(config.store.replication, Replication::Everywhere(1));
    assert_eq!(config.store.consistency, Consistency::LocalQuorum);
    assert_eq!(config.presence, Parameters::VERSION_1);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:7700");
    assert!(config.http.token.is_none());
}

#[test]
fn later_layers_win() {
    let file = "[kafka]\nbrokers = [\"file:1\"]\ngroup_prefix = \"file\"\ninstance = \"file\"";
    let environment =
        [("HEARTLINE__KAFKA__BROKERS", "env:1, env:2"), ("HEARTLINE__KAFKA__GROUP_PREFIX", "env")];
    let config = loaded(file, &environment, &["kafka.brokers=set:1"]).expect("valid");
    assert_eq!(config.kafka.connection.brokers(), "set:1");
    assert_eq!(config.kafka.group_prefix, "env");
    assert_eq!(config.kafka.instance, "file");
    let config = loaded(file, &environment, &[]).expect("valid");
    assert_eq!(config.kafka.connection.brokers(), "env:1,env:2");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_key() {
    assert_eq!(
        refusal("[kafka]\n\nbrokrs = [\"a:1\"]"),
        "heartline.toml:3: there is no key 'kafka.brokrs'; did you mean 'kafka.brokers'?"
    );
    assert_eq!(
        refusal("[kafak]\nbrokers = [\"a:1\"]"),
        "heartline.toml:2: there is no key 'kafak.brokers'; did you mean 'kafka.brokers'?"
    );
    assert_eq!(
        refusal("lease = \"30s\""),
        "heartline.toml:1: there is no key 'lease'; did you mean 'presence.lease'?"
    );
    assert_eq!(
        refusal("[entirely]\nelsewhere = 1"),
        "heartline.toml:2: there is no key 'entirely.elsewhere'"
    );
}

#[test]
fn an_empty_unknown_section_is_refused() {
    assert_eq!(refusal("\n[metrics]"), "heartline.toml:2: there is no key 'metrics'");
    loaded("[kafka]\n[kafka.librdkafka]\n[http]", &[], &[]).expect("these sections exist");
}

#[test]
fn unknown_keys_of_the_environment_and_of_flags_are_refused_where_they_stand() {
    assert_eq!(
        loaded("", &[("HEARTLINE__STORE__NODE", "a:1")], &[]).expect_err("refused"),
        "environment HEARTLINE__STORE__NODE: there is no key 'store.node'; did you mean 'store.nodes'?"
    );
    assert_eq!(
        loaded("", &[], &["http.lisen=127.0.0.1:1"]).expect_err("refused"),
        "--set: there is no key 'http.lisen'; did you mean 'http.listen'?"
    );
    assert!(loaded("", &[], &["nothing"]).expect_err("refused").contains("must be key=value"));
    loaded("", &[("HEARTLINE_LOG", "debug"), ("PATH", "/bin")], &[]).expect("not ours");
}

#[test]
fn every_section_reports_its_error() {
    let message =
        refusal("[http]\nlisten = \"here\"\n[presence]\nlease = \"1s\"\n[store]\nkeyspace = \"Big\"");
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 3, "{message}");
    assert!(lines[0].starts_with("heartline.toml:6: store.keyspace: "), "{message}");
    assert_eq!(lines[1], "heartline.toml:4: presence.lease: must be 5 s to 600 s");
    assert!(lines[2].starts_with("heartline.toml:2: http.listen: 'here' is no address"), "{message}");
}

#[test]
fn wrong_types_are_refused_where_they_stand() {
    assert_eq!(
        refusal("[presence]\nlease = 90"),
        "heartline.toml:2: presence.lease: must be a text in quotes"
    );
    assert!(refusal("[presence]\nlease = \"90\"").contains("'90' is no duration"));
    assert!(refusal("[kafka]\nbrokers = \"a:1\"").contains("must be a list of texts"));
    assert!(refusal("[kafka]\nbrokers = []").contains("must not be empty"));
    assert!(refusal("[kafka]\nbrokers = [\"a\"]").contains("'a' is no host:port"));
    assert!(refusal("[presence]\nbrake = 1.5").contains("heartline.toml:2: presence.brake: must be a text,"));
    assert!(refusal("[kafka\n").starts_with("heartline.toml:1: "));
    let set = loaded("", &[], &["presence.brake=maybe"]).expect_err("refused");
    assert_eq!(set, "--set: presence.brake: must be true or false");
}

#[test]
fn a_transaction_must_end_before_the_session_does() {
    let message = refusal("[kafka]\ntransaction_timeout = \"10s\"");
    assert!(message.starts_with("heartline.toml:2: kafka.transaction_timeout: 10000 ms must be below"));
    loaded("[kafka]\ntransaction_timeout = \"9999ms\"", &[], &[]).expect("below");
}

#[test]
fn replication_is_a_number_or_one_per_data_centre() {
    let per_dc = |pairs: &[(&str, u32)]| {
        let pairs = pairs.iter().map(|(name, copies)| ((*name).to_owned(), *copies));
        Replication::ByDatacenter(pairs.collect::<BTreeMap<_, _>>())
    };
    let file = "[store]\nreplication = { DC1 = 3, dc2 = 2 }";
    let replication = |file, env: &[_], sets: &[_]| loaded(file, env, sets).map(|c| c.store.replication);
    assert_eq!(replication(file, &[], &[]), Ok(per_dc(&[("DC1", 3), ("dc2", 2)])));
    assert_eq!(replication(file, &[], &["store.replication=3"]), Ok(Replication::Everywhere(3)));
    assert_eq!(
        replication("", &[("HEARTLINE__STORE__REPLICATION__DC1", "3")], &[]),
        Ok(per_dc(&[("DC1", 3)]))
    );
    assert!(replication("[store]\nreplication = 0", &[], &[]).is_err());
    assert!(replication("[store]\nreplication = { dc1 = 0 }", &[], &[]).is_err());
    assert!(replication("[store]\nreplication = \"3\"", &[], &[]).is_err());
}

#[test]
fn librdkafka_gets_what_breaks_no_promise() {
    let config = loaded(
        "[kafka.librdkafka]\nsecurity.protocol = \"sasl_ssl\"\n\"queued.min.messages\" = 5000\n\
         socket.keepalive.enable = true",
        &[("HEARTLINE__KAFKA__LIBRDKAFKA__FETCH__WAIT__MAX__MS", "50")],
        &["kafka.librdkafka.debug=broker"],
    )
    .expect("valid");
    let client = config.kafka.connection.admin();
    let expected = [
        ("debug", "broker"),
        ("fetch.wait.max.ms", "50"),
        ("security.protocol", "sasl_ssl"),
        ("socket.keepalive.enable", "true"),
        ("queued.min.messages", "5000"),
    ];
    for (name, value) in expected {
        assert_eq!(client.get(name), Some(value), "{name}");
    }
    assert_eq!(
        refusal("[kafka.librdkafka]\nisolation.level = \"read_uncommitted\""),
        "heartline.toml:2: kafka.librdkafka.isolation.level: cannot be set: \
         uncommitted records would be folded as facts"
    );
}

#[test]
fn a_secret_is_read_from_its_file_and_never_shown() {
    let file = secret_file("hunter2\n");
    let path = file.path().display();
    let text = format!(
        "[kafka.librdkafka]\nsasl.password_file = \"{path}\"\n[store]\nusername = \"me\"\n\
         password_file = \"{path}\"\n[http]\ntoken_file = \"{path}\""
    );
    let config = loaded(&text, &[], &[]).expect("valid");
    let token = config.http.token.as_ref().expect("a token");
    assert_eq!(token.expose_secret(), "hunter2");
    assert_eq!(config.kafka.connection.admin().get("sasl.password"), Some("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    let inline = refusal("[kafka.librdkafka]\nsasl.password = \"hunter2\"");
    assert!(inline.contains("is a secret") && !inline.contains("hunter2"), "{inline}");
}

#[test]
fn secrets_that_are_not_there_are_refused() {
    let empty = secret_file(" \n");
    let path = empty.path().display();
    assert!(refusal(&format!("[http]\ntoken_file = \"{path}\"")).contains("is empty"));
    assert!(
        refusal("[http]\ntoken_file = \"/nowhere/token\"").contains("cannot read the file '/nowhere/token'")
    );
    assert!(refusal("[store]\nusername = \"me\"").contains("needs store.password_file"));
    assert!(refusal("[store]\ncert_file = \"c\"").contains("needs store.key_file"));
}

#[test]
fn an_address_that_others_can_reach_needs_a_token() {
    let message = refusal("[http]\nlisten = \"0.0.0.0:7700\"");
    assert!(message.contains("can be reached from other machines; set http.token_file"), "{message}");
    let file = secret_file("secret");
    let text = format!("[http]\nlisten = \"0.0.0.0:7700\"\ntoken_file = \"{}\"", file.path().display());
    loaded(&text, &[], &[]).expect("with a token");
    loaded("[http]\nlisten = \"[::1]:7700\"", &[], &[]).expect("loopback");
}

#[test]
fn two_pods_on_one_host_get_different_names() {
    let names: Vec<String> = (0..2).map(|_| loaded("", &[], &[]).expect("valid").kafka.instance).collect();
    assert_ne!(names[0], names[1]);
    assert_eq!(loaded("", &[], &["kafka.instance=pod-7"]).expect("valid").kafka.instance, "pod-7");
}
