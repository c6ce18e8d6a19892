use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*};

use super::{cell::GRACE_MS, *};
use crate::{
    embedded::tests::TestDatabase,
    table::{Stage, Writing, column},
};

static NOTES: Table = Table {
    name: "notes",
    partition: &[column("owner", Kind::Text)],
    clustering: &[column("day", Kind::Int), column("title", Kind::Text)],
    statics: &[column("latest", Kind::BigInt)],
    cells: &[column("body", Kind::Text), column("size", Kind::Int)],
    stage: Stage::First,
    writing: Writing::InPlace,
};

const START_MS: i64 = 1_000_000;

fn partition(owner: &str) -> Arc<[Value]> {
    Arc::from([Value::text(owner)])
}

fn clustering(day: i32, title: &str) -> Box<[Value]> {
    Box::from([Value::Int(day), Value::text(title)])
}

fn upsert(day: i32, title: &str, body: &str, timestamp_us: i64) -> Statement {
    let change = Change::Upsert(Box::from([Value::text(body), Value::Null]));
    Statement { clustering: clustering(day, title), change, timestamp_us, ttl_s: None }
}

fn delete(day: i32, title: &str, timestamp_us: i64) -> Statement {
    Statement { clustering: clustering(day, title), change: Change::Delete, timestamp_us, ttl_s: None }
}

fn batch(owner: &str, statements: Vec<Statement>) -> WriteBatch {
    WriteBatch::new(&NOTES, partition(owner), statements)
}

fn select(test: &TestDatabase, owner: &str, select: Select) -> Vec<Row> {
    test.read(&Query { table: &NOTES, partition: partition(owner), select }).expect("rows")
}

fn all(test: &TestDatabase, owner: &str) -> Vec<Row> {
    select(
        test,
        owner,
        Select::Slice { prefix: Box::default(), after: None, descending: false, limit: 1_000 },
    )
}

/// Day and title of each row.
fn names(rows: &[Row]) -> Vec<(i32, &str)> {
    fn name(row: &Row) -> Option<(i32, &str)> {
        Some((row.clustering[0].as_int()?, row.clustering[1].as_text()?))
    }
    rows.iter().map(name).collect::<Option<_>>().expect("names")
}

#[test]
fn slices_are_in_clustering_order_and_keep_to_their_bounds() {
    let test = TestDatabase::new();
    let titles = [(3, "c"), (-2, "a"), (3, "a"), (0, "z"), (3, "b"), (3, ""), (i32::MAX, "x"), (3, "ab")];
    let statements = titles.iter().map(|(day, title)| upsert(*day, title, "t", 1)).collect();
    test.write(batch("o", statements)).expect("written");
    test.write(batch("oo", vec![upsert(3, "other", "t", 1)])).expect("written");
    let slice = |prefix: &[Value], after, descending, limit| {
        let rows = select(&test, "o", Select::Slice { prefix: prefix.into(), after, descending, limit });
        names(&rows).into_iter().map(|(day, title)| (day, title.to_owned())).collect::<Vec<_>>()
    };
    let owned = |names: &[(i32, &str)]| -> Vec<(i32, String)> {
        names.iter().map(|(day, title)| (*day, (*title).to_owned())).collect()
    };
    let mut sorted = titles;
    sorted.sort();
    assert_eq!(slice(&[], None, false, 100), owned(&sorted));
    let day = [Value::Int(3)];
    let text = |text| Some(Value::text(text));
    assert_eq!(slice(&day, None, false, 100), owned(&[(3, ""), (3, "a"), (3, "ab"), (3, "b"), (3, "c")]));
    assert_eq!(slice(&day, text("a"), false, 2), owned(&[(3, "ab"), (3, "b")]));
    assert_eq!(slice(&day, text("b"), true, 2), owned(&[(3, "ab"), (3, "a")]));
    assert_eq!(slice(&day, text("aa"), true, 9), owned(&[(3, "a"), (3, "")]));
    assert_eq!(slice(&[], Some(Value::Int(0)), false, 2), owned(&[(3, ""), (3, "a")]));
    assert_eq!(slice(&[], Some(Value::Int(3)), true, 9), owned(&[(0, "z"), (-2, "a")]));
    assert_eq!(slice(&[], None, true, 1), owned(&[(i32::MAX, "x")]));
    assert_eq!(slice(&clustering(3, "a"), None, false, 9), owned(&[(3, "a")]));
    assert_eq!(slice(&day, None, false, 0), []);
}

