use super::*;

fn user_row() -> UserRow<'static> {
    UserRow {
        origin: 9,
        status: Status::Busy,
        choice: Some(Choice::Busy),
        until_ms: Some(-1),
        status_text: Some("at lunch"),
        activity: None,
        version: 7,
        last_seen_ms: 1_760_000_000_000,
        generation: 2,
    }
}

#[test]
fn a_users_row_reads_as_it_was_written() {
    let cells = user_row().to_cells();
    assert_eq!(cells.len(), CELLS.len());
    assert_eq!(UserRow::from_cells(&cells), Ok(user_row()));
}

#[test]
fn a_sessions_row_reads_as_it_was_written() {
    let row = SessionRow {
        origin: 9,
        status: Status::Away,
        device: Some("ios"),
        gateway: None,
        metadata: Some("{\"a\": 1}"),
        generation: 2,
    };
    let cells = row.to_cells();
    assert_eq!(cells.len(), CELLS.len());
    assert_eq!(SessionRow::from_cells(&cells), Ok(row));
}

#[test]
fn cells_of_the_wrong_kind_are_an_error_that_names_the_column() {
    let mut cells = user_row().to_cells();
    cells[6] = Value::text("seven");
    let error = UserRow::from_cells(&cells).unwrap_err();
    assert!(error.to_string().contains("`version`"), "{error}");
    assert!(UserRow::from_cells(&[]).is_err());
    cells[6] = Value::BigInt(-1);
    assert!(UserRow::from_cells(&cells).is_err());
}

#[test]
fn the_hash_of_metadata_is_fnv_1a_for_ever() {
    assert_eq!(metadata_hash(""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(metadata_hash("foobar"), 0x8594_4171_f739_67e8);
}
