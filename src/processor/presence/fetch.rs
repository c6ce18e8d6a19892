//! Users that are not in memory: what must be read before records can be folded, and taking it in.

use std::collections::BTreeSet;

use super::{
    bucket::Bucket,
    people::user_hash,
    routing::{Routing, user_of},
};
use crate::{
    log::RecordRef,
    processor::RestoreError,
    record::heartbeats::decode,
    store::{Query, Row, Select},
    table::presence::{PRESENCE, UserRow, clustering, partition},
};

/// Keys of one query.
const KEYS_MAX: usize = 64;

/// The rows of all users that these records name and that are not in memory, by bucket, each once.
pub(super) fn wanted<'a>(
    routing: &Routing,
    buckets: &[Bucket],
    records: &mut dyn Iterator<Item = RecordRef<'a>>,
) -> Vec<Query> {
    let mut missing: BTreeSet<(usize, String)> = BTreeSet::new();
    for record in records {
        let Ok(input) = decode(record.value) else { continue };
        if routing.elsewhere(&input).is_some() {
            continue;
        }
        let (parts, _) = routing.parts(&input);
        for part in parts {
            let (bucket, user) = (&buckets[part.bucket], user_of(&part.act));
            if !bucket.includes(record.offset) && bucket.people.find_user(part.hash, user).is_none() {
                missing.insert((part.bucket, user.to_owned()));
            }
        }
    }
    let missing: Vec<(usize, String)> = missing.into_iter().collect();
    let of_one_bucket = missing.chunk_by(|(a, _), (b, _)| a == b);
    let queries = of_one_bucket.flat_map(|users| users.chunks(KEYS_MAX));
    queries
        .map(|users| Query {
            table: &PRESENCE,
            partition: partition(buckets[users[0].0].number),
            select: Select::Keys(users.iter().map(|(_, user)| clustering(user, "")).collect()),
        })
        .collect()
}

/// Takes in the answer to one of the queries; users without a row are new.
pub(super) fn load(
    routing: &Routing,
    buckets: &mut [Bucket],
    generation: i32,
    query: &Query,
    rows: &[Row],
) -> Result<(), RestoreError> {
    let bucket = query.partition.first().and_then(number);
    let bucket = bucket.and_then(|number| routing.index(number)).and_then(|index| buckets.get_mut(index));
    let (Some(bucket), Select::Keys(keys)) = (bucket, &query.select) else {
        return Err(RestoreError("a row was read that no fold of this partition asked for".to_owned()));
    };
    for key in keys {
        let Some(user) = key.first().and_then(|user| user.as_text()) else { continue };
        let row = rows.iter().find(|row| row.clustering == *key).map(|row| UserRow::from_cells(&row.cells));
        let row = row.transpose().map_err(|error| {
            RestoreError(format!(
                "bucket {} of presence: {error}; restore a newer backup of the table",
                bucket.number
            ))
        })?;
        bucket.load(user, user_hash(user), row.as_ref(), generation);
    }
    Ok(())
}

fn number(value: &crate::table::Value) -> Option<u32> {
    value.as_int().and_then(|number| u32::try_from(number).ok())
}
