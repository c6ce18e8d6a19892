//! Fixed work for counting instructions: `instructions CASE COUNT` does something `COUNT` times.
//! `benches/instructions/check` runs it under callgrind and compares what one of them takes with what is
//! committed.

#![allow(clippy::disallowed_methods, reason = "it reads its arguments")]

use std::{hint::black_box, process::ExitCode, sync::Arc};

use heartline::{
    effect::Output,
    limits::STATE_BYTES_MAX,
    log::Chunk,
    processor::{Fold as _, Retention, Setup, Step, presence::Presence},
    record::{
        beacon::{Parameters, encode_beacon},
        heartbeats, posted, receipts, sends,
    },
    task::TOUCHED,
    topology::Topology,
};

const SESSIONS: usize = 5_000;
const BATCH_BEATS: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.get(1).and_then(|count| count.parse().ok());
    let (Some(case), Some(count)) = (arguments.first(), count) else {
        eprintln!("usage: instructions CASE COUNT");
        return ExitCode::from(2);
    };
    match run(case, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(case: &str, count: usize) -> Result<(), String> {
    let heartbeat = beat(7, 1, "");
    match case {
        "fold" => fold(count),
        // The scanner's; then one that only the judge reads.
        "heartbeat" => repeat(count, || heartbeats::decode(Some(black_box(heartbeat.as_bytes()))).is_ok()),
        "heartbeat_judged" => {
            let value = heartbeat.replacen("{\"v\":1,", "{ \"v\": 1, ", 1);
            repeat(count, || heartbeats::decode(Some(black_box(value.as_bytes()))).is_ok())
        }
        "heartbeats" => {
            let beats: Vec<String> = (0..BATCH_BEATS).map(|index| fields(index, 1, "")).collect();
            let beats = beats.join("},{");
            let value = format!(r#"{{"v":1,"type":"heartbeats","beats":[{{{beats}}}]}}"#);
            repeat(count, || heartbeats::decode(Some(black_box(value.as_bytes()))).is_ok())
        }
        "message" => {
            let value = format!(
                concat!(
                    r#"{{"v":1,"type":"message","conversation":"group/team","sender":"alice","#,
                    r#""client_id":"c-1","body":{}}}"#
                ),
                body()
            );
            repeat(count, || sends::decode(Some(black_box(value.as_bytes()))).is_ok())
        }
        "read" => {
            let value =
                r#"{"v":1,"type":"read","user":"bob","inbox":41,"conversation":"group/team","seq":17}"#;
            repeat(count, || receipts::decode(Some(black_box(value.as_bytes()))).is_ok())
        }
        "deliveries" => {
            let recipients: Vec<String> = (0..20).map(|index| format!("\"{}\"", user(index))).collect();
            let value = format!(
                concat!(
                    r#"{{"v":1,"type":"deliveries","messages":[{{"conversation":"group/team","seq":17,"#,
                    r#""sender":"alice","client_id":"c-1","accepted_at":1760000000000,"#,
                    r#""body":{},"recipients":[{}]}}]}}"#
                ),
                body(),
                recipients.join(",")
            );
            repeat(count, || posted::decode_deliveries(Some(black_box(value.as_bytes()))).is_ok())
        }
        _ => Err(format!("there is no case '{case}'")),
    }
}

fn repeat(count: usize, work: impl Fn() -> bool) -> Result<(), String> {
    let all = (0..count).all(|_| black_box(work()));
    if all { Ok(()) } else { Err("a valid record was refused".to_owned()) }
}

fn body() -> String {
    format!("\"{}\"", "x".repeat(118))
}

fn user(index: usize) -> String {
    format!("u{index:015}")
}

fn fields(index: usize, round: usize, more: &str) -> String {
    let counter = 100_000 + round;
    format!(r#""user":"{}","session":"s{index:015}","counter":{counter},"gateway":"gw-7"{more}"#, user(index))
}

fn beat(index: usize, round: usize, more: &str) -> String {
    format!(r#"{{"v":1,"type":"heartbeat",{}}}"#, fields(index, round, more))
}

/// Beats of one partition's sessions, one in a hundred of which changes a status, and a beacon in every
/// thirtieth of a round.
fn fold(count: usize) -> Result<(), String> {
    let topology = Arc::new(Topology::uniform(1, 16));
    let (retention, state_bytes_max) = (Retention::default(), STATE_BYTES_MAX);
    let setup = Setup {
        topology,
        group: "g".into(),
        partition: 0,
        generation: 1,
        retention,
        state_bytes_max,
        large_group: usize::MAX,
    };
    let mut fold = Presence::new(setup, 0, None).map_err(|error| error.0)?;
    // Written once, so that hardly anything but the fold is counted.
    let mut values = [r#""#, r#","busy":true"#]
        .map(|more| (0..SESSIONS).map(|index| beat(index, 0, more).into_bytes()).collect::<Vec<_>>());
    let counter_at = beat(0, 0, "").find("100000").ok_or("a counter")?;
    let user_at = beat(0, 0, "").find(&user(0)).ok_or("a user")?;
    let key = user_at..user_at + user(0).len();
    let mut offset = 0;
    for round in 0..=count.div_ceil(SESSIONS) {
        let beats = if round == 0 { SESSIONS } else { (count - (round - 1) * SESSIONS).min(SESSIONS) };
        let mut chunk = Chunk::new(0, 1);
        let time_ms = 1_760_000_000_000 + round as i64 * 30_000;
        for at in 0..beats {
            // An order of its own in every round.
            let index = (at * (7_919 + 2 * round)) % SESSIONS;
            let value = &mut values[usize::from((index + round).is_multiple_of(100))][index];
            value[counter_at + 2..counter_at + 6].copy_from_slice(&digits(round));
            chunk.push(offset, time_ms, Some(&value[key.clone()]), Some(value), Vec::new());
            offset += 1;
            if at % (SESSIONS / 30) == 0 {
                let beacon = encode_beacon("g", "one", offset * 6, &Parameters::VERSION_1);
                chunk.push(offset, time_ms, None, Some(&beacon), Vec::new());
                offset += 1;
            }
        }
        fold_chunk(&mut fold, &chunk, round as u64 + 1)?;
    }
    Ok(())
}

fn digits(round: usize) -> [u8; 4] {
    [1_000, 100, 10, 1].map(|place| b'0' + (round / place % 10) as u8)
}

fn fold_chunk(fold: &mut Presence, chunk: &Chunk, batch: u64) -> Result<(), String> {
    fold.begin_batch(batch);
    let mut output = Output::new(0);
    let (mut at, mut touched) = (0, 0);
    while at < chunk.len() {
        if at == touched {
            touched = chunk.len().min(at + TOUCHED);
            fold.touch((at..touched).filter_map(|at| chunk.key(at)));
        }
        let record = chunk.get(at);
        output.begin(record.offset, true);
        match fold.fold(&record, &mut output) {
            Step::Applied => at += 1,
            Step::Wanting => {
                for query in fold.wanted(&mut (at..chunk.len()).map(|at| chunk.get(at))) {
                    fold.load(&query, Vec::new()).map_err(|error| error.0)?;
                }
            }
            step => return Err(format!("a beat became {step:?}")),
        }
    }
    black_box(output);
    fold.acknowledged(batch);
    Ok(())
}
