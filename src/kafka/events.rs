//! The way out: every thread of a member tells the engine through one queue, and wakes it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use crate::log::{LogError, LogEvent};

pub use crate::client::Waker;

/// The sending end of a member's events.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<LogEvent>,
    waker: Waker,
    leaving: Arc<AtomicBool>,
}

impl Events {
    #[must_use]
    pub fn new(waker: Waker) -> (Self, mpsc::Receiver<LogEvent>) {
        let (sender, receiver) = mpsc::channel();
        (Self { sender, waker, leaving: Arc::default() }, receiver)
    }

    /// Queues an event. Once the member is leaving nothing but `Left` passes.
    pub fn emit(&self, event: LogEvent) {
        if self.is_leaving() && !matches!(event, LogEvent::Left) {
            return;
        }
        // A receiver that is gone means that the member was dropped: there is nobody to tell.
        if self.sender.send(event).is_ok() {
            (self.waker)();
        }
    }

    pub fn fail(&self, error: LogError) {
        self.emit(LogEvent::Failed { error });
    }

    pub fn start_leaving(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }
}
