use super::*;

#[test]
fn an_entry_reads_as_it_was_written() {
    let row = EntryRow {
        conversation: "group/team",
        conversation_seq: 17,
        sender: "alice",
        client_id: "c-1",
        session: Some("s-1"),
        sent_at_ms: None,
        accepted_at_ms: 9,
        body: None,
        foreign_count: 3,
    };
    let cells = row.to_cells();
    assert_eq!(cells.len(), ENTRY_CELLS.len());
    assert_eq!(EntryRow::from_cells(&cells), Ok(row));
    assert!(EntryRow::from_cells(&[]).is_err());
}

#[test]
fn a_bucket_and_a_head_read_as_they_were_written() {
    let bucket = BucketRow { origin: 5, generation: 1, window: 2, entries: 49_999, window_since_ms: 7 };
    assert_eq!(bucket.to_cells().len(), BUCKET_CELLS.len());
    assert_eq!(BucketRow::from_cells(&bucket.to_cells()), Ok(bucket));
    let head = HeadRow { latest_seq: 41, foreign_count: 40, window: 2, timestamp_us: 77 };
    assert_eq!(head.to_cells().len(), HEAD_CELLS.len());
    assert_eq!(HeadRow::from_cells(&head.to_cells()), Ok(head));
}
