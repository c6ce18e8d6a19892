use proptest::{collection::vec, prelude::*};

use super::*;

/// Values of one kind, with small alphabets so that prefixes and zero bytes are common.
fn pair() -> impl Strategy<Value = (Kind, Vec<Value>, Vec<Value>)> {
    let text = || "[\u{0}\u{1}a\u{ff}]{0,4}".prop_map(|text| Value::text(&text));
    let blob = || vec(prop_oneof![Just(0_u8), Just(1), Just(0xff)], 0..4).prop_map(Value::blob);
    let (int, big) = (any::<i32>().prop_map(Value::Int), any::<i64>().prop_map(Value::BigInt));
    let boolean = any::<bool>().prop_map(Value::Boolean);
    fn both(
        kind: Kind,
        value: impl Strategy<Value = Value> + 'static,
    ) -> BoxedStrategy<(Kind, Vec<Value>, Vec<Value>)> {
        let value = value.boxed();
        (Just(kind), vec(value.clone(), 2), vec(value, 2)).boxed()
    }
    prop_oneof![
        both(Kind::Text, text()),
        both(Kind::Blob, blob()),
        both(Kind::Int, int),
        both(Kind::BigInt, big),
        both(Kind::Boolean, boolean),
    ]
}

fn encoded(values: &[Value]) -> Vec<u8> {
    let mut key = Vec::new();
    assert!(values.iter().all(|value| encode(&mut key, value)));
    key
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn keys_are_ordered_as_their_values((_, left, right) in pair()) {
        prop_assert_eq!(encoded(&left).cmp(&encoded(&right)), left.cmp(&right));
    }

    #[test]
    fn a_key_reads_back_as_its_values((kind, values, _) in pair()) {
        let key = encoded(&values);
        let mut rest = &key[..];
        for value in &values {
            let decoded = decode(kind, &mut rest);
            prop_assert_eq!(decoded.as_ref(), Some(value));
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_prefix_ends_where_the_next_value_begins((_, left, right) in pair()) {
        let end = after_prefix(encoded(&left[..1]));
        let is_inside = encoded(&right) < end;
        prop_assert_eq!(is_inside, right[0] <= left[0]);
    }

    #[test]
    fn no_bytes_make_the_reader_panic((kind, _, _) in pair(), bytes in vec(any::<u8>(), 0..24)) {
        let _ = decode(kind, &mut &bytes[..]);
    }
}

#[test]
fn null_is_no_key() {
    assert!(!encode(&mut Vec::new(), &Value::Null));
}
