//! Topics, described and made, many at once; groups and offsets, looked at.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::answers::{is_missing, partitions, properties, shape};
use super::bootstrap::Bootstrap;
use super::committed::committed;
use super::embedded::EmbeddedBroker;
use super::errors::{Coded, class, transport_error};
use super::ffi::{self, questions};
use super::log::ClientLog;
use super::producer::KafkaProducer;
use crate::error::ErrorClass;
use crate::event::TopicName;
use crate::transport::{
    Admin, GroupDescription, GroupListing, GroupMemberDescription, NewTopic, Offsets, Position,
    TopicDescription, TopicId, TopicPartition, TopicProperty, TransportError,
};

/// Partitions of a topic that the embedded broker makes and nobody said a number for.
const EMBEDDED_PARTITIONS: i32 = 4;
const TIMESTAMP_TYPE: &str = "message.timestamp.type";

pub(super) struct KafkaAdmin {
    client: Arc<AdminClient<AdminContext>>,
    settings: ClientConfig,
    bootstrap: Bootstrap,
    /// The embedded broker has no call to create topics; it is asked directly.
    embedded: Option<EmbeddedBroker>,
    /// Hears what brokers turn clients away for: nobody serves an admin client's log. It is held, since a
    /// producer that is gone hears nothing.
    producer: Arc<KafkaProducer>,
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
        producer: Arc<KafkaProducer>,
    ) -> Result<Self, TransportError> {
        let context = AdminContext(ClientLog::new("admin"));
        let client = AdminClient::from_config_and_context(settings, context)
            .map_err(|error| transport_error("the Kafka admin client cannot be made", error))?;
        Ok(Self {
            client: Arc::new(client),
            settings: settings.clone(),
            bootstrap: Bootstrap::of(settings),
            embedded,
            producer,
        })
    }

    /// What brokers and topics there are. All of it is asked for, since asking for a topic by its name
    /// can make the broker create it.
    async fn metadata(&self, within: Duration) -> Result<Metadata, TransportError> {
        let metadata =
            self.blocking(move |client| client.inner().fetch_metadata(None, within)).await?;
        self.heard(metadata.is_ok());
        metadata.map_err(|error| {
            let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
            let what = "the broker does not say which topics there are";
            transport_error(format!("{what}: {}", self.producer.turned_away().explain(code)), error)
        })
    }

    fn heard(&self, answered: bool) {
        match answered {
            true => self.bootstrap.answered(),
            false => self.bootstrap.silent(self.client.inner()),
        }
    }

    /// Partitions and copies of each topic, where it is there.
    async fn shapes(
        &self,
        topics: &[TopicName],
        within: Duration,
    ) -> Result<Vec<Option<(i32, i32)>>, TransportError> {
        let metadata = self.metadata(within).await?;
        let known: HashMap<_, _> =
            metadata.topics().iter().map(|topic| (topic.name(), topic)).collect();
        let shape = |name: &TopicName| match known.get(name.as_str()) {
            Some(topic) => shape(topic),
            None => Ok(None),
        };
        topics.iter().map(shape).collect()
    }

    /// Runs a call that waits for the broker where it blocks nobody.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&AdminClient<AdminContext>) -> T + Send + 'static,
    ) -> Result<T, TransportError> {
        let client = self.client.clone();
        let answer = tokio::task::spawn_blocking(move || call(&client));
        answer.await.map_err(|error| TransportError {
            what: "a question to the broker was interrupted".into(),
            class: ErrorClass::Retriable,
            source: Some(error.into()),
        })
    }

    /// Asks the cluster where it blocks nobody.
    async fn asked<T: Send + 'static>(
        &self,
        within: Duration,
        question: impl FnOnce(&Client<AdminContext>) -> Result<T, Code> + Send + 'static,
    ) -> Result<Result<T, Code>, TransportError> {
        // The first question of a client waits for its connection and says so in another way.
        let connected =
            self.blocking(move |client| ffi::ask_broker(client.inner(), within)).await?;
        self.heard(connected.is_ok());
        if let Err(code) = connected {
            return Err(self.refused("anything", code));
        }
        self.blocking(move |client| question(client.inner())).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        what: &str,
        within: Duration,
        question: impl FnOnce(&Client<AdminContext>) -> Result<T, Code> + Send + 'static,
    ) -> Result<T, TransportError> {
        self.asked(within, question).await?.map_err(|code| self.refused(what, code))
    }

    fn refused(&self, what: &str, code: Code) -> TransportError {
        TransportError {
            what: format!("the cluster does not tell {what}"),
            class: class(code),
            source: Some(Coded { code, text: self.producer.turned_away().explain(code) }.into()),
        }
    }

    /// Offsets that the cluster knows; below 0 for a time behind the last record's.
    async fn look_up(
        &self,
        wanted: &[(&TopicPartition, Position)],
        within: Duration,
    ) -> Result<Vec<i64>, TransportError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut list = TopicPartitionList::with_capacity(wanted.len());
        for (TopicPartition { topic, partition }, position) in wanted {
            let offset = match position {
                Position::Earliest => Offset::Beginning,
                Position::Latest => Offset::End,
                Position::Offset(at) | Position::Time(at) => Offset::Offset((*at).max(0)),
            };
            list.add_partition_offset(topic.as_str(), *partition, offset)
                .expect("an offset from 0 up");
        }
        let places = self
            .ask("offsets", within, move |client| questions::offsets(client, &list, within))
            .await?;
        let known: HashMap<_, _> =
            places.iter().map(|place| ((place.topic.as_str(), place.partition), place)).collect();
        let offset = |(partition, _): &(&TopicPartition, Position)| {
            let place = known.get(&(partition.topic.as_str(), partition.partition));
            match place.map(|place| (place.error, place.offset)) {
                Some((None, offset)) => Ok(offset),
                Some((Some(code), _)) => {
                    Err(self.refused(&format!("offsets of {partition}"), code))
                }
                None => {
                    Err(self.refused(&format!("offsets of {partition}"), Code::UnknownPartition))
                }
            }
        };
        wanted.iter().map(offset).collect()
    }

    /// The properties of each topic; none where the broker does not say them.
    async fn configurations(
        &self,
        topics: &[&TopicName],
        within: Duration,
    ) -> Vec<BTreeMap<String, TopicProperty>> {
        if topics.is_empty() {
            return Vec::new();
        }
        let resources: Vec<_> =
            topics.iter().map(|topic| ResourceSpecifier::Topic(topic.as_str())).collect();
        let options = AdminOptions::new().request_timeout(Some(within));
        let unknown = |error: String| {
            tracing::debug!(error, "the broker does not describe its topics' settings");
            BTreeMap::new()
        };
        match self.client.describe_configs(&resources, &options).await {
            Ok(configs) => configs
                .into_iter()
                .map(|config| config.map_or_else(|code| unknown(code.to_string()), properties))
                .collect(),
            Err(error) => {
                unknown(error.to_string());
                vec![BTreeMap::new(); topics.len()]
            }
        }
    }
}

