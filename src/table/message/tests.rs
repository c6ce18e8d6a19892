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
    assert_ne!(sent_key("a:b", "c"), sent_key("a", "b:c"));
    let clustering = sent_clustering(&sent_key("a", "b"), 5);
    assert_eq!((seq_of(&clustering), sent_key_of(&clustering)), (None, Some("a/b")));
    assert_eq!((seq_of(&message_clustering(17)), sent_key_of(&message_clustering(17))), (Some(17), None));
}

#[test]
fn an_id_that_counts_is_where_it_is_looked_for_and_one_of_a_former_day_has_a_row_of_its_own() {
    let now_ms = 20_000 * IDEMPOTENCE_MS + 17;
    let is_looked_for = |at_ms: i64, latest_ms: i64| {
        sent_clusterings("a/b", now_ms, latest_ms)
            .any(|clustering| clustering == sent_clustering("a/b", at_ms))
    };
    for at_ms in [now_ms - IDEMPOTENCE_MS, now_ms - 18, now_ms] {
        assert!(is_looked_for(at_ms, now_ms), "{at_ms}");
        assert_ne!(sent_clustering("a/b", at_ms), sent_clustering("a/b", at_ms + IDEMPOTENCE_MS + 1));
    }
    let ahead_ms = now_ms + 7 * IDEMPOTENCE_MS;
    assert!(is_looked_for(ahead_ms, ahead_ms), "the clock stepped back");
    assert_eq!(sent_clusterings("a/b", now_ms, now_ms - 18).count(), 1, "nothing was accepted today");
}
