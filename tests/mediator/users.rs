//! A small service to test with: users, and a publisher that keeps a list.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use tidings::codec::Format;
use tidings::event::{Envelope, Source};
use tidings::mapper::{EventMapper, Events};
use tidings::mediator::{
    Context, EventPublisher, PublishFailure, RequestHandler, ValidationErrors,
};
use tidings::{Command, DomainEvent, IntegrationEvent, Query};

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum UserError {
    #[error("{0} is taken")]
    Taken(String),
}

#[derive(Debug, DomainEvent)]
pub(crate) struct UserRegistered(pub(crate) String);

#[derive(Debug, DomainEvent)]
pub(crate) struct PasswordHashed;

/// Nobody maps it.
#[derive(Debug, DomainEvent)]
pub(crate) struct Forgotten;

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = name, subject = name)]
pub(crate) struct UserCreated {
    pub(crate) name: String,
}

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, version = 2)]
pub(crate) struct MailingListChanged;

impl From<&UserRegistered> for UserCreated {
    fn from(event: &UserRegistered) -> Self {
        Self { name: event.0.clone() }
    }
}

/// What a handler answers, with the events that it did not raise itself.
#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) events: Vec<Box<dyn DomainEvent>>,
}

impl User {
    fn domain_events(&mut self) -> Vec<Box<dyn DomainEvent>> {
        std::mem::take(&mut self.events)
    }

    fn integration_events(&mut self) -> Events {
        if self.name == "listed" { Events::one(MailingListChanged) } else { Events::none() }
    }
}

#[derive(Debug, Command)]
#[request(response = User, error = UserError, validate = Self::check)]
#[request(domain_events = User::domain_events, integration_events = User::integration_events)]
pub(crate) struct CreateUser {
    pub(crate) name: String,
}

impl CreateUser {
    fn check(&self) -> Result<(), ValidationErrors> {
        ValidationErrors::collect(|errors| {
            errors.require(!self.name.is_empty(), "name", "must not be empty");
            errors.require(self.name != "\0", "name", "must be printable");
        })
    }
}

pub(crate) fn create(name: &str) -> CreateUser {
    CreateUser { name: name.to_owned() }
}

#[derive(Debug, Query)]
#[request(response = Option<String>, error = std::convert::Infallible)]
pub(crate) struct FindUser(pub(crate) u64);

/// A command that answers nothing.
#[derive(Debug, Command)]
#[request(error = UserError)]
pub(crate) struct Touch;

/// Registers whoever is not called "taken"; raises a domain and an integration event.
#[derive(Debug, Default)]
pub(crate) struct CreateUserHandler;

impl RequestHandler<CreateUser> for CreateUserHandler {
    async fn handle(&self, request: CreateUser, cx: &mut Context) -> Result<User, UserError> {
        cx.raise(UserRegistered(request.name.clone()));
        tokio::task::yield_now().await;
        cx.raise(PasswordHashed);
        match request.name.as_str() {
            "taken" => return Err(UserError::Taken(request.name)),
            "panic" => panic!("the handler's own panic"),
            "forgotten" => cx.raise(Forgotten),
            "slow" => tokio::time::sleep(std::time::Duration::from_secs(3600)).await,
            _ => {}
        }
        cx.publish(MailingListChanged);
        let events: Vec<Box<dyn DomainEvent>> =
            vec![Box::new(UserRegistered(format!("{}'s twin", request.name)))];
        Ok(User { name: request.name, events })
    }
}

/// Handles two requests.
pub(crate) struct Users;

impl RequestHandler<FindUser> for Users {
    async fn handle(
        &self,
        request: FindUser,
        _: &mut Context,
    ) -> Result<Option<String>, std::convert::Infallible> {
        Ok((request.0 == 7).then(|| "ada".to_owned()))
    }
}

impl RequestHandler<Touch> for Users {
    async fn handle(&self, _: Touch, _: &mut Context) -> Result<(), UserError> {
        Ok(())
    }
}

pub(crate) fn mapper() -> EventMapper {
    EventMapper::builder()
        .map::<UserRegistered, UserCreated>()
        .ignore::<PasswordHashed>()
        .build()
        .unwrap()
}

/// Keeps what it is given, call by call; fails as often as it is told, after acknowledging some.
pub(crate) struct Recorder {
    source: Source,
    pub(crate) calls: Mutex<Vec<Vec<Envelope>>>,
    pub(crate) failures: AtomicUsize,
    pub(crate) acknowledged_before_failure: usize,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            source: Source::new("user-service").unwrap(),
            calls: Mutex::default(),
            failures: AtomicUsize::new(0),
            acknowledged_before_failure: 0,
        }
    }
}

impl Recorder {
    pub(crate) fn failing(times: usize, acknowledged: usize) -> Self {
        Self {
            failures: times.into(),
            acknowledged_before_failure: acknowledged,
            ..Self::default()
        }
    }

    pub(crate) fn calls(&self) -> Vec<Vec<Envelope>> {
        self.calls.lock().unwrap().clone()
    }

    /// The only call's envelopes.
    pub(crate) fn only_call(&self) -> Vec<Envelope> {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "one call for all events of a request");
        calls.remove(0)
    }
}

/// Types and payloads.
pub(crate) fn shown(events: &[Envelope]) -> Vec<String> {
    let show = |e: &Envelope| {
        format!("{} {}", e.metadata.event_type, String::from_utf8_lossy(&e.event.payload))
    };
    events.iter().map(show).collect()
}

impl EventPublisher for Recorder {
    fn source(&self) -> &Source {
        &self.source
    }

    fn format(&self) -> Format {
        Format::Json
    }

    async fn publish_envelopes(&self, mut events: Vec<Envelope>) -> Result<(), PublishFailure> {
        tokio::task::yield_now().await;
        let fail = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail).is_ok() {
            let unpublished = events.split_off(self.acknowledged_before_failure.min(events.len()));
            self.calls.lock().unwrap().push(events);
            return Err(PublishFailure { unpublished, error: "the broker is away".into() });
        }
        self.calls.lock().unwrap().push(events);
        Ok(())
    }
}
