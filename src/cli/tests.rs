use clap::{CommandFactory, Parser};

use super::{Cli, CliError, Command, Exit};
use crate::http::client::ClientError;

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_description_of_the_flags_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_contract_is_understood() {
    for line in [
        "heartline up",
        "heartline up --data d --listen 127.0.0.1:1 --demo",
        "heartline up --demo 7",
        "heartline run --config c --topology t --processors presence --listen 127.0.0.1:1",
        "heartline topics plan",
        "heartline topics apply --json",
        "heartline topics check --set kafka.brokers=a:1",
        "heartline schema plan",
        "heartline schema apply",
        "heartline schema check",
        "heartline check --live",
        "heartline ingest",
        "heartline ingest file.jsonl --url http://127.0.0.1:1",
        "heartline tail presence --from start --user ann",
        "heartline presence ann bob --json",
        "heartline sync bob --after 3 --count 1000 --json",
        "heartline history group/team --before 7",
        "heartline history direct/bob/ann --after 0 --count 1",
        "heartline adopt heartbeats 3 --reason offsets --yes",
    ] {
        assert!(parsed(line).is_ok(), "{line}: {}", parsed(line).expect_err("refused"));
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for (line, hint) in [
        ("heartline run --processors presense", "the processors are presence"),
        ("heartline tail nothing", "the topics are heartbeats,"),
        ("heartline adopt presence --reason offsets", "the input topics are heartbeats,"),
        ("heartline adopt heartbeats", "--reason"),
        ("heartline adopt heartbeats --reason parameters", "backup"),
        ("heartline presence", "<USER>"),
        ("heartline sync bob --count 0", "1..=1000"),
        ("heartline sync bob --after -1", "unexpected argument"),
        ("heartline history group/x --after 1 --before 2", "cannot be used with"),
        ("heartline up --demo 0", "1..=10000"),
        ("heartline up --listen here", "socket address"),
        ("heartline tial", "tail"),
    ] {
        let error = parsed(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(hint), "{line}: {error}");
    }
}

#[test]
fn a_demo_without_a_number_has_a_number() {
    let Command::Up(up) = parsed("heartline up --demo").expect("understood").command else { panic!("up") };
    assert!(format!("{up:?}").contains("demo: Some(50)"));
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    let codes = [Exit::Done, Exit::Usage, Exit::Config, Exit::Unavailable, Exit::Internal, Exit::Mismatch];
    assert_eq!(codes.map(Exit::code), [0, 2, 64, 69, 70, 78]);
    let exit = |status| {
        CliError::from(ClientError::Refused { url: String::new(), status, message: String::new() }).exit
    };
    assert_eq!([exit(400), exit(401), exit(429), exit(503), exit(500)].map(Exit::code), [2, 64, 69, 69, 70]);
    let closed = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    assert_eq!(CliError::from(closed), CliError { exit: Exit::Done, message: String::new() });
}
