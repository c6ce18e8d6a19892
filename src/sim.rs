//! A deployment in one thread from one seed: a broker, a store, pods, virtual time and everything that goes
//! wrong.
//!
//! [`Network`] stands between the engines and the simulated servers. It draws every delay and every fault
//! from its seed and orders everything through one queue, so that the same seed and the same calls give the
//! same run, byte for byte.
//!
//! # Contract
//! * **Pods.** [`Network::add_pod`] names a place in a consumer group; [`Network::start`] begins a life there
//!   (an incarnation). A life ends with [`Network::crash`]: its calls that are on the way land or not, its
//!   answers go nowhere, its open transaction stays open until it is fenced or times out, and the group
//!   misses it after the session timeout. [`Network::pause`] stops it with everything in place: nothing is
//!   delivered, nothing further is sent, no heartbeats; [`Network::resume`] delivers what was held back and
//!   lets the group's news arrive later still.
//! * **Commands.** [`Network::submit_log`] and [`Network::submit_store`] take what an engine wants done, at
//!   the time of the clock. Commands of a pod that is not running are ignored.
//! * **Events.** [`Network::next_event`] moves the clock to the next delivery and returns it: an event of the
//!   log, of the store, or the pod's timer. [`Network::next_event_until`] does so up to a time, and without a
//!   delivery leaves the clock there, so that a world can weave in events of its own. Deliveries are never
//!   for a life that is over, nor for a pod that is paused.
//! * **Timers.** A pod has one: [`Network::timer`] sets it, replacing the former wish; it dies with the pod.
//! * **After `Release` and after `Lost`** the client joins again by itself; `Assigned` follows. An empty
//!   share is not revoked: no `Revoking` precedes the next `Assigned` then.
//! * **Clients and checkers** use [`Network::append`] and read everything directly: [`SimBroker::committed`],
//!   [`SimBroker::group_state`], [`SimStore::rows`]; [`Network::breaches`] lists what engines did against the
//!   contract.
//!
//! # Time
//! Milliseconds since the run began, as `u64`. Records carry the broker's wall clock
//! ([`SimBroker::wall_ms`]), which a fault may move. TTLs of the store run on virtual time. Pods' own clocks
//! are the world's business.

pub mod coverage;
pub mod fault;
pub mod leases;
pub mod log;
pub mod member;
pub mod network;
pub mod schedule;
pub mod step;
pub mod store;
pub mod transcript;
pub mod world;

pub use self::{
    fault::{Fault, Faults, Strike},
    log::SimBroker,
    member::{Breach, SimMember},
    network::{Delivery, Network, PodEvent, Settings},
    store::SimStore,
    transcript::{Keep, Transcript},
};

/// A place in a consumer group where one life follows the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodId(pub u32);

/// One life of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub pod: PodId,
    /// 1 for the first life.
    pub incarnation: u32,
}
