//! Scripts for the store.

use super::{Capability, Script};

mod batches;
mod pages;
mod rows;
mod slices;
mod statements;

pub(super) fn scripts() -> impl Iterator<Item = Script> {
    rows::SCRIPTS.iter().chain(batches::SCRIPTS).chain(slices::SCRIPTS).chain(pages::SCRIPTS).copied()
}

const STORE: &[Capability] = &[Capability::Store];

/// The scripts of a file: each function under its own name.
macro_rules! script_list {
    ($($name:ident),+ $(,)?) => {
        pub(super) const SCRIPTS: &[Script] =
            &[$(Script { name: stringify!($name), needs: super::STORE, run: $name }),+];
    };
}
use script_list;
