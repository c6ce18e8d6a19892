//! A client that beats for many users over HTTP, tries again until it is answered, and remembers what it was
//! told.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use heartline::record::transition::Status;

use super::process::post;

/// The longest of the crowd's leases; the shortest is a second less.
pub const LEASE_MAX: Duration = Duration::from_secs(6);
/// Users of each role.
const STEADY: u32 = 120;
const LEAVERS: u32 = 100;
const COMERS: u32 = 80;
const BEAT_EVERY: Duration = Duration::from_secs(2);
const AWAY: Duration = Duration::from_millis(2_500);
const TICK: Duration = Duration::from_millis(25);
/// How long the client waits after a request that failed.
const RETRY: Duration = Duration::from_millis(100);
const LINES_MAX: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Beats all the time.
    Steady,
    /// Falls silent for good with its wave, the first or the second.
    Leaver { wave: u32 },
    /// Says goodbye and comes back, again and again.
    Comer,
}

/// What a user did, as far as it was acknowledged.
#[derive(Debug, Clone)]
pub struct Deed {
    pub role: Role,
    pub lease_ms: i64,
    /// What must have been announced, a leaver's end aside.
    pub announced: Vec<Status>,
    /// The latest request was not answered: whether it counts is not known.
    pub in_doubt: bool,
}

pub type Deeds = BTreeMap<String, Deed>;

pub struct Crowd {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// How many waves have fallen silent.
    silent: AtomicU32,
    /// Nobody comes or goes any more; who is there goes on beating.
    settled: AtomicBool,
    stopped: AtomicBool,
    deeds: Mutex<Deeds>,
    refused: Mutex<Option<String>>,
}

struct Session {
    user: String,
    epoch: u32,
    counter: u32,
    next: Instant,
    /// Beats until a comer's goodbye.
    left: u32,
    is_away: bool,
}

impl Crowd {
    pub fn start(address: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let (address, seen) = (address.to_owned(), Arc::clone(&shared));
        let mut sessions = sessions(&mut shared.deeds());
        let thread = thread::spawn(move || {
            while !seen.stopped.load(Ordering::Acquire) {
                seen.turn(&address, &mut sessions);
            }
        });
        Self { shared, thread }
    }

    /// The next wave of leavers falls silent.
    pub fn silence(&self) {
        self.shared.silent.fetch_add(1, Ordering::AcqRel);
    }

    pub fn settle(&self) {
        self.shared.settled.store(true, Ordering::Release);
    }

    /// What everybody did; `None` while something of it is in doubt.
    pub fn deeds(&self) -> Result<Option<Deeds>> {
        let refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(refused.is_none(), "a beat was refused: {}", refused.unwrap_or_default());
        let deeds = self.shared.deeds().clone();
        let doubtful = |deed: &Deed| deed.in_doubt && deed.role == Role::Comer;
        Ok((!deeds.values().any(doubtful)).then_some(deeds))
    }

    pub fn stop(self) {
        self.shared.stopped.store(true, Ordering::Release);
        // A thread that panicked has said so.
        let _ = self.thread.join();
    }
}

fn sessions(deeds: &mut Deeds) -> Vec<Session> {
    let start = Instant::now();
    let steady = (0..STEADY).map(|_| Role::Steady);
    let leavers = (0..LEAVERS).map(|number| Role::Leaver { wave: number % 2 });
    let roles = steady.chain(leavers).chain((0..COMERS).map(|_| Role::Comer));
    let session = |(number, role): (u32, Role)| {
        let user = format!("user-{number}");
        let lease_ms = LEASE_MAX.as_millis() as i64 - 500 * i64::from(number % 3);
        deeds.insert(user.clone(), Deed { role, lease_ms, announced: Vec::new(), in_doubt: false });
        let next = start + Duration::from_millis(u64::from(number * 37 % 2_000));
        Session { user, epoch: 1, counter: 0, next, left: 1 + number % 4, is_away: true }
    };
    (0..).zip(roles).map(session).collect()
}

impl Shared {
    fn deeds(&self) -> MutexGuard<'_, Deeds> {
        self.deeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request for those whose time has come, if there are any.
    fn turn(&self, address: &str, sessions: &mut [Session]) {
        let now = Instant::now();
        let silent = self.silent.load(Ordering::Acquire);
        let settled = self.settled.load(Ordering::Acquire);
        let mut lines = String::new();
        let mut due = Vec::new();
        for session in sessions.iter_mut() {
            let mut deeds = self.deeds();
            let Some(deed) = deeds.get_mut(&session.user) else { continue };
            let rests = match deed.role {
                Role::Steady => false,
                Role::Leaver { wave } => wave < silent,
                Role::Comer => settled && session.is_away && !deed.in_doubt,
            };
            if rests || session.next > now || due.len() == LINES_MAX {
                continue;
            }
            let says_goodbye = deed.role == Role::Comer
                && !session.is_away
                && session.left == 0
                && (!settled || deed.in_doubt);
            session.counter += 1;
            deed.in_doubt = true;
            line(&mut lines, session, deed.lease_ms, says_goodbye);
            due.push((session, says_goodbye));
        }
        if due.is_empty() {
            return thread::sleep(TICK);
        }
        match post(address, "/v1/heartbeats", &lines) {
            Ok(answer) if answer == format!(r#"{{"accepted":{},"refused":[]}}"#, due.len()) => {
                due.into_iter().for_each(|(session, says_goodbye)| self.accept(session, says_goodbye, now));
            }
            answer => {
                if let Some(text) = answer.ok().filter(|text| text.contains(r#""refused":[{"#)) {
                    *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                }
                thread::sleep(RETRY);
            }
        }
    }

    fn accept(&self, session: &mut Session, says_goodbye: bool, now: Instant) {
        let mut deeds = self.deeds();
        let Some(deed) = deeds.get_mut(&session.user) else { return };
        deed.in_doubt = false;
        if says_goodbye {
            deed.announced.push(Status::Offline);
            (session.epoch, session.counter, session.left) = (session.epoch + 1, 0, 3);
            (session.is_away, session.next) = (true, now + AWAY);
            return;
        }
        if session.is_away {
            deed.announced.push(Status::Online);
        }
        session.is_away = false;
        session.left = session.left.saturating_sub(1);
        session.next = now + BEAT_EVERY;
    }
}

fn line(lines: &mut String, session: &Session, lease_ms: i64, says_goodbye: bool) {
    let Session { user, epoch, counter, .. } = session;
    let order = format!(r#""epoch":{epoch},"counter":{counter}"#);
    let (kind, lease) = match says_goodbye {
        true => ("goodbye", String::new()),
        false => ("heartbeat", format!(r#","lease_ms":{lease_ms}"#)),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(lines, r#"{{"v":1,"type":"{kind}","user":"{user}","session":"s",{order}{lease}}}"#);
}