#[test]
fn a_limit_counts_live_rows_only() {
    let test = TestDatabase::new();
    let mut statements: Vec<_> = (0..6).map(|day| upsert(day, "t", "b", 1)).collect();
    statements.extend([0, 1, 3].map(|day| delete(day, "t", 2)));
    test.write(batch("o", statements)).expect("written");
    let rows = select(
        &test,
        "o",
        Select::Slice { prefix: Box::default(), after: None, descending: false, limit: 2 },
    );
    assert_eq!(names(&rows), [(2, "t"), (4, "t")]);
}

#[test]
fn keys_give_each_row_once_and_in_order() {
    let test = TestDatabase::new();
    let statements = vec![upsert(1, "a", "x", 1), upsert(2, "b", "y", 1), upsert(3, "c", "z", 1)];
    test.write(batch("o", statements)).expect("written");
    let keys = [(3, "c"), (1, "a"), (9, "none"), (3, "c")];
    let keys = keys.map(|(day, title)| clustering(day, title)).to_vec();
    assert_eq!(names(&select(&test, "o", Select::Keys(keys))), [(1, "a"), (3, "c")]);
}

#[test]
fn statics_belong_to_the_partition_and_are_no_row() {
    let test = TestDatabase::new();
    let statics = |value, timestamp_us| Statement {
        clustering: Box::default(),
        change: Change::Statics(Box::from([value])),
        timestamp_us,
        ttl_s: None,
    };
    test.write(batch("o", vec![upsert(1, "a", "x", 1)])).expect("written");
    assert_eq!(select(&test, "o", Select::Statics), []);
    test.write(batch("o", vec![statics(Value::BigInt(7), 5), statics(Value::BigInt(6), 4)]))
        .expect("written");
    let row = Row { clustering: Box::default(), cells: Box::from([Value::BigInt(7)]) };
    assert_eq!(select(&test, "o", Select::Statics), [row]);
    assert_eq!(names(&all(&test, "o")), [(1, "a")]);
    test.write(batch("o", vec![statics(Value::Null, 6)])).expect("written");
    assert_eq!(select(&test, "o", Select::Statics), []);
}

#[test]
fn a_batch_with_a_bad_statement_changes_nothing() {
    let test = TestDatabase::new();
    let bad_kind = Change::Upsert(Box::from([Value::Int(1), Value::Null]));
    let too_few = Change::Upsert(Box::from([Value::Null]));
    let bad = [
        Statement { change: bad_kind, ..upsert(1, "b", "", 1) },
        Statement { change: too_few, ..upsert(1, "b", "", 1) },
        Statement { clustering: Box::from([Value::Int(1)]), ..upsert(1, "b", "", 1) },
        Statement { clustering: Box::from([Value::Null, Value::text("b")]), ..upsert(1, "b", "", 1) },
        Statement { clustering: clustering(1, &"x".repeat(70_000)), ..upsert(1, "b", "", 1) },
        Statement { clustering: Box::default(), ..delete(1, "b", 1) },
    ];
    for bad in bad {
        let error = test.write(batch("o", vec![upsert(1, "a", "x", 1), bad])).expect_err("it is refused");
        assert_eq!(error.class, StoreErrorClass::Permanent);
        assert!(error.message.contains("notes"), "{error}");
    }
    assert_eq!(all(&test, "o"), []);
}

