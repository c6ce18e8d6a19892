use super::*;
use crate::{
    store::{Change, Statement},
    table::{Table, inbox::INBOX, presence::PRESENCE},
};

fn write(table: &'static Table, time_ms: i64, ttl_s: u32) -> WriteBatch {
    let statement = Statement {
        clustering: Box::default(),
        change: Change::Upsert(Box::default()),
        timestamp_us: time_ms * 1_000,
        ttl_s: Some(ttl_s),
    };
    WriteBatch::new(table, Arc::default(), vec![statement])
}

#[test]
fn an_old_entry_lives_as_long_as_it_would_have() {
    let now_ms = 1_760_000_000_000;
    let alive = still_alive(write(&INBOX, now_ms - 60_000, 100), now_ms).expect("alive");
    assert_eq!(alive.statements[0].ttl_s, Some(40));
    assert!(still_alive(write(&INBOX, now_ms - 100_000, 100), now_ms).is_none());
    assert!(still_alive(write(&INBOX, now_ms + 5_000, 100), now_ms).is_some(), "a clock that is behind");
}

#[test]
fn rows_that_are_overwritten_keep_their_time_to_live() {
    let alive = still_alive(write(&PRESENCE, 0, 100), 1_760_000_000_000).expect("alive");
    assert_eq!(alive.statements[0].ttl_s, Some(100));
}
