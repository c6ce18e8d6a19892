//! The producers of a great many sessions: gateways that send the beats of their users in batches, every
//! half a minute.

use std::{cmp::Reverse, collections::BinaryHeap};

use bytes::Bytes;

use crate::{
    record::heartbeats::{Beat, Input, encode},
    sim::{Network, log::partition::Content},
    topology::{Topic, Topology},
};

/// Sessions of one gateway's batch.
const BATCH: usize = 500;
/// Between two beats of a session: a third of the default lease.
const BEAT_MS: u64 = 30_000;

pub(super) struct Gateways {
    batches: Vec<Batch>,
    /// When each is due.
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    silent_until_ms: u64,
    beats: u64,
    /// When somebody is to look at what came of it.
    look_ms: u64,
}

struct Batch {
    partition: u32,
    users: Vec<u32>,
    counter: i64,
}

impl Gateways {
    /// Sessions that come one batch after the other within `arrival_ms`.
    pub fn new(topology: &Topology, sessions: u32, arrival_ms: u64) -> Self {
        let mut by_partition = vec![Vec::new(); topology.partitions(Topic::Heartbeats) as usize];
        for user in 0..sessions {
            let partition = topology.place(Topic::Heartbeats, name(user).as_bytes());
            by_partition[partition as usize].push(user);
        }
        let of_partition = |(partition, users): (u32, Vec<u32>)| {
            let batches: Vec<_> = users.chunks(BATCH).map(<[u32]>::to_vec).collect();
            batches.into_iter().map(move |users| Batch { partition, users, counter: 0 })
        };
        let batches: Vec<_> = (0..).zip(by_partition).flat_map(of_partition).collect();
        // Neighbours of a batch are of one partition: a stride spreads them over the time.
        let due_ms = |index: u64| (index * 7_919 % batches.len() as u64) * arrival_ms / batches.len() as u64;
        let queue =
            (0..batches.len() as u32).map(|index| Reverse((due_ms(u64::from(index)), index))).collect();
        Self { batches, queue, silent_until_ms: 0, beats: 0, look_ms: 0 }
    }

    pub fn next_ms(&self) -> u64 {
        self.queue.peek().map_or(u64::MAX, |Reverse((at_ms, _))| *at_ms)
    }

    /// Beats that the log took.
    pub fn beats(&self) -> u64 {
        self.beats
    }

    pub fn fall_silent(&mut self, until_ms: u64) {
        self.silent_until_ms = until_ms;
    }

    /// Sends what is due; whether a second has passed since this was last said.
    pub fn act(&mut self, network: &mut Network) -> bool {
        let now_ms = network.now_ms();
        while let Some(Reverse((at_ms, index))) = self.queue.peek().copied()
            && at_ms <= now_ms
        {
            self.queue.pop();
            self.queue.push(Reverse((at_ms + BEAT_MS, index)));
            if now_ms < self.silent_until_ms {
                continue;
            }
            let batch = &mut self.batches[index as usize];
            batch.counter += 1;
            let content = Content { value: Some(batch.value()), ..Content::default() };
            if network.append(Topic::Heartbeats, batch.partition, content).is_some() {
                self.beats += batch.users.len() as u64;
            }
        }
        let is_due = self.look_ms <= now_ms;
        if is_due {
            self.look_ms = now_ms + 1_000;
        }
        is_due
    }
}

impl Batch {
    fn value(&self) -> Bytes {
        let beat = |(number, user): (u32, &u32)| (number, Beat::new(name(*user), "s-1", 0, self.counter));
        let beats = (0..).zip(&self.users).map(beat).collect();
        encode(&Input::Heartbeats { beats, refused: Vec::new() }).into()
    }
}

fn name(user: u32) -> String {
    format!("user-{user:07}")
}
