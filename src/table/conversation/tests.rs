use super::*;

#[test]
fn a_head_reads_as_it_was_written() {
    let head = ConversationHead {
        latest_seq: 7,
        latest_at_ms: 1_760_000_000_000,
        members_origin: 3,
        origin: 9,
        generation: 2,
    };
    let cells = head.to_cells();
    assert_eq!(cells.len(), STATICS.len());
    assert_eq!(ConversationHead::from_cells(&cells), Ok(head));
    assert!(ConversationHead::from_cells(&[]).is_err());
}

#[test]
fn entries_read_as_they_were_written_and_members_come_first() {
    let member = Entry::Member("r");
    let recent = Entry::Recent { by: "a:b", client_id: "c" };
    for entry in [member, recent] {
        assert_eq!(Entry::from_clustering(&entry.to_clustering()), Some(entry));
    }
    assert!(member.to_clustering() < recent.to_clustering());
    assert_eq!(Entry::from_clustering(&[Value::text("x/y")]), None);
    let cells = Entry::cells(5, u64::MAX);
    assert_eq!(cells.len(), CELLS.len());
    assert_eq!(Entry::read_cells(&cells), Ok((5, u64::MAX)));
}
