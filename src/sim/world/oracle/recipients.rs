//! From sends to inboxes: every message has one entry with each of its recipients, and with nobody else.

use std::collections::{BTreeMap, BTreeSet};

use super::{Oracle, Said};

impl Oracle {
    /// Compares the messages of all conversations with the entries of all inboxes; nothing may be under way.
    pub fn compare_recipients(&self) -> Result<(), String> {
        let mut due: BTreeMap<(&str, i64), (&Said, BTreeSet<&str>)> = BTreeMap::new();
        for (id, conversation) in self.conversations.iter().flat_map(|part| &part.by_id) {
            for (seq, message) in (1..).zip(&conversation.messages) {
                let recipients = message.recipients.iter().map(String::as_str).collect();
                due.insert((id, seq), (&message.said, recipients));
            }
        }
        for (user, inbox) in self.inboxes.iter().flat_map(|part| &part.by_user) {
            for entry in &inbox.entries {
                let message = due.get_mut(&(entry.conversation.as_str(), entry.seq));
                let at = || format!("{user}: {} {}", entry.conversation, entry.seq);
                let (said, recipients) = message.ok_or_else(|| format!("{}: no such message", at()))?;
                if !recipients.remove(user.as_str()) {
                    return Err(format!("{}: an entry that is nobody's, or a second one", at()));
                }
                if **said != *entry.said {
                    return Err(format!("{}: not what was said", at()));
                }
            }
        }
        match due.iter().find(|(_, (_, left))| !left.is_empty()) {
            None => Ok(()),
            Some(((id, seq), (_, left))) => Err(format!("{id} {seq}: {left:?} have no entry")),
        }
    }
}
