use super::{Keep, Transcript};

fn digest_of(keep: Keep, lines: &[&str]) -> u64 {
    let mut transcript = Transcript::new(keep);
    lines.iter().for_each(|line| transcript.line(format_args!("{line}")));
    transcript.digest()
}

#[test]
fn the_digest_is_the_same_whether_lines_are_kept_or_not() {
    let lines = ["one", "two"];
    assert_eq!(digest_of(Keep::Digest, &lines), digest_of(Keep::Lines, &lines));
}

#[test]
fn the_digest_tells_lines_and_their_order_apart() {
    assert_ne!(digest_of(Keep::Digest, &["one", "two"]), digest_of(Keep::Digest, &["two", "one"]));
    assert_ne!(digest_of(Keep::Digest, &["one", "two"]), digest_of(Keep::Digest, &["onetwo"]));
}

#[test]
fn kept_lines_can_be_read() {
    let mut transcript = Transcript::new(Keep::Lines);
    transcript.line(format_args!("at {}", 7));
    assert_eq!((transcript.text(), transcript.lines()), ("at 7\n", 1));
}
