use super::*;
use crate::{record::transition::Status, store::Change, table::presence};

const BLANK: SessionRow<'_> = SessionRow {
    origin: 0,
    status: Status::Online,
    device: None,
    gateway: None,
    metadata: None,
    generation: 2,
};

fn row(origin: i64, metadata: Option<&str>) -> Row {
    row_of(2, origin, metadata)
}

fn row_of(generation: i32, origin: i64, metadata: Option<&str>) -> Row {
    let row = SessionRow { origin, device: Some("ios"), metadata, generation, ..BLANK };
    Row { clustering: clustering("alice", "s-1"), cells: row.to_cells() }
}

fn refresh(status: Status) -> Refresh {
    let cells = SessionRow { status, gateway: Some("gw-2"), ..BLANK }.to_cells();
    let mut output = Output::new(1_000);
    output.begin(50, true);
    output.rewrite(
        &PRESENCE,
        presence::partition(0),
        clustering("alice", "s-1"),
        cells,
        metadata_hash("{}"),
        9,
    );
    output.refreshes.remove(0)
}

#[test]
fn a_row_is_written_again_with_its_metadata_and_everything_else_as_the_fold_has_it() {
    let refreshed = refreshed(&refresh(Status::Away), Some(&row(7, Some("{}"))));
    let new =
        SessionRow { origin: 51, status: Status::Away, gateway: Some("gw-2"), metadata: Some("{}"), ..BLANK };
    let expected = Statement {
        clustering: clustering("alice", "s-1"),
        change: Change::Upsert(new.to_cells()),
        timestamp_us: 1_050,
        ttl_s: Some(9),
    };
    assert_eq!(refreshed, Refreshed::Write(expected));
}

#[test]
fn a_row_that_is_gone_or_newer_is_left_alone() {
    assert_eq!(refreshed(&refresh(Status::Away), None), Refreshed::Skip);
    assert_eq!(refreshed(&refresh(Status::Away), Some(&row(51, Some("other")))), Refreshed::Skip);
}

#[test]
fn a_row_with_other_metadata_is_not_what_the_fold_believes() {
    assert_eq!(refreshed(&refresh(Status::Away), Some(&row(50, Some("other")))), Refreshed::Restore);
    assert_eq!(refreshed(&refresh(Status::Away), Some(&row(50, None))), Refreshed::Restore);
}

#[test]
fn a_position_of_a_former_generation_is_never_newer() {
    let former = row_of(1, 51, Some("{}"));
    assert!(matches!(refreshed(&refresh(Status::Away), Some(&former)), Refreshed::Write(_)));
}
