//! What was published and written of presence, held against what the oracle has.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::{NotYet, Oracle, header, rows::Rows},
    Cells, Presence, Route, RowKey,
};
use crate::{
    log::{Offset, PartitionId},
    sim::log::partition::Content,
    table,
    topology::Topic,
};

impl Oracle {
    /// A record of `presence`, `presence-state` or `sessions`, the `index`-th of its key, counted from 0; all
    /// that brought it about must have been taken in.
    pub fn presence_record(&self, topic: Topic, index: usize, content: &Content) -> Result<(), String> {
        let key = content.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let key = key.ok_or_else(|| format!("{topic}: a record without a key: {content:?}"))?;
        let user = key.split('/').next().unwrap_or_default();
        let place = self.topology.place(Topic::Heartbeats, user.as_bytes());
        let published = &self.presence[place as usize].published;
        let read = |value: &[u8]| {
            serde_json::from_slice::<Value>(value).map_err(|error| format!("{topic} of {key}: {error}"))
        };
        let value = content.value.as_deref().map(read).transpose()?;
        let otherwise = if topic == Topic::Sessions {
            let due = published.routes.get(key).and_then(|routes| routes.get(index));
            let found = value.map(Route::Here);
            let is_due = match (due, &found) {
                (Some(Route::Gone(event, cause)), None) => {
                    let said = (header(content, "heartline.event"), header(content, "heartline.cause"));
                    said == (Some(event), Some(cause))
                }
                (due, found) => found.is_some() && due == found.as_ref(),
            };
            (!is_due).then(|| format!("{due:?}"))
        } else {
            let due = published.transitions.get(key).and_then(|transitions| transitions.get(index));
            let kept = due.filter(|due| topic == Topic::Presence || due["to"] != "offline");
            let is_due = due.is_some() && kept == value.as_ref();
            (!is_due).then(|| format!("{kept:?}"))
        };
        match otherwise {
            None => Ok(()),
            Some(due) => Err(format!("{topic} of {key}: number {index} is {content:?}, due is {due}")),
        }
    }

    /// Transitions, and records of sessions.
    #[must_use]
    pub fn presence_totals(&self) -> (u64, u64) {
        let totals = self.presence.iter().map(|part| part.published.totals);
        totals.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Rows of `presence` as they were found at one moment, all of one bucket, while everything below
    /// `stored` was in the store: each is what the record below its origin made of it, and none lacks what
    /// lies below `stored`.
    pub fn presence_rows_hold(
        &self,
        (bucket, partition): (u32, PartitionId),
        stored: Offset,
        found: &[(String, String, Cells)],
    ) -> Result<Result<(), String>, NotYet> {
        let Presence { account, published, .. } = &self.presence[partition as usize];
        let origin = |cells: &Cells| cells.first().and_then(table::Value::as_big_int).unwrap_or(0);
        let newest = found.iter().map(|(_, _, cells)| origin(cells)).max();
        if account.position < newest.unwrap_or(0).max(stored) {
            return Err(NotYet);
        }
        let from = (bucket, String::new(), String::new());
        let known = published.rows.range(from..).take_while(|((of, ..), _)| *of == bucket);
        let mut left: BTreeMap<_, _> =
            found.iter().map(|(user, session, cells)| ((user, session), cells)).collect();
        for ((_, user, session), history) in known {
            let cells = left.remove(&(user, session));
            let due = history.iter().rfind(|(at, _)| *at <= stored);
            let is_right = match cells {
                Some(cells) => {
                    let same = |(at, known): &(Offset, Option<Cells>)| {
                        *at == origin(cells) && known.as_ref() == Some(cells)
                    };
                    let above = |(at, _): &&(Offset, _)| *at >= origin(cells);
                    history.iter().rev().take_while(above).any(same)
                        && due.is_none_or(|(at, _)| *at <= origin(cells))
                }
                // It was deleted above, or is yet to come.
                None => {
                    let mut later = history.iter().rev().take_while(|(at, _)| *at > stored);
                    let gone_later = later.any(|(_, cells)| cells.is_none());
                    gone_later || due.is_none_or(|(_, cells)| cells.is_none())
                }
            };
            if !is_right {
                return Ok(Err(format!(
                    "presence, bucket {bucket}: the row of {user} '{session}' is {cells:?} while all below \
                     {stored} is stored; known is {history:?}"
                )));
            }
        }
        Ok(match left.first_key_value() {
            None => Ok(()),
            Some((key, cells)) => {
                Err(format!("presence, bucket {bucket}: nobody wrote the row {key:?}: {cells:?}"))
            }
        })
    }

    /// What became of a row of `presence`, record by record.
    #[must_use]
    pub fn presence_row(&self, bucket: u32, user: &str, session: &str) -> &[(Offset, Option<Cells>)] {
        let place = bucket % self.topology.partitions(Topic::Heartbeats);
        let key = (bucket, user.to_owned(), session.to_owned());
        self.presence[place as usize].published.rows.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The rows of `presence` when everything is stored.
    pub(in super::super) fn presence_rows(&self) -> Rows {
        let last = |(key, history): (&RowKey, &Vec<(Offset, Option<Cells>)>)| {
            let cells = history.last()?.1.clone()?;
            let (bucket, user, session) = key;
            let partition = vec![table::Value::Int(*bucket as i32)];
            Some(((partition, vec![table::Value::text(user), table::Value::text(session)]), cells))
        };
        self.presence.iter().flat_map(|part| &part.published.rows).filter_map(last).collect()
    }
}
