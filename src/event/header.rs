//! Every header name that Tidings writes or reads.

/// CloudEvents binary mode, Kafka binding.
pub const SPEC_VERSION: &str = "ce_specversion";
/// The event's id.
pub const ID: &str = "ce_id";
/// The service that published it.
pub const SOURCE: &str = "ce_source";
/// The integration event's name.
pub const TYPE: &str = "ce_type";
/// When it happened, RFC 3339; absent where the record's timestamp says the same.
pub const TIME: &str = "ce_time";
/// What it is about.
pub const SUBJECT: &str = "ce_subject";
/// Where its schema is.
pub const DATA_SCHEMA: &str = "ce_dataschema";
/// The contract's version; absent where it is 1.
pub const EVENT_VERSION: &str = "ce_eventversion";
/// What it belongs to; absent where it is the event's own id.
pub const CORRELATION_ID: &str = "ce_correlationid";
/// The event or request that caused it.
pub const CAUSATION_ID: &str = "ce_causationid";
/// Whose it is, where a service serves many.
pub const TENANT_ID: &str = "ce_tenantid";
/// The payload's format.
pub const CONTENT_TYPE: &str = "content-type";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context, vendors' part.
pub const TRACESTATE: &str = "tracestate";

/// The id of a plain message.
pub const MESSAGE_ID: &str = "message-id";
/// What a plain message belongs to; absent where it is the message's own id.
pub const PLAIN_CORRELATION_ID: &str = "correlation-id";
/// The event, message or request that caused a plain message.
pub const PLAIN_CAUSATION_ID: &str = "causation-id";

/// How many deliveries to the handler have failed so far: one on the main topic, and one on each tier.
pub const RETRY_ATTEMPT: &str = "x-retry-attempt";
/// How many calls of the handler have failed so far, retries in place among them.
pub const RETRY_CALLS: &str = "x-retry-calls";
/// Unix milliseconds before which it must not run.
pub const RETRY_NOT_BEFORE: &str = "x-retry-not-before";
/// The consumer group that failed on it.
pub const RETRY_GROUP: &str = "x-retry-group";
/// The handler that failed.
pub const RETRY_HANDLER: &str = "x-retry-handler";
/// Where the record was first read.
pub const ORIGIN_TOPIC: &str = "x-origin-topic";
/// Its partition there.
pub const ORIGIN_PARTITION: &str = "x-origin-partition";
/// Its offset there.
pub const ORIGIN_OFFSET: &str = "x-origin-offset";
/// Its timestamp there, Unix milliseconds.
pub const ORIGIN_TIMESTAMP: &str = "x-origin-timestamp";
/// `transient`, `permanent`, `undecodable` …
pub const ERROR_KIND: &str = "x-error-kind";
/// What went wrong, at most 1 KiB.
pub const ERROR_MESSAGE: &str = "x-error-message";
/// When it failed first, Unix milliseconds.
pub const FIRST_FAILED_AT: &str = "x-first-failed-at";
/// When it failed last, Unix milliseconds.
pub const LAST_FAILED_AT: &str = "x-last-failed-at";

/// The headers that Tidings adds to a record that failed; a requeue replaces them.
pub const FAILURE: [&str; 13] = [
    RETRY_ATTEMPT,
    RETRY_CALLS,
    RETRY_NOT_BEFORE,
    RETRY_GROUP,
    RETRY_HANDLER,
    ORIGIN_TOPIC,
    ORIGIN_PARTITION,
    ORIGIN_OFFSET,
    ORIGIN_TIMESTAMP,
    ERROR_KIND,
    ERROR_MESSAGE,
    FIRST_FAILED_AT,
    LAST_FAILED_AT,
];

/// How often a producer tried to send a message that it gave up.
pub const SEND_ATTEMPTS: &str = "x-send-attempts";
/// When each of these attempts failed and why: a JSON list.
pub const SEND_HISTORY: &str = "x-send-history";

/// The headers that a producer adds to its own dead letters, beside some of [`FAILURE`].
pub const UNSENT: [&str; 2] = [SEND_ATTEMPTS, SEND_HISTORY];
