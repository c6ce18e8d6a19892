//! What a seed draws: the size of the deployment, its traffic, and the subset of faults that strike it.

use std::sync::Arc;

use fastrand::Rng;

use crate::{record::beacon::Parameters, sim::Fault, topology::Topology};

/// What happens to pods and servers now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disaster {
    Crash,
    Pause,
    Rebalance,
    ExpireSession,
    Outage,
    StallStore,
    JumpClock,
    /// The producers of heartbeats are cut off.
    Silence,
    /// Somebody opens a producer under a pod's name.
    Fence,
}

impl Disaster {
    pub const ALL: [Self; 9] = [
        Self::Crash,
        Self::Pause,
        Self::Rebalance,
        Self::ExpireSession,
        Self::Outage,
        Self::StallStore,
        Self::JumpClock,
        Self::Silence,
        Self::Fence,
    ];
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub topology: Arc<Topology>,
    pub pods: usize,
    pub users: u32,
    /// Between two beats of a session.
    pub beat_ms: u64,
    pub parameters: Parameters,
    pub checkpoint_round_ms: i64,
    pub stable_names: bool,
    /// How long faults strike.
    pub faulty_ms: u64,
    /// The longest time between two disasters.
    pub disaster_ms: u64,
    pub disasters: Vec<Disaster>,
    pub rates: Vec<(Fault, u32)>,
    /// Of a thousand records, how many are garbage, misplaced or repeated.
    pub oddities_per_mille: u32,
}

impl Plan {
    /// Draws a plan.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed);
        let partitions = *random.choice(&[1, 2, 3, 4, 8]).unwrap_or(&1);
        let buckets = partitions * random.u32(1..=3);
        let some = |random: &mut Rng, share: u32| random.u32(0..100) < share;
        let disasters = Disaster::ALL.into_iter().filter(|_| some(&mut random, 50)).collect();
        let rates = Fault::ALL
            .into_iter()
            .filter(|fault| fault.strikes_calls())
            .map(|fault| (fault, if some(&mut random, 40) { random.u32(50..5_000) } else { 0 }))
            .collect();
        Self {
            seed,
            topology: Arc::new(Topology::uniform(partitions, buckets)),
            pods: random.usize(1..=4),
            users: *random.choice(&[1, 5, 30, 100]).unwrap_or(&1),
            beat_ms: random.u64(1_000..4_000),
            parameters: Parameters {
                lease_ms: random.i64(5..=15) * 1_000,
                away_after_ms: random.i64(4..=20) * 1_000,
                busy_for_ms: random.i64(5..=30) * 1_000,
                brake: some(&mut random, 70),
                dwell_ms: if some(&mut random, 30) { random.i64(1_000..8_000) } else { 0 },
                ..Parameters::VERSION_1
            },
            checkpoint_round_ms: random.i64(500..10_000),
            stable_names: random.bool(),
            faulty_ms: random.u64(40_000..120_000),
            disaster_ms: random.u64(4_000..30_000),
            disasters,
            rates,
            oddities_per_mille: if some(&mut random, 50) { random.u32(1..100) } else { 0 },
        }
    }
}
