//! What presence says of a user in several places is the same in all of them: rows, transitions, the
//! compacted
//! state, and where to route.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    record::{
        session::{SessionView, session_key},
        transition::{Status, TransitionView},
    },
    sim::Network,
    table::presence::{PRESENCE, SessionRow, UserRow},
    topology::Topic,
};

type Route = (Option<String>, Option<String>);

/// Nothing may be owed.
pub fn projections_agree(network: &Network) -> Result<(), String> {
    let mut users = BTreeMap::new();
    for value in last_of(network, Topic::Presence).values().copied().flatten() {
        let transition = TransitionView::decode(value).map_err(|refusal| refusal.message)?;
        users.insert(transition.user.clone(), (transition, value));
    }
    let states = last_of(network, Topic::PresenceState);
    let (rows, routes) = rows(network)?;
    for (user, (transition, value)) in &users {
        let state = states.get(user.as_bytes()).copied().flatten();
        let due = Some(*value).filter(|_| transition.to != Status::Offline);
        if state != due {
            return Err(format!("{user}: its state is {state:?} and its last transition {value:?}"));
        }
        let row = rows.get(user.as_str());
        if row != Some(&(transition.version, transition.to)) {
            return Err(format!("{user}: its row says {row:?} and its last transition {value:?}"));
        }
    }
    let mut announced = BTreeMap::new();
    for value in last_of(network, Topic::Sessions).values().copied().flatten() {
        let session = SessionView::decode(value).map_err(|refusal| refusal.message)?;
        announced.insert(session_key(&session.user, &session.session), (session.device, session.gateway));
    }
    for key in routes.keys().chain(announced.keys()) {
        let (row, said) = (routes.get(key), announced.get(key));
        if row != said {
            return Err(format!("session {key:?}: its row says {row:?}, `sessions` says {said:?}"));
        }
    }
    Ok(())
}

/// The last record of each key.
fn last_of(network: &Network, topic: Topic) -> BTreeMap<&[u8], Option<&[u8]>> {
    let logs = (0..).map_while(|partition| network.broker().partition(topic, partition));
    let contents = logs.flat_map(|log| log.committed(0)).map(|record| record.content);
    contents.filter_map(|content| Some((content.key.as_deref()?, content.value.as_deref()))).collect()
}

/// The version and status of every user, and the routes of all sessions, as the rows have them.
#[allow(clippy::type_complexity)]
fn rows(network: &Network) -> Result<(BTreeMap<&str, (u64, Status)>, BTreeMap<Bytes, Route>), String> {
    let (mut users, mut routes) = (BTreeMap::new(), BTreeMap::new());
    for row in network.store().rows(network.now_ms(), &PRESENCE) {
        let (user, session, cells) = (row.key_text(0), row.key_text(1), row.to_cells());
        if session.is_empty() {
            let row = UserRow::from_cells(&cells).map_err(|error| error.to_string())?;
            users.insert(user, (row.version, row.status));
        } else {
            let row = SessionRow::from_cells(&cells).map_err(|error| error.to_string())?;
            let route = (row.device.map(ToOwned::to_owned), row.gateway.map(ToOwned::to_owned));
            routes.insert(session_key(user, session), route);
        }
    }
    Ok((users, routes))
}
