//! What is settable about a producer.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tower_layer::Layer;
use tower_service::Service;

use super::aside::Aside;
use super::attempt::{Attempt, SendService};
use super::budget::Budget;
use super::core::{Core, MetricsHook, Phase};
use super::tracked::Tracked;
use super::turns::Turns;
use super::{DeliveryHandler, Measured, Producer, SendCounts};
use crate::error::BoxError;
#[cfg(feature = "json")]
use crate::event::TopicName;
use crate::publisher::Line;
use crate::retry::{Backoff, Chance};
use crate::transport::{Delivered, Transport};

/// Memory for messages that are not settled, unless another bound is said.
const MEMORY: usize = 64 * 1024 * 1024;
/// Messages of one key, unless another bound is said.
const KEY_QUEUE: usize = 1_000;
/// Messages whose status is known, unless another bound is said.
const TRACKED: usize = 10_000;

/// What is settable about a producer; see [`Producer::builder`].
pub struct ProducerBuilder {
    line: Line,
    system: &'static str,
    chance: Chance,
    retries: u32,
    backoff: Backoff,
    memory: usize,
    key_queue: usize,
    tracked: usize,
    layers: Vec<Wrap>,
    handlers: Vec<Arc<dyn DeliveryHandler>>,
    hooks: Vec<MetricsHook>,
    aside: Aside,
}

type Wrap = Box<dyn FnOnce(SendService) -> SendService + Send + Sync>;

impl ProducerBuilder {
    pub(super) fn new(transport: &dyn Transport) -> Self {
        Self {
            line: Line::new(transport.producer()),
            system: transport.system(),
            chance: transport.chance(),
            retries: 0,
            backoff: Backoff::exponential(Duration::from_secs(1))
                .cap(Duration::from_secs(30))
                .jitter(true),
            memory: MEMORY,
            key_queue: KEY_QUEUE,
            tracked: TRACKED,
            layers: Vec::new(),
            handlers: Vec::new(),
            hooks: Vec::new(),
            aside: Aside::new(transport.service().clone(), transport.clock().clone()),
        }
    }

    /// How often a message is tried again after a retriable failure, beyond what the client does by itself within its
    /// message time-out. Default: 0.
    ///
    /// A retry that an open [`Breaker`](super::Breaker) refuses is not used up: it waits for the breaker.
    ///
    /// With retries the later messages of a key (and to a partition by number) wait until the one before them is
    /// acknowledged or given up, so that none overtakes it: a key then goes as fast as the broker answers. Other keys
    /// go on.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long to wait before a retry. Default: exponential from 1 s, at most 30 s, half of it left to chance.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How much memory messages may take that are not settled, in bytes: those that wait for their turn, for a retry,
    /// in a layer, or for the broker's answer. A send that finds no room waits for it up to the send wait. Default:
    /// 64 MiB.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// How many messages of one key (and to one partition by number) may wait for each other, so that a key that does not
    /// get on leaves the memory to others. A send that finds no place waits for it up to the send wait. Default: 1,000.
    #[must_use]
    pub fn key_queue(mut self, messages: usize) -> Self {
        self.key_queue = messages;
        self
    }

    /// How long a send waits for room. Default: the transport's (Kafka: 5 s).
    #[must_use]
    pub fn send_wait(mut self, wait: Duration) -> Self {
        self.line.send_wait = wait;
        self
    }

    /// Of how many messages [`Producer::status`] knows: of all that are pending, and of the last ones that were
    /// settled, up to so many together. 0 keeps nothing. Default: 10,000.
    #[must_use]
    pub fn track(mut self, messages: usize) -> Self {
        self.tracked = messages;
        self
    }

    /// Hears what becomes of each message; several are told in the order in which they were given.
    #[must_use]
    pub fn handler(mut self, handler: impl DeliveryHandler) -> Self {
        self.handlers.push(Arc::new(handler));
        self
    }

    /// A hook for metrics of one's own: told of each end of a message, and of each attempt that is followed by
    /// another one. As short as a [`DeliveryHandler`].
    #[must_use]
    pub fn metrics(mut self, hook: impl Fn(&Measured<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Where messages go that are given up: those that no retry can help, and those that ran out of retries. Key, value
    /// and headers byte for byte, and what went wrong. Default: nowhere.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn dead_letters(mut self, topic: TopicName) -> Self {
        self.aside.dead_letters = Some(topic);
        self
    }

    /// A topic of the service, or of many, that is told of each message that was tried and is given up: one line of JSON
    /// without key or value. Default: none.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn errors(mut self, topic: TopicName) -> Self {
        self.aside.errors = Some(topic);
        self
    }

    /// Puts a tower layer around every attempt: a [`Breaker`](super::Breaker), a [`RateLimit`](super::RateLimit), or
    /// any other. The first one given is the outermost.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<SendService> + Send + Sync + 'static,
        L::Service: Service<Attempt, Response = Delivered> + Clone + Send + Sync + 'static,
        <L::Service as Service<Attempt>>::Error: Into<BoxError>,
        <L::Service as Service<Attempt>>::Future: Send,
    {
        self.layers.push(Box::new(move |service| service.within(&layer)));
        self
    }

    /// The producer.
    pub fn build(self) -> Producer {
        let layers = self.layers.into_iter().rev();
        let service = layers.fold(SendService::straight(), |service, wrap| wrap(service));
        Producer(Arc::new(Core {
            line: Arc::new(self.line),
            system: self.system,
            chance: self.chance,
            retries: self.retries,
            backoff: self.backoff,
            budget: Budget::new(self.memory),
            turns: Turns::new(self.key_queue),
            tracked: Tracked::new(self.tracked),
            service,
            handlers: self.handlers,
            hooks: self.hooks,
            aside: self.aside,
            counts: SendCounts::default(),
            open: AtomicUsize::new(0),
            idle: Notify::new(),
            closed: AtomicBool::new(false),
            left: Mutex::default(),
            phase: watch::Sender::new(Phase::Open),
        }))
    }
}

impl std::fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerBuilder")
            .field("retries", &self.retries)
            .field("backoff", &self.backoff)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}
