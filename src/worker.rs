//! Threads and queues that drive an engine: one thread an engine, which sleeps until its log or its store has
//! something.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use rayon::ThreadPoolBuilder;

use crate::{
    engine::{Command, Engine, EngineConfig, EngineStatus, Executor, Exit},
    log::Log,
    processor::Fold,
    store::Store,
};

pub mod clock;
pub mod report;

use clock::now;

pub use crate::client::Waker;

/// Events that are taken in one turn of the loop, so that a flood of one kind cannot starve the rest.
const EVENTS_PER_TURN: usize = 4_096;
/// How often trouble is logged: an outage has many voices that all say the same.
const TROUBLE_MS: i64 = 5_000;
/// How often the status that others see is renewed, once the start is some seconds ago.
const STATUS_EVERY: Duration = Duration::from_millis(200);

/// A running engine.
pub struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Exit>>,
}

struct Shared {
    stop: AtomicBool,
    status: Mutex<EngineStatus>,
    /// The boot-time milliseconds of the loop's last turn.
    turned_ms: Mutex<i64>,
}

/// Folds the partitions of an engine side by side.
struct Rayon;

impl Executor for Rayon {
    fn each<T: Send>(&self, items: Vec<T>, work: impl Fn(T) + Send + Sync) {
        use rayon::prelude::*;
        match items.len() {
            0 | 1 => items.into_iter().for_each(work),
            _ => items.into_par_iter().for_each(work),
        }
    }
}

impl Worker {
    /// Starts an engine of `F` on a thread of its own. `connect` is called there with the waker that the log
    /// and the store are to call; where it fails, that sentence is the engine's end.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn<F, C, L, S>(config: EngineConfig, connect: C) -> std::io::Result<Self>
    where
        F: Fold,
        C: FnOnce(Waker) -> Result<(L, S), String> + Send + 'static,
        L: Log,
        S: Store,
    {
        // Unless this process has given its threads another purpose or name already.
        let _ = ThreadPoolBuilder::new().thread_name(|index| format!("fold-{index}")).build_global();
        let engine = Engine::<F>::new(config, now());
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            status: Mutex::new(engine.status()),
            turned_ms: Mutex::new(now().boot_ms),
        });
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new().name(format!("engine-{}", F::KIND)).spawn(move || {
            let thread: Thread = thread::current();
            match connect(Arc::new(move || thread.unpark())) {
                Ok((log, store)) => drive(engine, log, store, &seen),
                Err(sentence) => Exit::Fatal(sentence),
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks the engine to finish and leave; [`Worker::join`] waits for it.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Whether the engine is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the engine's end.
    #[must_use]
    pub fn join(mut self) -> Exit {
        let panicked = || {
            Exit::Fatal("the engine's thread panicked; this is a defect, please report its log".to_owned())
        };
        self.thread.take().map_or(Exit::Left, |thread| thread.join().unwrap_or_else(|_| panicked()))
    }

    #[must_use]
    pub fn status(&self) -> EngineStatus {
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Milliseconds since the loop last turned.
    #[must_use]
    pub fn stalled_ms(&self) -> i64 {
        now().boot_ms - *self.shared.turned_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn submit<F: Fold>(engine: &mut Engine<F>, log: &mut impl Log, store: &mut impl Store) {
    while let Some(command) = engine.poll_command() {
        match command {
            Command::Log(command) => log.submit(command),
            Command::Store(command) => store.submit(command),
        }
    }
}

fn drive<F: Fold>(mut engine: Engine<F>, mut log: impl Log, mut store: impl Store, shared: &Shared) -> Exit {
    let (begun_ms, mut status_ms) = (now().boot_ms, 0);
    let mut trouble = None;
    let mut quiet_until_ms = 0;
    loop {
        if shared.stop.load(Ordering::Acquire) {
            engine.shut_down();
        }
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = log.poll() else { break };
            engine.handle_log(event, now());
        }
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = store.poll() else { break };
            engine.handle_store(event, now());
        }
        // Before the turn, so that the next records are read while these are folded.
        submit(&mut engine, &mut log, &mut store);
        engine.turn(now(), &Rayon);
        submit(&mut engine, &mut log, &mut store);
        let now_ms = now().boot_ms;
        *shared.turned_ms.lock().unwrap_or_else(PoisonError::into_inner) = now_ms;
        let age = Duration::from_millis(now_ms.saturating_sub(begun_ms).unsigned_abs());
        let status_every_ms = report::pause(age, STATUS_EVERY).as_millis() as i64;
        if now_ms - status_ms >= status_every_ms || engine.exit().is_some() {
            status_ms = now_ms;
            let status = engine.status();
            if status.last_trouble != trouble && now_ms >= quiet_until_ms {
                quiet_until_ms = now_ms + TROUBLE_MS;
                trouble.clone_from(&status.last_trouble);
                if let Some(trouble) = &trouble {
                    tracing::warn!(processor = %F::KIND, restores = status.restores, "{trouble}");
                }
            }
            *shared.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
        }
        if let Some(exit) = engine.exit() {
            return exit.clone();
        }
        let pause_ms = (engine.next_wake_ms() - now().boot_ms).clamp(0, status_every_ms);
        thread::park_timeout(Duration::from_millis(pause_ms as u64));
    }
}
