//! Any sequence of what can happen to an engine. It never panics, keeps the rules that [`crate::world`]
//! judges, and when everything is answered again everything owed is out within a minute.

use heartline::{
    engine::Phase,
    log::{ErrorClass, LogError, LogEvent, PartitionId},
    processor::Fold,
    store::StoreErrorClass,
    topology::{ProcessorKind, Topic},
};

use crate::{
    choices::Choices,
    world::{Group, LogFault, PARTITIONS, World},
};

/// A run beyond this says nothing new.
const STEPS_MAX: usize = 400;
/// Rounds, each of 200 ms, in which everything must be done once all goes well.
const ROUNDS_MAX: usize = 300;

pub fn run<F: Fold>(data: &[u8]) {
    let choices = &mut Choices::new(data);
    let mut world = World::<F>::new();
    // Something was said that an operator, or another pod, must see to.
    let mut is_given_up = false;
    for _ in 0..STEPS_MAX {
        if choices.is_over() || world.engine.exit().is_some() {
            break;
        }
        is_given_up |= step(&mut world, choices);
    }
    if !is_given_up && world.engine.exit().is_none() {
        all_goes_well(&mut world);
    }
}

/// One thing happens; whether it is one that the engine need not recover from.
fn step<F: Fold>(world: &mut World<F>, choices: &mut Choices<'_>) -> bool {
    let index = |choices: &mut Choices<'_>, count: usize| choices.below(count.max(1));
    match choices.below(24) {
        0..=3 => (0..=choices.below(8)).for_each(|_| round(world, 50)),
        4..=7 => {
            for _ in 0..=choices.below(4) {
                append::<F>(world, choices);
            }
        }
        8 => world.pass(i64::from(choices.byte()) * 4),
        9 => world.pass(i64::from(choices.byte()) * 300),
        10 | 11 => {
            let index = index(choices, world.log_commands.len());
            world.answer_log(index);
        }
        12 | 13 => {
            let index = index(choices, world.log_commands.len());
            let class = choices.pick(&[ErrorClass::Retriable, ErrorClass::Restore]);
            let fault = choices.pick(&[
                LogFault::Failed(class),
                LogFault::Aborted,
                LogFault::UnclearApplied,
                LogFault::UnclearLost,
                LogFault::Fenced,
            ]);
            world.fail_log(index, fault);
            return matches!(fault, LogFault::Fenced);
        }
        14 | 15 => {
            let index = index(choices, world.store_commands.len());
            world.answer_store(index);
        }
        16 | 17 => {
            let index = index(choices, world.store_commands.len());
            let class = choices.pick(&[
                StoreErrorClass::Retriable,
                StoreErrorClass::Retriable,
                StoreErrorClass::Permanent,
            ]);
            world.fail_store(index, class, choices.is());
            return class == StoreErrorClass::Permanent;
        }
        18 => {
            if world.group == Group::Member {
                world.group = Group::Revoking;
                world.event(LogEvent::Revoking { partitions: (0..PARTITIONS).collect() });
            }
        }
        19 => {
            if world.group == Group::Member {
                world.group = Group::Settling;
                world.event(LogEvent::Lost { partitions: (0..PARTITIONS).collect() });
            }
        }
        20 => {
            if world.group == Group::Settling {
                let some: Vec<PartitionId> = (0..PARTITIONS).filter(|_| choices.is()).collect();
                world.assign(some);
            }
        }
        21 => world.repeat(choices.below(4)),
        22 => {
            let index = index(choices, world.zombies.len());
            world.apply_zombie(index);
        }
        _ => match choices.below(8) {
            0 => {
                world.engine.shut_down();
                return true;
            }
            1 => {
                let error = LogError { class: ErrorClass::Retriable, message: "something".into() };
                world.event(LogEvent::Failed { error });
            }
            _ => world.crash(),
        },
    }
    false
}

/// Everything that was asked is answered.
fn round<F: Fold>(world: &mut World<F>, ms: i64) {
    if world.group == Group::Settling {
        world.assign((0..PARTITIONS).collect());
    }
    for _ in 0..world.log_commands.len() {
        world.answer_log(0);
    }
    for _ in 0..world.store_commands.len() {
        world.answer_store(0);
    }
    world.pass(ms);
}

fn all_goes_well<F: Fold>(world: &mut World<F>) {
    let ends: Vec<_> = (0..PARTITIONS).map(|partition| world.end(partition)).collect();
    // A group that settled with some of the partitions settles anew.
    if world.group == Group::Member {
        world.group = Group::Revoking;
        world.event(LogEvent::Revoking { partitions: (0..PARTITIONS).collect() });
    }
    for _ in 0..ROUNDS_MAX {
        round(world, 200);
        let status = world.engine.status();
        let is_done = (0..PARTITIONS).all(|partition| {
            let of = status.partitions.iter().find(|status| status.partition == partition);
            match of.map(|status| &status.phase) {
                Some(Phase::Halted) => true,
                Some(Phase::Live) => world.committed(partition) >= ends[partition as usize],
                _ => false,
            }
        });
        if is_done || world.engine.exit().is_some() {
            return;
        }
    }
    panic!("a minute after all goes well something is still owed: {:?}", world.engine.status());
}

