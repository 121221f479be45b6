//! Names of spans' fields, in one place.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>. `tracing` wants
//! field names as literals, so the macros below stand where a span is opened.

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
