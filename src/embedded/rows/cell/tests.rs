use proptest::{collection::vec, option, prelude::*};

use super::*;

fn bytes(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

fn stamp(timestamp_us: i64) -> Stamp {
    Stamp { timestamp_us, expires_ms: None }
}

fn values(row: &StoredRow, now_ms: i64) -> Option<Vec<Option<Bytes>>> {
    row.live(now_ms).map(|cells| cells.map(|cell| cell.cloned()).collect())
}

#[test]
fn a_row_without_values_exists_by_its_marker() {
    let mut row = StoredRow::default();
    row.upsert(stamp(5), true, vec![None, None], 0);
    assert_eq!(values(&row, 0), Some(vec![None, None]));
}

#[test]
fn static_cells_exist_by_their_values_only() {
    let mut row = StoredRow::default();
    row.upsert(stamp(5), false, vec![None], 0);
    assert_eq!(values(&row, 0), None);
    row.upsert(stamp(6), false, vec![bytes("a")], 0);
    assert_eq!(values(&row, 0), Some(vec![bytes("a")]));
}

#[test]
fn a_delete_covers_what_has_its_own_timestamp() {
    let mut row = StoredRow::default();
    row.upsert(stamp(5), true, vec![bytes("a")], 0);
    row.delete(5, 0);
    row.upsert(stamp(5), true, vec![bytes("b")], 0);
    assert_eq!(values(&row, 0), None);
    row.upsert(stamp(6), true, vec![bytes("c")], 0);
    row.delete(4, 0);
    assert_eq!(values(&row, 0), Some(vec![bytes("c")]));
}

#[test]
fn an_expired_cell_hides_an_older_write_that_arrives_late() {
    let mut row = StoredRow::default();
    row.upsert(Stamp { timestamp_us: 9, expires_ms: Some(1_000) }, true, vec![bytes("new")], 0);
    row.upsert(stamp(8), true, vec![bytes("old")], 2_000);
    assert_eq!(values(&row, 999), Some(vec![bytes("new")]));
    assert_eq!(values(&row, 1_000), None);
}

#[test]
fn a_row_is_garbage_a_day_after_it_died_and_not_before() {
    let mut row = StoredRow::default();
    row.upsert(Stamp { timestamp_us: 9, expires_ms: Some(5_000) }, true, vec![bytes("a")], 0);
    assert!(!row.is_garbage(5_000 + GRACE_MS - 1));
    assert!(row.is_garbage(5_000 + GRACE_MS));
    row.delete(10, 7_000);
    assert!(!row.is_garbage(7_000 + GRACE_MS));
    assert!(row.is_garbage(7_001 + GRACE_MS));
    row.upsert(stamp(11), true, vec![None], 8_000);
    assert!(!row.is_garbage(i64::MAX), "a live row stays");
}

fn any_row() -> impl Strategy<Value = StoredRow> {
    let times = || (0..4_i64, option::of(0..4_i64));
    let write = (times(), any::<bool>(), vec(option::of("[ab]{0,3}"), 3));
    (vec(write, 0..5), option::of(0..4_i64)).prop_map(|(writes, deleted_us)| {
        let mut row = StoredRow::default();
        for ((timestamp_us, expires_ms), marked, cells) in writes {
            let cells = cells.iter().map(|cell| bytes(cell.as_ref()?)).collect();
            row.upsert(Stamp { timestamp_us, expires_ms }, marked, cells, 1);
        }
        if let Some(deleted_us) = deleted_us {
            row.delete(deleted_us, 2);
        }
        row
    })
}

proptest! {
    #[test]
    fn a_row_reads_back_as_it_was_written(row in any_row()) {
        let encoded = row.encode();
        prop_assert_eq!(StoredRow::decode(&encoded), Some(row));
        for length in 0..encoded.len() {
            prop_assert!(StoredRow::decode(&encoded[..length]).is_none(), "cut to {} bytes", length);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..64)) {
        let _ = StoredRow::decode(&bytes);
    }
}
