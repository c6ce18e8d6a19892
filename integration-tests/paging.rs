//! A member of a thousand conversations reads its inbox page by page while all of them talk.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    case::Case,
    deployment::{Deployment, get, request, until},
    servers::Servers,
};

const CONVERSATIONS: usize = 1_000;
const MESSAGES: usize = 3_000;
const PAGE: usize = 70;
const LIMIT: Duration = Duration::from_secs(120);

pub fn cases() -> Vec<Case> {
    vec![Case::alone("a_member_of_a_thousand_conversations_syncs_without_gap_or_repeat", sync_while_written)]
}

fn sync_while_written(servers: &Servers) -> Result<()> {
    let mut deployment = Deployment::prepare(servers, "paging", "")?;
    let worker = deployment.start_worker()?;
    deployment.wait_ready(worker)?;
    let address = deployment.workers[worker].address.clone();
    let read = Arc::new(AtomicI64::new(0));
    let writer = {
        let (address, read) = (address.clone(), Arc::clone(&read));
        std::thread::spawn(move || write_all(&address, &read))
    };
    let mut reader = Reader::new(address);
    let begun = Instant::now();
    let (mut pages, mut last_while_written) = (0, 0);
    while reader.after < MESSAGES as i64 {
        ensure!(begun.elapsed() < LIMIT, "only {} of {MESSAGES} came", reader.after);
        reader.page()?;
        read.store(reader.after, Ordering::Release);
        pages += 1;
        if !writer.is_finished() {
            last_while_written = reader.after;
        }
    }
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    ensure!(reader.seen.len() == MESSAGES, "{} different messages", reader.seen.len());
    ensure!(last_while_written > PAGE as i64, "vacuous: {last_while_written} read while writes went on");
    let conversations: BTreeSet<_> = reader.seen.iter().map(|(conversation, _)| conversation).collect();
    ensure!(conversations.len() == CONVERSATIONS, "{} conversations", conversations.len());
    eprintln!(
        "{MESSAGES} entries of {CONVERSATIONS} conversations in {pages} pages, {last_while_written} while written"
    );
    until("what is read is not unread", LIMIT, || {
        let receipt = json!({"v": 1, "type": "read", "user": "member", "inbox": MESSAGES});
        request(&reader.address, "POST", "/v1/receipts", &receipt.to_string())?;
        let page = get(&reader.address, "/v1/sync/member?count=1")?;
        Ok(page.contains("\"unread\":0").then_some(()))
    })
}

/// Writes everything; the second half only once the reader has begun, however slow the machine is.
fn write_all(address: &str, read: &AtomicI64) -> Result<()> {
    for first in (0..MESSAGES).step_by(50) {
        if first == MESSAGES / 2 {
            let some = || Ok((read.load(Ordering::Acquire) > PAGE as i64).then_some(()));
            until("the reader has begun", LIMIT, some)?;
        }
        let messages: Vec<Value> = (first..first + 50)
            .map(|number| {
                let conversation = format!("group/g-{}", number % CONVERSATIONS);
                json!({"v": 1, "type": "message", "conversation": conversation, "sender": "somebody",
                    "client_id": format!("c-{number}"), "body": number, "recipients": ["member"]})
            })
            .collect();
        let answer = request(address, "POST", "/v1/sends", &Value::from(messages).to_string())?;
        ensure!(answer == r#"{"accepted":50,"refused":[]}"#, "{answer}");
        std::thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}

struct Reader {
    address: String,
    after: i64,
    seen: BTreeSet<(String, i64)>,
}

impl Reader {
    fn new(address: String) -> Self {
        Self { address, after: 0, seen: BTreeSet::new() }
    }

    fn page(&mut self) -> Result<()> {
        let answer = get(&self.address, &format!("/v1/sync/member?after={}&count={PAGE}", self.after))?;
        let page: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        let entries = page["entries"].as_array().with_context(|| answer.clone())?;
        for entry in entries {
            self.after += 1;
            ensure!(entry["seq"] == self.after, "{} is due: {entry}", self.after);
            let conversation = entry["conversation"].as_str().unwrap_or_default().to_owned();
            let seq = entry["conversation_seq"].as_i64().unwrap_or_default();
            ensure!(self.seen.insert((conversation, seq)), "twice: {entry}");
        }
        let latest = page["latest_seq"].as_i64().unwrap_or_default();
        ensure!(latest >= self.after && page["trimmed_to"] == 0, "{answer}");
        Ok(())
    }
}
