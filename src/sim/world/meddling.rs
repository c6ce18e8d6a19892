//! Somebody meddles with what the groups and the log know: offsets are put back to what they were before, or
//! removed, or the log loses what was not read. Nobody may go on from there: the rows of `progress` know
//! better.

use super::{Violation, World, machine::Machine};
use crate::{
    engine::Phase,
    log::{Committed, PartitionId},
    sim::{Fault, log::partition::Content},
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

    /// Meddles with each partition in one of three ways, and sees that exactly those are halted.
    pub(super) fn meddle(&mut self, former: Offsets) -> Result<(), Violation> {
        for machine in &mut self.machines {
            // Nobody must commit over it, so that everybody begins anew.
            self.restores += machine.end(&mut self.network, crate::sim::Network::crash);
            machine.start_at_ms = Some(self.network.now_ms() + 1_000);
        }
        let mut meddled = Vec::new();
        for (kind, partition, committed) in former {
            let query = progress_query(kind.input(), partition, &[PROGRESS_ENTRY]);
            let rows = self.network.store().read(self.network.now_ms(), &query);
            let stored = ProgressRow::find(&rows, PROGRESS_ENTRY).map(|row| row.stored);
            let Some(stored) = stored else { continue };
            let (group, input) = (self.groups.of(kind), kind.input());
            let fault = match self.endings.u32(0..3) {
                0 if committed.offset < stored => Fault::OffsetPutBack,
                1 => Fault::OffsetMissing,
                2 => Fault::Trimmed,
                _ => continue,
            };
            match fault {
                Fault::Trimmed => {
                    self.network.append(input, partition, Content::default());
                    let end = self.network.broker().partition(input, partition).map(|log| log.bounds().end);
                    self.network.trim(input, partition, end.unwrap_or(0));
                }
                _ => {
                    let offset = (fault == Fault::OffsetPutBack).then_some(committed);
                    self.network.bring_about(fault, None);
                    self.network.with_broker(|broker, _| {
                        broker.group_state_mut(group).set_offset(partition, offset);
                    });
                }
            }
            meddled.push((kind, partition, fault));
        }
        let end_ms = self.network.now_ms() + LOOK_MS;
        while self.network.now_ms() < end_ms {
            self.advance(false)?;
        }
        for (kind, partition, fault) in meddled {
            let phases = self.machines.iter().flat_map(|machine| phases(machine, kind, partition));
            let phases: Vec<_> = phases.collect();
            if phases != [Phase::Halted] {
                let what = format!("{kind}/{partition}: {fault:?}, and it is {phases:?}");
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
