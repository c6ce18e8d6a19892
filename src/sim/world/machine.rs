//! A machine of the deployment: one process, in which every processor has an engine and every engine is a
//! member of its own consumer group. What strikes a machine strikes all of them.

use crate::{
    engine::{Command, Engine, EngineConfig, EngineStatus, Exit, Now, Sequential},
    log::{LogEvent, PartitionId},
    processor::{
        Fold, Retention, conversation::Conversation, cursor::Cursor, inbox::Inbox, presence::Presence,
    },
    record::beacon::Parameters,
    sim::{Network, PodId, Settings, log::GroupNo},
    store::StoreEvent,
    topology::ProcessorKind,
};

use super::plan::Plan;

/// Members of one machine.
pub const PROCESSORS: usize = ProcessorKind::ALL.len();

/// The consumer groups, one per processor.
#[derive(Debug, Clone, Copy)]
pub struct Groups([GroupNo; PROCESSORS]);

impl Groups {
    #[must_use]
    pub fn new(network: &mut Network) -> Self {
        Self(ProcessorKind::ALL.map(|kind| network.group(&group_name(kind), kind.input())))
    }

    #[must_use]
    pub fn of(self, kind: ProcessorKind) -> GroupNo {
        self.0[kind as usize]
    }
}

/// The name of a processor's consumer group.
#[must_use]
pub fn group_name(kind: ProcessorKind) -> String {
    format!("heartline.{kind}")
}

/// An engine, whichever fold it drives.
pub trait Processor {
    fn handle_log(&mut self, event: LogEvent, now: Now);
    fn handle_store(&mut self, event: StoreEvent, now: Now);
    fn turn(&mut self, now: Now);
    fn poll_command(&mut self) -> Option<Command>;
    fn exit(&self) -> Option<&Exit>;
    fn next_wake_ms(&self) -> i64;
    fn is_settled(&self) -> bool;
    fn is_ready(&self) -> bool;
    fn partitions(&self) -> &[PartitionId];
    fn status(&self) -> EngineStatus;
    fn owed_bytes(&self) -> usize;
    fn unfolded_bytes(&self) -> usize;
    fn shut_down(&mut self);
}

impl<F: Fold> Processor for Engine<F> {
    fn handle_log(&mut self, event: LogEvent, now: Now) {
        self.handle_log(event, now);
    }

    fn handle_store(&mut self, event: StoreEvent, now: Now) {
        self.handle_store(event, now);
    }

    fn turn(&mut self, now: Now) {
        self.turn(now, &Sequential);
    }

    fn poll_command(&mut self) -> Option<Command> {
        self.poll_command()
    }

    fn exit(&self) -> Option<&Exit> {
        self.exit()
    }

    fn next_wake_ms(&self) -> i64 {
        self.next_wake_ms()
    }

    fn is_settled(&self) -> bool {
        self.is_settled()
    }

    fn is_ready(&self) -> bool {
        self.is_ready()
    }

    fn partitions(&self) -> &[PartitionId] {
        self.partitions()
    }

    fn status(&self) -> EngineStatus {
        self.status()
    }

    fn owed_bytes(&self) -> usize {
        self.owed_bytes()
    }

    fn unfolded_bytes(&self) -> usize {
        self.unfolded_bytes()
    }

    fn shut_down(&mut self) {
        self.shut_down();
    }
}

/// A place for one processor's engine.
pub struct Member {
    pub pod: PodId,
    pub kind: ProcessorKind,
    pub engine: Option<Box<dyn Processor>>,
}

/// One machine. Its members have neighbouring pod ids.
pub struct Machine {
    pub members: [Member; PROCESSORS],
    /// Its boot-time clock and its wall clock against virtual time.
    pub boot_ms: i64,
    pub wall_us: i64,
    /// When it is to be started (again).
    pub start_at_ms: Option<u64>,
    pub resume_at_ms: Option<u64>,
    /// It is being shut down; all members having left, for how long it is down.
    pub down_ms: Option<u64>,
}

impl Machine {
    #[must_use]
    pub fn new(network: &mut Network, boot_ms: i64, wall_us: i64, start_at_ms: u64) -> Self {
        let members = ProcessorKind::ALL.map(|kind| {
            let pod = network.add_pod(&group_name(kind), kind.input());
            Member { pod, kind, engine: None }
        });
        Self { members, boot_ms, wall_us, start_at_ms: Some(start_at_ms), resume_at_ms: None, down_ms: None }
    }

