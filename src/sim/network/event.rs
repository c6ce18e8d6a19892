//! What is yet to happen in the network.

use super::{Delivery, call::Call, storage::StoreCall};
use crate::{
    sim::{
        Origin,
        log::{Answer, GroupNo, ProducerId, group::MemberNo, transactions::Target},
        member::Tag,
    },
    store::StoreEvent,
};

/// What is yet to happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A request reaches the broker.
    Arrive(Call),
    /// An answer of the broker reaches the client.
    Answer {
        to: Origin,
        tag: Tag,
        answer: Answer,
    },
    /// The next of the group's news reaches its member.
    Notice {
        to: Origin,
    },
    Poll {
        to: Origin,
        poll: u64,
    },
    Timer {
        to: Origin,
        at_ms: u64,
    },
    /// What was about to be delivered when the pod was paused.
    Deliver(Delivery),
    /// A request reaches the store.
    StoreArrive(StoreCall),
    StoreAnswer {
        to: Origin,
        event: StoreEvent,
    },
    Marker {
        producer: ProducerId,
        target: Target,
    },
    Scan,
    /// A member that never heard of its assignment has not asked its group for anything since.
    Unheard {
        group: GroupNo,
        member: MemberNo,
    },
    Silence {
        group: GroupNo,
        member: MemberNo,
        silence: u64,
    },
    RebalanceEnd {
        group: GroupNo,
        rebalance: u64,
    },
}

impl Event {
    /// The pod that this happens in, where it does.
    pub(super) fn recipient(&self) -> Option<Origin> {
        match self {
            Self::Answer { to, .. }
            | Self::Notice { to }
            | Self::Poll { to, .. }
            | Self::Timer { to, .. }
            | Self::StoreAnswer { to, .. } => Some(*to),
            Self::Deliver(Delivery { pod, incarnation, .. }) => {
                Some(Origin { pod: *pod, incarnation: *incarnation })
            }
            _ => None,
        }
    }

    /// Whether it is the broker's own work, which rests while it is down.
    pub(super) fn waits_for_broker(&self) -> bool {
        matches!(
            self,
            Self::Marker { .. }
                | Self::Scan
                | Self::Unheard { .. }
                | Self::Silence { .. }
                | Self::RebalanceEnd { .. }
        )
    }
}
