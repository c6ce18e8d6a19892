//! The servers for trials by hand: `cargo test --test integration -- --ignored hold_the_servers`.

use std::{thread, time::Duration};

use libtest_mimic::Failed;

use super::{
    case::{Case, Need},
    servers::Servers,
};

/// Long enough for a session at the keyboard; the process may be ended at any time before.
const HOLD: Duration = Duration::from_secs(3_600);

pub fn cases() -> Vec<Case> {
    vec![Case::real("hold_the_servers_for_an_hour", Need::Servers, hold).long()]
}

fn hold(servers: &Servers) -> Result<(), Failed> {
    let _running = servers.shared();
    eprintln!("export HEARTLINE_TEST_KAFKA={}", servers.kafka.address());
    eprintln!("export HEARTLINE_TEST_CQL={}", servers.cql.address());
    thread::sleep(HOLD);
    Ok(())
}
