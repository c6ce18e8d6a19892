//! Somebody puts the groups' offsets back to what they were before. Nobody may go on from there: the rows of
//! `progress` know better.

use super::{Violation, World, machine::Machine};
use crate::{
    engine::Phase,
    log::{Committed, PartitionId},
    table::progress::{PROGRESS_ENTRY, ProgressRow, progress_query},
    topology::ProcessorKind,
};

/// By then everybody has looked at what is there.
const LOOK_MS: u64 = 30_000;

pub(super) type Offsets = Vec<(ProcessorKind, PartitionId, Committed)>;

impl World {
    /// The offsets of all groups.
    pub(super) fn offsets(&self) -> Offsets {
        let mut offsets = Offsets::new();
        for kind in ProcessorKind::ALL {
            let group = self.network.broker().group_state(self.groups.of(kind));
            for partition in 0..self.plan.topology.partitions(kind.input()) {
                let committed = group.offset(partition).cloned();
                offsets.extend(committed.map(|committed| (kind, partition, committed)));
            }
        }
        offsets
    }

    /// Puts back what lies below the stored position, and sees that exactly that is halted.
    pub(super) fn put_back(&mut self, former: Offsets) -> Result<(), Violation> {
        let mut put_back = Vec::new();
        for (kind, partition, committed) in former {
            let query = progress_query(kind.input(), partition, &[PROGRESS_ENTRY]);
            let rows = self.network.store().read(self.network.now_ms(), &query);
            let stored = ProgressRow::find(&rows, PROGRESS_ENTRY).map_or(0, |row| row.stored);
            if committed.offset < stored {
                let group = self.groups.of(kind);
                self.network.with_broker(|broker, _| {
                    broker.group_state_mut(group).set_offset(partition, Some(committed));
                });
                put_back.push((kind, partition));
            }
        }
        for machine in &mut self.machines {
            // Nobody must commit over it, so that everybody begins anew.
            self.restores += machine.end(&mut self.network, crate::sim::Network::crash);
            machine.start_at_ms = Some(self.network.now_ms() + 1_000);
        }
        let end_ms = self.network.now_ms() + LOOK_MS;
        while self.network.now_ms() < end_ms {
            self.advance(false)?;
        }
        for (kind, partition) in put_back {
            let phases = self.machines.iter().flat_map(|machine| phases(machine, kind, partition));
            let phases: Vec<_> = phases.collect();
            if phases != [Phase::Halted] {
                let what = format!("{kind}/{partition}: its offset was put back, and it is {phases:?}");
                return Err(self.violation(what));
            }
        }
        Ok(())
    }
}

fn phases(machine: &Machine, kind: ProcessorKind, partition: PartitionId) -> Vec<Phase> {
    let members = machine.members.iter().filter(|member| member.kind == kind);
    let statuses = members.filter_map(|member| member.engine.as_ref()).map(|engine| engine.status());
    let partitions = statuses.flat_map(|status| status.partitions);
    partitions.filter(|one| one.partition == partition).map(|one| one.phase).collect()
}
