//! Names of spans' fields and of metrics, in one place.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/messaging/>. `tracing` wants field names as
//! literals, so the macros below stand where a span is opened.

/// The span of publishing to one destination.
#[macro_export]
#[doc(hidden)]
macro_rules! publish_span {
    ($system:expr, $destination:expr, $id:expr, $count:expr) => {
        ::tracing::info_span!(
            "publish",
            otel.name = format_args!("publish {}", $destination),
            otel.kind = "producer",
            messaging.system = $system,
            messaging.operation.name = "publish",
            messaging.operation.r#type = "send",
            messaging.destination.name = $destination,
            messaging.message.id = $id,
            messaging.batch.message_count = $count,
            error.r#type = ::tracing::field::Empty,
        )
    };
}

/// The span of handling one event with one handler.
#[macro_export]
#[doc(hidden)]
macro_rules! handle_span {
    ($system:expr, $destination:expr, $partition:expr, $offset:expr, $group:expr, $handler:expr, $attempt:expr) => {
        ::tracing::info_span!(
            "handle",
            otel.name = format_args!("process {} {}", $destination, $handler),
            otel.kind = "consumer",
            messaging.system = $system,
            messaging.operation.name = "process",
            messaging.operation.r#type = "process",
            messaging.destination.name = $destination,
            messaging.destination.partition.id = $partition,
            messaging.kafka.offset = $offset,
            messaging.consumer.group.name = $group,
            messaging.message.id = ::tracing::field::Empty,
            tidings.handler = $handler,
            tidings.attempt = $attempt,
            tidings.outcome = ::tracing::field::Empty,
            error.r#type = ::tracing::field::Empty,
        )
    };
}

/// The span of receiving one record, from reading its attributes to the end of its handlers.
#[macro_export]
#[doc(hidden)]
macro_rules! receive_span {
    ($system:expr, $destination:expr, $partition:expr, $offset:expr, $group:expr) => {
        ::tracing::info_span!(
            "receive",
            otel.name = format_args!("receive {}", $destination),
            otel.kind = "consumer",
            messaging.system = $system,
            messaging.operation.name = "receive",
            messaging.operation.r#type = "receive",
            messaging.destination.name = $destination,
            messaging.destination.partition.id = $partition,
            messaging.kafka.offset = $offset,
            messaging.consumer.group.name = $group,
            messaging.message.id = ::tracing::field::Empty,
        )
    };
}

/// A metric as it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its unit, as UCUM has it.
    pub unit: &'static str,
    /// What it says.
    pub description: &'static str,
}

/// Attributes of metrics.
pub mod attribute {
    /// The kind of broker.
    pub const SYSTEM: &str = "messaging.system";
    /// The consumer group.
    pub const GROUP: &str = "messaging.consumer.group.name";
    /// The topic.
    pub const TOPIC: &str = "messaging.destination.name";
    /// What became of it.
    pub const OUTCOME: &str = "tidings.outcome";
    /// The relay that says so.
    pub const RELAY: &str = "tidings.relay";
    /// The relay that holds shards.
    pub const OWNER: &str = "tidings.relay.owner";
}

/// All metrics.
pub mod metric {
    use super::Metric;

    macro_rules! metrics {
        ($($constant:ident = $name:literal, $unit:literal, $description:literal;)+) => {
            $(
                #[doc = concat!("`", $name, "`: ", $description, ".")]
                pub const $constant: Metric =
                    Metric { name: $name, unit: $unit, description: $description };
            )+

            /// Each of them.
            pub const ALL: &[Metric] = &[$($constant),+];
        };
    }

    metrics! {
        SENT = "messaging.client.sent.messages", "{message}", "records of a publisher, acknowledged or failed";
        PRODUCED = "tidings.producer.messages", "{message}", "messages of a producer, by what became of them, and attempts that were followed by another one";
        OPEN = "tidings.producer.open", "{message}", "messages of a producer that have not come to their end";
        CONSUMED = "messaging.client.consumed.messages", "{message}", "records of a consumer group, by what became of them, once for each handler";
        PARTITIONS = "tidings.consumer.partitions", "{partition}", "partitions that a consumer owns, retry topics included";
        PAUSED = "tidings.consumer.paused", "{partition}", "partitions of it that are not fetched now";
        CONSUMER_READY = "tidings.consumer.ready", "1", "1 where the consumer is ready, else 0";
        RELAYED = "tidings.relay.messages", "{message}", "rows of an outbox, published, retried or parked by a relay";
        RELAY_READY = "tidings.relay.ready", "1", "1 where the relay is ready, else 0";
        WAITING = "tidings.outbox.waiting", "{message}", "rows that are not acknowledged yet, without parked and delayed ones";
        OLDEST = "tidings.outbox.oldest", "s", "how long the oldest of them has been stored";
        DELAYED = "tidings.outbox.delayed", "{message}", "rows that are to be published later";
        PARKED = "tidings.outbox.parked", "{message}", "events that cannot be published until somebody does something about it";
        BEHIND_PARKED = "tidings.outbox.behind_parked", "{message}", "events that wait behind a parked one of their key";
        STATE_KEYS = "tidings.state.keys", "{key}", "keys that a view of a state topic holds";
        STATE_MEMORY = "tidings.state.memory", "By", "what they and their values take, as it is counted against the view's bound";
        STATE_UNREADABLE = "tidings.state.unreadable", "{key}", "keys of it whose last record could not be read";
        STATE_READY = "tidings.state.ready", "1", "1 where the view is ready, else 0";
        SHARDS = "tidings.outbox.shards", "{shard}", "shards of the outbox that a relay holds by lease";
    }
}
