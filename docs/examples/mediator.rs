//! The mediator and its publishing decorator.

use std::time::Duration;

use tidings::mediator::{Mediator, SendError, Timeout, Tracing, Validation, ValidationErrors};
use tidings::publisher::Publisher;
use uuid::Uuid;

use super::mapping::{UserRegistered, event_mapper};

#[derive(Debug, thiserror::Error)]
#[error("the address is taken")]
pub struct AddressTaken;

#[derive(Clone, Default)]
pub struct Users;

impl Users {
    async fn add(&self, _id: Uuid, email: &str) -> Result<(), AddressTaken> {
        if email == "taken@example.org" { Err(AddressTaken) } else { Ok(()) }
    }
}

// ANCHOR: command
use tidings::Command;
use tidings::mediator::{Context, RequestHandler};

#[derive(Debug, Command)]
#[request(response = Uuid, error = AddressTaken, validate = Self::check)]
pub struct CreateUser {
    pub email: String,
}

impl CreateUser {
    fn check(&self) -> Result<(), ValidationErrors> {
        ValidationErrors::collect(|errors| {
            errors.require(self.email.contains('@'), "email", "is not an address");
        })
    }
}

pub struct CreateUserHandler {
    pub users: Users,
}

impl RequestHandler<CreateUser> for CreateUserHandler {
    async fn handle(&self, request: CreateUser, cx: &mut Context) -> Result<Uuid, AddressTaken> {
        let id = Uuid::now_v7();
        self.users.add(id, &request.email).await?;
        cx.raise(UserRegistered { id, email: request.email });
        Ok(id)
    }
}
// ANCHOR_END: command

// ANCHOR: build
use tidings::error::BoxError;
use tidings::mediator::{EventPublisher, Publishing};

/// With a `Publisher` in production, and a recorder in tests.
pub fn requests<P: EventPublisher>(
    users: Users,
    publisher: P,
) -> Result<Publishing<Mediator, P>, BoxError> {
    let mediator = Mediator::builder()
        .behaviour(Tracing) // outermost
        .behaviour(Timeout(Duration::from_secs(5)))
        .behaviour(Validation)
        .handler(CreateUserHandler { users })
        .requires::<(CreateUser,)>()
        .build()?;
    Ok(mediator.publishing(event_mapper()?, publisher))
}
// ANCHOR_END: build

// ANCHOR: send
async fn create(
    requests: &Publishing<Mediator, Publisher>,
    publisher: &Publisher,
    email: &str,
) -> Result<Uuid, BoxError> {
    match requests.send(CreateUser { email: email.into() }).await {
        Ok(id) => Ok(id),
        // The user is stored; only the events are missing. The error holds both.
        Err(SendError::Unpublished(left)) => {
            left.retry(publisher).await.map_err(|still_left| still_left.error)
        }
        Err(error) => Err(error.into()),
    }
}
// ANCHOR_END: send

#[tokio::test]
async fn a_command_publishes_what_it_raised() {
    let kafka = super::embedded("user-service");
    super::topics::for_publisher(&kafka).await.unwrap();
    let publisher = Publisher::new(&kafka);
    let requests = requests(Users, publisher.clone()).unwrap();
    create(&requests, &publisher, "ada@example.org").await.unwrap();
    assert_eq!(publisher.counts().acknowledged(), 1);
    let refused = create(&requests, &publisher, "taken@example.org").await.unwrap_err();
    assert_eq!(refused.to_string(), "the address is taken");
    assert!(requests.send(CreateUser { email: "nobody".into() }).await.unwrap_err().is_invalid());
    assert_eq!(publisher.counts().acknowledged(), 1);
}
