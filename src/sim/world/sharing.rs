//! Somebody uses a member's name, too, again and again. Each would fence the other for ever, so the member
//! exits and says so.

use super::{Violation, World, machine::producer_name};
use crate::topology::ProcessorKind;

/// Between two uses of the name: by then the member has a new producer and has noticed that it is fenced.
const PAUSE_MS: u64 = 10_000;
const TIMES: usize = 3;

impl World {
    /// Nothing else is wrong meanwhile.
    pub(super) fn share_a_name(&mut self) -> Result<(), Violation> {
        let index = self.endings.usize(0..self.machines.len());
        // Presence commits without clients: beacons are enough.
        let member = &self.machines[index].members[ProcessorKind::Presence as usize];
        let (pod, engine) = (member.pod, member.engine.as_ref());
        let owns = engine.is_some_and(|engine| !engine.status().partitions.is_empty());
        let (name, lives) = (producer_name(&self.plan, ProcessorKind::Presence, pod, 0), self.lives);
        for _ in 0..TIMES {
            while !self.network.fence(&name) {
                self.advance(false)?;
            }
            let end_ms = self.network.now_ms() + PAUSE_MS;
            while self.network.now_ms() < end_ms {
                self.advance(false)?;
            }
        }
        match owns && self.lives == lives {
            true => Err(self.violation(format!("'{name}' was used by others {TIMES} times and is endured"))),
            false => Ok(()),
        }
    }
}
