use crate::table::{Stage, Writing, column};

use super::*;

static INBOX: Table = Table {
    name: "inbox",
    partition: &[column("bucket", Kind::Int), column("window", Kind::Int)],
    clustering: &[column("user", Kind::Text), column("seq", Kind::BigInt)],
    statics: &[column("origin", Kind::BigInt), column("entries", Kind::Int)],
    cells: &[column("body", Kind::Blob)],
    stage: Stage::First,
    writing: Writing::InPlace,
};

/// With ' for ", which would need escapes below.
fn cql(shape: Shape) -> String {
    shape.cql("heartline", &INBOX).replace('"', "'")
}

#[test]
fn writes_name_every_column_and_carry_their_own_timestamp() {
    assert_eq!(
        cql(Shape::Upsert { ttl: false }),
        "INSERT INTO heartline.'inbox' ('bucket', 'window', 'user', 'seq', 'body') VALUES (?, \
         ?, ?, ?, ?) USING TIMESTAMP ?"
    );
    assert_eq!(
        cql(Shape::Statics { ttl: true }),
        "INSERT INTO heartline.'inbox' ('bucket', 'window', 'origin', 'entries') VALUES (?, \
         ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
    );
    assert_eq!(
        cql(Shape::Delete),
        "DELETE FROM heartline.'inbox' USING TIMESTAMP ? WHERE 'bucket' = ? AND 'window' = ? \
         AND 'user' = ? AND 'seq' = ?"
    );
}

#[test]
fn a_slice_restricts_the_next_column_in_the_direction_it_reads() {
    assert_eq!(
        cql(Shape::ReadSlice { prefix: 1, after: true, descending: false }),
        "SELECT 'user', 'seq', 'body' FROM heartline.'inbox' WHERE 'bucket' = ? AND 'window' \
         = ? AND 'user' = ? AND 'seq' > ? LIMIT ?"
    );
    assert_eq!(
        cql(Shape::ReadSlice { prefix: 0, after: true, descending: true }),
        "SELECT 'user', 'seq', 'body' FROM heartline.'inbox' WHERE 'bucket' = ? AND 'window' \
         = ? AND 'user' < ? ORDER BY 'user' DESC, 'seq' DESC LIMIT ?"
    );
}

#[test]
fn keys_are_a_list_of_tuples_or_of_values() {
    assert_eq!(
        cql(Shape::ReadKeys),
        "SELECT 'user', 'seq', 'body' FROM heartline.'inbox' WHERE 'bucket' = ? AND 'window' \
         = ? AND ('user', 'seq') IN ?"
    );
    let owners = Shape::ReadKeys.cql("heartline", &crate::table::progress::OWNERS).replace('"', "'");
    assert!(owners.ends_with(" AND 'name' IN ?"), "{owners}");
}

#[test]
fn statics_are_read_once_per_partition() {
    assert_eq!(
        cql(Shape::ReadStatics),
        "SELECT DISTINCT 'origin', 'entries' FROM heartline.'inbox' WHERE 'bucket' = ? AND \
         'window' = ?"
    );
}
