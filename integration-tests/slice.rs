//! The thinnest path through all layers on the real servers: a heartbeat in, a transition out, a row to read.

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Failed;
use rustix::process::Signal;

use std::time::{Duration, Instant};

use super::{
    case::{Case, Need},
    deployment::{Deployment, END_LIMIT, get, request, until},
    servers::Servers,
};

pub fn cases() -> Vec<Case> {
    vec![Case::real(
        "a_heartbeat_becomes_a_transition_and_a_row_and_sigterm_ends_the_worker",
        Need::Servers,
        slice,
    )]
}

fn slice(servers: &Servers) -> Result<(), Failed> {
    let _alone = servers.exclusive();
    run(servers).map_err(|error| format!("{error:#}").into())
}

fn run(servers: &Servers) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "slice", "")?;
    let worker = deployment.start_worker()?;
    deployment.wait_ready(worker)?;
    let address = deployment.workers[worker].address.clone();
    let beat = r#"{"v":1,"type":"heartbeat","user":"alice","session":"s-1","counter":1,"gateway":"gw-7"}"#;
    let answer = request(&address, "POST", "/v1/heartbeats", beat)?;
    ensure!(answer == r#"{"accepted":1,"refused":[]}"#, "{answer}");
    let row = until("alice has a row", Duration::from_secs(30), || {
        let row = get(&address, "/v1/presence?user=alice&sessions=true")?;
        Ok(row.contains(r#""status":"online""#).then_some(row))
    })?;
    ensure!(row.contains(r#""gateway":"gw-7""#), "{row}");
    let transitions = deployment.transitions()?;
    ensure!(transitions.len() == 1 && transitions[0].user == "alice", "{transitions:?}");
    let begun = Instant::now();
    deployment.workers[worker].signal(Signal::TERM)?;
    let code = deployment.workers[worker].wait(END_LIMIT)?;
    ensure!(code == Some(0), "exit code {code:?}");
    ensure!(begun.elapsed() < Duration::from_secs(5), "the end took {:?}", begun.elapsed());
    let left = deployment.succeed(&["presence", "alice", "--json"]).context("reading without a worker")?;
    ensure!(left.contains("online"), "{left}");
    Ok(())
}
