//! Topics, and what the broker says about them.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidings::event::TopicName;
use tidings::transport::kafka::config::Properties;

use crate::event::TOPIC;

pub(crate) const PARTITIONS: i32 = 12;
const WAIT: Duration = Duration::from_secs(30);

/// The same properties for an arm that is written by hand.
pub(crate) fn native(properties: &Properties) -> ClientConfig {
    properties.clone().into_iter().collect()
}

pub(crate) struct Broker {
    admin: AdminClient<DefaultClientContext>,
    reader: ClientConfig,
}

impl Broker {
    pub(crate) fn new(admin: &Properties, reader: &Properties) -> Self {
        let admin = native(admin).create().expect("an admin client");
        Self { admin, reader: native(reader) }
    }

    /// Makes a topic where there is none, and makes it the events' topic.
    pub(crate) async fn topic(&self, name: &str) {
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
        let made = self.admin.create_topics([&topic], &AdminOptions::new()).await;
        let made = made.expect("the broker answers");
        if let Err((_, code)) = &made[0] {
            assert_eq!(*code, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists, "{name}");
        }
        *TOPIC.write().expect("nobody panics with it") = TopicName::new(name).ok();
    }

    pub(crate) async fn drop_topic(&self, name: &str) {
        let _ = self.admin.delete_topics(&[name], &AdminOptions::new()).await;
    }

    fn reader(&self, group: &str) -> BaseConsumer {
        self.reader.clone().set("group.id", group).create().expect("a consumer")
    }

    /// How many records lie on a topic.
    pub(crate) fn stored(&self, topic: &str) -> u64 {
        let reader = self.reader("bench-watermarks");
        let deadline = Instant::now() + WAIT;
        let stored = |partition| loop {
            match reader.fetch_watermarks(topic, partition, WAIT) {
                Ok((low, high)) => return high.abs_diff(low),
                // A new topic has no leaders at first.
                Err(error) => assert!(Instant::now() < deadline, "{topic}: {error}"),
            }
        };
        (0..PARTITIONS).map(stored).sum()
    }

    /// How many records of a topic a group has committed.
    pub(crate) fn committed(&self, topic: &str, group: &str) -> u64 {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, PARTITIONS - 1);
        let committed =
            self.reader(group).committed_offsets(list, WAIT).expect("the broker answers");
        let offset = |offset| match offset {
            Offset::Offset(offset) => offset.unsigned_abs(),
            _ => 0,
        };
        committed.elements().iter().map(|element| offset(element.offset())).sum()
    }
}

/// A name that no other run has.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::now_v7().simple())
}
