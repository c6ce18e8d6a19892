use super::*;

#[test]
fn murmur2_agrees_with_the_java_client() {
    // From Kafka's own UtilsTest.testMurmur2.
    let cases: [(&str, i32); 7] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
        ("", 275_646_681),
    ];
    for (text, hash) in cases {
        assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
    }
}

#[test]
fn an_id_is_accepted_at_its_limit_and_refused_above() {
    assert_eq!(check_id(&"x".repeat(128)), Ok(()));
    assert_eq!(check_id(&"x".repeat(129)), Err(IdError::TooLong(129)));
    assert_eq!(check_id(""), Err(IdError::Empty));
}

#[test]
fn slashes_and_control_characters_are_refused_and_other_unicode_is_not() {
    assert_eq!(check_id("a/b"), Err(IdError::Slash));
    assert_eq!(check_id("a\u{7f}"), Err(IdError::Control));
    assert_eq!(check_id("a\nb"), Err(IdError::Control));
    assert_eq!(check_id("a\u{85}é"), Err(IdError::Control));
    assert_eq!(check_id("käthe 🙂"), Ok(()));
}

#[test]
fn a_bucket_belongs_to_the_partition_of_its_keys() {
    for n in 0..1_000 {
        let key = format!("user-{n}");
        assert_eq!(bucket_of(key.as_bytes(), 128) % 8, partition_of(key.as_bytes(), 8));
    }
}
