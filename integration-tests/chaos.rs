//! Two workers, a crowd, and what happens to servers and processes: nothing is lost, nothing twice, nobody
//! falsely offline, nobody online for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use heartline::{
    client::TailRecord,
    limits::BEACON_STEP_MS_MAX,
    record::{
        dead_letter,
        heartbeats::{Input, decode},
        transition::{Status, TransitionView},
    },
    topology::{Topic, Topology},
};
use libtest_mimic::Failed;
use rustix::process::Signal;

use super::{
    case::{Case, Need},
    chat::Chat,
    crowd::{Crowd, Deeds, LEASE, Sizes},
    deployment::{Deployment, END_LIMIT, SESSION_TIMEOUT},
    servers::Servers,
    timeline,
    watch::{Seen, Watch, always_online, chains},
};

mod network;

use network::{Fault, Least, Network};

/// What the design allows beyond a lease, and beyond the session timeout until a successor works.
const DETECTION: Duration = Duration::from_secs(3);
const TAKEOVER: Duration = Duration::from_secs(3);
/// The driver's longest pause between two attempts to reach a node, after some twenty seconds without one.
const RECONNECT: Duration = Duration::from_secs(10);
/// What the short forms allow beyond that: they are debug builds on a machine that may do something else, and
/// are there for what must never be lost. The long forms, run alone, allow nothing.
const LOADED: Duration = Duration::from_secs(3);
/// A killed worker's successor is started after this.
const RESTART_AFTER: Duration = Duration::from_secs(2);

/// How long the watch may take to see what is there.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// Something that happens, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// `kill -9` of a worker; another one is started.
    Kill,
    /// SIGSTOP, and SIGCONT after so long.
    Stop(Duration),
    BrokerAway(Duration),
    DatabaseAway(Duration),
    /// On the way between the workers and the servers.
    Network(Fault),
}

