//! Looking at the broker from beside: committed offsets, records as they lie, topics made away with.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidings::event::{Headers, TopicName};
use tidings::transport::kafka::Kafka;
use tidings::transport::{
    Delivered, Receipt, Received, Record, SourceEvent, Subscription, Transport,
};

use crate::support::{SOON, unique};

/// The committed offsets of a group, and where topics end; it joins nothing.
pub struct Inspector(BaseConsumer);

impl Inspector {
    pub fn new(brokers: &str, group: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("group.id", group);
        Self(config.create().unwrap())
    }

    /// What the group has committed in a partition.
    pub fn committed(&self, topic: &TopicName, partition: i32) -> Option<i64> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic.as_str(), partition);
        let deadline = Instant::now() + SOON;
        let committed = loop {
            match self.0.committed_offsets(list.clone(), SOON) {
                Ok(committed) => break committed,
                // The group's coordinator may just have moved or be loading.
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        match committed.find_partition(topic.as_str(), partition).unwrap().offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// How many members a group has, and what its coordinator says of it: `Stable`, `PreparingRebalance`, ….
    pub fn group(&self, group: &str) -> (usize, String) {
        let deadline = Instant::now() + SOON;
        loop {
            match self.0.fetch_group_list(Some(group), SOON) {
                Ok(list) => match list.groups().first() {
                    Some(found) => break (found.members().len(), found.state().to_owned()),
                    None => break (0, String::new()),
                },
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
    }

    /// The partitions of a topic and how many replicas each has. A broker may hear of a new topic later than
    /// the one that its maker asked.
    fn partitions(&self, topic: &TopicName) -> Vec<(i32, usize)> {
        let deadline = Instant::now() + SOON;
        loop {
            let metadata = self.0.fetch_metadata(Some(topic.as_str()), SOON).unwrap();
            let found = &metadata.topics()[0];
            let partitions = found.partitions().iter();
            let partitions: Vec<_> = partitions.map(|p| (p.id(), p.replicas().len())).collect();
            if found.error().is_none() && !partitions.is_empty() {
                break partitions;
            }
            assert!(Instant::now() < deadline, "{topic} is not there: {:?}", found.error());
        }
    }

    /// How many replicas each partition of a topic has.
    pub fn replicas(&self, topic: &TopicName) -> Vec<usize> {
        self.partitions(topic).into_iter().map(|(_, replicas)| replicas).collect()
    }

    /// Where each partition of a topic ends that has records.
    pub fn ends(&self, topic: &TopicName) -> BTreeMap<i32, i64> {
        let ends = self
            .partitions(topic)
            .into_iter()
            .map(|(id, _)| (id, self.0.fetch_watermarks(topic.as_str(), id, SOON).unwrap()));
        ends.filter(|(_, (low, high))| low < high).map(|(id, (_, high))| (id, high)).collect()
    }

    /// Every record that a topic has now, by partition and offset; later ones may be among them.
    pub async fn read_all(&self, kafka: &Kafka, topic: &TopicName) -> Vec<Received> {
        let mut left = self.ends(topic);
        read_until(kafka, topic, |records| {
            for record in records {
                if left.get(&record.partition).is_some_and(|end| record.offset + 1 >= *end) {
                    left.remove(&record.partition);
                }
            }
            left.is_empty()
        })
        .await
    }
}

/// The first `count` records of a topic that come, by partition and offset.
pub async fn read(kafka: &Kafka, topic: &TopicName, count: usize) -> Vec<Received> {
    let mut left = count;
    read_until(kafka, topic, |records| {
        left = left.saturating_sub(records.len());
        left == 0
    })
    .await
}

/// Records of a topic as they come, until those are enough that it is told of, by partition and offset.
async fn read_until(
    kafka: &Kafka,
    topic: &TopicName,
    mut enough: impl FnMut(&[Received]) -> bool,
) -> Vec<Received> {
    let mut source = kafka
        .subscribe(Subscription {
            group: unique("reader"),
            topics: vec![topic.clone()],
            followers: Vec::new(),
            revoke_wait: Duration::from_secs(1),
            kept: None,
            ends: false,
        })
        .unwrap();
    let mut records = Vec::new();
    let deadline = Instant::now() + SOON;
    let mut is_enough = enough(&[]);
    while !is_enough {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, source.events.recv()).await {
            Ok(Some(SourceEvent::Records(batch))) => {
                is_enough = enough(&batch.records);
                records.extend(batch.records);
            }
            Ok(Some(_)) => {}
            _ => panic!("{} records of {topic} came, which are too few", records.len()),
        }
    }
    source.control.close();
    records.sort_by_key(|record: &Received| (record.partition, record.offset));
    records
}

/// Puts a record of a stranger's making on a topic.
pub async fn put(
    kafka: &Kafka,
    topic: &TopicName,
    partition: i32,
    key: &str,
    payload: &[u8],
    headers: &[(&[u8], Option<&[u8]>)],
) -> Delivered {
    let mut list = Headers::default();
    headers.iter().for_each(|(name, value)| list.push_raw(name, *value));
    let record = Record {
        topic: topic.clone(),
        partition: Some(partition),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        payload: Some(Bytes::copy_from_slice(payload)),
        headers: list,
        timestamp: None,
    };
    let (receipt, answer) = Receipt::one(None, std::sync::Arc::default());
    kafka.producer().enqueue(&record, receipt).expect("room in the queue");
    answer.await.unwrap().unwrap()
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

/// Sets a topic's configuration.
pub async fn set(brokers: &str, topic: &TopicName, name: &str, value: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic.as_str())).set(name, value);
    let done = admin(brokers).alter_configs(&[change], &AdminOptions::new()).await.unwrap();
    done.into_iter().for_each(|result| drop(result.unwrap()));
}

/// Deletes topics and waits until they are gone.
pub async fn delete(kafka: &Kafka, brokers: &str, topics: &[&TopicName]) {
    let names: Vec<_> = topics.iter().map(|topic| topic.as_str()).collect();
    for result in admin(brokers).delete_topics(&names, &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
    let names: Vec<_> = topics.iter().map(|topic| (*topic).clone()).collect();
    let deadline = Instant::now() + SOON;
    while kafka.admin().describe(&names, SOON).await.unwrap().iter().any(Option::is_some) {
        assert!(Instant::now() < deadline, "{names:?} were not deleted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
