//! What a group has committed, asked from outside of it.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::errors::transport_error;
use super::ffi::questions::Place;
use super::ffi::{self, questions};
use super::log::ClientLog;
use crate::transport::TransportError;

struct OffsetsContext(ClientLog);

impl ClientContext for OffsetsContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}

impl ConsumerContext for OffsetsContext {}

/// Asks for the offsets of these partitions, or of all where none are named. It blocks until the answer is there.
///
/// It asks by a client of the group's name that joins nothing, and not by the admin client: where a broker is not,
/// or not yet, the group's coordinator, librdkafka 2.12 looks for the coordinator of the asking client's own
/// group, and a client without one ends the process by a null pointer (`rd_kafka_handle_OffsetFetch`).
///
/// # Errors
/// The client cannot be made; inside, the code says why the cluster did not answer.
pub(super) fn committed(
    mut settings: ClientConfig,
    group: &str,
    partitions: Option<&TopicPartitionList>,
    within: Duration,
) -> Result<Result<Vec<Place>, Code>, TransportError> {
    if group.is_empty() {
        return Ok(Err(Code::InvalidGroupId));
    }
    settings.set("group.id", group);
    let context = OffsetsContext(ClientLog::new("offsets"));
    let client: BaseConsumer<_> = settings
        .create_with_context(context)
        .map_err(|error| transport_error("a client that asks for offsets cannot be made", error))?;
    // The first question of a client waits for its connection and says so in another way.
    let connected = ffi::ask_broker(client.client(), within);
    Ok(connected.and_then(|()| questions::committed(client.client(), group, partitions, within)))
}
