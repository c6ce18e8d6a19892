use super::{Delivery, PodEvent, Rig};
use crate::{
    sim::{Fault, PodId},
    store::{Change, Statement, StoreCommand, StoreEvent, WriteBatch},
    table::{Value, progress::OWNERS},
};

fn write(request: u64) -> StoreCommand {
    let statement = Statement {
        clustering: [Value::text(&request.to_string())].into(),
        change: Change::Upsert([Value::BigInt(7)].into()),
        timestamp_us: 1,
        ttl_s: None,
    };
    let partition = [Value::text("heartbeats"), Value::Int(0)].into();
    StoreCommand::Write { request, batch: WriteBatch::new(&OWNERS, partition, vec![statement]).into() }
}

fn rig() -> (Rig, PodId) {
    let mut rig = Rig::new(1);
    let pod = rig.pod("a");
    (rig, pod)
}

/// Whether the write was acknowledged, and when.
fn answer(rig: &mut Rig, pod: PodId) -> (bool, u64) {
    let (at_ms, Delivery { pod: to, event, .. }) = rig.network.next_event().expect("an answer");
    assert_eq!(to, pod);
    match event {
        PodEvent::Store(event) => (matches!(event, StoreEvent::Written { .. }), at_ms),
        other => panic!("{other:?} is no answer of the store"),
    }
}

fn rows(rig: &Rig) -> usize {
    rig.network.store().rows(rig.network.now_ms(), &OWNERS).count()
}

#[test]
fn an_acknowledged_write_is_there() {
    let (mut rig, pod) = rig();
    rig.network.submit_store(pod, write(1));
    assert!(answer(&mut rig, pod).0);
    assert_eq!(rows(&rig), 1);
}

#[test]
fn a_refused_write_is_never_there() {
    let (mut rig, pod) = rig();
    rig.network.faults_mut().strike_next(pod, Fault::StoreRefused);
    rig.network.submit_store(pod, write(1));
    assert!(!answer(&mut rig, pod).0);
    rig.pass(60_000);
    assert_eq!(rows(&rig), 0);
}

#[test]
fn a_write_that_timed_out_may_come_late_or_never() {
    let (mut rig, pod) = rig();
    rig.network.faults_mut().strike_next(pod, Fault::StoreLost);
    rig.network.submit_store(pod, write(1));
    assert!(!answer(&mut rig, pod).0);
    rig.pass(60_000);
    assert_eq!(rows(&rig), 0);
    let mut late = 0;
    for request in 2..20 {
        rig.network.faults_mut().strike_next(pod, Fault::StoreLate);
        rig.network.submit_store(pod, write(request));
        let before = rows(&rig);
        assert!(!answer(&mut rig, pod).0);
        late += usize::from(rows(&rig) == before);
        rig.pass(60_000);
    }
    assert_eq!(rows(&rig), 18, "all came in the end");
    assert!((1..18).contains(&late), "{late} of 18 came after their caller gave up");
}

#[test]
fn a_stalled_store_applies_after_the_stall() {
    let (mut rig, pod) = rig();
    rig.network.stall_store(20_000);
    let began_ms = rig.network.now_ms();
    rig.network.submit_store(pod, write(1));
    assert_eq!(answer(&mut rig, pod), (false, began_ms + 5_000));
    assert_eq!(rows(&rig), 0);
    rig.pass(20_000);
    assert_eq!(rows(&rig), 1);
}

#[test]
fn what_a_dead_pod_had_sent_lands_or_not() {
    let landed = (0..40).filter(|seed| {
        let mut rig = Rig::new(*seed);
        let pod = rig.pod("a");
        rig.network.submit_store(pod, write(1));
        rig.network.crash(pod);
        rig.pass(1_000);
        rows(&rig) == 1
    });
    let landed = landed.count();
    assert!((8..32).contains(&landed), "{landed} of 40");
}
