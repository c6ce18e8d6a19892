//! What a seed draws: the size of the deployment, its traffic, and the subset of faults that strike it.

use std::sync::Arc;

use fastrand::Rng;

use crate::{
    engine::Pace,
    limits::{LARGE_GROUP_RECIPIENTS, STATE_BYTES_MAX},
    record::beacon::Parameters,
    sim::{Fault, Settings, coverage::calls::CallKind, step::Aim},
    topology::Topology,
};

mod aims;

/// What happens to machines and servers now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disaster {
    Crash,
    Pause,
    Rebalance,
    ExpireSession,
    Outage,
    StallStore,
    JumpClock,
    /// The broker's clock goes forward by a day or more: inbox windows roll, ids may be used again.
    LeapDays,
    /// The wall clock of a machine.
    JumpPodClock,
    /// The producers are cut off.
    Silence,
    /// Somebody opens a producer under a member's name.
    Fence,
    /// A machine is shut down in order, and started anew: an upgrade.
    Retire,
}

/// Of a hundred deployments so many are small.
const SMALL_PERCENT: u32 = 88;
/// Users of a deployment that is not one of the large ones.
const USERS_USUAL_MAX: u32 = 100;
/// So many that their faulty time is a short one: a step of theirs takes as long as a hundred of others.
const USERS_MAX: u32 = 5_000;
/// One way between a pod and the store where users choose their status while they are not there: so long that
/// the row of one choice is not in the store yet when the next one is made.
const ABSENT_STORE_MS: u64 = 300;

impl Disaster {
    pub const ALL: [Self; 12] = [
        Self::Crash,
        Self::Pause,
        Self::Rebalance,
        Self::ExpireSession,
        Self::Outage,
        Self::StallStore,
        Self::JumpClock,
        Self::LeapDays,
        Self::JumpPodClock,
        Self::Silence,
        Self::Fence,
        Self::Retire,
    ];
}

/// The traffic of conversations.
#[derive(Debug, Clone)]
pub struct ChatPlan {
    pub groups: u32,
    pub directs: u32,
    /// Those who talk and listen; the users who send heartbeats are among them.
    pub users: u32,
    /// Members that a group has from its first change on.
    pub members: u32,
    /// Between two records of all clients together.
    pub pause_ms: u64,
    /// Of a thousand messages, how many have a body that an inbox entry does not carry itself, and how many
    /// come as a burst of bodies that fills a record of deliveries.
    pub large_per_mille: u32,
    pub bursts_per_mille: u32,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// From which the network draws how long things take.
    pub delays: u64,
    pub topology: Arc<Topology>,
    pub machines: usize,
    pub users: u32,
    /// Between two beats of a session.
    pub beat_ms: u64,
    pub chat: ChatPlan,
    pub parameters: Parameters,
    pub pace: Pace,
    /// One way between a pod and the store takes up to this.
    pub store_ms: u64,
    /// Every second pod is configured anew, with a lease longer by this: the parameters change with owners.
    pub longer_lease_ms: i64,
    /// What an engine of the timeline keeps in memory; little, so that keys leave it and are read again.
    pub state_bytes_max: usize,
    /// Recipients of one message in a partition above which others overtake them.
    pub large_group: usize,
    pub stable_names: bool,
    /// How long a transaction may stay open before the broker aborts it.
    pub transaction_ms: u64,
    /// How long a rebalance waits for those who have not joined it yet.
    pub rebalance_ms: u64,
    /// How long faults strike.
    pub faulty_ms: u64,
    /// The longest time between two disasters.
    pub disaster_ms: u64,
    pub disasters: Vec<Disaster>,
    pub rates: Vec<(Fault, u32)>,
    /// Which faults are to meet pods at which steps.
    pub aims: Vec<Aim>,
    /// Which faults of calls are to strike which kinds of them.
    pub call_aims: Vec<(Fault, CallKind)>,
    /// Of a thousand records, how many are garbage, misplaced or repeated.
    pub oddities_per_mille: u32,
    /// Users choose their status also while they are not there, mostly several times in a row.
    pub absent_choices: bool,
    /// Some clients write a later version of the formats, and so does one machine's worker.
    pub newer_clients: bool,
    pub newer_machine: Option<usize>,
    /// All sessions are over at the end; otherwise they live.
    pub ends_sessions: bool,
    /// At the end somebody meddles with offsets and logs.
    pub meddles: bool,
}