pub fn cases() -> Vec<Case> {
    let kills = |count: u64, stops: u64| {
        let kills = (0..count).map(|n| (Duration::from_secs(10 + 15 * n), Trouble::Kill));
        let stops = (0..stops).map(move |n| {
            let at = Duration::from_secs(10 + 15 * count + 25 * n);
            (at, Trouble::Stop(Duration::from_secs(10)))
        });
        kills.chain(stops).collect::<Vec<_>>()
    };
    let outages = |broker_s: u64, database_s: u64| {
        vec![
            (Duration::from_secs(15), Trouble::BrokerAway(Duration::from_secs(broker_s))),
            (Duration::from_secs(35 + broker_s), Trouble::DatabaseAway(Duration::from_secs(database_s))),
        ]
    };
    let case = |name: &str, slack: Duration, troubles: Vec<(Duration, Trouble)>| {
        Case::real(name, Need::OwnServers, move |servers| {
            let _alone = servers.exclusive();
            play(servers, &troubles, slack, None).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let networked = |name: &str, slack: Duration, rounds: u64| {
        Case::real(name, Need::FurtherBroker, move |servers| {
            let _alone = servers.exclusive();
            let (troubles, least) = network_troubles(rounds);
            play(servers, &troubles, slack, Some(least)).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    vec![
        case("four_kills_and_a_stop_lose_nothing_and_put_nobody_falsely_offline", LOADED, kills(4, 1)),
        case("outages_of_broker_and_database_put_nobody_falsely_offline", LOADED, outages(25, 15)),
        case(
            "twenty_kills_and_five_stops_lose_nothing_and_put_nobody_falsely_offline",
            Duration::ZERO,
            kills(20, 5),
        )
        .long(),
        case(
            "two_minutes_without_broker_and_one_without_database_put_nobody_falsely_offline",
            Duration::ZERO,
            outages(120, 60),
        )
        .long(),
        networked("a_network_that_cuts_delays_and_loses_answers_loses_nothing", LOADED, 1),
        networked("a_network_that_does_so_for_minutes_loses_nothing", Duration::ZERO, 8).long(),
    ]
}

/// Every fault of the network, again and again, and what must have come of it at least.
fn network_troubles(rounds: u64) -> (Vec<(Duration, Trouble)>, Least) {
    let ms = Duration::from_millis;
    let briefly = [
        (1, Fault::Cut),
        (2, Fault::EndTwice(ms(300))),
        (4, Fault::EndTwice(ms(1_000))),
        (6, Fault::AnswersLost(3)),
        // Beyond what a request may take, and beyond what the transaction may.
        (7, Fault::LateEnd(ms(3_500))),
        (11, Fault::LateEnd(ms(6_000))),
        (18, Fault::Cut),
    ];
    let at_length = [
        (20, Fault::NoBroker(ms(1_500))),
        (24, Fault::NoDatabase(ms(2_000))),
        (28, Fault::EndTwice(ms(300))),
        (32, Fault::Slow(ms(2_000))),
        (36, Fault::NoBroker(ms(4_000))),
        (48, Fault::Cut),
    ];
    let mut troubles = Vec::new();
    for round in 0..rounds {
        let more = if rounds > 1 { &at_length[..] } else { &[] };
        troubles.extend(
            briefly
                .iter()
                .chain(more)
                .map(|(at, fault)| (Duration::from_secs(54 * round + at), Trouble::Network(*fault))),
        );
    }
    let least = Least { cut: 40 * rounds, late: 4 * rounds, answers_lost: rounds, restores: rounds };
    (troubles, least)
}

/// A disturbance as it happened.
#[derive(Debug, Clone, Copy)]
struct Disturbance {
    trouble: Trouble,
    from: Instant,
    to: Instant,
}

/// Where `least` is given the workers reach the servers through a network that may be hurt.
fn play(
    servers: &Servers,
    troubles: &[(Duration, Trouble)],
    slack: Duration,
    least: Option<Least>,
) -> Result<()> {
    const LEASES: &str = "[presence]\nlease = \"6s\"\n";
    let network = least.map(|_| Network::start(servers)).transpose()?;
    let mut deployment = match &network {
        None => Deployment::prepare(servers, "chaos", LEASES)?,
        Some(network) => {
            Deployment::prepare_behind(servers.kafka.address(), network.addresses(), "network", LEASES)?
        }
    };
    let mut pair = [deployment.start_worker()?, deployment.start_worker()?];
    for index in pair {
        deployment.wait_ready(index)?;
    }
    let last = troubles.last().map_or(Duration::ZERO, |(at, _)| *at);
    let leave = (Duration::from_secs(8), last + Duration::from_secs(12));
    let sizes = Sizes { steady: 1_500, leavers: 250, comers: 250, leave };
    let watch = Watch::start(&deployment.kafka)?;
    let crowd = Crowd::start(&deployment.kafka, sizes)?;
    let chat = Chat::start(&deployment.kafka)?;
    let start = Instant::now();
    let mut disturbances = Vec::new();
    for (turn, (at, trouble)) in troubles.iter().enumerate() {
        thread::sleep((start + *at).saturating_duration_since(Instant::now()));
        let from = Instant::now();
        match (trouble, &network) {
            (Trouble::Network(fault), Some(network)) => network.bring_about(*fault),
            _ => disturb(servers, &mut deployment, &mut pair[turn % 2], *trouble)?,
        }
        disturbances.push(Disturbance { trouble: *trouble, from, to: Instant::now() });
    }
    thread::sleep((start + leave.1).saturating_duration_since(Instant::now()));
    let said = chat.stop()?;
    thread::sleep((start + leave.1 + LEASE * 3 + SESSION_TIMEOUT).saturating_duration_since(Instant::now()));
    for index in pair {
        deployment.wait_ready(index)?;
    }
    timeline::settle(&deployment, &pair)?;
    let restores = network::restores(&deployment, &pair)?;
    let deeds = crowd.stop()?;
    // What the last beats brought about; then nobody is left to announce that the crowd is gone.
    thread::sleep(Duration::from_secs(2));
    for index in pair {
        deployment.workers[index].signal(Signal::TERM)?;
        let code = deployment.workers[index].wait(END_LIMIT)?;
        ensure!(code == Some(0), "a worker was asked to end and exited with {code:?}");
    }
    let transitions = deployment.transitions()?;
    let seen = watch.stop_after(transitions.len(), SEEN_WITHIN)?;
    judge(&deployment, transitions, &deeds, &seen, (&disturbances, slack))?;
    timeline::judge(&deployment, servers.cql.address(), &said)?;
    match (network, least) {
        (Some(network), Some(least)) => network.check(restores, least),
        _ => Ok(()),
    }
}

fn disturb(
    servers: &Servers,
    deployment: &mut Deployment,
    worker: &mut usize,
    trouble: Trouble,
) -> Result<()> {
    match trouble {
        Trouble::Kill => {
            deployment.workers[*worker].kill9()?;
            thread::sleep(RESTART_AFTER);
            *worker = deployment.start_worker()?;
        }
        Trouble::Stop(duration) => {
            deployment.workers[*worker].signal(Signal::STOP)?;
            thread::sleep(duration);
            deployment.workers[*worker].signal(Signal::CONT)?;
        }
        Trouble::BrokerAway(duration) => {
            servers.kafka.stop()?;
            thread::sleep(duration);
            servers.kafka.start()?;
        }
        Trouble::DatabaseAway(duration) => {
            servers.cql.stop()?;
            thread::sleep(duration);
            servers.cql.start()?;
        }
        Trouble::Network(fault) => bail!("there is no network to hurt: {fault:?}"),
    }
    Ok(())
}

fn judge(
    deployment: &Deployment,
    transitions: Vec<TransitionView>,
    deeds: &Deeds,
    seen: &[Seen],
    (disturbances, slack): (&[Disturbance], Duration),
) -> Result<()> {
    same_as_seen(&transitions, seen)?;
    let chains = chains(transitions)?;
    always_online(&chains, &deeds.steady)?;
    let probes: Vec<String> = deeds.probes.keys().cloned().collect();
    always_online(&chains, &probes)?;
    comers_came_and_went(&chains, &deeds.comers)?;
    let slowest = leavers_left(seen, deeds, disturbances, slack)?;
    let takeovers = takeovers(seen, deeds, disturbances);
    let clocks = lease_clocks(deployment)?;
    let of_heartbeats = |record: &TailRecord| {
        let topic = record.headers.iter().find(|header| header.name == dead_letter::TOPIC);
        topic.is_some_and(|header| header.value.as_deref() == Some(Topic::Heartbeats.name().as_bytes()))
    };
    let refused = deployment.committed(Topic::DeadLetters)?.into_iter().filter(of_heartbeats).count();
    ensure!(refused == 0, "{refused} dead letters of heartbeats");
    rows_agree(deployment, &chains)?;
    eprintln!(
        "{} records, {} transitions, {} users; takeovers {takeovers:?}; slowest leaver {slowest:?} after its last beat; \
         lease clocks {:?} to {:?} s",
        deeds.records,
        seen.len(),
        chains.len(),
        clocks.iter().min().map(|ms| ms / 1_000),
        clocks.iter().max().map(|ms| ms / 1_000),
    );
    let least = clocks.iter().min().copied().unwrap_or(0);
    ensure!(least >= 3 * LEASE.as_millis() as i64, "vacuous: a lease clock advanced by {least} ms only");
    for (at, takeover) in disturbances.iter().zip(&takeovers) {
        if at.trouble == Trouble::Kill {
            let limit = SESSION_TIMEOUT + TAKEOVER + slack;
            ensure!(*takeover <= limit, "a takeover took {takeover:?}, allowed are {limit:?}");
        }
    }
    Ok(())
}

/// What is there at the end is what was seen while it came.
fn same_as_seen(there: &[TransitionView], seen: &[Seen]) -> Result<()> {
    let live: BTreeSet<_> =
        seen.iter().map(|seen| (&seen.transition.user, seen.transition.version)).collect();
    ensure!(live.len() == seen.len(), "{} transitions were seen twice", seen.len() - live.len());
    let missed = there.iter().filter(|transition| !live.contains(&(&transition.user, transition.version)));
    let missed: Vec<_> = missed.collect();
    ensure!(
        missed.is_empty(),
        "{} of {} were not seen live, such as {:?}",
        missed.len(),
        there.len(),
        &missed[..missed.len().min(20)]
    );
    let mut versions = BTreeSet::new();
    for transition in there {
        let twice = !versions.insert((&transition.user, transition.version));
        ensure!(!twice, "published twice, one of {} surplus ones: {transition:?}", there.len() - live.len());
    }
    Ok(())
}

fn comers_came_and_went(chains: &BTreeMap<String, Vec<TransitionView>>, comers: &[String]) -> Result<()> {
    for user in comers {
        let chain = chains.get(user).with_context(|| format!("{user} was never announced"))?;
        ensure!(chain.len() > 3, "vacuous: {user} came and went {} times", chain.len());
    }
    Ok(())
}

/// Everybody who fell silent was announced offline once after its last beat, and in time; the slowest.
fn leavers_left(
    seen: &[Seen],
    deeds: &Deeds,
    disturbances: &[Disturbance],
    slack: Duration,
) -> Result<Duration> {
    let mut last: BTreeMap<&str, &Seen> = BTreeMap::new();
    for seen in seen {
        last.insert(&seen.transition.user, seen);
    }
    let mut slowest = Duration::ZERO;
    for (user, beat) in &deeds.leavers {
        let seen = last.get(user.as_str()).with_context(|| format!("{user} was never announced"))?;
        ensure!(seen.transition.to == Status::Offline, "{user} is online for ever: {:?}", seen.transition);
        let took = seen.at.saturating_duration_since(*beat);
        let allowed = LEASE + DETECTION + slack + unhealthy(*beat, seen.at, disturbances);
        ensure!(
            took <= allowed,
            "{user} was announced offline {took:?} after its last beat, allowed are {allowed:?}"
        );
        slowest = slowest.max(took);
    }
    Ok(slowest)
}

/// How much of the time between two moments no lease clock need have advanced.
fn unhealthy(from: Instant, to: Instant, disturbances: &[Disturbance]) -> Duration {
    let mut excused: Vec<_> = disturbances.iter().map(excuse).collect();
    excused.sort_unstable();
    let (mut sum, mut counted_until) = (Duration::ZERO, from);
    for (begun, ended) in excused {
        let until = ended.min(to);
        sum += until.saturating_duration_since(begun.max(counted_until));
        counted_until = counted_until.max(until);
    }
    sum
}

/// From when until when a disturbance may keep lease clocks from advancing.
fn excuse(Disturbance { trouble, from, to }: &Disturbance) -> (Instant, Instant) {
    let settled = match trouble {
        // Its session ends before others take over, and it comes back before it has ended or after.
        Trouble::Kill | Trouble::Stop(_) => (*from + SESSION_TIMEOUT).max(*to),
        // Members whose session ended meanwhile have to come back first.
        Trouble::BrokerAway(_) | Trouble::Network(_) => *to + SESSION_TIMEOUT,
        Trouble::DatabaseAway(_) => *to + RECONNECT,
    };
    (*from, settled + TAKEOVER)
}

/// For every disturbance, how long a new user waited at most until it was announced.
fn takeovers(seen: &[Seen], deeds: &Deeds, disturbances: &[Disturbance]) -> Vec<Duration> {
    // Later ones say that it is idle.
    let first = seen.iter().filter(|seen| seen.transition.version == 1);
    let announced: BTreeMap<&str, Instant> =
        first.map(|seen| (seen.transition.user.as_str(), seen.at)).collect();
    let waits = |Disturbance { from, to, .. }: &Disturbance| {
        let after = deeds.probes.iter().filter(|(_, beat)| (*from..*to + SESSION_TIMEOUT).contains(*beat));
        let waits = after
            .filter_map(|(user, beat)| Some(announced.get(user.as_str())?.saturating_duration_since(*beat)));
        waits.max().unwrap_or_default()
    };
    disturbances.iter().map(waits).collect()
}

/// Every partition's lease clock, from the beacons alone.
fn lease_clocks(deployment: &Deployment) -> Result<Vec<i64>> {
    let partitions = Topology::shipped().partitions(Topic::Heartbeats) as usize;
    let mut clocks = vec![0; partitions];
    let mut last: BTreeMap<u32, (String, i64, i64)> = BTreeMap::new();
    for record in deployment.committed(Topic::Heartbeats)? {
        let Ok(Input::Beacon(beacon)) = decode(record.value.as_deref()) else { continue };
        if beacon.group != deployment.group {
            continue;
        }
        let now = (beacon.incarnation.to_string(), beacon.elapsed_ms, record.time_ms);
        if let Some(before) = last.insert(record.partition, now.clone())
            && before.0 == now.0
        {
            let step = (now.1 - before.1).min(now.2 - before.2);
            clocks[record.partition as usize] += step.clamp(0, BEACON_STEP_MS_MAX);
        }
    }
    Ok(clocks)
}

/// What readers see is what the last transition says.
fn rows_agree(deployment: &Deployment, chains: &BTreeMap<String, Vec<TransitionView>>) -> Result<()> {
    let users: Vec<&str> = chains.keys().map(String::as_str).collect();
    for users in users.chunks(500) {
        let answer = deployment.succeed(&[&["presence", "--json"], users].concat())?;
        let answer: serde_json::Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        for (user, row) in users.iter().zip(answer["users"].as_array().into_iter().flatten()) {
            let last = chains[*user].last().context("a chain has transitions")?;
            let (status, version) = (row["status"].as_str(), row["version"].as_u64());
            ensure!(
                (status, version) == (Some(last.to.name()), Some(last.version)),
                "{user}: the row says {row}, the last transition {last:?}"
            );
        }
    }
    Ok(())
}