    #[must_use]
    pub fn now(&self, now_ms: u64) -> Now {
        let now_ms = now_ms as i64;
        Now { boot_ms: self.boot_ms + now_ms, wall_us: self.wall_us + now_ms * 1_000 }
    }

    /// Begins a life: every member starts.
    pub fn start(&mut self, network: &mut Network, plan: &Plan) {
        let now = self.now(network.now_ms());
        self.down_ms = None;
        for Member { pod, kind, engine } in &mut self.members {
            let life = network.start(*pod);
            *engine = Some(engine_of(*kind, config(plan, *kind, *pod, life), now));
        }
    }

    /// Ends the life of all members, and tells how often they had restored their state.
    pub fn end(&mut self, network: &mut Network, mut end: impl FnMut(&mut Network, PodId)) -> u64 {
        let restores = self.restores();
        for Member { pod, engine, .. } in &mut self.members {
            *engine = None;
            end(network, *pod);
        }
        restores
    }

    /// Whether some members are gone, or all.
    #[must_use]
    pub fn has_left(&self, network: &Network) -> bool {
        self.members.iter().any(|member| !network.is_alive(member.pod))
    }

    /// How often the engines of this life have restored their state.
    #[must_use]
    pub fn restores(&self) -> u64 {
        let engines = self.members.iter().filter_map(|member| member.engine.as_ref());
        engines.map(|engine| engine.status().restores).sum()
    }

    /// Whether all members live and owe nothing.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.members.iter().all(|member| member.engine.as_ref().is_some_and(|engine| engine.is_settled()))
    }

    /// Whether all members live and nothing is missing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.members.iter().all(|member| member.engine.as_ref().is_some_and(|engine| engine.is_ready()))
    }

    /// The partitions of presence that are held here.
    pub fn presence_partitions(&self) -> impl Iterator<Item = PartitionId> {
        let presence = self.members.iter().filter(|member| member.kind == ProcessorKind::Presence);
        let engines = presence.filter_map(|member| member.engine.as_ref());
        engines.flat_map(|engine| engine.partitions().iter().copied())
    }

    /// What keeps members from being ready, for people.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let missing = |member: &Member| match &member.engine {
            Some(engine) => engine.status().missing.iter().map(|missing| format!("{missing:?}")).collect(),
            None => vec![format!("{} is down", member.kind)],
        };
        self.members.iter().flat_map(missing).collect()
    }
}

/// The producer's name of a member: some deployments have stable names, as a stateful set has; others a new
/// one with every life.
#[must_use]
pub fn producer_name(plan: &Plan, kind: ProcessorKind, pod: PodId, life: u32) -> String {
    match plan.stable_names {
        true => format!("heartline.{kind}.pod-{}", pod.0),
        false => format!("heartline.{kind}.pod-{}.{life}", pod.0),
    }
}

fn config(plan: &Plan, kind: ProcessorKind, pod: PodId, life: u32) -> EngineConfig {
    EngineConfig {
        topology: plan.topology.clone(),
        group: group_name(kind).into(),
        name: producer_name(plan, kind, pod, life),
        incarnation: format!("pod-{}.{life}", pod.0),
        parameters: Parameters {
            lease_ms: plan.parameters.lease_ms
                + if pod.0.is_multiple_of(2) { 0 } else { plan.longer_lease_ms },
            ..plan.parameters.clone()
        },
        retention: Retention::default(),
        state_bytes_max: plan.state_bytes_max,
        large_group: plan.large_group,
        session_timeout_ms: Settings::default().session_ms as i64,
        pace: plan.pace,
    }
}

fn engine_of(kind: ProcessorKind, config: EngineConfig, now: Now) -> Box<dyn Processor> {
    match kind {
        ProcessorKind::Presence => Box::new(Engine::<Presence>::new(config, now)),
        ProcessorKind::Conversation => Box::new(Engine::<Conversation>::new(config, now)),
        ProcessorKind::Inbox => Box::new(Engine::<Inbox>::new(config, now)),
        ProcessorKind::Cursor => Box::new(Engine::<Cursor>::new(config, now)),
    }
}