fn topology(random: &mut Rng) -> Arc<Topology> {
    let partitions = *random.choice(&[1, 2, 3, 4, 4, 8, 16]).unwrap_or(&1);
    Arc::new(Topology::uniform(partitions, partitions * random.u32(1..=3)))
}

/// Few recipients are many in every second run.
fn large_group(seed: u64) -> usize {
    if seed.is_multiple_of(2) { 1 + (seed / 2 % 6) as usize } else { LARGE_GROUP_RECIPIENTS }
}

impl Plan {
    /// Draws a plan.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed);
        let topology = topology(&mut random);
        let disasters = Disaster::ALL.into_iter().filter(|_| some(&mut random, 50)).collect();
        let rates = Fault::ALL
            .into_iter()
            .filter(|fault| fault.strikes_calls())
            .map(|fault| (fault, if some(&mut random, 40) { random.u32(50..5_000) } else { 0 }))
            .map(|(fault, rate)| (fault, by_occasions(fault, rate)))
            .collect();
        let mut plan = Self {
            seed,
            delays: seed,
            topology,
            machines: random.usize(1..=5),
            users: *random.choice(&[1, 5, 5, 30, 100]).unwrap_or(&1),
            beat_ms: random.u64(1_000..4_000),
            chat: ChatPlan::draw(&mut random),
            parameters: Parameters {
                lease_ms: random.i64(5..=15) * 1_000,
                away_after_ms: random.i64(4..=20) * 1_000,
                busy_for_ms: random.i64(5..=30) * 1_000,
                brake: some(&mut random, 70),
                dwell_ms: if some(&mut random, 30) { random.i64(1_000..8_000) } else { 0 },
                ..Parameters::VERSION_1
            },
            pace: Pace { checkpoint_round_ms: random.i64(500..10_000), ..Pace::default() },
            store_ms: 8,
            longer_lease_ms: 0,
            state_bytes_max: if random.bool() { random.usize(0..20_000) } else { STATE_BYTES_MAX },
            large_group: large_group(seed),
            stable_names: random.bool(),
            transaction_ms: Settings::default().transaction_ms,
            rebalance_ms: Settings::default().rebalance_ms,
            faulty_ms: random.u64(40_000..120_000),
            disaster_ms: random.u64(4_000..30_000),
            disasters,
            rates,
            aims: aims::aims_of(seed),
            call_aims: aims::call_aims_of(seed),
            oddities_per_mille: if some(&mut random, 50) { random.u32(1..100) } else { 0 },
            // Not drawn, so that all other runs stay as they were; no seed that a test names is among these.
            absent_choices: matches!(seed % 16, 0 | 7 | 14),
            newer_clients: some(&mut random, 30),
            newer_machine: if some(&mut random, 30) { Some(random.usize(0..2)) } else { None },
            ends_sessions: seed.is_multiple_of(2),
            meddles: seed.is_multiple_of(4),
        };
        plan.vary(&mut random);
        if !plan.rates.is_empty() {
            plan.pursue();
        }
        plan
    }

    /// What makes one run unlike most others.
    fn vary(&mut self, random: &mut Rng) {
        if some(random, 20) {
            self.be_patient(random);
        } else if random.u32(0..200) == 0 {
            self.be_large(random);
        }
        if some(random, 30) {
            // A store so slow that several batches are under way, in which little may wait.
            self.store_ms = random.u64(100..2_000);
            self.pace.unstored_bytes_max = random.usize(1_000..100_000);
        }
        if self.absent_choices {
            self.store_ms = self.store_ms.max(ABSENT_STORE_MS);
        }
        if some(random, 40) {
            self.longer_lease_ms = random.i64(1..10) * 1_000;
        }
        if some(random, 20) {
            self.be_narrow(random);
        }
        if self.users <= USERS_USUAL_MAX && some(random, SMALL_PERCENT) {
            self.be_small(random);
        }
    }

    /// Few machines and users, for a short time in which as much befalls them: more of these fit into the
    /// same time than of the others.
    fn be_small(&mut self, random: &mut Rng) {
        self.machines = self.machines.min(*random.choice(&[1, 1, 2, 2, 3]).unwrap_or(&2));
        self.users = *random.choice(&[1, 2, 3, 5, 8, 30]).unwrap_or(&1);
        self.chat.pause_ms = self.chat.pause_ms.max(*random.choice(&[150, 300, 500, 1_000]).unwrap_or(&500));
        self.faulty_ms = random.u64(15_000..35_000);
        self.disaster_ms = random.u64(3_000..10_000);
        self.rates.iter_mut().for_each(|(_, rate)| *rate *= 2);
    }

    /// Many users who beat as seldom as they do for real.
    fn be_large(&mut self, random: &mut Rng) {
        self.users = *random.choice(&[300, 300, 300, 1_000, USERS_MAX]).unwrap_or(&300);
        self.beat_ms = random.u64(20_000..30_000);
        self.parameters.lease_ms = random.i64(60..=90) * 1_000;
        if self.users == USERS_MAX {
            self.faulty_ms = self.faulty_ms.min(40_000);
        }
    }

    /// Bounds so narrow that a burst of messages reaches them.
    fn be_narrow(&mut self, random: &mut Rng) {
        self.pace.unfolded_bytes_max = random.usize(2_000..60_000);
        self.pace.transaction_bytes_max = random.usize(50_000..400_000);
        self.chat.bursts_per_mille = 5;
    }

    /// The same deployment, to which nothing happens by itself.
    #[must_use]
    pub fn without_events(mut self) -> Self {
        self.disasters.clear();
        self.rates.clear();
        self.aims.clear();
        self.call_aims.clear();
        self.oddities_per_mille = 0;
        self
    }

    /// A broker that keeps transactions open for longer than the run: what a dead pod left open must be
    /// fenced by its name. Pods die and come under new names, and nothing else is wrong with the log: a call
    /// that arrives after its sender's death could open a transaction that nobody looks for.
    fn be_patient(&mut self, random: &mut Rng) {
        self.transaction_ms = 3_600_000;
        self.machines = random.usize(2..=4);
        self.stable_names = false;
        self.disasters = vec![Disaster::Crash, Disaster::Crash, Disaster::Rebalance];
        self.disaster_ms = random.u64(3_000..8_000);
        self.rates.clear();
        self.aims.clear();
        self.call_aims.clear();
    }
}

