//! Building a consumer: everything that can be wrong is found here, not at the first event.

use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::classify::Classifiers;
use super::delivery::{Delivery, Shared, States};
use super::handler::{
    Call, Handler, HandlerService, Input, InputTopics, Own, OwnTopics, Registered, layered,
};
use super::hooks::Hooks;
use super::mistakes::BuildError;
use super::outcome::{FailureKind, Handled};
use super::plan::Topics;
use super::read::Policies;
use super::running::Consumer;
use super::settings::{Order, Restarts, Settings, Tombstones};
use crate::error::BoxError;
use crate::event::{IntegrationEvent, TopicName, TopicSpec};
use crate::inbox::{Inbox, Transact};
use crate::publisher::Publisher;
use crate::retry::{RetryPolicy, UnknownType};
use crate::store::{InboxTables, OutboxTables};
use crate::topic::TopicNaming;
use crate::transport::{ConsumerDefaults, TopicNeed, TopicSetup, Transport};

type LayerFn = Box<dyn Fn(Arc<dyn Call>) -> Arc<dyn Call> + Send + Sync>;

/// Collects what a consumer is made of; see [`Consumer::builder`].
pub struct ConsumerBuilder {
    group: Option<String>,
    pub(super) handlers: Vec<Registered>,
    /// Theirs, by number.
    names: Vec<Arc<str>>,
    pub(super) ignored: Vec<Ignored>,
    pub(super) states: States,
    classifiers: Classifiers,
    pub(super) layers: Vec<LayerFn>,
    pub(super) hooks: Hooks,
    publisher: Option<Publisher>,
    pub(super) inbox: Option<Arc<dyn Transact>>,
    retry: Option<RetryPolicy>,
    unknown: Option<UnknownType>,
    naming: Option<TopicNaming>,
    tombstones: Tombstones,
    order: Order,
    pub(super) concurrency: usize,
    begun_per_partition: Option<usize>,
    pub(super) members: usize,
    pub(super) restarts: Restarts,
    pub(super) handler_timeout: Duration,
    revoke_drain: Duration,
    pub(super) offset_refresh: Duration,
    start_wait: Duration,
    pub(super) dead_letters: Option<TopicName>,
    /// What its handlers write to, beside what is published.
    writes: Vec<TopicNeed>,
    topics: TopicSetup,
    pub(super) declared: Vec<TopicSpec>,
    problems: Vec<BuildError>,
}

/// An event that is passed over.
pub(super) struct Ignored {
    pub(super) event: &'static str,
    pub(super) version: u32,
    pub(super) topics: Vec<TopicName>,
}

impl ConsumerBuilder {
    pub(super) fn new(group: Option<String>) -> Self {
        Self {
            group,
            handlers: Vec::new(),
            names: Vec::new(),
            ignored: Vec::new(),
            states: States::default(),
            classifiers: Classifiers::default(),
            layers: Vec::new(),
            hooks: Hooks::default(),
            publisher: None,
            inbox: None,
            retry: None,
            unknown: None,
            naming: None,
            tombstones: Tombstones::default(),
            order: Order::default(),
            concurrency: 64,
            begun_per_partition: None,
            members: 1,
            restarts: Restarts::default(),
            handler_timeout: Duration::from_secs(60),
            revoke_drain: Duration::from_secs(10),
            offset_refresh: Duration::from_secs(3600),
            start_wait: Duration::from_secs(30),
            dead_letters: None,
            writes: Vec::new(),
            topics: TopicSetup::default(),
            declared: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Adds a handler of an event under its own name: the function's or the type's.
    #[must_use]
    pub fn handle<Args: 'static, H: Handler<Args>>(self, handler: H) -> Self
    where
        H::Input: OwnTopics,
    {
        self.handle_on(Own, handler)
    }

    /// Adds a handler of an event under a name: what retried records carry, so keep it over releases.
    #[must_use]
    pub fn handle_named<Args: 'static, H: Handler<Args>>(self, name: &str, handler: H) -> Self
    where
        H::Input: OwnTopics,
    {
        self.handle_on_named(Own, name, handler)
    }

    /// Adds a handler of what lies on a topic: one that is a type, and that carries what the handler reads,
    /// else it does not compile; or a [`TopicSpec`] or a [`TopicName`] that is known at run time only.
    ///
    /// What reads a [`Value`](super::Value) or a [`RawRecord`](super::RawRecord) takes whatever lies there, so
    /// nothing else of that topic can have a handler in the same consumer.
    #[must_use]
    pub fn handle_on<Args: 'static, H: Handler<Args>>(
        mut self,
        topic: impl InputTopics<H::Input>,
        handler: H,
    ) -> Self {
        match handler.name() {
            Some(name) => self.handle_on_named(topic, name, handler),
            None => {
                self.problems.push(BuildError::NoName { event: H::Input::reads().name() });
                self
            }
        }
    }

    /// As [`handle_on`](Self::handle_on), under a name: what retried records carry, so keep it over releases.
    #[must_use]
    pub fn handle_on_named<Args: 'static, H: Handler<Args>>(
        mut self,
        topic: impl InputTopics<H::Input>,
        name: &str,
        handler: H,
    ) -> Self {
        let number = u32::try_from(self.names.len()).expect("not so many handlers");
        self.names.push(name.into());
        self.handlers.push(Registered::new(number, name, topic.needs(), handler));
        self
    }

