//! Topics: described and made, many at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::embedded::EmbeddedBroker;
use super::errors::{class, transport_error};
use super::log::{ClientLog, TurnedAway};
use crate::error::ErrorClass;
use crate::event::TopicName;
use crate::transport::{Admin, NewTopic, TopicDescription, TransportError};

/// Partitions of a topic that the embedded broker makes and nobody said a number for.
const EMBEDDED_PARTITIONS: i32 = 4;
const TIMESTAMP_TYPE: &str = "message.timestamp.type";

pub(super) struct KafkaAdmin {
    client: Arc<AdminClient<AdminContext>>,
    /// The embedded broker has no call to create topics; it is asked directly.
    embedded: Option<EmbeddedBroker>,
    /// As the producer hears it: nobody serves an admin client's log.
    turned_away: TurnedAway,
}

struct AdminContext(ClientLog);

impl ClientContext for AdminContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}

impl KafkaAdmin {
    pub(super) fn new(
        settings: &ClientConfig,
        embedded: Option<EmbeddedBroker>,
        turned_away: TurnedAway,
    ) -> Result<Self, TransportError> {
        let context = AdminContext(ClientLog::new("admin"));
        let client = AdminClient::from_config_and_context(settings, context)
            .map_err(|error| transport_error("the Kafka admin client cannot be made", error))?;
        Ok(Self { client: Arc::new(client), embedded, turned_away })
    }

    /// How many partitions each topic has. The cluster's whole metadata is asked for, since asking
    /// for a topic by its name can make the broker create it.
    async fn partitions(
        &self,
        topics: &[TopicName],
        within: Duration,
    ) -> Result<Vec<Option<i32>>, TransportError> {
        let client = self.client.clone();
        let answer =
            tokio::task::spawn_blocking(move || client.inner().fetch_metadata(None, within));
        let metadata = answer.await.map_err(|error| TransportError {
            what: "looking at topics was interrupted".into(),
            class: ErrorClass::Retriable,
            source: Some(error.into()),
        })?;
        let metadata = metadata.map_err(|error| {
            let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
            let what = "the broker does not say which topics there are";
            transport_error(format!("{what}: {}", self.turned_away.explain(code)), error)
        })?;
        let known: HashMap<_, _> =
            metadata.topics().iter().map(|topic| (topic.name(), topic)).collect();
        let partitions = |name: &TopicName| {
            let Some(topic) = known.get(name.as_str()) else { return Ok(None) };
            match topic.error().map(Code::from) {
                None => Ok(i32::try_from(topic.partitions().len()).ok().filter(|n| *n > 0)),
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
                Some(code) => Err(TransportError {
                    what: format!("topic {name} cannot be looked at: {code}"),
                    class: class(code),
                    source: None,
                }),
            }
        };
        topics.iter().map(partitions).collect()
    }

    /// Whether each topic keeps the broker's append time; `None` where the broker does not say.
    async fn append_times(&self, topics: &[&TopicName], within: Duration) -> Vec<Option<bool>> {
        let resources: Vec<_> =
            topics.iter().map(|topic| ResourceSpecifier::Topic(topic.as_str())).collect();
        let options = AdminOptions::new().request_timeout(Some(within));
        match self.client.describe_configs(&resources, &options).await {
            Ok(configs) => configs
                .iter()
                .map(|config| {
                    let entry = config.as_ref().ok()?.get(TIMESTAMP_TYPE)?;
                    Some(entry.value.as_deref() == Some("LogAppendTime"))
                })
                .collect(),
            Err(error) => {
                tracing::debug!(%error, "the broker does not describe its topics' settings");
                vec![None; topics.len()]
            }
        }
    }
}

#[async_trait]
impl Admin for KafkaAdmin {
    async fn describe(
        &self,
        topics: &[TopicName],
        within: Duration,
    ) -> Result<Vec<Option<TopicDescription>>, TransportError> {
        let found = match &self.embedded {
            Some(broker) => topics.iter().map(|topic| broker.partitions(topic)).collect(),
            None => self.partitions(topics, within).await?,
        };
        let there: Vec<_> = topics
            .iter()
            .zip(&found)
            .filter(|(_, n)| n.is_some())
            .map(|(topic, _)| topic)
            .collect();
        let mut times = match there.is_empty() || self.embedded.is_some() {
            true => vec![None; there.len()],
            false => self.append_times(&there, within).await,
        }
        .into_iter();
        let mut describe =
            |partitions| TopicDescription { partitions, append_time: times.next().flatten() };
        Ok(found.into_iter().map(|partitions| partitions.map(&mut describe)).collect())
    }

    async fn create(&self, topics: &[NewTopic], within: Duration) -> Result<(), TransportError> {
        if let Some(broker) = &self.embedded {
            return topics.iter().try_for_each(|topic| {
                broker.create_topic(&topic.name, topic.partitions.unwrap_or(EMBEDDED_PARTITIONS))
            });
        }
        let new = topics.iter().map(|topic| {
            let replication = TopicReplication::Fixed(topic.replication.unwrap_or(-1));
            let new = rdkafka::admin::NewTopic::new(
                topic.name.as_str(),
                topic.partitions.unwrap_or(-1),
                replication,
            );
            if topic.append_time { new.set(TIMESTAMP_TYPE, "LogAppendTime") } else { new }
        });
        let new: Vec<_> = new.collect();
        let options =
            AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
        let results = self.client.create_topics(&new, &options).await.map_err(|error| {
            transport_error("the broker did not answer to creating topics", error)
        })?;
        let failed: Vec<_> = results
            .into_iter()
            .filter_map(|result| result.err())
            .filter(|(_, code)| *code != Code::TopicAlreadyExists)
            .collect();
        let Some((_, first)) = failed.first() else { return Ok(()) };
        let list: Vec<_> = failed.iter().map(|(topic, code)| format!("{topic} ({code})")).collect();
        Err(TransportError {
            what: format!("these topics could not be created: {}", list.join(", ")),
            class: class(*first),
            source: None,
        })
    }
}
