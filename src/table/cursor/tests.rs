use super::*;

#[test]
fn a_cursor_reads_as_it_was_written() {
    let row = CursorRow { position: 41, at_ms: 5, origin: 9, generation: 1 };
    assert_eq!(row.to_cells().len(), CELLS.len());
    assert_eq!(CursorRow::from_cells(&row.to_cells()), Ok(row));
    assert!(CursorRow::from_cells(&[]).is_err());
}