    /// Says that an event on a topic of this consumer is none of its business: passed over, whatever
    /// is done with unknown ones. It subscribes to nothing.
    #[must_use]
    pub fn ignore<E: IntegrationEvent>(mut self) -> Self {
        self.ignored.push(Ignored { event: E::NAME, version: E::VERSION, topics: E::topics() });
        self
    }

    /// Gives state; handlers take a clone of it as `State<S>`. One value per type.
    #[must_use]
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        if !self.states.insert(state) {
            self.problems.push(BuildError::StateTwice(std::any::type_name::<S>()));
        }
        self
    }

    /// Says what kind of failure an error of type `E` is: a handler that ends with one, through `?`
    /// too, need not say it. It counts as a cause of another error as well; the outermost error that
    /// is known decides. What a handler says itself stands.
    #[must_use]
    pub fn classify<E: std::error::Error + 'static>(
        mut self,
        kind: impl Fn(&E) -> FailureKind + Send + Sync + 'static,
    ) -> Self {
        self.classifiers.add(kind);
        self
    }

    /// Puts a tower layer around every handler. The first one given is the outermost.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<Delivery, Response = Handled> + Clone + Send + Sync + 'static,
        <L::Service as Service<Delivery>>::Error: Into<BoxError>,
        <L::Service as Service<Delivery>>::Future: Send,
    {
        self.layers.push(Box::new(move |handler| layered(&layer, handler)));
        self
    }

    /// What is handled one after another. Default: events of one key.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// How many handlers run at once in one member. Default 64.
    #[must_use]
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers;
        self
    }

    /// How many events of one partition may have begun at once, in their order. Default: as many as run at once.
    #[must_use]
    pub(crate) fn begun_per_partition(mut self, events: usize) -> Self {
        self.begun_per_partition = Some(events);
        self
    }

    /// The consumer group, where it was not said before.
    #[must_use]
    pub(crate) fn group(mut self, group: String) -> Self {
        self.group = Some(group);
        self
    }

    /// Whether handlers may run in a transaction.
    pub(crate) fn has_inbox(&self) -> bool {
        self.inbox.is_some()
    }

    /// Topics that its handlers write to: looked at when it starts, as those that it reads.
    #[must_use]
    pub(crate) fn writes(mut self, topics: Vec<TopicNeed>) -> Self {
        self.writes.extend(topics);
        self
    }

    /// How many members of the group run in this process. Default 1.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }

    /// How often each member that panics may be started again, within how long, before the consumer is given
    /// up; the wait before it grows from 1 s to 30 s. Default 5 within 10 minutes.
    ///
    /// A handler's panic does not end a member: that is a transient failure. A hook's does, and a mistake in
    /// this library. What the member had not committed comes again, as after a crash.
    #[must_use]
    pub fn restarts(mut self, most: usize, within: Duration) -> Self {
        self.restarts = Restarts { most, within };
        self
    }

    /// How failed events are retried. Default: the transport's configuration.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// What is done with an event that no handler takes. Default: the transport's configuration,
    /// which is the dead-letter topic where it says nothing else.
    #[must_use]
    pub fn unknown(mut self, policy: UnknownType) -> Self {
        self.unknown = Some(policy);
        self
    }

    /// What is done with a record without a payload. Default: quarantine.
    #[must_use]
    pub fn tombstones(mut self, policy: Tombstones) -> Self {
        self.tombstones = policy;
        self
    }

    /// How retry, dead-letter and quarantine topics are named. Default: the transport's configuration.
    #[must_use]
    pub fn naming(mut self, naming: TopicNaming) -> Self {
        self.naming = Some(naming);
        self
    }

    /// The topic of all dead letters of this consumer. Default: one for each topic, as it is named by the
    /// [`naming`](Self::naming).
    #[must_use]
    pub fn dead_letter_topic(mut self, name: TopicName) -> Self {
        self.dead_letters = Some(name);
        self
    }

    /// What is done about topics at start. Default: they must be there.
    #[must_use]
    pub fn topics(mut self, setup: TopicSetup) -> Self {
        self.topics = setup;
        self
    }

    /// Declares topics: main topics whose name is known only at run time, or those beside a main topic
    /// where they are to be other than [`TopicPlan::declared`](crate::topic::TopicPlan::declared) says. They
    /// win over what an event's own topic says. A topic that this consumer does not need is not looked at.
    #[must_use]
    pub fn declare(mut self, topics: impl IntoIterator<Item = TopicSpec>) -> Self {
        self.declared.extend(topics);
        self
    }

    /// How long one call of a handler may take; then it is dropped and counts as a transient
    /// failure. Default 60 s. Polling goes on meanwhile, whatever `max.poll.interval.ms` is.
    ///
    /// Of a handler that runs in a transaction it is also how long the database may take to open it,
    /// and to commit it; one that takes longer is away.
    #[must_use]
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.handler_timeout = timeout;
        self
    }

    /// How long what has begun, and what lies before it, may go on when its partition is revoked.
    /// Default 10 s; keep it well under the session time-out, since the group waits for it.
    #[must_use]
    pub fn revoke_drain(mut self, wait: Duration) -> Self {
        self.revoke_drain = wait;
        self
    }

    /// How often offsets are committed again that have not moved. The broker forgets a group's
    /// offsets of retry topics `offsets.retention.minutes` after the last commit. Default 1 hour.
    #[must_use]
    pub fn offset_refresh(mut self, every: Duration) -> Self {
        self.offset_refresh = every;
        self
    }

    /// How long a start goes on trying while the broker does not answer. Default 30 s.
    #[must_use]
    pub fn start_wait(mut self, wait: Duration) -> Self {
        self.start_wait = wait;
        self
    }

    /// The publisher that handlers get, and that publishes what they answer. Default: one of the
    /// same transport.
    #[must_use]
    pub fn publisher(mut self, publisher: Publisher) -> Self {
        self.publisher = Some(publisher);
        self
    }

    /// What handlers run in that ask for a [`Tx`](super::Tx): their effect happens once. Others run
    /// without. One inbox per consumer.
    #[must_use]
    pub fn inbox<S: OutboxTables + InboxTables>(mut self, inbox: Inbox<S>) -> Self {
        self.inbox = Some(Arc::new(inbox));
        self
    }

    /// The consumer, on a transport. Nothing is sent to the broker yet.
    ///
    /// # Errors
    /// The first mistake that was found.
    pub fn build<T: Transport + Clone>(mut self, transport: &T) -> Result<Consumer, BuildError> {
        let defaults = transport.consumer_defaults();
        if let Some(problem) = self.problems.drain(..).next() {
            return Err(problem);
        }
        let group = self.group.take().or_else(|| defaults.group.clone());
        let group: Arc<str> = group.unwrap_or_default().into();
        self.check(&group, &defaults)?;
        let retry = self.retry.take().unwrap_or_else(|| defaults.retry.clone());
        let naming = self.naming.take().unwrap_or_else(|| defaults.naming.clone());
        let topics = self.plan(&group, &retry, &naming)?;
        self.check_window(&retry)?;
        let publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => Publisher::of(transport).ok_or_else(|| {
                BuildError::Setting("no payload format is enabled; give a publisher".into())
            })?,
        };
        Ok(self.finish(group, Arc::new(transport.clone()), retry, topics, publisher, &defaults))
    }

    fn finish(
        self,
        group: Arc<str>,
        transport: Arc<dyn Transport>,
        retry: RetryPolicy,
        topics: Topics,
        publisher: Publisher,
        defaults: &ConsumerDefaults,
    ) -> Consumer {
        let policies = Policies {
            group: group.clone(),
            unknown: self.unknown.unwrap_or(defaults.unknown),
            tombstones: self.tombstones,
        };
        let settings = Settings {
            group: group.clone(),
            order: self.order,
            concurrency: self.concurrency,
            restarts: self.restarts,
            begun_per_partition: self.begun_per_partition,
            prefetch: defaults.prefetch.max(1),
            commit_every_events: defaults.commit_every_events.max(1),
            commit_every: defaults.commit_every,
            revoke_drain: self.revoke_drain,
            offset_refresh: self.offset_refresh,
            paused: tokio::sync::watch::Sender::default(),
        };
        Consumer {
            transport,
            topics: Arc::new(topics),
            writes: self.writes,
            settings: Arc::new(settings),
            hooks: Arc::new(self.hooks),
            shared: Arc::new(Shared {
                group,
                states: Arc::new(self.states),
                classifiers: Arc::new(self.classifiers),
                publisher,
                names: self.names.into(),
            }),
            policies,
            inbox: self.inbox,
            retry,
            handler_timeout: self.handler_timeout,
            members: self.members,
            start_wait: self.start_wait,
            setup: self.topics,
        }
    }
}