#[test]
fn a_row_dies_with_its_time_to_live_and_is_swept_a_day_later() {
    let test = TestDatabase::new();
    let mortal = Statement { ttl_s: Some(10), ..upsert(1, "a", "x", 5) };
    test.write(batch("o", vec![mortal, upsert(2, "b", "y", 5), delete(3, "c", 5)])).expect("written");
    let stored = || {
        let spaces = &test.database.shared.spaces;
        spaces.table(&NOTES).expect("a table").len().expect("a count")
    };
    test.clock.set(START_MS + 9_999);
    assert_eq!(names(&all(&test, "o")), [(1, "a"), (2, "b")]);
    test.clock.set(START_MS + 10_000);
    assert_eq!(names(&all(&test, "o")), [(2, "b")]);
    test.clock.set(START_MS + GRACE_MS);
    test.keep_house();
    assert_eq!(stored(), 3);
    test.write(batch("o", vec![upsert(1, "a", "late", 4), upsert(3, "c", "late", 4)])).expect("written");
    assert_eq!(names(&all(&test, "o")), [(2, "b")], "the dead still hide what is older");
    test.clock.set(START_MS + 2 * GRACE_MS + 1);
    test.keep_house();
    assert_eq!(stored(), 1);
    assert_eq!(names(&all(&test, "o")), [(2, "b")]);
}

#[test]
fn sweeping_reaches_every_row_however_many_there_are() {
    let test = TestDatabase::new();
    let statement = |day| if day < 4_990 { upsert(day, "t", "b", 1) } else { delete(day, "t", 1) };
    let statements = (0..5_000).map(statement);
    test.write(batch("o", statements.collect())).expect("written");
    test.clock.set(START_MS + GRACE_MS + 1);
    test.keep_house();
    let space = test.database.shared.spaces.table(&NOTES).expect("a table");
    assert_eq!(space.len().expect("a count"), 4_990);
}

#[test]
fn a_time_to_live_of_zero_is_none() {
    let test = TestDatabase::new();
    let statement = Statement { ttl_s: Some(0), ..upsert(1, "a", "x", 5) };
    test.write(batch("o", vec![statement])).expect("written");
    test.clock.set(i64::MAX);
    assert_eq!(names(&all(&test, "o")), [(1, "a")]);
}

/// One statement of the model: where, what, when it was written by the wall clock.
#[derive(Debug, Clone)]
struct Write {
    day: i32,
    /// `None` deletes.
    cells: Option<(Option<String>, Option<i32>)>,
    timestamp_us: i64,
    ttl_s: Option<u32>,
}

impl Write {
    fn statement(&self) -> Statement {
        let change = match &self.cells {
            None => Change::Delete,
            Some((body, size)) => Change::Upsert(Box::from([
                Value::optional_text(body.as_deref()),
                size.map_or(Value::Null, Value::Int),
            ])),
        };
        let (timestamp_us, ttl_s) = (self.timestamp_us, self.ttl_s);
        Statement { clustering: clustering(self.day, "t"), change, timestamp_us, ttl_s }
    }
}

/// A cell that may win: timestamp, how far it is a tombstone, expiry, bytes; and its value.
type Candidate = (i64, u8, Option<i64>, Vec<u8>, Value);

/// Everything that was ever written, with its wall clock; what is visible is worked out from all of it at
/// each read.
#[derive(Default)]
struct Model(Vec<(Write, i64)>);

impl Model {
    fn row(&self, day: i32, now_ms: i64) -> Option<[Value; 2]> {
        let writes: Vec<_> = self.0.iter().filter(|(write, _)| write.day == day).collect();
        let deleted_us = writes.iter().filter(|(w, _)| w.cells.is_none()).map(|(w, _)| w.timestamp_us).max();
        let upserts: Vec<_> = writes
            .into_iter()
            .filter(|(write, _)| write.cells.is_some() && deleted_us.is_none_or(|at| write.timestamp_us > at))
            .collect();
        let expiry = |write: &Write, at_ms: i64| write.ttl_s.map(|ttl_s| at_ms + i64::from(ttl_s) * 1_000);
        let lives = |expires_ms: Option<i64>| expires_ms.is_none_or(|expires_ms| expires_ms > now_ms);
        let marker = upserts.iter().map(|(write, at_ms)| (write.timestamp_us, expiry(write, *at_ms))).max();
        let cell = |pick: fn(&(Option<String>, Option<i32>)) -> Value,
                    bytes: fn(&Value) -> Vec<u8>|
         -> Value {
            let mut best: Option<Candidate> = None;
            for (write, at_ms) in &upserts {
                let value = pick(write.cells.as_ref().expect("an upsert"));
                let candidate = match (&value, expiry(write, *at_ms)) {
                    (Value::Null, _) => (write.timestamp_us, 2, None, Vec::new(), value),
                    (_, Some(expires)) => (write.timestamp_us, 1, Some(expires), bytes(&value), value),
                    (_, None) => (write.timestamp_us, 0, None, bytes(&value), value),
                };
                if best.as_ref().is_none_or(|best| {
                    (best.0, best.1, best.2, &best.3) < (candidate.0, candidate.1, candidate.2, &candidate.3)
                }) {
                    best = Some(candidate);
                }
            }
            best.filter(|best| lives(best.2)).map_or(Value::Null, |best| best.4)
        };
        let text_bytes = |value: &Value| value.as_text().unwrap_or_default().as_bytes().to_vec();
        let int_bytes = |value: &Value| value.as_int().unwrap_or_default().to_be_bytes().to_vec();
        let cells = [
            cell(|(body, _)| Value::optional_text(body.as_deref()), text_bytes),
            cell(|(_, size)| size.map_or(Value::Null, Value::Int), int_bytes),
        ];
        let exists = marker.is_some_and(|(_, expires_ms)| lives(expires_ms))
            || cells.iter().any(|cell| *cell != Value::Null);
        exists.then_some(cells)
    }

