//! What one record changes in a bucket, collected until the record has been folded: only the net effect
//! counts.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::user::Origin;
use crate::{log::Offset, record::beacon::Parameters, record::transition::Cause};

/// The record that is being folded, and the time that its log has proved so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now<'a> {
    pub offset: Offset,
    /// Record time.
    pub time_ms: i64,
    /// Lease clock.
    pub clock_ms: i64,
    /// Record time of the last beacon.
    pub beacon_time_ms: i64,
    pub parameters: &'a Parameters,
    pub batch: u64,
}

/// A session that began, ended or changed in what its row and routing say.
#[derive(Debug)]
pub(super) struct Change {
    pub user: u32,
    pub session: u32,
    /// It was not there before this record.
    pub began: bool,
    /// Device and gateway before this record, where one of them changed.
    pub left: Option<Route>,
    pub ended: Option<Cause>,
    /// Live sessions of the user after this change.
    pub live_after: u8,
    /// The metadata, where the record gave it.
    pub metadata: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub device: Option<Box<str>>,
    pub gateway: Option<Box<str>>,
}

/// A user whose presence may have changed.
#[derive(Debug)]
pub(super) struct Touch {
    pub user: u32,
    /// What changed the user's status last.
    pub origin: Option<Origin>,
    /// An offline is not held back.
    pub at_once: bool,
    /// Status text or activity changed.
    pub texts: bool,
    /// The user's row must be written, whatever becomes public.
    pub row: bool,
}

#[derive(Debug, Default)]
pub(super) struct Turn {
    pub changes: Vec<Change>,
    pub touches: Vec<Touch>,
    change_of: HashMap<u32, u32, FixedState>,
    touch_of: HashMap<u32, u32, FixedState>,
}

/// Above this a map is given back after the record, since clearing it would cost its size with every record
/// to come.
const KEPT_MAX: usize = 1_024;

impl Turn {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.touches.is_empty()
    }

    /// The change of a session; `live` sessions has its user now.
    pub fn change(&mut self, user: u32, session: u32, live: u8) -> &mut Change {
        let at = *self.change_of.entry(session).or_insert_with(|| {
            self.changes.push(Change {
                user,
                session,
                began: false,
                left: None,
                ended: None,
                live_after: live,
                metadata: None,
            });
            self.changes.len() as u32 - 1
        });
        &mut self.changes[at as usize]
    }

    /// The change of a session that ended in this record is continued by one that began in it under the same
    /// id.
    pub fn resume(&mut self, at: usize, session: u32) -> &mut Change {
        self.change_of.insert(session, at as u32);
        let change = &mut self.changes[at];
        self.change_of.remove(&change.session);
        change.session = session;
        change
    }

    pub fn touch(&mut self, user: u32) -> &mut Touch {
        let at = *self.touch_of.entry(user).or_insert_with(|| {
            self.touches.push(Touch { user, origin: None, at_once: false, texts: false, row: false });
            self.touches.len() as u32 - 1
        });
        &mut self.touches[at as usize]
    }

    /// Hands out what was collected, in the order in which it came, and is empty again.
    pub fn take(&mut self) -> (Vec<Change>, Vec<Touch>) {
        for map in [&mut self.change_of, &mut self.touch_of] {
            if map.capacity() > KEPT_MAX {
                *map = HashMap::default();
            }
            map.clear();
        }
        (std::mem::take(&mut self.changes), std::mem::take(&mut self.touches))
    }
}
