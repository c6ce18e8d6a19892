//! Messages as a table for a person.

use super::output;
use crate::http::timeline::post::Post;

/// Characters of a body that are shown.
const BODY_CHARS: usize = 60;

/// The messages as a table, and below it what else there is to say.
#[must_use]
pub fn rendered(posts: &[Post], notes: &[String]) -> String {
    let head = ["SEQ", "CONVERSATION", "SENDER", "ACCEPTED", "BODY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(posts.iter().map(|post| {
        let mut place = output::printable(&post.conversation);
        if let Some(seq) = post.conversation_seq {
            place += &format!(" {seq}");
        }
        vec![
            post.seq.to_string(),
            place,
            output::printable(&post.sender),
            output::local_time(post.accepted_at),
            shortened(post.body.get()),
        ]
    }));
    format!("{}\n({})", output::table(&rows), notes.join("; "))
}

fn shortened(body: &str) -> String {
    let text = output::printable(body);
    match text.char_indices().nth(BODY_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What is said about numbers that retention has let go.
#[must_use]
pub fn trimmed_note(trimmed_to: i64) -> Option<String> {
    (trimmed_to > 0).then(|| format!("up to {trimmed_to} are no longer kept"))
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::RawValue};

    use super::{rendered, shortened};
    use crate::http::timeline::post::Post;

    #[test]
    fn bodies_are_cut_between_characters_and_cannot_steer_the_terminal() {
        assert_eq!(shortened("\"\u{1b}[2J\""), "\"\u{fffd}[2J\"");
        assert_eq!(shortened(&"ä".repeat(60)), "ä".repeat(60));
        assert_eq!(shortened(&"ä".repeat(61)), format!("{}…", "ä".repeat(60)));
    }

    #[test]
    fn an_entry_says_which_message_of_its_conversation_it_is() {
        let post = Post {
            seq: 3,
            conversation: "group/team".into(),
            conversation_seq: Some(17),
            sender: "alice".into(),
            client_id: "c-1".into(),
            body: RawValue::from_string(json!({"text": "hi"}).to_string()).expect("JSON"),
            sent_at: None,
            accepted_at: 0,
            session: None,
        };
        let text = rendered(&[post], &["latest 3".to_owned(), "unread 1".to_owned()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("SEQ  CONVERSATION   SENDER  ACCEPTED"), "{text}");
        assert!(lines[1].starts_with("3    group/team 17  alice   "), "{text}");
        assert!(lines[1].ends_with("{\"text\":\"hi\"}"), "{text}");
        assert_eq!(lines[2], "(latest 3; unread 1)");
    }
}
