//! [`EmbeddedLog`]: a group member's view of the embedded log.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use tokio::sync::mpsc as tokio_mpsc;

use self::member::{Input, Member};
use super::{Database, Waker};
use crate::{
    log::{Log, LogCommand, LogEvent},
    topology::Topic,
};

mod member;

/// The only member of its consumer group: joining takes all partitions, from another member of the same name
/// as well.
///
/// A thread of its own serves the commands, so neither call blocks. The commands that wait are bounded by the
/// order of calls that [`crate::log`] prescribes, the bytes they put into the database by the writer's queue.
pub struct EmbeddedLog {
    inputs: Option<tokio_mpsc::UnboundedSender<Input>>,
    events: mpsc::Receiver<LogEvent>,
    thread: Option<JoinHandle<()>>,
    /// Keeps the database open; last, so that the thread has ended before.
    _database: Arc<Database>,
}

impl EmbeddedLog {
    /// A member of `group` that reads `input`; `waker` is called after each event that was queued.
    ///
    /// # Errors
    /// When the system gives no further thread.
    pub fn start(
        database: &Arc<Database>,
        group: &str,
        input: Topic,
        waker: Waker,
    ) -> Result<Self, std::io::Error> {
        let (inputs, received) = tokio_mpsc::unbounded_channel();
        let (sender, events) = mpsc::channel();
        let outbox = Outbox { events: sender, waker };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let shared = Arc::clone(&database.shared);
        let member = Member::new(shared, group.into(), input, outbox, inputs.downgrade());
        let thread = thread::Builder::new()
            .name(format!("embedded-log-{input}"))
            .spawn(move || runtime.block_on(member.run(received)))?;
        Ok(Self { inputs: Some(inputs), events, thread: Some(thread), _database: Arc::clone(database) })
    }
}

impl Log for EmbeddedLog {
    fn submit(&mut self, command: LogCommand) {
        if let Some(inputs) = &self.inputs {
            // The thread ends after `Leave`; what comes later has no answer.
            let _ = inputs.send(Input::Command(command));
        }
    }

    fn poll(&mut self) -> Option<LogEvent> {
        self.events.try_recv().ok()
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        drop(self.inputs.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Where events go.
#[derive(Clone)]
struct Outbox {
    events: mpsc::Sender<LogEvent>,
    waker: Waker,
}

impl Outbox {
    fn send(&self, event: LogEvent) {
        // Nobody listens any more once the member is dropped.
        if self.events.send(event).is_ok() {
            (self.waker)();
        }
    }
}

#[cfg(test)]
mod tests;
