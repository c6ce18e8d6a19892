//! The migrations, as the files under `schemas/table/` have them.

/// A numbered file. Once it is applied anywhere it is never edited; a change is a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    pub id: i32,
    pub name: &'static str,
    /// CQL statements, each ended by a semicolon; tables without a keyspace.
    pub text: &'static str,
}

/// Every migration, ascending. A test holds the list to the directory.
pub static MIGRATIONS: &[Migration] = &[
    Migration { id: 1, name: "presence", text: include_str!("../../../schemas/table/0001_presence.cql") },
    Migration {
        id: 2,
        name: "presence_checkpoints",
        text: include_str!("../../../schemas/table/0002_presence_checkpoints.cql"),
    },
    Migration { id: 3, name: "progress", text: include_str!("../../../schemas/table/0003_progress.cql") },
    Migration {
        id: 4,
        name: "progress_owners",
        text: include_str!("../../../schemas/table/0004_progress_owners.cql"),
    },
    Migration {
        id: 5,
        name: "conversations",
        text: include_str!("../../../schemas/table/0005_conversations.cql"),
    },
    Migration { id: 6, name: "messages", text: include_str!("../../../schemas/table/0006_messages.cql") },
    Migration { id: 7, name: "inbox", text: include_str!("../../../schemas/table/0007_inbox.cql") },
    Migration {
        id: 8,
        name: "inbox_windows",
        text: include_str!("../../../schemas/table/0008_inbox_windows.cql"),
    },
    Migration {
        id: 9,
        name: "inbox_heads",
        text: include_str!("../../../schemas/table/0009_inbox_heads.cql"),
    },
    Migration { id: 10, name: "cursors", text: include_str!("../../../schemas/table/0010_cursors.cql") },
];

impl Migration {
    /// The number as the file's name has it.
    #[must_use]
    pub fn number(&self) -> String {
        format!("{:04}", self.id)
    }

    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}_{}.cql", self.number(), self.name)
    }

    /// CRC-32 of the statements without comments and layout, in hexadecimal: against accidents, not against
    /// malice. A comment may be corrected after the file was applied, a statement may not.
    #[must_use]
    pub fn checksum(&self) -> String {
        let mut crc = crc32fast::Hasher::new();
        for statement in statements(self.text) {
            for word in statement.split_whitespace() {
                crc.update(word.as_bytes());
                crc.update(b" ");
            }
            crc.update(b";");
        }
        format!("{:08x}", crc.finalize())
    }
}

/// The statements of a file, without comments. Quoted texts are respected, nested comments don't exist in
/// CQL.
pub(super) fn statements(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut statement = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"', '-', ';']) {
        statement.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match rest.as_bytes() {
            [b';', ..] => {
                push_statement(&mut statements, &mut statement);
                1
            }
            // A comment goes, the line's end stays.
            [b'-', b'-', ..] => rest.find('\n').unwrap_or(rest.len()),
            [b'-', ..] => {
                statement.push('-');
                1
            }
            // A doubled quote inside ends one quoted text and begins the next: the same characters are kept.
            [quote, ..] => {
                let end = rest[1..].find(char::from(*quote)).map_or(rest.len(), |end| end + 2);
                statement.push_str(&rest[..end]);
                end
            }
            [] => break,
        };
        rest = &rest[taken..];
    }
    statement.push_str(rest);
    push_statement(&mut statements, &mut statement);
    statements
}

fn push_statement(statements: &mut Vec<String>, statement: &mut String) {
    let text = statement.trim();
    if !text.is_empty() {
        statements.push(text.to_owned());
    }
    statement.clear();
}
