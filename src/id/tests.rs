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

#[test]
fn a_conversation_is_a_group_or_two_users_in_order() {
    let order = |right: &str| Err(ConversationError::Order(right.to_owned()));
    assert_eq!(parse_conversation("group/team"), Ok(ConversationId::Group("team")));
    assert_eq!(parse_conversation("direct/alice/bob"), Ok(ConversationId::Direct("alice", "bob")));
    assert_eq!(parse_conversation("direct/a/a"), Ok(ConversationId::Direct("a", "a")));
    assert_eq!(parse_conversation("direct/bob/alice"), order("direct/alice/bob"));
    assert_eq!(parse_conversation("direct/a/B"), order("direct/B/a"), "the bytes decide");
    assert_eq!(parse_conversation("direct/é/z"), order("direct/z/é"), "the bytes decide");
    let message = parse_conversation("direct/b/a").unwrap_err().to_string();
    assert!(message.ends_with("write direct/a/b"), "{message}");
    for text in ["", "group", "direct", "direct/a", "team", "Group/x", " group/x", "/group/x"] {
        assert_eq!(parse_conversation(text), Err(ConversationError::Form), "{text}");
    }
    let id = |error| Err(ConversationError::Id(error));
    assert_eq!(parse_conversation("group/"), id(IdError::Empty));
    assert_eq!(parse_conversation("group/a/b"), id(IdError::Slash));
    assert_eq!(parse_conversation("direct//a"), id(IdError::Empty));
    assert_eq!(parse_conversation("direct/a/"), id(IdError::Empty));
    assert_eq!(parse_conversation("direct/a/b/c"), id(IdError::Slash));
    assert_eq!(parse_conversation("direct/a/b\n"), id(IdError::Control));
}

#[test]
fn each_id_of_a_conversation_has_its_limit() {
    let (longest, longer) = ("x".repeat(128), "x".repeat(129));
    assert!(parse_conversation(&format!("group/{longest}")).is_ok());
    assert!(parse_conversation(&format!("group/{longer}")).is_err());
    assert!(parse_conversation(&format!("direct/{longest}/{longest}")).is_ok());
    assert!(parse_conversation(&format!("direct/{longest}/{longer}")).is_err());
}

#[test]
fn conversations_of_users_named_like_a_kind_or_with_colons_are_told_apart() {
    assert_eq!(parse_conversation("group/x"), Ok(ConversationId::Group("x")));
    assert_eq!(parse_conversation("direct/group/x"), Ok(ConversationId::Direct("group", "x")));
    assert_eq!(parse_conversation("direct/direct/group"), Ok(ConversationId::Direct("direct", "group")));
    assert_eq!(parse_conversation("group/direct"), Ok(ConversationId::Group("direct")));
    assert_eq!(parse_conversation("direct/a/b:c"), Ok(ConversationId::Direct("a", "b:c")));
    assert_eq!(parse_conversation("direct/a:b/c"), Ok(ConversationId::Direct("a:b", "c")));
}