/// Every partition of the embedded broker, which tells offsets only of those that are named.
fn all_partitions(broker: &EmbeddedBroker) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for topic in broker.names() {
        for partition in 0..broker.partitions(&topic).unwrap_or(0) {
            list.add_partition(topic.as_str(), partition);
        }
    }
    list
}

#[async_trait]
impl Admin for KafkaAdmin {
    async fn describe(
        &self,
        topics: &[TopicName],
        within: Duration,
    ) -> Result<Vec<Option<TopicDescription>>, TransportError> {
        if let Some(broker) = &self.embedded {
            let described = topics.iter().map(|topic| {
                broker.partitions(topic).map(|partitions| TopicDescription {
                    partitions,
                    append_time: None,
                    replication: None,
                    configuration: BTreeMap::new(),
                })
            });
            return Ok(described.collect());
        }
        let found = self.shapes(topics, within).await?;
        let there = topics.iter().zip(&found).filter(|(_, found)| found.is_some());
        let there: Vec<_> = there.map(|(topic, _)| topic).collect();
        let mut configurations = self.configurations(&there, within).await.into_iter();
        let mut describe = |(partitions, replication)| {
            let configuration = configurations.next().unwrap_or_default();
            TopicDescription {
                partitions,
                append_time: configuration
                    .get(TIMESTAMP_TYPE)
                    .map(|property| property.value == "LogAppendTime"),
                replication: Some(replication),
                configuration,
            }
        };
        Ok(found.into_iter().map(|found| found.map(&mut describe)).collect())
    }

    async fn topic_id(
        &self,
        topic: &TopicName,
        within: Duration,
    ) -> Result<Option<TopicId>, TransportError> {
        // The embedded broker does not know the question.
        if self.embedded.is_some() {
            return Ok(None);
        }
        let name = topic.clone();
        let question = move |client: &Client<_>| questions::topic_id(client, name.as_str(), within);
        match self.asked(within, question).await? {
            Ok(id) => Ok(id.map(TopicId::new)),
            Err(code) if class(code) == ErrorClass::Retriable && !is_missing(code) => {
                Err(self.refused(&format!("the id of topic {topic}"), code))
            }
            Err(code) => {
                tracing::debug!(%topic, %code, "the cluster does not tell the topic's id");
                Ok(None)
            }
        }
    }

