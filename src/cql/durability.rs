//! Whether an acknowledged write survives the crash of a machine, as far as the database tells.

use std::collections::HashMap;

use super::session::Cql;

/// Cassandra's settings as a table. ScyllaDB has no such table, and nothing is said about it.
const COMMITLOG_SYNC: &str = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
const REPLICATION: &str = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";

impl Cql {
    /// A sentence to log at the start when acknowledged writes can be lost: the only copy of a row is
    /// acknowledged before it is on disk. `None` also when the database doesn't tell.
    pub async fn durability_warning(&self) -> Option<String> {
        let sync = self.session().query_unpaged(COMMITLOG_SYNC, ()).await.ok()?.into_rows_result().ok()?;
        let (sync,) = sync.single_row::<(String,)>().ok()?;
        let keyspace = (self.keyspace(),);
        let answer =
            self.session().query_unpaged(REPLICATION, keyspace).await.ok()?.into_rows_result().ok()?;
        let (replication,) = answer.single_row::<(HashMap<String, String>,)>().ok()?;
        let keyspace = self.keyspace();
        (sync == "periodic" && copies(&replication) <= 1).then(|| {
            format!(
                "keyspace {keyspace} keeps one copy of each row and the database acknowledges writes \
                 before they are on disk (commitlog_sync: periodic): a crash can lose acknowledged rows. \
                 Set commitlog_sync: batch or group, or replicate"
            )
        })
    }
}

/// Copies of a row in all datacenters: every entry but the class is a count.
fn copies(replication: &HashMap<String, String>) -> u32 {
    replication.values().filter_map(|value| value.parse::<u32>().ok()).sum()
}
