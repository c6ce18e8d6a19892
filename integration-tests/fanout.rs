//! Large groups on real servers: everybody gets the message once, and other conversations go on meanwhile.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{
    case::Case,
    deployment::{Deployment, request, until},
    rows::{Tables, number, text},
    servers::Servers,
};

/// The members that one record can add.
const ADD_MAX: usize = 10_000;
const ARRIVES_WITHIN: Duration = Duration::from_secs(120);

pub fn cases() -> Vec<Case> {
    vec![
        Case::alone("a_group_of_ten_thousand_gets_a_message_once_and_others_go_on", |servers| {
            fan_out(servers, 10_000)
        }),
        Case::alone("a_group_of_a_hundred_thousand_gets_a_message_once_and_others_go_on", |servers| {
            fan_out(servers, 100_000)
        })
        .long(),
    ]
}

fn fan_out(servers: &Servers, count: usize) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "fanout", "")?;
    let worker = deployment.start_worker()?;
    deployment.wait_ready(worker)?;
    let address = deployment.workers[worker].address.clone();
    let say = |value: &serde_json::Value| -> Result<()> {
        let answer = request(&address, "POST", "/v1/sends", &value.to_string())?;
        ensure!(answer == r#"{"accepted":1,"refused":[]}"#, "{answer}");
        Ok(())
    };
    let members: Vec<String> = (0..count).map(|number| format!("member-{number:06}")).collect();
    for (index, members) in members.chunks(ADD_MAX).enumerate() {
        say(&json!({"v": 1, "type": "members", "conversation": "group/large", "by": "founder",
            "client_id": format!("m-{index}"), "add": members}))?;
    }
    say(&json!({"v": 1, "type": "message", "conversation": "group/large", "sender": members[0],
        "client_id": "c-1", "body": "to all"}))?;
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    for number in 1..=20 {
        let said = Instant::now();
        say(&json!({"v": 1, "type": "message", "conversation": "direct/ann/bob", "sender": "ann",
            "client_id": format!("c-{number}"), "body": number}))?;
        until("another conversation goes on", ARRIVES_WITHIN, || {
            let answer = request(&address, "GET", "/v1/sync/bob?count=1", "")?;
            Ok(answer.contains(&format!("\"latest_seq\":{number},")).then_some(()))
        })?;
        slowest = slowest.max(said.elapsed());
        thread::sleep(Duration::from_millis(50));
    }
    let tables = Tables::connect(servers.cql.address())?;
    let arrived = until("everybody has an entry", ARRIVES_WITHIN, || {
        let heads = tables.all(&deployment.keyspace, "inbox_heads")?.len();
        Ok((heads >= count + 2).then(|| begun.elapsed()))
    })?;
    let mut recipients = BTreeSet::new();
    for row in tables.all(&deployment.keyspace, "inbox")? {
        if text(&row, "conversation")? == "group/large" {
            let (recipient, seq) = (text(&row, "recipient")?.to_owned(), number(&row, "seq")?);
            ensure!(seq == 1 && text(&row, "body")? == "\"to all\"", "{row:?}");
            ensure!(recipients.insert(recipient), "twice: {row:?}");
        }
    }
    ensure!(recipients.into_iter().eq(members), "not the members alone");
    eprintln!(
        "{count} members: all entries within {arrived:?}; slowest other message {slowest:?} (debug build)"
    );
    Ok(())
}
