//! The plain producer of beacons. Not transactional: an open transaction would hold back the partition's
//! readers.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext},
};

use crate::{
    log::{LogError, LogEvent, PartitionId},
    topology::Topic,
};

use super::{
    config::KafkaConfig,
    context::{pass_error, pass_line},
    error,
    events::Events,
    reports::ReportingProducer,
};

pub struct Beacons {
    config: KafkaConfig,
    events: Events,
    producer: ReportingProducer<Told>,
}

impl Beacons {
    pub fn new(config: KafkaConfig, events: Events) -> Result<Self, LogError> {
        let producer = open(&config, &events)?;
        Ok(Self { config, events, producer })
    }

    /// Appends a beacon; the answer is an event. Never blocks.
    pub fn append(&mut self, partition: PartitionId, value: &Bytes) {
        if let Err(error) = self.send(partition, value) {
            self.events.emit(LogEvent::BeaconAppended { partition, result: Err(error) });
        }
    }

    fn send(&mut self, partition: PartitionId, value: &Bytes) -> Result<(), LogError> {
        // A producer that lost track of its sequence stays fatal for ever: a new one starts a sequence of its
        // own.
        if self.producer.client().fatal_error().is_some() {
            self.producer = open(&self.config, &self.events)?;
        }
        let record = BaseRecord::<'_, [u8], [u8], Box<PartitionId>>::with_opaque_to(
            self.config.input.name(),
            Box::new(partition),
        );
        self.producer.send(record.partition(partition as i32).payload(&value[..])).map_err(|(failure, _)| {
            explain(self.config.input, partition, self.config.connection.brokers(), &failure)
        })
    }
}

fn open(config: &KafkaConfig, events: &Events) -> Result<ReportingProducer<Told>, LogError> {
    let client_id = format!("{}.beacons", config.group);
    let told =
        Told { events: events.clone(), input: config.input, brokers: Arc::from(config.connection.brokers()) };
    ReportingProducer::open(&config.connection.plain_producer(&client_id), told).map_err(|failure| {
        error::explain("opening the producer of beacons", config.connection.brokers(), &failure)
    })
}

fn explain(input: Topic, partition: PartitionId, brokers: &str, failure: &KafkaError) -> LogError {
    error::explain(&format!("appending a beacon to {input}/{partition}"), brokers, failure)
}

/// Tells the engine what became of each beacon.
struct Told {
    events: Events,
    input: Topic,
    brokers: Arc<str>,
}

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        pass_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        pass_error(&error, reason);
    }
}

impl ProducerContext for Told {
    type DeliveryOpaque = Box<PartitionId>;

    fn delivery(&self, result: &DeliveryResult<'_>, partition: Box<PartitionId>) {
        let result = match result {
            Ok(_) => Ok(()),
            Err((failure, _)) => Err(explain(self.input, *partition, &self.brokers, failure)),
        };
        self.events.emit(LogEvent::BeaconAppended { partition: *partition, result });
    }
}
