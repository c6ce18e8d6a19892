//! What a batch owes to recipients: one record per target partition with all its messages, cut by bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::state::State;
use crate::{
    effect::Output,
    id::{ConversationId, parse_conversation},
    limits::{DELIVERIES_BYTES_MAX, RECIPIENTS_MAX},
    log::{OutRecord, PartitionId, RecordRef},
    mutant::{self, Mutant},
    processor::Setup,
    record::{
        posted::{DeliveriesWriter, Posted},
        sends::Message,
    },
    topology::Topic,
};

/// The open records, by partition of `deliveries`.
#[derive(Debug, Default)]
pub(super) struct Fanout {
    open: BTreeMap<PartitionId, DeliveriesWriter>,
    size_bytes: usize,
}

impl Fanout {
    /// A message that was just numbered goes to its recipients: those it names, or the members as of now, and
    /// always to its sender; in a direct conversation to its two users.
    pub fn message(
        &mut self,
        setup: &Setup,
        state: &State,
        record: &RecordRef<'_>,
        message: &Message<'_>,
        output: &mut Output,
    ) {
        let posted = Posted {
            conversation: (&*message.conversation).into(),
            seq: state.head.latest_seq,
            sender: (&*message.sender).into(),
            client_id: (&*message.client_id).into(),
            session: message.session.as_deref().map(Into::into),
            sent_at: message.sent_at,
            accepted_at: record.time_ms,
            body: message.body,
        };
        let place = |user: &str| setup.topology.place(Topic::Deliveries, user.as_bytes());
        let mut named: BTreeMap<PartitionId, BTreeSet<&str>> = BTreeMap::new();
        let mut name = |user| {
            named.entry(place(user)).or_default().insert(user);
        };
        match (&message.recipients, parse_conversation(&message.conversation)) {
            (Some(recipients), _) => {
                recipients.iter().for_each(|user| name(user));
                if !mutant::is(Mutant::SenderLeftOut) {
                    name(&message.sender);
                }
            }
            (None, Ok(ConversationId::Direct(a, b))) => [a, b].into_iter().for_each(name),
            (None, _) => {
                if !state.members.contains(&message.sender) || mutant::is(Mutant::DuplicateRecipientKept) {
                    name(&message.sender);
                }
                for (partition, users) in state.members.by_partition() {
                    let further = named.remove(&partition).unwrap_or_default();
                    let users = users.iter().map(AsRef::as_ref).chain(further);
                    self.deliver(partition, &posted, users, output);
                }
            }
        }
        for (partition, users) in named {
            self.deliver(partition, &posted, users.into_iter(), output);
        }
    }

    fn deliver<'a>(
        &mut self,
        partition: PartitionId,
        posted: &Posted<'_>,
        users: impl Iterator<Item = &'a str>,
        output: &mut Output,
    ) {
        let open = self.open.remove(&partition);
        self.size_bytes -= open.as_ref().map_or(0, DeliveriesWriter::size_bytes);
        let mut writer = open.unwrap_or_default();
        writer.message(posted);
        for user in users {
            if writer.size_bytes() >= DELIVERIES_BYTES_MAX || writer.recipients() >= RECIPIENTS_MAX {
                let full = std::mem::take(&mut writer);
                output.publish_owed(deliveries(partition, full));
                writer.message(posted);
            }
            writer.recipient(user);
        }
        self.size_bytes += writer.size_bytes();
        self.open.insert(partition, writer);
    }

    /// Bytes of the open records.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The batch ends: the open records go out.
    pub fn close(&mut self, output: &mut Output) {
        for (partition, writer) in std::mem::take(&mut self.open) {
            output.publish_owed(deliveries(partition, writer));
        }
        self.size_bytes = 0;
    }
}

fn deliveries(partition: PartitionId, writer: DeliveriesWriter) -> OutRecord {
    let value = Some(writer.finish());
    OutRecord { topic: Topic::Deliveries, partition, key: None, value, headers: Vec::new() }
}
