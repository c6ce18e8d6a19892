use super::*;
use crate::{record::transition::Status, store::Change};

fn row(origin: i64, metadata: Option<&str>) -> Row {
    let row = SessionRow { origin, status: Status::Online, device: Some("ios"), gateway: None, metadata };
    Row { clustering: clustering("alice", "s-1"), cells: row.to_cells() }
}

fn refresh(status: Status) -> Refresh {
    let cells =
        SessionRow { origin: 0, status, device: None, gateway: Some("gw-2"), metadata: None }.to_cells();
    let mut output = Output::new(1_000);
    output.begin(50, true);
    output.rewrite(&PRESENCE, partition(0), clustering("alice", "s-1"), cells, metadata_hash("{}"), 9);
    output.refreshes.remove(0)
}

#[test]
fn a_row_is_written_again_with_its_metadata_and_everything_else_as_the_fold_has_it() {
    let refreshed = refreshed(&refresh(Status::Away), Some(&row(7, Some("{}"))));
    let new = SessionRow {
        origin: 51,
        status: Status::Away,
        device: None,
        gateway: Some("gw-2"),
        metadata: Some("{}"),
    };
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
