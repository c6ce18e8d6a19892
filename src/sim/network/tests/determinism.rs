use bytes::Bytes;
use fastrand::Rng;

use super::{Rig, transaction};
use crate::{
    log::{AssignmentId, LogCommand, LogEvent},
    sim::{Delivery, Fault, Keep, PodEvent, PodId, Settings},
};

/// Three pods that do what comes into their heads while everything goes wrong.
fn turmoil(seed: u64, keep: Keep, for_ms: u64) -> Rig {
    let mut rig = Rig::with(seed, Settings { keep, ..Settings::default() });
    let mut random = Rng::with_seed(seed);
    for fault in Fault::ALL.into_iter().filter(|fault| fault.strikes_calls()) {
        rig.network.faults_mut().rate(fault, 20_000);
    }
    let pods: Vec<PodId> = (0..3).map(|_| rig.network.add_pod(super::GROUP, super::INPUT)).collect();
    for pod in &pods {
        begin(&mut rig, *pod);
    }
    let mut assignments = [None; 3];
    let (mut next_ms, mut id) = (0, 0);
    while rig.network.now_ms() < for_ms {
        next_ms += 20;
        while let Some((_, Delivery { pod, event, .. })) = rig.network.next_event_until(next_ms) {
            id += 1;
            react(&mut rig, pod, event, id, &mut assignments[pod.0 as usize]);
        }
        let _ = rig.network.append(super::INPUT, random.u32(0..4), Default::default());
        let pod = pods[random.usize(0..pods.len())];
        match random.u32(0..400) {
            0 => rig.network.crash(pod),
            1 => rig.network.pause(pod),
            2 => rig.network.outage(3_000),
            3 => rig.network.expire_session(pod),
            4..20 => rig.network.resume(pod),
            20..30 if !rig.network.is_alive(pod) => {
                assignments[pod.0 as usize] = None;
                begin(&mut rig, pod);
            }
            _ => {}
        }
    }
    rig
}

fn begin(rig: &mut Rig, pod: PodId) {
    rig.network.start(pod);
    rig.log(pod, LogCommand::OpenProducer { name: format!("pod-{}", pod.0) });
}

/// An engine without any sense; `assignment` is what the pod has been given in this life.
fn react(rig: &mut Rig, pod: PodId, event: PodEvent, id: u64, assignment: &mut Option<AssignmentId>) {
    let PodEvent::Log(event) = event else { return };
    let poll = LogCommand::Poll { records_max: 50, bytes_max: 10_000, wait_ms: 500 };
    let reopen = LogCommand::OpenProducer { name: format!("pod-{}", pod.0) };
    let commands = match event {
        LogEvent::ProducerOpened => match *assignment {
            None => vec![LogCommand::Join],
            Some(assignment) => vec![transaction(id, assignment, id as i64)],
        },
        LogEvent::ProducerFailed { .. } => vec![reopen],
        LogEvent::TransactionEnded { .. } => vec![reopen],
        LogEvent::Assigned { assignment: given, partitions, .. } => {
            let is_first = assignment.replace(given).is_none();
            let fetch = |partition: &u32| LogCommand::Fetch {
                partition: *partition,
                from: 0,
                fetch: id,
                headers: true,
            };
            let first = [poll, transaction(id, given, id as i64)].into_iter().filter(|_| is_first);
            partitions.iter().map(fetch).chain(first).collect()
        }
        // Some engines hang for longer than the group waits.
        LogEvent::Revoking { .. } if id.is_multiple_of(8) => Vec::new(),
        LogEvent::Revoking { .. } => vec![LogCommand::Release],
        LogEvent::Polled { .. } => vec![
            LogCommand::Beacon { partition: 0, value: Bytes::from_static(b"beacon") },
            LogCommand::Fetch { partition: (id % 4) as u32, from: id as i64 % 100, fetch: id, headers: true },
            poll,
        ],
        _ => Vec::new(),
    };
    commands.into_iter().for_each(|command| rig.log(pod, command));
}

#[test]
fn the_same_seed_gives_the_same_transcript_byte_for_byte() {
    for seed in 0..4 {
        let first = turmoil(seed, Keep::Lines, 60_000);
        let second = turmoil(seed, Keep::Lines, 60_000);
        let (first, second) = (first.network.transcript().text(), second.network.transcript().text());
        assert!(first.lines().count() > 5_000, "{} lines", first.lines().count());
        assert!(first == second, "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_run() {
    let digest = |seed| turmoil(seed, Keep::Digest, 10_000).network.transcript().digest();
    assert_ne!(digest(1), digest(2));
}

#[test]
fn in_turmoil_every_fault_of_the_log_strikes() {
    let rig = turmoil(7, Keep::Nothing, 400_000);
    let quiet: Vec<_> = rig
        .network
        .faults()
        .counts()
        .filter(|(fault, count)| *count == 0 && !format!("{fault:?}").starts_with("Store"))
        .map(|(fault, _)| fault)
        .collect();
    // These happen by a method that the turmoil does not call.
    let by_a_world: Vec<_> = Fault::ALL.into_iter().skip(Fault::CrashBetweenOutputs as usize).collect();
    let others: Vec<_> = quiet.iter().copied().filter(|fault| !by_a_world.contains(fault)).collect();
    assert_eq!(others, [Fault::Rebalance, Fault::ClockJump, Fault::Trimmed]);
}
