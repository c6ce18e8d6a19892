//! From a send until a recipient's `sync` shows it: alone, and while a message goes to 100,000 members.

use std::{
    collections::VecDeque,
    sync::mpsc::{self, Receiver, Sender as Queue, TryRecvError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};

use crate::{
    chat::{Chat, SENDS},
    hops::Hops,
    http::Http,
    load::{Sender, paced_while},
    proc, product,
    real::deployment::Deployment,
    suite::Suite,
    table::quantile,
    warmth::{Round, Rounds, WarmUp},
};

const SENDS_PER_S: f64 = 500.0;
/// Groups of 20, each of which gets a message every two seconds.
const GROUPS: u64 = 1_000;
const MEMBERS: u64 = 20;
/// One send in so many is looked for: asking is five reads, of which one reader does some hundred a second.
const LOOKED_FOR: u64 = 20;
const SECONDS: f64 = 15.0;
const WARM_UP_S: u64 = 2;
/// Messages to every group in a round of the warm-up.
const WAVES: u64 = 10;
/// A pause after a look that did not find it.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(60);
/// Until what was just sent is on its way to the store.
const SETTLE: Duration = Duration::from_secs(3);
const CROWD: u64 = 100_000;
/// Messages to the crowd in a round, one after the other.
const CROWD_MESSAGES: u64 = 3;
/// Conversations that nobody has heard of.
const ACTIVE: u64 = 100_000;

/// A worker of the timeline, the groups that chat on it, and how many messages each has had.
struct World {
    deployment: Deployment,
    worker: usize,
    sender: Sender,
    chat: Chat,
    sent: u64,
}

impl World {
    fn new(suite: &Suite, name: &str) -> Result<Self> {
        let mut deployment = suite.deployment(name, "")?;
        let (worker, _) = product::start_timeline(&mut deployment)?;
        let sender = Sender::new(&deployment.kafka, 1)?;
        let chat = Chat::new("chat", GROUPS, MEMBERS);
        chat.join(&sender)?;
        let mut world = Self { deployment, worker, sender, chat, sent: 0 };
        world.settle()?;
        world.warm_up(suite)?;
        Ok(world)
    }

    /// A message to every group, and all of it stored, again and again.
    fn warm_up(&mut self, suite: &Suite) -> Result<()> {
        let mut warm_up = WarmUp::new(suite)?;
        while !warm_up.is_over()? {
            for _ in 0..suite.scaled(WAVES, 1) {
                self.wave()?;
            }
        }
        Ok(())
    }

    fn wave(&mut self) -> Result<()> {
        for group in 0..self.chat.groups {
            self.chat.send(&self.sender, SENDS, group, self.sent + group)?;
        }
        self.sent += self.chat.groups;
        self.sender.flush()?;
        let wave = self.sent / self.chat.groups;
        Http::connect(self.address())?.wait_for_head(&self.chat.member(0, 0), wave)?;
        product::wait_stored(self.address())
    }

    /// Waits until nothing is under way that is not measured.
    fn settle(&self) -> Result<()> {
        thread::sleep(SETTLE);
        product::wait_stored(self.address())
    }

    fn address(&self) -> &str {
        &self.deployment.workers[self.worker].address
    }

    /// Sends at the standard pace for as long as `goes_on` says so, which is told how many there were; the
    /// milliseconds until each was readable whose sending was after `from`.
    fn measure(&mut self, from: Duration, goes_on: impl Fn(u64) -> bool) -> Result<Vec<f64>> {
        let looking = Looking::start(self.address())?;
        let begun = Instant::now();
        let first = self.sent;
        paced_while(SENDS_PER_S, goes_on, |at| {
            let number = first + at;
            let (group, round) = (number % self.chat.groups, number / self.chat.groups);
            let looked_for = number.is_multiple_of(LOOKED_FOR) && begun.elapsed() >= from;
            if looked_for {
                // Every message of its group is one entry of this member's.
                looking.look_for(self.chat.member(group, 0), round + 1);
            }
            self.sent += 1;
            self.chat.send(&self.sender, SENDS, group, number)
        })?;
        self.sender.flush()?;
        looking.end()
    }
}

/// A send whose arrival is waited for.
struct Wanted {
    path: String,
    seq: u64,
    sent: Instant,
}

/// A reader that asks the inbox of the oldest send that it has not seen yet, until it shows it. The others
/// wait for their turn, so that a time may be told longer than it was, never shorter; asking for all of them
/// again and again would keep the database busy with reads.
struct Looking {
    queue: Queue<Wanted>,
    thread: JoinHandle<Result<Vec<f64>>>,
}

impl Looking {
    fn start(address: &str) -> Result<Self> {
        let (queue, wanted) = mpsc::channel();
        let http = Http::connect(address)?;
        let thread = thread::spawn(move || look(http, &wanted));
        Ok(Self { queue, thread })
    }

    fn look_for(&self, member: String, seq: u64) {
        let path = format!("/v1/sync/{member}?after={}&count=1", seq - 1);
        // If nobody looks any more, the thread's end says why.
        let _ = self.queue.send(Wanted { path, seq, sent: Instant::now() });
    }

    fn end(self) -> Result<Vec<f64>> {
        drop(self.queue);
        self.thread.join().map_err(|_| anyhow!("the looking thread panicked"))?
    }
}

fn look(mut http: Http, wanted: &Receiver<Wanted>) -> Result<Vec<f64>> {
    let (mut open, mut times) = (VecDeque::<Wanted>::new(), Vec::new());
    loop {
        loop {
            match wanted.try_recv() {
                Ok(wanted) => open.push_back(wanted),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if open.is_empty() => return Ok(times),
                Err(TryRecvError::Disconnected) => break,
            }
        }
        let Some(oldest) = open.front() else {
            thread::sleep(LOOK_EVERY);
            continue;
        };
        let page = http.json(&oldest.path)?;
        let entry = page["entries"].get(0).and_then(|entry| entry["seq"].as_u64());
        if entry == Some(oldest.seq) {
            times.push(oldest.sent.elapsed().as_secs_f64() * 1e3);
            open.pop_front();
        } else {
            ensure!(oldest.sent.elapsed() < LIMIT, "{} never shows {}: {page}", oldest.path, oldest.seq);
            thread::sleep(LOOK_EVERY);
        }
    }
}

pub fn run(suite: &Suite) -> Result<()> {
    let mut world = World::new(suite, "sends")?;
    let seconds = suite.scaled(SECONDS as u64, 4) as f64;
    let (count, warm_up) =
        ((seconds * SENDS_PER_S) as u64, Duration::from_secs(WARM_UP_S.min(seconds as u64 / 2)));
    if suite.wants("send_to_readable_p99_vs_echo") {
        let servers = suite.servers()?;
        let hops = Hops::start(&world.deployment.kafka, servers.cql.address(), &world.deployment.keyspace)?;
        let (mut p99, mut p50) = (Vec::new(), Vec::new());
        for round in Rounds::new(suite)? {
            let Round { number: round, counted } = round?;
            let mut bare = hops.measure(&world.sender, SENDS_PER_S, count, warm_up)?;
            let mut worker = world.measure(warm_up, |sent| sent < count)?;
            let [worker_50, worker_99] = [0.5, 0.99].map(|share| quantile(&mut worker, share));
            let [bare_50, bare_99] = [0.5, 0.99].map(|share| quantile(&mut bare, share));
            eprintln!(
                "  round {round}: worker p50 {worker_50:.1} p99 {worker_99:.1} ms ({}), hops {bare_50:.1} \
                 {bare_99:.1} ({})",
                worker.len(),
                bare.len()
            );
            if counted.is_some() {
                p99.push((worker_99, bare_99));
                p50.push(worker_50 / bare_50);
            }
        }
        hops.stop()?;
        suite
            .note(format!("send_to_readable: at the median {:.2} times the hops", crate::table::median(p50)));
        suite.record("send_to_readable_p99_vs_echo", p99)?;
    }
    if suite.wants("fairness") {
        fairness(suite, &mut world, count, warm_up)?;
    }
    let (deployment, worker) = (&mut world.deployment, world.worker);
    active(suite, deployment, worker, &world.sender)?;
    product::stop(deployment, worker)
}

/// What a conversation takes in memory that had one message, with what its two members' inboxes take.
fn active(suite: &Suite, deployment: &Deployment, worker: usize, sender: &Sender) -> Result<()> {
    let pid = deployment.workers[worker].pid();
    let chat = Chat::new("active", suite.scaled(ACTIVE, 5_000), 2);
    let before = proc::rss_bytes(pid)?;
    chat.join(sender)?;
    for group in 0..chat.groups {
        chat.send(sender, SENDS, group, 0)?;
    }
    sender.flush()?;
    let mut http = Http::connect(&deployment.workers[worker].address)?;
    let last = (chat.groups - 8..chat.groups).map(|group| chat.member(group, 1));
    for member in last {
        http.wait_for_head(&member, 1)?;
    }
    let bytes = proc::rss_bytes(pid)?.saturating_sub(before) as f64 / chat.groups as f64;
    suite.note(format!(
        "memory of an active conversation of two: {bytes:.0} bytes of the worker, its members' inboxes \
         included ({} of them, resident memory after / before)",
        chat.groups
    ));
    Ok(())
}

fn fairness(suite: &Suite, world: &mut World, count: u64, warm_up: Duration) -> Result<()> {
    let crowd = Chat::new("crowd", 1, suite.scaled(CROWD, 10_000));
    crowd.join(&world.sender)?;
    crowd.send(&world.sender, SENDS, 0, 0)?;
    world.sender.flush()?;
    let mut http = Http::connect(world.address())?;
    let last = |http: &mut Http, seq| {
        (0..crowd.size)
            .step_by(crowd.size as usize / 50)
            .try_for_each(|at| http.wait_for_head(&crowd.member(0, at), seq))
    };
    last(&mut http, 1)?;
    world.settle()?;
    let (mut seq, mut rounds) = (1, Vec::new());
    for round in 0..suite.rounds() {
        let mut alone = world.measure(warm_up, |sent| sent < count)?;
        let mut beside = Vec::new();
        let mut fanned = 0.0;
        for _ in 0..CROWD_MESSAGES {
            let begun = Instant::now();
            crowd.send(&world.sender, SENDS, 0, seq)?;
            seq += 1;
            // The others' sends begin with the fan-out; those are looked at that were sent until its end.
            let address = world.address().to_owned();
            let members: Vec<String> =
                (0..crowd.size).step_by(crowd.size as usize / 50).map(|at| crowd.member(0, at)).collect();
            let wanted = seq;
            let fan_out = thread::spawn(move || -> Result<Duration> {
                let mut http = Http::connect(&address)?;
                members.iter().try_for_each(|member| http.wait_for_head(member, wanted))?;
                Ok(begun.elapsed())
            });
            beside.extend(world.measure(Duration::ZERO, |_| !fan_out.is_finished())?);
            let took = fan_out.join().map_err(|_| anyhow!("the waiting thread panicked"))??;
            fanned += took.as_secs_f64() / CROWD_MESSAGES as f64;
        }
        let [alone_99, beside_99] = [&mut alone, &mut beside].map(|times| quantile(times, 0.99));
        eprintln!(
            "  round {round}: alone p99 {alone_99:.1} ms ({}), beside {beside_99:.1} ms ({}); fanned out in \
             {fanned:.2} s",
            alone.len(),
            beside.len()
        );
        rounds.push((beside_99, alone_99));
    }
    suite.record("fairness", rounds)
}
