//! A producer and the thread that serves the reports of its deliveries.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    error::KafkaError,
    producer::{BaseProducer, Producer, ProducerContext},
};

use super::native::Arrivals;

/// Bounds what a wake-up that got lost would cost.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// What `ThreadedProducer` of the client library is, whose thread spins for the last millisecond of each
/// tenth of a second: what is left to wait is rounded down there. Ten of them took 8 % of a core in a worker
/// that had nothing to do.
pub struct ReportingProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> ReportingProducer<C> {
    pub fn open(config: &ClientConfig, context: C) -> Result<Self, KafkaError> {
        let producer = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (served, stopped) = (Arc::clone(&producer), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("kafka-reports".to_owned())
            .spawn(move || serve(&served, &stopped))
            .map_err(|error| KafkaError::ClientCreation(format!("cannot start its thread: {error}")))?;
        Ok(Self { producer, stop, thread: Some(thread) })
    }
}

fn serve<C: ProducerContext + 'static>(producer: &BaseProducer<C>, stop: &AtomicBool) {
    let arrivals = Arrivals::new(producer.client(), thread::current());
    while !stop.load(Ordering::Acquire) {
        if arrivals.is_empty() {
            thread::park_timeout(IDLE_WAIT);
        } else {
            producer.poll(Duration::ZERO);
        }
    }
}

impl<C: ProducerContext + 'static> Deref for ReportingProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for ReportingProducer<C> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic in a report was printed where it happened.
            let _ = thread.join();
        }
    }
}
