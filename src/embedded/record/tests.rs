use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::topology::Topic;

fn bytes() -> impl Strategy<Value = Option<Bytes>> {
    option::of(vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

proptest! {
    #[test]
    fn a_record_reads_back_as_it_was_written(
        time_ms in any::<i64>(),
        key in bytes(),
        value in bytes(),
        headers in vec(("[a-zé.]{0,12}", bytes()), 0..4),
    ) {
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| Header { name, value }).collect();
        let record = OutRecord { topic: Topic::Inbox, partition: 3, key, value, headers };
        let encoded = encode(&record, time_ms);
        let decoded = decode(&encoded).expect("what was encoded is readable");
        prop_assert_eq!(decoded.time_ms, time_ms);
        prop_assert_eq!(decoded.key, record.key.as_deref());
        prop_assert_eq!(decoded.value, record.value.as_deref());
        prop_assert_eq!(decoded.headers, record.headers);
        prop_assert_eq!(decode_time_ms(&encoded), Some(time_ms));
        for length in 0..encoded.len() {
            prop_assert!(decode(&encoded[..length]).is_none(), "cut to {} bytes", length);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..64)) {
        let _ = decode(&bytes);
        let _ = decode_time_ms(&bytes);
    }
}
