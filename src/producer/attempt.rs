//! One attempt at sending a message, as a tower service: what layers wrap.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::breaker::BreakerOpen;
use super::turns::Turn;
use super::{DeliveryContext, MessageId};
use crate::error::{BoxError, ErrorClass};
use crate::event::TopicName;
use crate::publisher::Line;
use crate::transport::{Delivered, ProduceError, Record};

/// One attempt at sending a message: what goes through the layers of a producer. Cheap to clone.
#[derive(Clone)]
pub struct Attempt(Arc<Carried>);

struct Carried {
    id: MessageId,
    record: Arc<Record>,
    number: u32,
    line: Arc<Line>,
    /// What ends as soon as the record is queued: nothing is sent again that the next one could overtake.
    until_queued: Mutex<Option<Turn>>,
    queued: AtomicBool,
}

impl Attempt {
    pub(super) fn new(
        delivery: &DeliveryContext,
        line: &Arc<Line>,
        until_queued: Option<Turn>,
    ) -> Self {
        Self(Arc::new(Carried {
            id: delivery.id.clone(),
            record: delivery.record.clone(),
            number: delivery.attempt,
            line: line.clone(),
            until_queued: Mutex::new(until_queued),
            queued: AtomicBool::new(false),
        }))
    }

    /// What the message is known by.
    pub fn message_id(&self) -> &MessageId {
        &self.0.id
    }

    /// Where it goes.
    pub fn topic(&self) -> &TopicName {
        &self.0.record.topic
    }

    /// The message as it is sent.
    pub fn record(&self) -> &Record {
        &self.0.record
    }

    /// Which attempt it is, from 1.
    pub fn number(&self) -> u32 {
        self.0.number
    }

    /// For how long the broker has not answered; `None` where it does.
    pub fn broker_away(&self) -> Option<Duration> {
        self.0.line.producer.reachable().err().map(|unreachable| unreachable.since)
    }

    /// Whether the record is on its way, so that it comes to an end by itself.
    pub(super) fn is_queued(&self) -> bool {
        self.0.queued.load(Ordering::Acquire)
    }

    async fn send(self) -> Result<Delivered, ProduceError> {
        let Carried { id, record, line, until_queued, queued, .. } = &*self.0;
        let way = line.queue(record, id.clone()).await?;
        queued.store(true, Ordering::Release);
        drop(until_queued.lock().unwrap_or_else(PoisonError::into_inner).take());
        way.settled().await
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("message_id", self.message_id())
            .field("topic", self.topic())
            .field("number", &self.number())
            .finish_non_exhaustive()
    }
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// The transport did not acknowledge it.
    #[error(transparent)]
    NotAcknowledged(#[from] ProduceError),
    /// A breaker refused it: it was not sent.
    #[error(transparent)]
    BreakerOpen(#[from] BreakerOpen),
    /// A layer of the user's failed.
    #[error("a layer around the producer failed")]
    Layer(#[source] BoxError),
}

impl AttemptError {
    /// What can be done about it. What a layer of the user's says is worth another try.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotAcknowledged(error) => error.class(),
            Self::BreakerOpen(_) | Self::Layer(_) => ErrorClass::Retriable,
        }
    }

    /// Whether the attempt may have been stored all the same, if its record was queued.
    pub(super) fn is_indefinite(&self, queued: bool) -> bool {
        match self {
            Self::NotAcknowledged(ProduceError::NoAnswer { .. }) | Self::Layer(_) => true,
            Self::NotAcknowledged(ProduceError::Closed) => queued,
            Self::NotAcknowledged(_) | Self::BreakerOpen(_) => false,
        }
    }

    pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let said = crate::task::message(panic).unwrap_or("it says nothing");
        Self::Layer(format!("it panicked: {said}").into())
    }

    /// What went through layers, as what it was.
    pub(super) fn of(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        let error = match error.downcast::<Self>() {
            Ok(error) => return *error,
            Err(error) => error,
        };
        match error.downcast::<BreakerOpen>() {
            Ok(open) => Self::BreakerOpen(*open),
            Err(error) => Self::Layer(error),
        }
    }
}

/// What sends: the inside of all layers.
#[derive(Clone)]
pub struct SendService(Arc<dyn Carry>);

/// The future of one attempt.
type Carrying = Pin<Box<dyn Future<Output = Result<Delivered, AttemptError>> + Send>>;

trait Carry: Send + Sync {
    fn carry(&self, attempt: Attempt) -> Carrying;
}

/// Without any layer.
struct Straight;

impl Carry for Straight {
    fn carry(&self, attempt: Attempt) -> Carrying {
        Box::pin(async move { attempt.send().await.map_err(AttemptError::from) })
    }
}

struct Layered<S>(S);

impl<S> Carry for Layered<S>
where
    S: Service<Attempt, Response = Delivered> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn carry(&self, attempt: Attempt) -> Carrying {
        let mut service = self.0.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(AttemptError::of)?;
            service.call(attempt).await.map_err(AttemptError::of)
        })
    }
}

impl SendService {
    pub(super) fn straight() -> Self {
        Self(Arc::new(Straight))
    }

    /// Puts a layer around it.
    pub(super) fn within<L>(self, layer: &L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Attempt, Response = Delivered> + Clone + Send + Sync + 'static,
        <L::Service as Service<Attempt>>::Error: Into<BoxError>,
        <L::Service as Service<Attempt>>::Future: Send,
    {
        Self(Arc::new(Layered(layer.layer(self))))
    }

    pub(super) async fn send(&self, attempt: Attempt) -> Result<Delivered, AttemptError> {
        self.0.carry(attempt).await
    }
}

impl Service<Attempt> for SendService {
    type Response = Delivered;
    type Error = AttemptError;
    type Future = Carrying;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        self.0.carry(attempt)
    }
}

impl fmt::Debug for SendService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendService")
    }
}
