use super::*;

#[test]
fn a_message_reads_as_it_was_written() {
    let row = MessageRow {
        sender: "alice",
        client_id: "c-1",
        session: None,
        sent_at_ms: Some(5),
        accepted_at_ms: 6,
        body: "{\"a\" : 1e400}",
    };
    let cells = row.to_cells();
    assert_eq!(cells.len(), CELLS.len());
    assert_eq!(MessageRow::from_cells(&cells), Ok(row));
    assert!(SentRow::from_cells(&cells).is_err());
}

#[test]
fn what_was_sent_reads_as_it_was_written() {
    let row = SentRow { seq: 1_001, hash: u64::MAX - 1, accepted_at_ms: 6 };
    let cells = row.to_cells();
    assert_eq!(cells.len(), CELLS.len());
    assert_eq!(SentRow::from_cells(&cells), Ok(row));
    assert!(MessageRow::from_cells(&cells).is_err());
}

#[test]
fn ids_with_colons_have_keys_of_their_own() {
    assert_ne!(sent_clustering("a:b", "c"), sent_clustering("a", "b:c"));
    assert_eq!(seq_of(&sent_clustering("a", "b")), None);
    assert_eq!(seq_of(&message_clustering(17)), Some(17));
}
