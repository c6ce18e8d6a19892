//! What can be wrong with a schema, each as a sentence that says what to do.

use std::fmt;

/// One way in which the database differs from what this program needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    NoKeyspace,
    /// A migration that was not applied yet.
    Pending {
        name: String,
    },
    /// A migration whose file has changed since it was applied.
    Edited {
        name: String,
    },
    /// A migration that this program doesn't know: a newer one was here.
    Unknown {
        id: i32,
        name: String,
    },
    NoTable {
        table: &'static str,
    },
    NoColumn {
        table: &'static str,
        column: &'static str,
    },
    /// A column of another type, or in another place of the key.
    Column {
        table: &'static str,
        column: String,
        expected: String,
        found: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeyspace => f.write_str("it does not exist; run heartline schema apply"),
            Self::Pending { name } => write!(f, "{name} is not applied; run heartline schema apply"),
            Self::Edited { name } => {
                write!(f, "{name} was changed after it was applied; restore the file and add a new one")
            }
            Self::Unknown { id, name } => {
                write!(
                    f,
                    "migration {id} ({name}) is unknown here; run the program that applied it, or a newer one"
                )
            }
            Self::NoTable { table } => write!(f, "table {table} is missing; restore it"),
            Self::NoColumn { table, column } => {
                write!(f, "column {column} of {table} is missing; add it again")
            }
            Self::Column { table, column, expected, found } => {
                write!(f, "column {column} of {table} is {found} and must be {expected}; restore the table")
            }
        }
    }
}

/// All of them in one line.
pub(super) fn sentence(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(". ")
}
