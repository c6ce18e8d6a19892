//! `heartline up` as a person's machine treats it: killed, frozen, away for a while, started twice, asked to
//! end.

mod crowd;
mod process;
mod verdict;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Failed;
use rustix::process::Signal;

use self::{
    crowd::Crowd,
    process::{Start, Up},
};
use super::{
    case::Case,
    deployment::{get, request, until},
};

/// What SIGTERM may take.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How long a client that settles may have requests in doubt: on a loaded machine some are tried again.
const DOUBT_LIMIT: Duration = Duration::from_secs(30);
/// From the last answer until its rows are there.
const SETTLE: Duration = Duration::from_secs(3);

pub fn cases() -> Vec<Case> {
    let play = |steps: Vec<Step>| move || explained(play(&steps));
    vec![
        Case::plain("four_kills_of_up_lose_nothing_and_put_nobody_falsely_offline", play(short())),
        Case::plain("twenty_kills_of_up_lose_nothing_and_put_nobody_falsely_offline", play(long())).long(),
        Case::plain("a_second_up_on_the_same_folder_says_so_and_ends", || explained(second_up())),
        Case::plain("sigterm_ends_up_with_0_within_five_seconds_and_the_data_stays", || {
            explained(orderly_end())
        }),
    ]
}

fn explained(result: Result<()>) -> Result<(), Failed> {
    result.map_err(|error| format!("{error:#}").into())
}

/// What happens to the process while the crowd beats.
#[derive(Debug, Clone, Copy)]
enum Step {
    Run(Duration),
    /// `kill -9`, and a start at once.
    Kill,
    /// `kill -9`, and a start after so long.
    Away(Duration),
    /// SIGSTOP, and SIGCONT after so long.
    Freeze(Duration),
    /// Half of those who leave fall silent, in the first half of the steps and in the last.
    Silence,
}

fn run_for(seconds: f64) -> Step {
    Step::Run(Duration::from_secs_f64(seconds))
}

/// Four kills, one of them with a pause of more than two leases, and a freeze of more than one.
fn short() -> Vec<Step> {
    let mut steps = [run_for(3.6), Step::Kill].repeat(3);
    steps.extend([run_for(3.6), Step::Silence]);
    steps.extend(trouble());
    steps.extend([run_for(1.5), Step::Silence, run_for(7.0)]);
    steps
}

/// Twenty kills, four of them with a pause, and four freezes.
fn long() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..4 {
        for kill in 0..4 {
            steps.extend([run_for(3.0 + f64::from(round) + 0.4 * f64::from(kill)), Step::Kill]);
        }
        steps.push(run_for(4.0));
        if round == 1 {
            steps.push(Step::Silence);
        }
        steps.extend(trouble());
    }
    steps.extend([run_for(1.5), Step::Silence, run_for(7.0)]);
    steps
}

fn trouble() -> [Step; 3] {
    let longest = crowd::LEASE_MAX;
    [
        Step::Away(longest * 2 + Duration::from_millis(200)),
        run_for(2.5),
        Step::Freeze(longest + Duration::from_millis(400)),
    ]
}

fn play(steps: &[Step]) -> Result<()> {
    let mut up = Up::start()?;
    let crowd = Crowd::start(up.address());
    let result = perform(&mut up, &crowd, steps).and_then(|()| {
        crowd.settle();
        let deeds = until("nothing is in doubt", DOUBT_LIMIT, || crowd.deeds())?;
        thread::sleep(SETTLE);
        verdict::judge(&up, &deeds)
    });
    crowd.stop();
    result.with_context(|| up.keep())
}

fn perform(up: &mut Up, crowd: &Crowd, steps: &[Step]) -> Result<()> {
    for step in steps {
        match step {
            Step::Run(duration) => thread::sleep(*duration),
            Step::Kill => up.kill_and_start(Duration::ZERO)?,
            Step::Away(duration) => up.kill_and_start(*duration)?,
            Step::Freeze(duration) => up.freeze(*duration)?,
            Step::Silence => crowd.silence(),
        }
    }
    Ok(())
}

fn second_up() -> Result<()> {
    let up = Up::start()?;
    let mut second = Start::on(up.folder())?;
    let code = second.wait(END_LIMIT)?;
    let said = second.log()?;
    let sentence = format!("another heartline uses the folder {}", up.folder().join("data").display());
    ensure!(said.contains(&sentence), "it did not say '{sentence}' but: {said}");
    // A server that somebody else holds is one that is unavailable.
    ensure!(code == Some(69), "it exited with {code:?}: {said}");
    ensure!(up.is_ready(), "the first one is not ready any more");
    Ok(())
}

fn orderly_end() -> Result<()> {
    let mut up = Up::start()?;
    let beat = r#"{"v":1,"type":"heartbeat","user":"alice","session":"s-1","counter":1}"#;
    let answer = request(up.address(), "POST", "/v1/heartbeats", beat)?;
    ensure!(answer == r#"{"accepted":1,"refused":[]}"#, "{answer}");
    until("alice is online", DOUBT_LIMIT, || {
        let row = get(up.address(), "/v1/presence?user=alice")?;
        Ok(row.contains(r#""status":"online""#).then_some(()))
    })?;
    let begun = Instant::now();
    up.signal(Signal::TERM)?;
    let code = up.wait(END_LIMIT)?;
    ensure!(code == Some(0), "it exited with {code:?} after {:?}", begun.elapsed());
    println!("SIGTERM: exit 0 after {} ms", begun.elapsed().as_millis());
    up.start_again()?;
    let row = get(up.address(), "/v1/presence?user=alice")?;
    ensure!(row.contains(r#""status":"online""#) && row.contains(r#""version":1"#), "{row}");
    Ok(())
}