/// Whether something is so that is so in so many of a hundred plans.
fn some(random: &mut Rng, percent: u32) -> bool {
    random.u32(0..100) < percent
}

/// A fault whose occasions are few strikes more of them, and one that costs much strikes fewer.
fn by_occasions(fault: Fault, rate: u32) -> u32 {
    match fault {
        Fault::StaleChunk => 40 * rate,
        Fault::CrashBetweenOutputs | Fault::UnknownError => rate / 20,
        Fault::RangeRefused => rate / 4,
        _ => rate,
    }
}

impl ChatPlan {
    fn draw(random: &mut Rng) -> Self {
        let usual = Self {
            groups: random.u32(1..=9),
            directs: random.u32(0..=3),
            users: random.u32(1..=40),
            members: random.u32(0..=30),
            pause_ms: *random.choice(&[50, 150, 500, 2_000]).unwrap_or(&500),
            large_per_mille: if random.bool() { random.u32(0..60) } else { 0 },
            bursts_per_mille: if random.u32(0..8) == 0 { 5 } else { 0 },
        };
        match random.u32(0..24) {
            // A conversation that goes through several blocks of numbers.
            0 => Self { groups: 1, directs: 0, users: 3, members: 2, pause_ms: 20, ..usual },
            // One with more members than a page of rows.
            1 => Self { groups: 1, directs: 1, users: 1_100, members: 1_080, pause_ms: 4_000, ..usual },
            _ => usual,
        }
    }
}
