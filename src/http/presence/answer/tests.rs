use serde_json::json;

use super::{Question, Readings, as_of};
use crate::{
    id::bucket_of,
    store::{Row, Select},
    table::{Value, presence::PRESENCE, progress::PROGRESS},
    topology::Topology,
};

const NOW_MS: i64 = 1_000_000;

fn topology() -> Topology {
    Topology::uniform(2, 4)
}

fn question(users: &[&str], sessions: bool) -> Question {
    Question { users: users.iter().map(|user| (*user).to_owned()).collect(), sessions }
}

fn row(user: &str, session: &str, cells: &[(&str, Value)]) -> Row {
    let cell =
        |name: &str| cells.iter().find(|(other, _)| *other == name).map_or(Value::Null, |(_, v)| v.clone());
    Row {
        clustering: Box::new([Value::text(user), Value::text(session)]),
        cells: PRESENCE.cells.iter().map(|column| cell(column.name)).collect(),
    }
}

fn fresh(readings: &mut Readings) {
    for partition in 0..2 {
        readings.as_of(partition, Ok(Some(NOW_MS - 1_000)));
    }
}

fn answer(question: &Question, readings: &Readings) -> serde_json::Value {
    serde_json::to_value(question.answer(&topology(), readings, NOW_MS)).expect("JSON")["users"].clone()
}

#[test]
fn users_of_a_bucket_are_one_query_and_each_user_is_read_once() {
    let users: Vec<String> = (0..100).map(|n| format!("u{n}")).collect();
    let mut names: Vec<&str> = users.iter().map(String::as_str).collect();
    names.extend(["u7", "u7", "bad/id"]);
    let plan = question(&names, false).plan(&topology());
    assert_eq!(plan.presence.len(), 4);
    let mut keys = 0;
    for planned in &plan.presence {
        let Select::Keys(clusterings) = &planned.query.select else { panic!("keys") };
        keys += clusterings.len();
        for (user, clustering) in planned.users.iter().zip(clusterings) {
            assert_eq!(clustering[..], [Value::text(user), Value::text("")]);
            let bucket = bucket_of(user.as_bytes(), 4) as i32;
            assert_eq!(planned.query.partition[..], [Value::Int(bucket)]);
        }
    }
    assert_eq!(keys, 100);
    assert_eq!(plan.progress.len(), 2);
}

#[test]
fn sessions_are_read_by_a_slice_of_the_user() {
    let plan = question(&["ann", "ann", "bob"], true).plan(&topology());
    assert_eq!(plan.presence.len(), 2);
    assert!(plan.presence.iter().all(|planned| matches!(&planned.query.select,
        Select::Slice { prefix, after: None, descending: false, limit: 65 }
            if **prefix == [Value::text(&planned.users[0])])));
}

#[test]
fn the_order_of_the_question_is_kept_and_duplicates_are_answered() {
    let mut readings = Readings::default();
    fresh(&mut readings);
    readings.rows(vec![row(
        "ann",
        "",
        &[
            ("status", Value::text("online")),
            ("version", Value::BigInt(7)),
            ("last_seen_ms", Value::BigInt(5)),
            ("status_text", Value::text("hi")),
            ("activity", Value::text("typing")),
        ],
    )]);
    let as_of = NOW_MS - 1_000;
    let ann = json!({"user":"ann","status":"online","version":7,"last_seen":5,"status_text":"hi",
        "activity":"typing",        "as_of":as_of});
    assert_eq!(
        answer(&question(&["ann", "never", "ann"], false), &readings),
        json!([ann, {"user":"never","status":"unknown","as_of":as_of}, ann])
    );
}

#[test]
fn who_chose_a_status_and_never_beat_was_never_seen() {
    let mut readings = Readings::default();
    fresh(&mut readings);
    let cells = [("status", Value::text("offline")), ("last_seen_ms", Value::BigInt(0))];
    readings.rows(vec![row("ann", "", &cells)]);
    let users = answer(&question(&["ann"], false), &readings);
    assert_eq!((&users[0]["status"], users[0].get("last_seen")), (&json!("offline"), None));
}

#[test]
fn texts_of_an_offline_user_are_not_told() {
    let mut readings = Readings::default();
    fresh(&mut readings);
    let cells = [("status", Value::text("offline")), ("status_text", Value::text("hidden"))];
    readings.rows(vec![row("ann", "", &cells)]);
    assert_eq!(answer(&question(&["ann"], false), &readings)[0].get("status_text"), None);
}

#[test]
fn sessions_are_listed_only_when_asked_for() {
    let mut readings = Readings::default();
    fresh(&mut readings);
    let session = [
        ("status", Value::text("away")),
        ("device", Value::text("ios")),
        ("gateway", Value::text("gw")),
        ("metadata", Value::text("{\"b\": 1}")),
    ];
    readings.rows(vec![row("ann", "", &[("status", Value::text("away"))]), row("ann", "s-1", &session)]);
    let expected =
        json!([{"session":"s-1","device":"ios","gateway":"gw","status":"away","metadata":{"b":1}}]);
    assert_eq!(answer(&question(&["ann"], true), &readings)[0]["sessions"], expected);
    assert_eq!(answer(&question(&["ann"], false), &readings)[0].get("sessions"), None);
    assert_eq!(answer(&question(&["bob"], true), &readings)[0]["sessions"], json!([]));
}

#[test]
fn one_unreadable_element_leaves_the_others_answered() {
    let mut readings = Readings::default();
    fresh(&mut readings);
    readings.unreadable(vec!["bob".to_owned()], "node away");
    readings.rows(vec![row("ann", "", &[("status", Value::text("busy"))])]);
    let answers = answer(&question(&["ann", "bob", "a/b"], false), &readings);
    assert_eq!(answers[0]["status"], "busy");
    assert_eq!(answers[1], json!({"user":"bob","error":{"code":"unreadable","message":"node away"}}));
    assert_eq!(answers[2]["error"]["code"], "invalid_id");
}

#[test]
fn what_is_older_than_ten_seconds_is_stale() {
    let stale = |as_of: Result<Option<i64>, String>| {
        let mut readings = Readings::default();
        (0..2).for_each(|partition| readings.as_of(partition, as_of.clone()));
        answer(&question(&["ann"], false), &readings)[0].clone()
    };
    assert_eq!(stale(Ok(Some(NOW_MS - 10_000))).get("stale"), None);
    assert_eq!(stale(Ok(Some(NOW_MS - 10_001)))["stale"], true);
    assert_eq!(stale(Ok(None)), json!({"user":"ann","status":"unknown","stale":true}));
    assert_eq!(stale(Err("gone".to_owned()))["error"]["message"], "gone");
}

#[test]
fn as_of_is_read_by_the_name_of_its_column() {
    let cells = PROGRESS.cells.iter().map(|column| match column.name {
        "as_of_ms" => Value::BigInt(42),
        _ => Value::Null,
    });
    let row = Row { clustering: Box::new([Value::text("")]), cells: cells.collect() };
    assert_eq!(as_of(&[row]), Some(42));
    assert_eq!(as_of(&[]), None);
}
