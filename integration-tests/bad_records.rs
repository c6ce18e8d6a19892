//! Records that a producer should not have written, and what must become of each.

use heartline::id::partition_of;

/// As `topology.toml` has it.
pub const PARTITIONS: u32 = 8;
/// On every record here: which one it is, kept by forwards and dead letters.
pub const NAME: &str = "test.name";
/// The broker's default bound is 1,048,588 bytes a record.
const GARBAGE_BYTES: usize = 700 * 1024;
const CUT_BYTES: usize = 950 * 1024;

/// One record, written to `partition` whatever its key says.
pub struct Bad {
    pub name: &'static str,
    pub partition: u32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(&'static str, Option<Vec<u8>>)>,
    pub fate: Fate,
}

/// What becomes of a record.
pub enum Fate {
    /// Refused as a whole: the reason, and a part of the sentence.
    Refused(&'static str, &'static str),
    /// Refused and too large for a dead letter: its value is cut.
    Cut,
    /// The valid rest is applied; index and reason of each refused part.
    InParts(Vec<(u64, &'static str)>),
    /// Forwarded to this partition and applied there.
    Forwarded(u32),
    /// Forwarded, and refused in parts there.
    ForwardedInParts(u32, Vec<(u64, &'static str)>),
    /// Nobody's business here.
    Filtered,
}

/// A user of the partition; different numbers are different users.
pub fn user(prefix: &str, partition: u32, number: usize) -> String {
    let names = (0..).map(|n| format!("{prefix}-{number}-{n}"));
    let mut here = names.filter(|name| partition_of(name.as_bytes(), PARTITIONS) == partition);
    here.next().unwrap_or_default()
}

pub fn beat(user: &str, rest: &str) -> String {
    format!(r#"{{"v":1,"type":"heartbeat","user":"{user}","session":"s","counter":1{rest}}}"#)
}

fn batch(parts: &[String]) -> String {
    format!(r#"{{"v":1,"type":"heartbeats","gateway":"gw-1","beats":[{}]}}"#, parts.join(","))
}

fn part(user: &str) -> String {
    format!(r#"{{"user":"{user}","session":"s","counter":1}}"#)
}

/// Users that records below name and that must come online.
pub fn applied_users() -> Vec<String> {
    let here = [(2, 100), (2, 101), (5, 200), (7, 300), (0, 400), (0, 401)];
    let mut users: Vec<_> = here.into_iter().map(|(partition, n)| user("good", partition, n)).collect();
    users.push(longest());
    users
}

/// An id of 128 bytes: just accepted.
fn longest() -> String {
    format!("good{}", "n".repeat(124))
}

pub fn all() -> Vec<Bad> {
    let mut all = unreadable();
    all.extend(invalid());
    all.extend(oversize());
    all.extend(in_parts());
    all.extend(misplaced());
    for (at, bad) in all.iter_mut().enumerate() {
        bad.headers.push((NAME, Some(bad.name.into())));
        // Any partition does where no user decides.
        if bad.partition == ANYWHERE {
            bad.partition = at as u32 % PARTITIONS;
        }
    }
    all
}

const ANYWHERE: u32 = u32::MAX;

fn bad(name: &'static str, value: impl Into<Vec<u8>>, reason: &'static str, says: &'static str) -> Bad {
    Bad {
        name,
        partition: ANYWHERE,
        key: Some(format!("key of {name}").into_bytes()),
        value: Some(value.into()),
        headers: Vec::new(),
        fate: Fate::Refused(reason, says),
    }
}

fn unreadable() -> Vec<Bad> {
    let all: Vec<u8> = (0..=255).collect();
    vec![
        Bad {
            key: Some(vec![0, 0xff, b'/', 0x80]),
            headers: vec![("trace", Some(vec![0xff, 0])), ("empty", Some(Vec::new())), ("null", None)],
            ..bad("garbage", all, "malformed", "not UTF-8")
        },
        Bad { value: None, ..bad("null", "", "malformed", "null") },
        Bad { key: None, ..bad("empty", "", "malformed", "") },
        bad("cut_off", r#"{"v":1,"type":"heartbeat","user":"bad"#, "malformed", ""),
        bad("trailing", beat("bad", "") + "x", "malformed", "trailing"),
        bad("two_records", beat("bad", "") + &beat("bad", ""), "malformed", "trailing"),
        bad("duplicate_key", beat("bad", r#","user":"bad-2""#), "malformed", "user"),
        bad("nan", beat("bad", r#","lease_ms":NaN"#), "malformed", ""),
        bad("list", "[]", "malformed", "expected an object"),
        bad(
            "deep",
            beat("bad", &format!(r#","metadata":{}1{}"#, "[".repeat(16), "]".repeat(16))),
            "malformed",
            "deeper than 16",
        ),
        bad("deeper", "[".repeat(60_000), "malformed", ""),
        // A dead letter that comes in again says what is wrong now, once.
        Bad {
            headers: vec![
                ("heartline.reason", Some(b"forged".into())),
                ("__connect.errors.offset", Some(b"7".into())),
            ],
            ..bad("dead_letter_again", "?", "malformed", "")
        },
    ]
}

fn invalid() -> Vec<Bad> {
    let with_user =
        |user: &str| format!(r#"{{"v":1,"type":"heartbeat","user":{user},"session":"s","counter":1}}"#);
    let counter = |counter: &str| {
        format!(r#"{{"v":1,"type":"heartbeat","user":"bad","session":"s","counter":{counter}}}"#)
    };
    vec![
        bad("unknown_type", r#"{"v":1,"type":"telegram","user":"bad"}"#, "unsupported", "telegram"),
        bad("newer", beat("bad", "").replace(r#""v":1"#, r#""v":2"#), "unsupported", "`v`"),
        bad("no_version", beat("bad", "").replace(r#""v":1,"#, ""), "invalid", "`v`"),
        bad("text_counter", counter("\"1\""), "invalid", "`counter`"),
        bad("fraction", counter("1.5"), "invalid", "`counter`"),
        bad("large_counter", counter("9007199254740992"), "invalid", "`counter`"),
        bad("null_counter", counter("null"), "invalid", "`counter`"),
        bad("numeric_user", with_user("5"), "invalid", "`user`"),
        bad("no_user", r#"{"v":1,"type":"heartbeat","session":"s","counter":1}"#, "invalid", "`user`"),
        bad("empty_user", with_user("\"\""), "invalid", "`user`"),
        bad("long_user", with_user(&format!("\"{}\"", "n".repeat(129))), "invalid", "128"),
        bad("control_in_user", with_user(r#""bad\u0000""#), "invalid", "`user`"),
        bad("slash_in_user", with_user("\"ba/d\""), "invalid", "`user`"),
        bad("surrogate", with_user(r#""\ud800""#), "malformed", ""),
        bad("short_lease", beat("bad", r#","lease_ms":4999"#), "invalid", "`lease_ms`"),
        bad("busy_text", beat("bad", r#","busy":"yes""#), "invalid", "`busy`"),
        bad("status", r#"{"v":1,"type":"status","user":"bad","status":"gone"}"#, "invalid", "`status`"),
        bad(
            "goodbye",
            r#"{"v":1,"type":"goodbye","user":"bad","session":"s","counter":1,"after_ms":600001}"#,
            "invalid",
            "`after_ms`",
        ),
        bad(
            "beacon",
            r#"{"v":1,"type":"beacon","group":"g","incarnation":"i","elapsed_ms":-1,"parameters":{}}"#,
            "invalid",
            "`elapsed_ms`",
        ),
        Bad {
            key: None,
            fate: Fate::Filtered,
            ..bad(
                "beacon_of_another_group",
                r#"{"v":1,"type":"beacon","group":"other","incarnation":"i","elapsed_ms":9,"parameters":{}}"#,
                "",
                "",
            )
        },
    ]
}

fn oversize() -> Vec<Bad> {
    let padded = |bytes: usize| format!("{}{}", beat("bad", ""), " ".repeat(bytes));
    let large_batch = batch(&vec![part("bad"); 70 * 1024 / part("bad").len()]);
    let metadata = |bytes: usize| format!(r#","metadata":"{}""#, "m".repeat(bytes - 2));
    vec![
        bad("large_heartbeat", padded(5 * 1024), "oversize", "4096"),
        bad("large_batch", large_batch, "oversize", "65536"),
        bad("large_garbage", vec![b'?'; GARBAGE_BYTES], "oversize", "65536"),
        Bad { fate: Fate::Cut, ..bad("too_large_for_a_dead_letter", vec![b'?'; CUT_BYTES], "", "") },
        bad("large_metadata", beat("bad", &metadata(1_025)), "oversize", "1024"),
        bad(
            "large_text",
            format!(r#"{{"v":1,"type":"status","user":"bad","activity":"{}"}}"#, "a".repeat(257)),
            "oversize",
            "256",
        ),
    ]
}

fn in_parts() -> Vec<Bad> {
    let (first, second, elsewhere) = (user("good", 2, 100), user("good", 2, 101), user("bad", 3, 1));
    let mixed = batch(&[
        r#"{"user":"","session":"s","counter":1}"#.to_owned(),
        part(&first),
        part(&elsewhere),
        "7".to_owned(),
        part(&"n".repeat(129)),
        part(&second),
        part(&second).replace("\"counter\"", "\"user\":\"x\",\"counter\""),
    ]);
    let ends = r#"{"v":1,"type":"goodbyes","ends":[{"user":"bad","session":"s"},5]}"#;
    let refused = vec![(0, "invalid"), (2, "beats"), (3, "invalid"), (4, "invalid"), (6, "malformed")];
    vec![
        Bad { key: None, partition: 2, fate: Fate::InParts(refused), ..bad("mixed_batch", mixed, "", "") },
        Bad {
            key: None,
            fate: Fate::InParts(vec![(0, "invalid"), (1, "invalid")]),
            ..bad("useless_goodbyes", ends, "", "")
        },
        bad("beats_of_no_list", r#"{"v":1,"type":"heartbeats","beats":{}}"#, "invalid", "`beats`"),
    ]
}

fn misplaced() -> Vec<Bad> {
    let (one, other, third) = (user("good", 5, 200), user("good", 7, 300), user("good", 0, 400));
    let last = user("good", 0, 401);
    let forwarded = |name, partition, to, value: String| Bad {
        partition,
        fate: Fate::Forwarded(to),
        ..bad(name, value, "", "")
    };
    let long_home = partition_of(longest().as_bytes(), PARTITIONS);
    let mut again = forwarded("forwarded_before", 3, 0, beat(&user("bad", 6, 9), ""));
    again.headers.push(("heartline.forwarded", Some(b"1".into())));
    again.fate = Fate::Refused("invalid", "forwarded once");
    vec![
        forwarded("misplaced", 1, 5, beat(&one, "")),
        Bad { key: None, ..forwarded("misplaced_without_key", 3, 7, beat(&other, "")) },
        forwarded("misplaced_long_id", (long_home + 1) % PARTITIONS, long_home, beat(&longest(), "")),
        Bad {
            key: None,
            headers: vec![("trace", Some(vec![1, 2, 3]))],
            fate: Fate::ForwardedInParts(0, vec![(1, "beats")]),
            ..forwarded(
                "misplaced_batch",
                4,
                0,
                batch(&[part(&third), part(&user("bad", 4, 8)), part(&last)]),
            )
        },
        again,
    ]
}