    /// Without the topics' properties, which take another question and may be denied.
    async fn partitions(
        &self,
        topics: &[TopicName],
        within: Duration,
    ) -> Result<Vec<Option<i32>>, TransportError> {
        if let Some(broker) = &self.embedded {
            return Ok(topics.iter().map(|topic| broker.partitions(topic)).collect());
        }
        let found = self.shapes(topics, within).await?;
        Ok(found.into_iter().map(|found| found.map(|(partitions, _)| partitions)).collect())
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
            let new =
                if topic.append_time { new.set(TIMESTAMP_TYPE, "LogAppendTime") } else { new };
            topic.configuration.iter().fold(new, |new, (name, value)| new.set(name, value))
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

    async fn topics(&self, within: Duration) -> Result<Vec<TopicName>, TransportError> {
        if let Some(broker) = &self.embedded {
            return Ok(broker.names());
        }
        let metadata = self.metadata(within).await?;
        let names = metadata.topics().iter().filter_map(|topic| TopicName::new(topic.name()).ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        Ok(names)
    }

    async fn brokers(&self, within: Duration) -> Result<Option<i32>, TransportError> {
        if self.embedded.is_some() {
            return Ok(None);
        }
        let metadata = self.metadata(within).await?;
        Ok(i32::try_from(metadata.brokers().len()).ok())
    }

    async fn groups(&self, within: Duration) -> Result<Vec<GroupListing>, TransportError> {
        let groups =
            self.ask("the groups", within, move |client| questions::groups(client, within)).await?;
        let listing = |(group, state)| GroupListing { group, state };
        let mut groups: Vec<_> = groups.into_iter().map(listing).collect();
        groups.sort_by(|one, other| one.group.cmp(&other.group));
        Ok(groups)
    }

    async fn group(
        &self,
        group: &str,
        within: Duration,
    ) -> Result<Option<GroupDescription>, TransportError> {
        // To describe it a coordinator is needed, which a cluster that has seen no group yet lacks.
        if !self.groups(within).await?.iter().any(|listed| listed.group == group) {
            return Ok(None);
        }
        let name = group.to_owned();
        let answer =
            self.asked(within, move |client| questions::group(client, &name, within)).await?;
        let found = match answer {
            Err(Code::GroupIdNotFound) => return Ok(None),
            // What brokers before Kafka 4 call a group that is not there.
            Ok(found) if found.dead && found.members.is_empty() => return Ok(None),
            Ok(found) => found,
            Err(code) => return Err(self.refused(&format!("group {group:?}"), code)),
        };
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let members = found.members.into_iter().map(|member| GroupMemberDescription {
            id: member.id,
            instance: some(member.instance),
            client: member.client,
            host: member.host,
            partitions: partitions(&member.partitions),
        });
        let members = members.collect();
        Ok(Some(GroupDescription { state: found.state, assignor: some(found.assignor), members }))
    }

    async fn committed(&self, group: &str, within: Duration) -> Result<Offsets, TransportError> {
        let what = format!("the offsets of group {group:?}");
        let (name, settings) = (group.to_owned(), self.settings.clone());
        let named = self.embedded.as_ref().map(all_partitions);
        let ask = move |_: &_| committed(settings, &name, named.as_ref(), within);
        let places = self.blocking(ask).await??;
        let places = places.map_err(|code| self.refused(&what, code))?;
        if let Some(code) = places.iter().find_map(|place| place.error) {
            return Err(self.refused(&what, code));
        }
        let offsets = places.iter().map(|place| place.offset);
        let mut all: Offsets = partitions(&places).into_iter().zip(offsets).collect();
        all.retain(|(_, offset)| *offset >= 0);
        all.sort();
        Ok(all)
    }

    async fn offsets(
        &self,
        places: &[(TopicPartition, Position)],
        within: Duration,
    ) -> Result<Vec<i64>, TransportError> {
        let mut known = HashMap::new();
        // A reader that is sent to where nothing lies begins where its reset policy says.
        let bounds = |position: &Position| match position {
            Position::Offset(_) => vec![Position::Earliest, Position::Latest],
            other => vec![*other],
        };
        let mut wanted: Vec<_> = places
            .iter()
            .flat_map(|(partition, position)| {
                bounds(position).into_iter().map(move |p| (partition, p))
            })
            .collect();
        while !wanted.is_empty() {
            // The cluster answers a partition once in a question.
            let mut asked = HashSet::new();
            let (now, later): (Vec<_>, Vec<_>) =
                wanted.into_iter().partition(|(partition, _)| asked.insert(*partition));
            let found = self.look_up(&now, within).await?;
            // A time behind the last record's: the end.
            let behind = now.iter().zip(&found).filter(|(_, offset)| **offset < 0);
            let behind: Vec<_> =
                behind.map(|((partition, _), _)| (*partition, Position::Latest)).collect();
            let mut ends = self.look_up(&behind, within).await?.into_iter();
            for (place, offset) in now.into_iter().zip(found) {
                let offset = if offset < 0 { ends.next().unwrap_or(offset) } else { offset };
                known.insert(place, offset);
            }
            wanted = later;
        }
        let offset = |(partition, position): &(TopicPartition, Position)| match position {
            Position::Offset(offset) => {
                let end = known[&(partition, Position::Latest)];
                (*offset).max(known[&(partition, Position::Earliest)]).min(end)
            }
            _ => known[&(partition, *position)],
        };
        Ok(places.iter().map(offset).collect())
    }
}
