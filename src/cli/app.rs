//! What a binary's commands know beside the cluster.

use std::fmt;
use std::sync::Arc;

use super::args::RunWorkers;
use super::error::CliError;
use crate::consumer::Consumer;
use crate::error::{BoxError, chain};
use crate::event::{IntegrationEvent, Profile, TopicName, TopicSpec};
use crate::topic::Topic;
use crate::transport::TopicNeed;
use crate::transport::kafka::{EmbeddedBroker, Kafka, KafkaConfig};
use crate::worker::Worker;

/// Builds something on the client that a command has.
type Build<T> = Arc<dyn Fn(&Kafka) -> Result<T, BoxError> + Send + Sync>;

/// What a binary's commands know beside the cluster: its topics, profiles, consumers and workers, and how it is
/// configured.
#[derive(Clone)]
pub struct App {
    pub(super) name: String,
    pub(super) topics: Vec<TopicSpec>,
    /// Topics of which only the name is known.
    pub(super) named: Vec<TopicName>,
    pub(super) profiles: Vec<Profile>,
    pub(super) config: Option<KafkaConfig>,
    pub(super) embedded: Option<EmbeddedBroker>,
    pub(super) consumers: Vec<(String, Build<Consumer>)>,
    pub(super) workers: Vec<(String, Build<Worker>)>,
}

impl App {
    /// The commands of a binary of this name, which is the service's name too.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            topics: Vec::new(),
            named: Vec::new(),
            profiles: Profile::all().into(),
            config: None,
            embedded: None,
            consumers: Vec::new(),
            workers: Vec::new(),
        }
    }

    /// Adds a topic that is a type: `check` compares it, `create-topics` makes it as it is declared.
    #[must_use]
    pub fn topic<T: Topic>(self) -> Self {
        self.topics([T::spec()])
    }

    /// Adds topics.
    #[must_use]
    pub fn topics(mut self, topics: impl IntoIterator<Item = TopicSpec>) -> Self {
        self.topics.extend(topics);
        self
    }

    /// Adds the topics of an event that this binary publishes, as far as they are declared as they are declared.
    #[must_use]
    pub fn publishes<E: IntegrationEvent>(mut self) -> Self {
        for need in TopicNeed::of::<E>() {
            match need.declared {
                Some(spec) if self.topics.contains(&spec) => {}
                Some(spec) => self.topics.push(spec),
                None if self.named.contains(&need.name) => {}
                None => self.named.push(need.name),
            }
        }
        self.named.retain(|name| self.topics.iter().all(|spec| spec.name() != name));
        self
    }

    /// Adds a profile that `--profile` takes.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profiles.push(profile);
        self
    }

    /// Adds a consumer under a name: `describe` shows it, `check` looks whether it could start.
    #[must_use]
    pub fn consumer<E: Into<BoxError>>(
        mut self,
        name: impl Into<String>,
        build: impl Fn(&Kafka) -> Result<Consumer, E> + Send + Sync + 'static,
    ) -> Self {
        let build: Build<Consumer> = Arc::new(move |kafka| build(kafka).map_err(Into::into));
        self.consumers.push((name.into(), build));
        self
    }

    /// Adds a worker under a name: `worker` runs it, `describe` shows it, `check` looks whether it could start. It is
    /// built when it is needed, on the client that the command has.
    #[must_use]
    pub fn worker<E: Into<BoxError>>(
        mut self,
        name: impl Into<String>,
        build: impl Fn(&Kafka) -> Result<Worker, E> + Send + Sync + 'static,
    ) -> Self {
        let build: Build<Worker> = Arc::new(move |kafka| build(kafka).map_err(Into::into));
        self.workers.push((name.into(), build));
        self
    }

    /// Sets the configuration that variables and options are laid over. Default: the defaults.
    #[must_use]
    pub fn config(mut self, config: KafkaConfig) -> Self {
        self.config = Some(config);
        self
    }

    /// Sets the broker that commands talk to where none is configured: one in this process, for trying out.
    #[must_use]
    pub fn embedded(mut self, broker: &EmbeddedBroker) -> Self {
        self.embedded = Some(broker.clone());
        self
    }

    /// The workers that a command names, each once and in the order in which they were added.
    pub(super) fn workers_named(&self, wanted: &RunWorkers) -> Result<Vec<&str>, CliError> {
        let known: Vec<_> = self.workers.iter().map(|(name, _)| &**name).collect();
        for (at, name) in known.iter().enumerate() {
            if known[..at].contains(name) {
                return Err(CliError::input(format!("this binary knows two workers {name:?}")));
            }
        }
        if known.is_empty() {
            return Err(CliError::unknown(
                "this binary knows no worker; `App::worker` makes one known",
            ));
        }
        if let Some(name) = wanted.names.iter().find(|name| !known.contains(&&***name)) {
            return Err(CliError::unknown(format!(
                "there is no worker {name:?}; there are: {}",
                known.join(", ")
            )));
        }
        let is_wanted = |name: &&str| wanted.all || wanted.names.iter().any(|w| w == name);
        Ok(known.into_iter().filter(is_wanted).collect())
    }

    /// The consumers and workers, each as a consumer, and why one cannot be built.
    pub(super) fn built(&self, kafka: &Kafka) -> Vec<(String, Result<Consumer, CliError>)> {
        let consumers = self
            .consumers
            .iter()
            .map(|(name, _)| (format!("consumer {name}"), self.consumer_named(name, kafka)));
        let workers = self.workers.iter().map(|(name, _)| {
            (format!("worker {name}"), self.worker_named(name, kafka).map(Consumer::from))
        });
        consumers.chain(workers).collect()
    }

    pub(super) fn worker_named(&self, name: &str, kafka: &Kafka) -> Result<Worker, CliError> {
        built("worker", &self.workers, name, kafka)
    }

    pub(super) fn consumer_named(&self, name: &str, kafka: &Kafka) -> Result<Consumer, CliError> {
        built("consumer", &self.consumers, name, kafka)
    }
}

fn built<T>(
    what: &str,
    all: &[(String, Build<T>)],
    name: &str,
    kafka: &Kafka,
) -> Result<T, CliError> {
    let found = all.iter().find(|(known, _)| known == name);
    let (_, build) =
        found.ok_or_else(|| CliError::unknown(format!("there is no {what} {name:?}")))?;
    build(kafka).map_err(|error| {
        CliError::input(format!("{what} {name:?} cannot be built: {}", chain(&*error)))
    })
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("name", &self.name)
            .field("topics", &self.topics)
            .field("consumers", &self.consumers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("workers", &self.workers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
