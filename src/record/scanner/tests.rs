use proptest::prelude::*;

use super::*;

fn may_stand_in_an_id(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && !b"\"\\/".contains(&byte)
}

#[test]
fn every_byte_is_plain_or_stops_at_every_place() {
    for byte in 0..=u8::MAX {
        for length in 1..20 {
            for at in 0..length {
                let mut bytes = vec![b'x'; length];
                bytes[at] = byte;
                let expected = (!may_stand_in_an_id(byte)).then_some(at);
                assert_eq!(plain_length(&bytes), expected, "{bytes:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_plain_text_ends_with_the_first_byte_that_is_not(bytes: Vec<u8>) {
        let first = bytes.iter().position(|byte| !may_stand_in_an_id(*byte));
        prop_assert_eq!(plain_length(&bytes), first);
    }

    #[test]
    fn digits_are_read_up_to_the_first_other_byte(
        mut bytes: [u8; 8], number in 0_i64..100_000_000, kept in 0_usize..9,
    ) {
        let text = number.to_string();
        let kept = kept.min(text.len());
        bytes[..kept].copy_from_slice(&text.as_bytes()[..kept]);
        let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let expected = bytes[..length].iter().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
        prop_assert_eq!(digits(bytes), (expected, length));
    }
}
