//! The names of all settings, of the variables that set them, and of the librdkafka properties that are taken.
//!
//! A setting's variable follows from its name: `producer.linger` is `KAFKA__PRODUCER__LINGER`, or plainly
//! `KAFKA_PRODUCER_LINGER`.

macro_rules! names {
    ($($constant:ident = $name:literal;)*) => {
        $(pub(super) const $constant: &str = $name;)*
    };
}

names! {
    PRESET = "preset";

    BOOTSTRAP_SERVERS = "bootstrap_servers";
    SERVICE_NAME = "service_name";
    CLIENT_ID = "client_id";
    SECURITY_PROTOCOL = "security_protocol";
    SASL_MECHANISM = "sasl.mechanism";
    SASL_USERNAME = "sasl.username";
    SASL_PASSWORD = "sasl.password";
    SSL_CA = "ssl.ca";
    SSL_CERTIFICATE = "ssl.certificate";
    SSL_KEY = "ssl.key";
    SSL_KEY_PASSWORD = "ssl.key_password";

    ACKS = "producer.acks";
    IDEMPOTENCE = "producer.idempotence";
    RETRIES = "producer.retries";
    RETRY_BACKOFF = "producer.retry_backoff";
    LINGER = "producer.linger";
    BATCH_SIZE = "producer.batch_size";
    COMPRESSION = "producer.compression";
    MAX_IN_FLIGHT = "producer.max_in_flight";
    REQUEST_TIMEOUT = "producer.request_timeout";
    MESSAGE_TIMEOUT = "producer.message_timeout";
    QUEUE_CAPACITY = "producer.queue_capacity";
    QUEUE_MEMORY = "producer.queue_memory";
    SEND_WAIT = "producer.send_wait";
    DELIVERY_WAIT = "producer.delivery_wait";

    GROUP_ID = "consumer.group_id";
    AUTO_OFFSET_RESET = "consumer.auto_offset_reset";
    ISOLATION_LEVEL = "consumer.isolation_level";
    GROUP_PROTOCOL = "consumer.group_protocol";
    ASSIGNMENT_STRATEGY = "consumer.assignment_strategy";
    STATIC_MEMBER_ID = "consumer.static_member_id";
    SESSION_TIMEOUT = "consumer.session_timeout";
    HEARTBEAT = "consumer.heartbeat";
    MAX_POLL_INTERVAL = "consumer.max_poll_interval";
    FETCH_MIN_BYTES = "consumer.fetch_min_bytes";
    FETCH_MAX_WAIT = "consumer.fetch_max_wait";
    PREFETCH = "consumer.prefetch";
    PREFETCH_MEMORY = "consumer.prefetch_memory";
    COMMIT_EVERY = "consumer.commit_every";
    COMMIT_INTERVAL = "consumer.commit_interval";

    RETRY_TIERS = "failure.retry_tiers";
    IMMEDIATE_RETRIES = "failure.immediate_retries";
    BACKOFF = "failure.backoff";
    DEAD_LETTER = "failure.dead_letter";
    RETRY_INFIX = "failure.retry_infix";
    DEAD_LETTER_SUFFIX = "failure.dead_letter_suffix";
    QUARANTINE_SUFFIX = "failure.quarantine_suffix";
    PER_GROUP_TOPICS = "failure.per_group_topics";
    UNKNOWN_TYPE = "failure.unknown_type";
}

/// Where our variables begin. Below it, a name that is not ours is a mistake.
pub(super) const NESTED: &str = "KAFKA__";
/// The plain spelling. Other tools' variables begin like it, so one that is not ours is left alone.
pub(super) const PLAIN: &str = "KAFKA_";
/// What stands before any other librdkafka property.
pub(super) const PROPERTIES: &str = "KAFKA__PROPERTIES__";

/// The variable of a setting: `KAFKA__PRODUCER__LINGER`.
pub(super) fn nested(setting: &str) -> String {
    format!("{NESTED}{}", setting.to_uppercase().replace('.', "__"))
}

/// The plain spelling of it: `KAFKA_PRODUCER_LINGER`.
pub(super) fn plain(setting: &str) -> String {
    format!("{PLAIN}{}", setting.to_uppercase().replace('.', "_"))
}

/// The few properties that a value can be given to and that have an underscore of their own.
const WITH_UNDERSCORE: [&str; 2] = ["log_level", "enabled_events"];

/// The property that a variable below [`PROPERTIES`] sets: `socket_timeout_ms` is `socket.timeout.ms`.
pub(super) fn property(rest: &str) -> String {
    let rest = rest.to_lowercase();
    if WITH_UNDERSCORE.contains(&rest.as_str()) { rest } else { rest.replace('_', ".") }
}

/// Properties that a setting decides beside the one in its row: other names of it, and those written with more care.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", BOOTSTRAP_SERVERS),
    ("client.id", CLIENT_ID),
    ("sasl.mechanisms", SASL_MECHANISM),
    ("ssl.ca.location", SSL_CA),
    ("ssl.ca.pem", SSL_CA),
    ("ssl.certificate.location", SSL_CERTIFICATE),
    ("ssl.certificate.pem", SSL_CERTIFICATE),
    ("ssl.key.location", SSL_KEY),
    ("ssl.key.pem", SSL_KEY),
    ("request.required.acks", ACKS),
    ("message.send.max.retries", RETRIES),
    ("queue.buffering.max.ms", LINGER),
    ("compression.codec", COMPRESSION),
    ("max.in.flight", MAX_IN_FLIGHT),
    ("delivery.timeout.ms", MESSAGE_TIMEOUT),
    ("queue.buffering.max.kbytes", QUEUE_MEMORY),
    ("group.id", GROUP_ID),
    ("partition.assignment.strategy", ASSIGNMENT_STRATEGY),
    ("session.timeout.ms", SESSION_TIMEOUT),
    ("heartbeat.interval.ms", HEARTBEAT),
    ("queued.max.messages.kbytes", PREFETCH_MEMORY),
    ("auto.commit.interval.ms", COMMIT_INTERVAL),
];

/// Properties that no one may set, since a promise rests on what they are.
pub(super) const FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", "an event is committed once it is handled, never by time alone"),
    ("auto.commit.enable", "an event is committed once it is handled, never by time alone"),
    (
        "enable.auto.offset.store",
        "an event's offset is stored once it is handled, not when it is read",
    ),
    ("offset.store.method", "offsets are kept by the broker"),
    ("enable.partition.eof", "the end of a partition is no error"),
    ("partitioner", "a key lands on the partition that the Java client would choose"),
    ("queuing.strategy", "events of a key leave in the order in which they came"),
    ("delivery.report.only.error", "an awaited publish waits for its acknowledgement"),
    ("transactional.id", "the transport names its transactions itself"),
    ("enabled_events", "the transport serves the client's events itself"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_follows_from_its_setting() {
        assert_eq!(nested(LINGER), "KAFKA__PRODUCER__LINGER");
        assert_eq!(plain(LINGER), "KAFKA_PRODUCER_LINGER");
        assert_eq!(nested(BOOTSTRAP_SERVERS), "KAFKA__BOOTSTRAP_SERVERS");
        assert_eq!(nested(SASL_PASSWORD), "KAFKA__SASL__PASSWORD");
        assert_eq!(property("socket_timeout_ms"), "socket.timeout.ms");
        assert_eq!(property("LOG_LEVEL"), "log_level");
    }
}
