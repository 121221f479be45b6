//! Given, when, then: a mapper or a mediator without any broker.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::diff::{Plain, same};
use crate::codec::Format;
use crate::error::chain;
use crate::event::{DomainEvent, Envelope, IntegrationEvent, Source};
use crate::mapper::{EventMapper, Events, IntoEvents, MapError};
use crate::mediator::{EventPublisher, Mediate, PublishFailure, Request, SendError};

/// What is given: a mediator that is prepared, or a mapper.
///
/// ```
/// # #[cfg(feature = "macros")] {
/// # use serde::{Deserialize, Serialize};
/// # use tidings::{DomainEvent, IntegrationEvent, mapper::EventMapper};
/// use tidings::testing::Scenario;
///
/// # #[derive(Debug, DomainEvent)] struct Paid { order: String }
/// # #[derive(Serialize, Deserialize, IntegrationEvent)] #[event(key = order)] struct OrderPaid { order: String }
/// let mapper = EventMapper::builder()
///     .map_with(|paid: &Paid| OrderPaid { order: paid.order.clone() })
///     .build()?;
/// Scenario::mapping(mapper)
///     .when_raised(Paid { order: "7".into() })
///     .then_published(OrderPaid { order: "7".into() });
/// # }
/// # Ok::<_, tidings::mapper::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Scenario<M> {
    given: M,
    recorder: Recorder,
}

/// A publisher that keeps what it is given, and acknowledges it. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Recorder {
    source: Source,
    envelopes: Arc<Mutex<Vec<Envelope>>>,
}

/// A request that was sent, its answer and what was published for it.
pub struct Sent<R: Request> {
    answer: Result<R::Response, SendError<R>>,
    published: Vec<Envelope>,
}

/// What a mapper made of domain events.
#[derive(Debug)]
pub struct Mapped(Result<Events, MapError>);

impl<M: Mediate> Scenario<M> {
    /// Prepares what a test begins with: repositories, earlier state, handlers. What is built
    /// publishes through the recorder, be it with `mediator.publishing(mapper, recorder)`.
    pub async fn given(prepare: impl AsyncFnOnce(Recorder) -> M) -> Self {
        let recorder = Recorder::new();
        Self { given: prepare(recorder.clone()).await, recorder }
    }

    /// Sends a request. What was published before belongs to what was given.
    pub async fn when<R: Request>(&self, request: R) -> Sent<R> {
        self.recorder.take();
        let answer = self.given.send(request).await;
        Sent { answer, published: self.recorder.take() }
    }
}

impl Scenario<EventMapper> {
    /// A mapper alone.
    pub fn mapping(mapper: EventMapper) -> Self {
        Self { given: mapper, recorder: Recorder::new() }
    }

    /// Maps a domain event.
    pub fn when_raised(&self, event: impl DomainEvent) -> Mapped {
        let mut events = Events::none();
        Mapped(self.given.map_into(&event, &mut events).map(|()| events))
    }
}

impl Recorder {
    fn new() -> Self {
        let source = Source::new("test").expect("the name is short and plain");
        Self { source, envelopes: Arc::default() }
    }

    fn envelopes(&self) -> MutexGuard<'_, Vec<Envelope>> {
        self.envelopes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Envelope> {
        std::mem::take(&mut *self.envelopes())
    }
}

impl EventPublisher for Recorder {
    fn source(&self) -> &Source {
        &self.source
    }

    fn format(&self) -> Format {
        Format::Json
    }

    async fn publish_envelopes(&self, events: Vec<Envelope>) -> Result<(), PublishFailure> {
        self.envelopes().extend(events);
        Ok(())
    }
}

impl<R: Request<Error: Debug>> Sent<R> {
    /// The request succeeded and exactly these were published, in this order: one event, an array, a
    /// `Vec`, `Events` of several types, or `()` for none. Compared is what is on the wire: name,
    /// version, topic, key and JSON.
    ///
    /// # Panics
    /// When it failed, or others were published.
    #[track_caller]
    pub fn then_published(&self, events: impl IntoEvents) -> &Self {
        self.response();
        let was: Vec<_> = self.published.iter().map(Plain::of_envelope).collect();
        compare(events, &was);
        self
    }

    /// The request failed so, and nothing was published.
    ///
    /// # Panics
    /// When it succeeded, failed in another way, or something was published.
    #[track_caller]
    pub fn then_failed(&self, so: impl FnOnce(&SendError<R>) -> bool) -> &Self {
        match &self.answer {
            Ok(_) => panic!("expected the request to fail, but it succeeded"),
            Err(error) if !so(error) => panic!("the request failed in another way: {error:?}"),
            Err(_) => {}
        }
        let was: Vec<_> = self.published.iter().map(Plain::of_envelope).collect();
        compare((), &was);
        self
    }

    /// What the handler answered.
    ///
    /// # Panics
    /// When the request failed.
    #[track_caller]
    pub fn response(&self) -> &R::Response {
        match &self.answer {
            Ok(response) => response,
            Err(error) => panic!("the request failed: {error:?}"),
        }
    }

    /// The events of a type that were published, in order.
    ///
    /// # Panics
    /// When one of them cannot be read as what it says it is.
    #[track_caller]
    pub fn published<E: IntegrationEvent>(&self) -> Vec<E> {
        let named = |envelope: &&Envelope| {
            let metadata = &envelope.metadata;
            &*metadata.event_type == E::NAME && metadata.version == E::VERSION
        };
        let decoded = |envelope: &Envelope| match Format::Json.decode(&envelope.event.payload) {
            Ok(event) => event,
            Err(error) => panic!("{}: {}", E::NAME, chain(&error)),
        };
        self.published.iter().filter(named).map(decoded).collect()
    }
}

impl Mapped {
    /// Exactly these integration events come of it, in this order; compared as
    /// [`Sent::then_published`] compares.
    ///
    /// # Panics
    /// When others do, or the mapper refuses.
    #[track_caller]
    pub fn then_published(&self, events: impl IntoEvents) -> &Self {
        let mapped = match &self.0 {
            Ok(mapped) => mapped.iter().map(Plain::of).collect::<Result<Vec<_>, _>>(),
            Err(error) => panic!("{}", chain(error)),
        };
        match mapped {
            Ok(was) => compare(events, &was),
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// The mapper refuses.
    ///
    /// # Panics
    /// When it maps the event, or refuses for another reason.
    #[track_caller]
    pub fn then_failed(&self, so: impl FnOnce(&MapError) -> bool) -> &Self {
        match &self.0 {
            Ok(_) => panic!("expected the mapper to refuse, but it mapped the event"),
            Err(error) => assert!(so(error), "the mapper refuses for another reason: {error}"),
        }
        self
    }
}

#[track_caller]
fn compare(events: impl IntoEvents, was: &[Plain]) {
    let expected: Result<Vec<_>, _> = Events::one(events).iter().map(Plain::of).collect();
    if let Err(text) = expected.and_then(|expected| same(&expected, was)) {
        panic!("{text}");
    }
}
