//! Figures, printed rather than judged: `cargo test --release --lib kafka::tests::measure -- --ignored
//! --nocapture`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer, producer::Producer};

use super::{Member, PARTITIONS, alone, connection, fresh, heartbeat, offsets, runtime};
use crate::{
    client::TopicClient,
    kafka::{KafkaTopics, config::KafkaConfig, native, producer, tail},
    log::{Chunk, Committed, LogCommand, LogEvent, TransactionOutcome, TransactionStep},
    topology::Topic,
};

const RECORDS: u64 = 3_000_000;

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA; measures"]
fn the_time_of_a_transaction_against_a_bare_producer() {
    let _alone = alone();
    let group = fresh("latency");
    let (mut member, assignment, _) = Member::joined(&group, &fresh("producer"));
    time("transaction of a member", 1_000, |n| {
        let steps = vec![offsets(0, n, "k"), TransactionStep::Records(vec![heartbeat(0, "x")])];
        assert_eq!(member.transact(assignment, steps), TransactionOutcome::Committed);
    });

    let timeouts = [10, 8].map(Duration::from_secs);
    let config = KafkaConfig::new(connection(), &group, Topic::Heartbeats, timeouts[0], timeouts[1]).unwrap();
    let bare = producer::open(&config, &fresh("bare")).unwrap();
    let metadata = member.log.parts.as_ref().unwrap().generations.get(assignment).unwrap();
    time("transaction of a bare producer", 1_000, |n| {
        let committed = Committed { offset: n, metadata: "k".to_owned() };
        let list = producer::offset_list(Topic::Heartbeats, &[(0, committed)]).unwrap();
        bare.begin_transaction().unwrap();
        bare.send_offsets_to_transaction(&list, &metadata, timeouts[1]).unwrap();
        let sent = bare.send(producer::kafka_record(&heartbeat(0, "x"), ())).map_err(|(failure, _)| failure);
        sent.unwrap();
        native::commit_transaction(&*bare, timeouts[1]).unwrap();
    });
    member.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA; measures"]
fn the_time_from_append_to_poll() {
    let _alone = alone();
    let (mut member, _, _) = Member::joined(&fresh("arrival"), &fresh("producer"));
    let from = member.bounds(0).end;
    member.submit(LogCommand::Fetch { partition: 0, from, fetch: 1, headers: true });
    time("append to poll", 200, |_| {
        member.submit(LogCommand::Poll { records_max: 10, bytes_max: 1 << 20, wait_ms: 5_000 });
        member.submit(LogCommand::Beacon { partition: 0, value: Bytes::from_static(b"tick") });
        member.wait(|event| matches!(event, LogEvent::Polled { .. }).then_some(()));
    });
    member.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA; measures"]
fn the_rate_of_polls_against_a_bare_consumer() {
    let _alone = alone();
    let topics = KafkaTopics::new(connection()).unwrap();
    let before = runtime().block_on(topics.bounds(Topic::Heartbeats)).unwrap();
    let value = "x".repeat(110);
    for _ in 0..RECORDS / 8_000 {
        let batch = (0..8_000).map(|n| heartbeat(n % PARTITIONS, &value)).collect();
        runtime().block_on(topics.append(batch)).unwrap();
    }
    for _ in 0..2 {
        let bare = tail::consumer(&connection()).unwrap();
        let mut list = TopicPartitionList::new();
        for (partition, bounds) in &before {
            let from = Offset::Offset(bounds.end);
            list.add_partition_offset("heartbeats", *partition as i32, from).unwrap();
        }
        let begun = Instant::now();
        bare.incremental_assign(&list).unwrap();
        let mut count = 0;
        while count < RECORDS {
            count += u64::from(matches!(bare.poll(Duration::from_secs(1)), Some(Ok(_))));
        }
        report("bare consumer", begun.elapsed());
        drop(bare);

        let mut member = Member::new(&fresh("drain"));
        let begun = Instant::now();
        for (partition, bounds) in &before {
            member.submit(LogCommand::Fetch {
                partition: *partition,
                from: bounds.end,
                fetch: 1,
                headers: true,
            });
        }
        let mut count = 0;
        while count < RECORDS {
            member.submit(LogCommand::Poll { records_max: 20_000, bytes_max: 4 << 20, wait_ms: 1_000 });
            count += member.wait(|event| match event {
                LogEvent::Polled { chunks } => Some(chunks.iter().map(Chunk::len).sum::<usize>() as u64),
                _ => None,
            });
        }
        report("polls of a member", begun.elapsed());
        member.leave();
    }
}

/// Prints how long `work` takes, `count` times one after the other.
fn time(what: &str, count: usize, mut work: impl FnMut(i64)) {
    let mut times: Vec<Duration> = (0..count)
        .map(|n| {
            let begun = Instant::now();
            work(n as i64);
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!(
        "{what}: p50 {:?}, p99 {:?}, max {:?}",
        times[count / 2],
        times[count * 99 / 100],
        times[count - 1]
    );
}

fn report(what: &str, took: Duration) {
    println!("{what}: {:.2} M records/s", RECORDS as f64 / took.as_secs_f64() / 1e6);
}
