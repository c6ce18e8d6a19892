//! What a worker costs that has nothing to do.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Failed;

use super::{
    case::{Case, Need},
    deployment::Deployment,
    servers::Servers,
};

/// Long enough that the first beacons and progress rows are not all of it.
const WATCHED: Duration = Duration::from_secs(8);
/// A debug build takes 4 %; with threads that spin while they wait for Kafka it takes 12.
const CORE_PERCENT_MAX: f64 = 7.0;

pub fn cases() -> Vec<Case> {
    vec![Case::real("a_worker_with_nothing_to_do_takes_hardly_any_core_time", Need::Servers, |servers| {
        let _alone = servers.exclusive();
        run(servers).map_err(|error| Failed::from(format!("{error:#}")))
    })]
}

fn run(servers: &Servers) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "idle", "")?;
    let worker = deployment.start_worker()?;
    deployment.wait_ready(worker)?;
    // Partitions are restored and claimed after the first answer.
    thread::sleep(Duration::from_secs(3));
    let pid = deployment.workers[worker].pid();
    let before = core_time(pid)?;
    thread::sleep(WATCHED);
    let percent = (core_time(pid)? - before).as_secs_f64() / WATCHED.as_secs_f64() * 100.0;
    println!("an idle worker takes {percent:.1} % of a core");
    ensure!(percent < CORE_PERCENT_MAX, "an idle worker takes {percent:.1} % of a core");
    Ok(())
}

/// What all threads of a process have had, to the nanosecond.
fn core_time(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended meanwhile.
        let Ok(times) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += times.split(' ').next().context("no core time")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
