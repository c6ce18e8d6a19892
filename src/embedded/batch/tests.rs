use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::topology::Topic;

fn bytes() -> impl Strategy<Value = Option<Bytes>> {
    option::of(vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

fn record() -> impl Strategy<Value = OutRecord> {
    (bytes(), bytes(), vec(("[a-zé.]{0,12}", bytes()), 0..4)).prop_map(|(key, value, headers)| {
        let headers = headers.into_iter().map(|(name, value)| Header { name, value }).collect();
        OutRecord { topic: Topic::Inbox, partition: 3, key, value, headers }
    })
}

/// All records of a batch, unless it is damaged.
fn read(last: Offset, bytes: &[u8]) -> Option<Vec<(Offset, StoredRecord<'_>)>> {
    let mut batch = Batch::open(last, bytes)?;
    let mut records = Vec::new();
    while batch.has_more() {
        records.push(batch.read()?);
    }
    Some(records)
}

proptest! {
    #[test]
    fn records_read_back_as_they_were_written(
        time_ms in any::<i64>(),
        first in 0_i64..1_000_000,
        written in vec(record(), 1..6),
    ) {
        let mut records = Records::default();
        (first..).zip(&written).for_each(|(offset, record)| records.push(record, offset, time_ms));
        let encoded = records.finish();
        prop_assert!(records.is_empty(), "the next batch begins anew");
        let last = first + written.len() as Offset - 1;
        let decoded = read(last, &encoded).expect("what was encoded is readable");
        prop_assert_eq!(decoded.len(), written.len());
        let sizes: usize = decoded.iter().map(|(_, record)| record.size_bytes).sum();
        prop_assert_eq!(sizes, encoded.len() - 17, "all but the batch's head belongs to a record");
        for (index, ((offset, decoded), written)) in decoded.into_iter().zip(&written).enumerate() {
            prop_assert_eq!(offset, first + index as Offset);
            prop_assert_eq!(decoded.time_ms, time_ms);
            prop_assert_eq!(decoded.key, written.key.as_deref());
            prop_assert_eq!(decoded.value, written.value.as_deref());
            prop_assert_eq!(&decoded.headers, &written.headers);
        }
        for length in 0..encoded.len() {
            prop_assert!(read(last, &encoded[..length]).is_none(), "cut to {} bytes", length);
        }
        prop_assert!(read(last, &[&encoded[..], &[0]].concat()).is_none(), "a byte too many");
    }

    #[test]
    fn no_bytes_make_the_reader_panic(last in any::<i64>(), bytes in vec(any::<u8>(), 0..64)) {
        let _ = read(last, &bytes);
        let _ = read(last, &[&[VERSION][..], &bytes].concat());
    }
}

#[test]
fn a_batch_is_full_before_it_is_too_large_and_takes_at_least_one_record() {
    let of = |bytes: usize| OutRecord {
        topic: Topic::Inbox,
        partition: 0,
        key: None,
        value: Some(vec![b'a'; bytes].into()),
        headers: Vec::new(),
    };
    let mut records = Records::default();
    assert!(!records.is_full_for(&of(2 * BATCH_BYTES_MAX)));
    records.push(&of(BATCH_BYTES_MAX / 2), 0, 1_000);
    assert!(!records.is_full_for(&of(BATCH_BYTES_MAX / 4)));
    assert!(records.is_full_for(&of(BATCH_BYTES_MAX / 2)));
}
