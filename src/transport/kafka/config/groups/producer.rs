//! How events are sent, and how long that may take.

use std::time::Duration;

use super::super::choices::{Acks, Compression};
use super::super::effective::Origin;
use super::super::names;
use super::super::table::{Client, Setting, settings};

settings! {
    /// How events are sent, and how long that may take.
    ProducerSettings at producer {
        /// Who must have an event before it counts as published; `all` with idempotence. Anything else gives up the
        /// promise of a publish that is `Ok`. Default: `all`.
        ACKS acks(Acks) = Acks::All => Producer "acks";
        /// Whether the broker drops what a retry would double, and keeps a partition's order through retries. Default:
        /// `true`.
        IDEMPOTENCE idempotence(bool) = true => Producer "enable.idempotence";
        /// How often a send is tried again within the message time-out; at least 1 with idempotence. Default:
        /// `2147483647`.
        RETRIES retries(u32) = 2_147_483_647 => Producer "retries", range 0 to 2147483647;
        /// How long to wait before a send is tried again, doubled each time up to 1 s, or this if it is longer.
        /// Default: `100ms`.
        RETRY_BACKOFF retry_backoff(Duration) = Duration::from_millis(100)
            => Producer "retry.backoff.ms", range 1 to 300000;
        /// How long an event waits for others to share its batch; shorter than the message time-out. Default: `0s`.
        LINGER linger(Duration) = Duration::ZERO => Producer "linger.ms", range 0 to 900000;
        /// The most bytes of a batch. Default: `1000000`.
        BATCH_SIZE batch_size(u32) = 1_000_000 => Producer "batch.size", range 1 to 2147483647;
        /// How batches are compressed. Default: `none`.
        COMPRESSION compression(Compression) = Compression::None => Producer "compression.type";
        /// Requests on their way to one broker at a time; at most 5 with idempotence. With more than one, a request that
        /// a broker refuses at first can leave an event unstored behind later ones of its key: its publish fails, and
        /// what publishes it again changes the order. Default: `1`.
        MAX_IN_FLIGHT max_in_flight(u32) = 1
            => Producer "max.in.flight.requests.per.connection", range 1 to 1000000;
        /// How long a broker may wait for its replicas to acknowledge. Default: `30s`.
        REQUEST_TIMEOUT request_timeout(Duration) = Duration::from_secs(30)
            => Producer "request.timeout.ms", range 1 to 900000;
        /// How long an event may take from the queue to its acknowledgement, retries included. Default: `30s`.
        MESSAGE_TIMEOUT message_timeout(Duration) = Duration::from_secs(30)
            => Producer "message.timeout.ms", range 1 to 2147483647;
        /// The most events in the queue, those on their way included. Default: `100000`.
        QUEUE_CAPACITY queue_capacity(u32) = 100_000
            => Producer "queue.buffering.max.messages", range 1 to 2147483647;
        /// The most bytes in the queue, in whole KiB. Default: `134217728`.
        QUEUE_MEMORY queue_memory(u64) = 128 * 1024 * 1024, range 1024 to 2199023254528;
        /// How long a publish waits for room in the queue. Default: `5s`.
        SEND_WAIT send_wait(Duration) = Duration::from_secs(5), range 0 to 86400000;
        /// How long an awaited publish waits for its acknowledgement; at least the message time-out. Default: `30s`.
        DELIVERY_WAIT delivery_wait(Duration) = Duration::from_secs(30), range 1 to 2147483647;
    }
}
