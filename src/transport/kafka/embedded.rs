//! A broker in this process, for trying out: librdkafka's own mock cluster.
//!
//! It speaks the Kafka protocol on loopback, so other processes can join. It keeps nothing on disk,
//! trims a partition at 5 MiB, and knows neither admin calls nor append times nor real transactions.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

use super::errors::transport_error;
use super::ffi;
use crate::error::{BoxError, ErrorClass};
use crate::event::TopicName;
use crate::transport::TransportError;

type Cluster<'a> = MockCluster<'a, DefaultProducerContext>;
type Call = Box<dyn FnOnce(&Cluster<'_>) + Send>;

/// How long a group that begins waits for more members. The cluster's own 3 s are long for who has one.
const GATHER: Duration = Duration::from_millis(100);

/// A Kafka broker inside this process. Cheap to clone; it ends with its last clone.
#[derive(Clone)]
pub struct EmbeddedBroker {
    /// The cluster may not change threads, so calls go to the one that it lives on.
    calls: mpsc::Sender<Call>,
    bootstrap_servers: Arc<str>,
    /// Topics that were made here. Asking the cluster would make what is asked for.
    topics: Arc<Mutex<HashMap<TopicName, i32>>>,
}

impl EmbeddedBroker {
    /// Starts one on a free port of loopback.
    ///
    /// # Errors
    /// When librdkafka cannot open its listeners.
    pub fn start() -> Result<Self, TransportError> {
        let (calls, inbox) = mpsc::channel::<Call>();
        let (started, answer) = mpsc::sync_channel(1);
        let home = move || {
            let client = match home_client() {
                Ok(client) => client,
                Err(error) => return drop(started.send(Err(error))),
            };
            ffi::gather_groups_for(client.client(), GATHER);
            let cluster = client.client().mock_cluster().expect("the client was made with one");
            if started.send(Ok(cluster.bootstrap_servers())).is_ok() {
                inbox.into_iter().for_each(|call| call(&cluster));
            }
        };
        let failed = |error: BoxError| TransportError {
            what: "the embedded broker does not start".into(),
            class: ErrorClass::Permanent,
            source: Some(error),
        };
        std::thread::Builder::new()
            .name("tidings-embedded".into())
            .spawn(home)
            .map_err(|error| failed(error.into()))?;
        let started = answer.recv().map_err(|error| failed(error.into()))?;
        let bootstrap_servers = started.map_err(|error| failed(error.into()))?.into();
        Ok(Self { calls, bootstrap_servers, topics: Arc::default() })
    }

    /// Where it listens.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Makes a topic; one that is there stays as it is.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn create_topic(&self, topic: &TopicName, partitions: i32) -> Result<(), TransportError> {
        let name = topic.clone();
        self.with(move |cluster| match cluster.create_topic(name.as_str(), partitions, 1) {
            Err(KafkaError::MockCluster(Code::TopicAlreadyExists)) => Ok(()),
            result => result,
        })
        .map_err(|error| {
            transport_error(format!("the embedded broker cannot make topic {topic}"), error)
        })?;
        self.topics().entry(topic.clone()).or_insert(partitions);
        Ok(())
    }

    /// How many partitions a topic has that was made with [`create_topic`](Self::create_topic).
    pub(super) fn partitions(&self, topic: &TopicName) -> Option<i32> {
        self.topics().get(topic).copied()
    }

    /// The topics that were made with it, sorted.
    pub(super) fn names(&self) -> Vec<TopicName> {
        let mut names: Vec<_> = self.topics().keys().cloned().collect();
        names.sort();
        names
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<TopicName, i32>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops answering, as a broker that died; [`come_back`](Self::come_back) ends that.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn go_away(&self) -> Result<(), TransportError> {
        self.with(|cluster| cluster.broker_down(1))
            .map_err(|error| transport_error("the embedded broker does not go away", error))
    }

    /// Answers again, with all that it held.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn come_back(&self) -> Result<(), TransportError> {
        self.with(|cluster| cluster.broker_up(1))
            .map_err(|error| transport_error("the embedded broker does not come back", error))
    }

    /// Denies a topic to everybody, or no longer, as an access list would. Clients see it when they
    /// next ask what the topic is.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn deny_topic(&self, topic: &TopicName, denied: bool) -> Result<(), TransportError> {
        let name = topic.clone();
        let error = match denied {
            true => RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            false => RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        };
        self.with(move |cluster| cluster.topic_error(name.as_str(), error)).map_err(|error| {
            transport_error(format!("the embedded broker cannot deny topic {topic}"), error)
        })
    }

    /// Answers everything so much later from now on, as a broker that is far away.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn answer_after(&self, latency: Duration) -> Result<(), TransportError> {
        self.with(move |cluster| cluster.broker_round_trip_time(1, latency))
            .map_err(|error| transport_error("the embedded broker does not answer later", error))
    }

    /// Fails the next produce requests, one for each, as a broker that cannot store them would.
    pub fn fail_produce(&self, failures: usize) {
        let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; failures];
        // It cannot fail: the errors are only put on a list.
        let _ = self.with(move |cluster| {
            cluster.request_errors(rdkafka::types::RDKafkaApiKey::Produce, &errors);
            Ok(())
        });
    }

    fn with<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Cluster<'_>) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        let (done, answer) = mpsc::sync_channel(1);
        let gone = |_| KafkaError::MockCluster(Code::DestroyBroker);
        let call: Call = Box::new(move |cluster| drop(done.send(call(cluster))));
        self.calls.send(call).map_err(|e| gone(e.to_string()))?;
        answer.recv().map_err(|e| gone(e.to_string()))?
    }
}

/// The client that the cluster belongs to. It sends nothing itself.
fn home_client() -> KafkaResult<BaseProducer> {
    ClientConfig::new().set("test.mock.num.brokers", "1").set("log_level", "0").create()
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbeddedBroker").field(&self.bootstrap_servers).finish()
    }
}
