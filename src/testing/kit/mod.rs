//! A test kit for services: the real application on a broker in memory, in virtual time.
//!
//! [`TestKit`] makes clients and topics, waits until all that follows from an event is done
//! ([`settled`](TestKit::settled)), and then answers what was published, handled, retried and
//! dead-lettered. [`Scenario`] tests a mapper or a mediator without any broker. A [`Fixture`] is a
//! record of production, kept as JSON.

mod diff;
mod events;
mod expect;
mod fixture;
mod hold;
mod relays;
mod scenario;
mod seen;
mod settle;
mod story;
mod telling;

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use events::Moved;
pub use expect::Expect;
pub use fixture::{Fixture, FixtureError};
pub use hold::hold_time;
pub use scenario::{Mapped, Recorder, Scenario, Sent};
pub use settle::Unsettled;

use self::story::Story;
use crate::consumer::{Consumer, ConsumerStatus, RunningConsumer};
use crate::error::chain;
use crate::event::IntegrationEvent;
use crate::outbox::RunningRelay;
use crate::publisher::{Published, Publisher, enqueue};
use crate::store::OutboxStore;
use crate::transport::memory::{Cleanup, Memory, MemoryBroker, MemoryConfig, TopicConfig};
use crate::transport::{Delivered, ProduceError, Receipt, Transport};

/// What the kit's own events name as their source.
const SOURCE: &str = "test";

/// The real application on a broker in memory, and the story of what it did.
///
/// ```
/// # #[cfg(feature = "macros")] {
/// use serde::{Deserialize, Serialize};
/// use tidings::IntegrationEvent;
/// use tidings::consumer::{Consumer, Event, HandlerError};
/// use tidings::testing::TestKit;
///
/// #[derive(Serialize, Deserialize, IntegrationEvent)]
/// #[event(key = order)]
/// struct OrderPaid { order: String }
///
/// async fn ship(Event(paid): Event<OrderPaid>) -> Result<(), HandlerError> {
///     Ok(println!("shipping {}", paid.order))
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// // #[tokio::test(start_paused = true)]
/// let kit = TestKit::new();
/// let consumer = Consumer::builder("shipping").handle(ship).build(&kit.transport("shipping")).unwrap();
/// kit.start(consumer).await;
/// kit.publish(OrderPaid { order: "7".into() }).await;
/// kit.settled().await;
/// kit.expect::<OrderPaid>().published(1).handled_by("ship", 1);
/// # });
/// # }
/// ```
///
/// With `start_paused` (or `tokio::time::pause`) retries take no time, and neither do delayed events on a
/// [`MemoryDatabase`](super::MemoryDatabase); every run is the same. Without it the kit works in real
/// time. Make it inside of the test, where its clock is.
pub struct TestKit {
    broker: MemoryBroker,
    story: Arc<Story>,
    client: Memory,
    publisher: Publisher,
    running: Mutex<Vec<RunningConsumer>>,
    /// With the outboxes that they publish.
    relays: Mutex<Vec<(Arc<dyn OutboxStore>, RunningRelay)>>,
    settle_within: Option<Duration>,
}

impl TestKit {
    /// A kit on a broker without faults and delays, which keeps everything and makes a topic when it
    /// is first looked for or written to.
    pub fn new() -> Self {
        let topics = TopicConfig { cleanup: Cleanup::Off, ..TopicConfig::default() };
        Self::on(MemoryBroker::builder().create_when_asked(true).topics(topics).build())
    }

    /// A kit on a broker of your own settings: a latency, a seed, topics. What happened there before
    /// is not part of the story.
    pub fn on(broker: MemoryBroker) -> Self {
        let story = Arc::new(Story::new(broker.now()));
        broker.watch(story.clone());
        let client = connected(&broker, MemoryConfig::new(SOURCE));
        let publisher = Publisher::new(&client);
        Self {
            broker,
            story,
            client,
            publisher,
            running: Mutex::default(),
            relays: Mutex::default(),
            settle_within: None,
        }
    }

    /// How long [`settled`](Self::settled) waits at most. Default: 30 s; of a paused clock an hour, and
    /// as long again after the last retry that is left is due.
    #[must_use]
    pub fn settle_within(mut self, limit: Duration) -> Self {
        self.settle_within = Some(limit);
        self
    }

    /// The broker: its topics, records and groups, and what is to go wrong with it.
    pub fn broker(&self) -> &MemoryBroker {
        &self.broker
    }

    /// A client for a service; it commits after each event.
    ///
    /// # Panics
    /// When the name cannot be an event's source.
    #[track_caller]
    pub fn transport(&self, service: &str) -> Memory {
        // Nobody waits for the time of a commit then.
        let config = MemoryConfig::new(service);
        self.connect(config.commit_every(1, Duration::from_millis(100)))
    }

    /// A client with settings of its own.
    ///
    /// # Panics
    /// When the service's name cannot be an event's source.
    #[track_caller]
    pub fn connect(&self, config: MemoryConfig) -> Memory {
        connected(&self.broker, config)
    }

    /// A publisher for a service.
    ///
    /// # Panics
    /// When the name cannot be an event's source.
    #[track_caller]
    pub fn publisher(&self, service: &str) -> Publisher {
        Publisher::new(&self.transport(service))
    }

    /// Starts a consumer, or a worker, and lets it run as long as the kit lives.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start(
        &self,
        consumer: impl Into<Consumer>,
    ) -> impl Future<Output = ConsumerStatus> + Send + '_ {
        let (caller, consumer) = (Location::caller(), consumer.into());
        async move {
            let group = consumer.group().to_owned();
            let running = match consumer.start().await {
                Ok(running) => running,
                Err(error) => panic!("{caller}: {group} did not start: {}", chain(&error)),
            };
            let status = running.status().clone();
            self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running);
            status
        }
    }

    /// Publishes an event of a service named `test`; it is with the broker then, and not yet handled.
    ///
    /// # Panics
    /// When the broker does not take it.
    #[track_caller]
    pub fn publish<E: IntegrationEvent>(
        &self,
        event: E,
    ) -> impl Future<Output = Published> + Send + '_ {
        let caller = Location::caller();
        async move {
            match self.publisher.publish(event).await {
                Ok(published) => published,
                Err(error) => panic!("{caller}: {} was not published: {}", E::NAME, chain(&error)),
            }
        }
    }

    /// Puts a recorded event on its topic: key, headers and payload byte for byte, and its timestamp.
    /// The key chooses the partition.
    ///
    /// # Panics
    /// When the broker does not take it.
    #[track_caller]
    pub fn replay<'a>(
        &'a self,
        fixture: &'a Fixture,
    ) -> impl Future<Output = Delivered> + Send + 'a {
        let caller = Location::caller();
        async move {
            let (receipt, answer) = Receipt::one(None, Arc::default());
            let producer = self.client.producer();
            let record = fixture.record();
            let queued = enqueue(&*producer, &record, receipt, producer.send_wait()).await;
            let answer = match queued {
                Ok(()) => answer.await.unwrap_or(Err(ProduceError::Closed)),
                Err(error) => Err(error),
            };
            match answer {
                Ok(delivered) => delivered,
                Err(error) => panic!("{caller}: the fixture was not published: {}", chain(&error)),
            }
        }
    }

    /// What happened so far, in order, as a failure shows it.
    pub fn story(&self) -> String {
        telling::tell(&self.story.entries())
    }
}

#[track_caller]
fn connected(broker: &MemoryBroker, config: MemoryConfig) -> Memory {
    broker.connect(config).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

impl Default for TestKit {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestKit").field("broker", &self.broker).finish_non_exhaustive()
    }
}