    fn rows(&self, now_ms: i64) -> Vec<Row> {
        let row =
            |day| Some(Row { clustering: clustering(day, "t"), cells: Box::new(self.row(day, now_ms)?) });
        (0..3).filter_map(row).collect()
    }
}

fn write() -> impl Strategy<Value = Write> {
    let cells = (option::of("[ab]{0,2}"), option::of(-1..2));
    let ttl_s = option::weighted(0.4, 1..4_u32);
    (0..3, option::weighted(0.8, cells), 0..5_i64, ttl_s)
        .prop_map(|(day, cells, timestamp_us, ttl_s)| Write { day, cells, timestamp_us, ttl_s })
}

/// Turns of (milliseconds that pass, a batch).
fn history() -> impl Strategy<Value = Vec<(i64, Vec<Write>)>> {
    vec((prop_oneof![Just(0), Just(1_000), 0..2_500_i64], vec(write(), 1..5)), 1..6)
}

#[test]
fn rows_are_what_a_naive_model_says_at_every_moment() {
    let test = TestDatabase::new();
    let (mut case, mut now_ms) = (0, START_MS);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    let case_and_clock = std::cell::RefCell::new((&mut case, &mut now_ms));
    let checked = runner.run(&history(), |history| {
        let mut guard = case_and_clock.borrow_mut();
        let (case, now_ms) = &mut *guard;
        **case += 1;
        let owner = format!("model-{case}");
        let mut model = Model::default();
        for (pause_ms, writes) in history {
            **now_ms += pause_ms;
            test.clock.set(**now_ms);
            test.write(batch(&owner, writes.iter().map(Write::statement).collect())).expect("written");
            model.0.extend(writes.into_iter().map(|write| (write, **now_ms)));
            prop_assert_eq!(all(&test, &owner), model.rows(**now_ms));
        }
        for _ in 0..5 {
            **now_ms += 1_000;
            test.clock.set(**now_ms);
            prop_assert_eq!(all(&test, &owner), model.rows(**now_ms));
        }
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let test = TestDatabase::new();
    let case = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    let histories =
        vec(write(), 1..14).prop_flat_map(|writes| (Just(writes.clone()), Just(writes).prop_shuffle()));
    let checked = runner.run(&histories, |(ordered, shuffled)| {
        case.set(case.get() + 1);
        test.clock.set(START_MS);
        let owners = [("one", ordered), ("two", shuffled)].map(|(name, writes)| {
            let owner = format!("{name}-{}", case.get());
            for some in writes.chunks(1 + writes.len() / 3) {
                test.write(batch(&owner, some.iter().map(Write::statement).collect())).expect("written");
            }
            owner
        });
        for after_ms in [0, 1_000, 2_000, 3_000] {
            test.clock.set(START_MS + after_ms);
            prop_assert_eq!(all(&test, &owners[0]), all(&test, &owners[1]), "after {} ms", after_ms);
        }
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}
