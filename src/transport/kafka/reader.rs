//! Reading without a group: one thread that owns the consumer, polls it, and ends with its reader.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use tokio::sync::mpsc;

use super::bootstrap::Bootstrap;
use super::errors::transport_error;
use super::log::ClientLog;
use super::offsets::offset_list;
use super::source::Copies;
use crate::error::ErrorClass;
use crate::event::TopicName;
use crate::transport::{
    Offsets, ReadEvent, Received, RecordBatch, TopicPartition, TopicReader, TransportError,
};

/// Events that may wait for the runtime before the thread stops polling.
const EVENTS: usize = 16;
/// The most records of one batch.
const MOST: usize = 256;
/// How long the thread waits for records before it looks whether somebody still reads.
const IDLE: Duration = Duration::from_millis(100);

struct ReaderContext(ClientLog);

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}

impl ConsumerContext for ReaderContext {}

pub(super) fn start(settings: &ClientConfig, from: Offsets) -> Result<TopicReader, TransportError> {
    let refused = |error| transport_error("the partitions cannot be read", error);
    let permanent = |what: &str| TransportError {
        what: what.into(),
        class: ErrorClass::Permanent,
        source: None,
    };
    // The client says of an end its partition only.
    let topic = from.first().map(|(partition, _)| partition.topic.clone());
    let Some(topic) = topic.filter(|topic| from.iter().all(|(other, _)| other.topic == *topic))
    else {
        return Err(permanent("a reader reads one topic"));
    };
    let mut settings = settings.clone();
    settings.set("enable.partition.eof", "true");
    // What consumers of the service do says nothing here: a place that is gone is read from the first record behind it.
    settings.set("auto.offset.reset", "earliest");
    let context = ReaderContext(ClientLog::new("reader"));
    let consumer: BaseConsumer<ReaderContext> =
        settings.create_with_context(context).map_err(refused)?;
    consumer.assign(&offset_list(&from)).map_err(refused)?;
    let (events, receiver) = mpsc::channel(EVENTS);
    let bootstrap = Bootstrap::of(&settings);
    let reading = Reading { consumer, bootstrap, topic, events, batch: None };
    std::thread::Builder::new()
        .name("tidings-reader".into())
        .spawn(move || reading.run())
        .map_err(|error| TransportError {
            source: Some(error.into()),
            ..permanent("no thread for the Kafka reader")
        })?;
    Ok(TopicReader::new(receiver))
}

/// What the thread owns.
struct Reading {
    consumer: BaseConsumer<ReaderContext>,
    bootstrap: Bootstrap,
    topic: TopicName,
    events: mpsc::Sender<Result<ReadEvent, TransportError>>,
    /// Records polled and not sent yet, all of one partition.
    batch: Option<RecordBatch>,
}

impl Reading {
    fn run(mut self) {
        let mut copies = Copies::default();
        while !self.events.is_closed() {
            let wait = if self.batch.is_some() { Duration::ZERO } else { IDLE };
            match self.consumer.poll(wait) {
                None => {
                    self.flush();
                    self.bootstrap.look(self.consumer.client(), &self.topic);
                }
                Some(Ok(message)) => {
                    let record = copies.record(&message);
                    drop(message);
                    self.push(record);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let topic = self.topic.clone();
                    self.tell(Ok(ReadEvent::End(TopicPartition { topic, partition })));
                }
                Some(Err(error)) => {
                    let error = transport_error("the Kafka reader reports an error", error);
                    let fatal = error.class == ErrorClass::Fatal;
                    self.tell(Err(error));
                    if fatal {
                        return;
                    }
                }
            }
        }
    }

    fn push(&mut self, record: Received) {
        match &mut self.batch {
            Some(batch)
                if batch.partition.partition == record.partition && batch.records.len() < MOST =>
            {
                batch.records.push(record);
            }
            _ => {
                self.flush();
                let (topic, partition) = (record.topic.clone(), record.partition);
                let partition = TopicPartition { topic, partition };
                self.batch = Some(RecordBatch { partition, records: vec![record] });
            }
        }
    }

    fn flush(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.bootstrap.answered();
            // Fails only where nobody reads any more, which ends the loop.
            let _ = self.events.blocking_send(Ok(ReadEvent::Records(batch)));
        }
    }

    /// Tells something behind the records that were polled before it.
    fn tell(&mut self, event: Result<ReadEvent, TransportError>) {
        self.flush();
        // As above.
        let _ = self.events.blocking_send(event);
    }
}
