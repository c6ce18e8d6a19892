//! Scripts for the log.

use super::{Capability, Script};

mod group;
mod reading;
mod transaction;

pub(super) fn scripts() -> impl Iterator<Item = Script> {
    group::SCRIPTS.iter().chain(reading::SCRIPTS).chain(transaction::SCRIPTS).copied()
}

const LOG: &[Capability] = &[Capability::Log];
const SEVERAL: &[Capability] = &[Capability::Log, Capability::SeveralMembers];
const HOLD: &[Capability] = &[Capability::Log, Capability::HoldTransaction];

/// The scripts of a file: each function under its own name.
macro_rules! script_list {
    ($($needs:ident: $($name:ident),+;)+) => {
        pub(super) const SCRIPTS: &[Script] =
            &[$($(Script { name: stringify!($name), needs: super::$needs, run: $name }),+),+];
    };
}
use script_list;
