//! The schema against a database: apply, apply again, drift.

use crate::table::TABLES;

use super::{
    schema::{Difference, MIGRATIONS, SchemaError, apply, check, plan},
    *,
};

fn differences(fixture: &Fixture) -> Vec<Difference> {
    match fixture.runtime.block_on(check(&fixture.cql, TABLES)) {
        Ok(()) => Vec::new(),
        Err(SchemaError::Mismatch { differences, .. }) => differences,
        Err(SchemaError::Store(error)) => panic!("{error}"),
    }
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn applying_creates_everything_and_applying_again_nothing() {
    let fixture = Fixture::without_keyspace("heartline_test_apply", |_| {});
    let (runtime, cql) = (&fixture.runtime, &fixture.cql);
    assert_eq!(differences(&fixture), [Difference::NoKeyspace]);
    let planned = runtime.block_on(plan(cql)).unwrap();
    assert!(
        planned.to_string().starts_with("CREATE KEYSPACE IF NOT EXISTS heartline_test_apply"),
        "{planned}"
    );
    assert_eq!(differences(&fixture), [Difference::NoKeyspace], "a plan changes nothing");
    assert_eq!(runtime.block_on(apply(cql)).unwrap(), planned);
    assert_eq!(differences(&fixture), []);
    assert!(runtime.block_on(apply(cql)).unwrap().is_empty());
    assert!(runtime.block_on(plan(cql)).unwrap().is_empty());
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn an_apply_that_was_interrupted_is_completed() {
    let fixture = Fixture::without_keyspace("heartline_test_resume", |_| {});
    let (runtime, cql) = (&fixture.runtime, &fixture.cql);
    runtime.block_on(apply(cql)).unwrap();
    // The last table is there and its record is not; of the one before neither is.
    fixture.execute("DELETE FROM heartline_test_resume.heartline_migrations WHERE id IN (3, 4)");
    fixture.execute("DROP TABLE heartline_test_resume.progress");
    let pending = |name: &str| Difference::Pending { name: name.into() };
    assert_eq!(
        differences(&fixture),
        [
            pending("0003_progress.cql"),
            pending("0004_progress_owners.cql"),
            Difference::NoTable { table: "progress" }
        ]
    );
    let applied = runtime.block_on(apply(cql)).unwrap();
    assert_eq!(applied.migrations, MIGRATIONS[2..4].iter().collect::<Vec<_>>());
    assert_eq!(differences(&fixture), []);
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn drift_is_reported_in_full_and_stops_an_apply() {
    let fixture = Fixture::without_keyspace("heartline_test_drift", |_| {});
    let (runtime, cql) = (&fixture.runtime, &fixture.cql);
    runtime.block_on(apply(cql)).unwrap();
    let migrations = "heartline_test_drift.heartline_migrations";
    fixture.execute(&format!("UPDATE {migrations} SET checksum = '0' WHERE id = 2"));
    fixture.execute(&format!("INSERT INTO {migrations} (id, name, checksum) VALUES (99, 'later', '1')"));
    fixture.execute("ALTER TABLE heartline_test_drift.presence DROP device");
    fixture.execute("DROP TABLE heartline_test_drift.progress_owners");
    let expected = [
        Difference::Edited { name: "0002_presence_checkpoints.cql".into() },
        Difference::Unknown { id: 99, name: "later".into() },
        Difference::NoColumn { table: "presence", column: "device" },
        Difference::NoTable { table: "progress_owners" },
    ];
    assert_eq!(differences(&fixture), expected);
    let error = runtime.block_on(apply(cql)).unwrap_err();
    let SchemaError::Mismatch { differences, .. } = &error else { panic!("{error}") };
    assert_eq!(differences, &expected[..2]);
    let sentence = error.to_string();
    assert!(
        sentence.starts_with("keyspace heartline_test_drift does not match this program: 0002_"),
        "{sentence}"
    );
}

#[test]
#[ignore = "needs a CQL database; set HEARTLINE_TEST_CQL"]
fn one_copy_that_is_acknowledged_before_it_is_on_disk_is_worth_a_warning() {
    let fixture = Fixture::new("heartline_test_durable");
    let setting = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
    let answer = fixture.runtime.block_on(fixture.cql.session().query_unpaged(setting, ()));
    let sync =
        answer.ok().and_then(|answer| answer.into_rows_result().unwrap().single_row::<(String,)>().ok());
    let warning = fixture.runtime.block_on(fixture.cql.durability_warning());
    assert_eq!(warning.is_some(), sync == Some(("periodic".into(),)), "{sync:?}: {warning:?}");
}
