//! The end of a worker that is asked to, while a server does not answer.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use libtest_mimic::Failed;
use rustix::process::Signal;

use super::{
    case::{Case, Need},
    crowd::{Crowd, Sizes},
    deployment::{Deployment, END_LIMIT},
    servers::{Server, Servers},
};

/// What is promised, and what a debug build on a loaded machine may take beyond it.
const PROMISED: Duration = Duration::from_secs(5);
const LOADED: Duration = Duration::from_secs(2);
/// So long the server is frozen before the worker is asked to end: calls are under way by then.
const FROZEN: Duration = Duration::from_secs(4);

pub fn cases() -> Vec<Case> {
    let case = |name, server: fn(&Servers) -> &Server| {
        Case::real(name, Need::OwnServers, move |servers| {
            let _alone = servers.exclusive();
            run(servers, server(servers)).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    vec![
        case("a_worker_ends_in_time_while_the_broker_is_frozen", |servers| &servers.kafka),
        case("a_worker_ends_in_time_while_the_database_is_frozen", |servers| &servers.cql),
    ]
}

fn run(servers: &Servers, frozen: &Server) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "shutdown", "")?;
    let worker = deployment.start_worker()?;
    deployment.wait_ready(worker)?;
    let leave = (Duration::ZERO, Duration::from_secs(1));
    let crowd = Crowd::start(&deployment.kafka, Sizes { steady: 200, leavers: 0, comers: 20, leave })?;
    thread::sleep(Duration::from_secs(3));
    frozen.pause()?;
    thread::sleep(FROZEN);
    let begun = Instant::now();
    deployment.workers[worker].signal(Signal::TERM)?;
    let code = deployment.workers[worker].wait(END_LIMIT);
    let took = begun.elapsed();
    frozen.resume()?;
    crowd.stop()?;
    println!("SIGTERM beside a frozen server: exit {:?} after {} ms", code, took.as_millis());
    ensure!(code? == Some(0), "the worker did not end with 0");
    ensure!(took < PROMISED + LOADED, "the end took {took:?}");
    Ok(())
}
