//! What the database lets this program's user do. Every table is asked for the rows of no key, and told to
//! delete those: the database checks the rights to both before it finds that there is nothing to do.

use std::fmt;

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

use super::{error::failed, session::Cql};
use crate::{
    store::StoreError,
    table::{Kind, Table},
};

/// A permission, in the database's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Select,
    Modify,
}

impl Permission {
    const ALL: [Self; 2] = [Self::Select, Self::Modify];

    const fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Modify => "MODIFY",
        }
    }

    /// A statement that needs it and does nothing.
    fn probe(self, keyspace: &str, table: &Table) -> String {
        let verb = match self {
            Self::Select => "SELECT *",
            Self::Modify => "DELETE",
        };
        let mut keys = table.partition.iter();
        let mut conditions: Vec<String> =
            keys.next().map(|column| format!("\"{}\" IN ()", column.name)).into_iter().collect();
        conditions.extend(keys.map(|column| format!("\"{}\" = {}", column.name, any_value(column.kind))));
        format!("{verb} FROM {keyspace}.\"{}\" WHERE {}", table.name, conditions.join(" AND "))
    }
}

/// A permission that a worker needs and does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPermission {
    pub table: &'static str,
    pub permission: Permission,
    keyspace: String,
    user: String,
    said: String,
}

impl fmt::Display for MissingPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, permission, keyspace, user, said } = self;
        let permission = permission.name();
        write!(
            f,
            "table {table}: user '{user}' lacks {permission} ({said}); grant it with `GRANT {permission} ON \
             KEYSPACE {keyspace} TO '{user}'`"
        )
    }
}

/// Asks what `user` lacks on these tables, which are there.
///
/// # Errors
/// When the database does not answer; a permission that is denied is none.
pub async fn lacking(
    cql: &Cql,
    tables: &[&'static Table],
    user: &str,
) -> Result<Vec<MissingPermission>, StoreError> {
    let mut missing = Vec::new();
    for table in tables {
        for permission in Permission::ALL {
            let probe = permission.probe(cql.keyspace(), table);
            let Err(error) = cql.session().query_unpaged(probe, ()).await else { continue };
            let Some(said) = denial(&error) else {
                let operation = format!("asking for the right to {} {}", permission.name(), table.name);
                return Err(failed(operation, &error));
            };
            let (keyspace, user, said) = (cql.keyspace().to_owned(), user.to_owned(), said.to_owned());
            missing.push(MissingPermission { table: table.name, permission, keyspace, user, said });
        }
    }
    Ok(missing)
}

/// What the database says where it denies a statement.
fn denial(error: &ExecutionError) -> Option<&str> {
    match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Unauthorized, said)) => {
            Some(said)
        }
        _ => None,
    }
}

const fn any_value(kind: Kind) -> &'static str {
    match kind {
        Kind::Int | Kind::BigInt => "0",
        Kind::Text => "''",
        Kind::Blob => "0x",
        Kind::Boolean => "false",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{presence::PRESENCE, progress::OWNERS};

    #[test]
    fn a_probe_names_no_key() {
        assert_eq!(
            Permission::Modify.probe("hl", &OWNERS),
            r#"DELETE FROM hl."progress_owners" WHERE "topic" IN () AND "partition" = 0"#
        );
        assert_eq!(
            Permission::Select.probe("hl", &PRESENCE),
            r#"SELECT * FROM hl."presence" WHERE "bucket" IN ()"#
        );
    }

    #[test]
    fn only_a_denial_is_a_missing_permission() {
        let answered = |error| ExecutionError::from(RequestAttemptError::DbError(error, "said".to_owned()));
        assert_eq!(denial(&answered(DbError::Unauthorized)), Some("said"));
        assert_eq!(denial(&answered(DbError::Overloaded)), None);
        assert_eq!(denial(&ExecutionError::EmptyPlan), None);
    }

    #[test]
    fn a_missing_permission_names_the_statement_that_grants_it() {
        let missing = MissingPermission {
            table: "presence",
            permission: Permission::Modify,
            keyspace: "hl".to_owned(),
            user: "worker".to_owned(),
            said: "no".to_owned(),
        };
        let due = "table presence: user 'worker' lacks MODIFY (no); grant it with `GRANT MODIFY ON KEYSPACE hl TO \
                   'worker'`";
        assert_eq!(missing.to_string(), due);
    }
}