fn append<F: Fold>(world: &mut World<F>, choices: &mut Choices<'_>) {
    let value = match choices.byte() {
        0..=7 => None,
        8..=20 => Some(choices.bytes().to_vec()),
        _ => Some(record(F::KIND, choices).into_bytes()),
    };
    let user = choices.pick(&USERS);
    let (key, place) = match F::KIND {
        ProcessorKind::Conversation => ("group/team", world.topology.place(Topic::Sends, b"group/team")),
        kind => (user, world.topology.place(kind.input(), user.as_bytes())),
    };
    // Now and then it lies where it does not belong.
    let partition = if choices.byte() > 240 { (place + 1) % PARTITIONS } else { place };
    world.append(partition, Some(key.as_bytes().to_vec()), value);
}

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const SESSIONS: [&str; 3] = ["s-1", "s-2", "s-3"];

fn record(kind: ProcessorKind, choices: &mut Choices<'_>) -> String {
    match kind {
        ProcessorKind::Presence => heartbeat(choices),
        ProcessorKind::Conversation => send(choices),
        ProcessorKind::Inbox => {
            let (sender, seq) = (choices.pick(&USERS), choices.byte());
            let recipients: Vec<_> = (0..choices.below(5)).map(|_| choices.pick(&USERS)).collect();
            let message = format!(
                r#"{{"conversation":"group/team","seq":{seq},"sender":"{sender}","client_id":"c","accepted_at":{},
                "body":{},"recipients":{recipients:?}}}"#,
                choices.number(),
                body(choices)
            );
            format!(r#"{{"v":1,"type":"deliveries","messages":[{message}]}}"#)
        }
        ProcessorKind::Cursor => {
            let user = choices.pick(&USERS);
            let position = choices.number();
            match choices.is() {
                true => format!(r#"{{"v":1,"type":"read","user":"{user}","inbox":{position}}}"#),
                false => format!(
                    r#"{{"v":1,"type":"read","user":"{user}","conversation":"group/team","seq":{position}}}"#
                ),
            }
        }
    }
}

fn body(choices: &mut Choices<'_>) -> String {
    choices.pick(&["1", "null", "{\"text\":\"hello\"}", "[1e400]"]).to_owned()
}

fn heartbeat(choices: &mut Choices<'_>) -> String {
    let (user, session) = (choices.pick(&USERS), choices.pick(&SESSIONS));
    let pair = format!(r#""epoch":{},"counter":{}"#, choices.byte() % 3, choices.byte());
    let who = format!(r#""user":"{user}","session":"{session}",{pair}"#);
    let field = choices.pick(&[
        "",
        r#","gateway":"gw-1""#,
        r#","gateway":null,"device":"ios""#,
        r#","idle_ms":900000"#,
        r#","busy":true"#,
        r#","lease_ms":5000"#,
        r#","metadata":{"a":1}"#,
    ]);
    match choices.below(8) {
        0..=2 => format!(r#"{{"v":1,"type":"heartbeat",{who}{field}}}"#),
        3 => format!(r#"{{"v":1,"type":"goodbye",{who},"after_ms":{}}}"#, u32::from(choices.byte()) * 1_000),
        4 => format!(r#"{{"v":1,"type":"heartbeats","beats":[{{{who}}},{{{who}{field}}},{{"user":7}}]}}"#),
        5 => r#"{"v":1,"type":"gateway_gone","gateway":"gw-1"}"#.to_owned(),
        6 => {
            let status = choices.pick(&["auto", "away", "busy", "invisible"]);
            format!(r#"{{"v":1,"type":"status","user":"{user}","status":"{status}","status_text":"t"}}"#)
        }
        _ => {
            let (elapsed, brake) = (u32::from(choices.byte()) * 500, choices.is());
            let version = if choices.byte() == 255 { 2 } else { 1 };
            format!(
                r#"{{"v":1,"type":"beacon","group":"heartline","incarnation":"{session}","elapsed_ms":{elapsed},
                "parameters":{{"fold_version":{version},"brake":{brake}}}}}"#
            )
        }
    }
}

fn send(choices: &mut Choices<'_>) -> String {
    let (sender, id) = (choices.pick(&USERS), choices.byte() % 8);
    let conversation = choices.pick(&["group/team", "group/team", "direct/alice/bob", "group/other"]);
    match choices.is() {
        true => {
            let rest = choices.pick(&["", r#","members_only":true"#, r#","recipients":["bob","x/y"]"#]);
            format!(
                r#"{{"v":1,"type":"message","conversation":"{conversation}","sender":"{sender}",
                "client_id":"c-{id}","body":{}{rest}}}"#,
                body(choices)
            )
        }
        false => {
            let (add, remove) = (choices.pick(&USERS), choices.pick(&USERS));
            format!(
                r#"{{"v":1,"type":"members","conversation":"{conversation}","by":"{sender}",
                "client_id":"m-{id}","add":["{add}"],"remove":["{remove}"]}}"#
            )
        }
    }
}
