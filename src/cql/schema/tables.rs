//! A table's columns as the database has them, against a table's description.

use crate::{
    cql::session::Cql,
    store::StoreError,
    table::{Column, Kind, Table},
};

use super::{difference::Difference, rows};

const COLUMNS: &str = "SELECT column_name, kind, position, type, clustering_order FROM system_schema.columns \
                       WHERE keyspace_name = ? AND table_name = ?";

/// A column as `system_schema.columns` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    /// `partition_key`, `clustering`, `static` or `regular`.
    pub(super) place: String,
    /// Within a key, from 0; -1 elsewhere.
    pub(super) position: i32,
    pub(super) cql_type: String,
    pub(super) descending: bool,
}

pub(super) async fn read(cql: &Cql, table: &str) -> Result<Vec<Found>, StoreError> {
    type Read = (String, String, i32, String, String);
    let found = |(name, place, position, cql_type, order): Read| Found {
        name,
        place,
        position,
        cql_type,
        descending: order.eq_ignore_ascii_case("desc"),
    };
    let read = rows::<Read>(cql, COLUMNS, (cql.keyspace(), table)).await?;
    Ok(read.into_iter().map(found).collect())
}

/// Everything that differs. Further regular and static columns do no harm: nobody writes or reads them.
pub(super) fn compare(table: &'static Table, found: &[Found]) -> Vec<Difference> {
    if found.is_empty() {
        return vec![Difference::NoTable { table: table.name }];
    }
    let mut differences = Vec::new();
    let places = [
        ("partition_key", table.partition),
        ("clustering", table.clustering),
        ("static", table.statics),
        ("regular", table.cells),
    ];
    for (place, columns) in places {
        for (position, column) in columns.iter().enumerate() {
            let Some(there) = found.iter().find(|there| there.name == column.name) else {
                differences.push(Difference::NoColumn { table: table.name, column: column.name });
                continue;
            };
            let (expected, there) = (expected(*column, place, position), description(there));
            if expected != there {
                let column = column.name.to_owned();
                differences.push(Difference::Column { table: table.name, column, expected, found: there });
            }
        }
        // A key has no column too many.
        let is_key = matches!(place, "partition_key" | "clustering");
        let further = found.iter().filter(|there| {
            is_key && there.place == place && columns.iter().all(|column| column.name != there.name)
        });
        differences.extend(further.map(|there| Difference::Column {
            table: table.name,
            column: there.name.clone(),
            expected: "no column of the key".into(),
            found: description(there),
        }));
    }
    differences
}

fn expected(column: Column, place: &str, position: usize) -> String {
    let cql_type = match column.kind {
        Kind::Int => "int",
        Kind::BigInt => "bigint",
        Kind::Text => "text",
        Kind::Blob => "blob",
        Kind::Boolean => "boolean",
    };
    match place {
        "partition_key" | "clustering" => format!("{place} {position} {cql_type}"),
        _ => format!("{place} {cql_type}"),
    }
}

fn description(found: &Found) -> String {
    let Found { place, position, cql_type, descending, .. } = found;
    match (place.as_str(), descending) {
        ("clustering", true) => format!("{place} {position} {cql_type} descending"),
        ("partition_key" | "clustering", _) => format!("{place} {position} {cql_type}"),
        _ => format!("{place} {cql_type}"),
    }
}
