//! Coming from FastStream: its typical code, and the same here.

use std::time::Duration;

use tidings::testing::{Fixture, TestKit};
use tidings::transport::Transport;

// ANCHOR: subscriber
use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::consumer::{Event, HandlerError, State};

/// `class User(BaseModel)`
#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = id, topic = "users")]
pub struct User {
    pub id: String,
    pub email: String,
}

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user, topic = "greetings")]
pub struct Greeting {
    pub user: String,
}

/// `@broker.subscriber("users", group_id="greeter")` and `@broker.publisher("greetings")`
pub async fn greet(
    Event(user): Event<User>,
    State(blocked): State<Blocked>, // Depends(..), Context()
) -> Result<Option<Greeting>, HandlerError> {
    if blocked.0.contains(&user.email.as_str()) {
        return Ok(None); // publishes nothing
    }
    if user.email.is_empty() {
        return Err(HandlerError::transient("the address is not there yet")); // NACK_ON_ERROR
    }
    Ok(Some(Greeting { user: user.id }))
}
// ANCHOR_END: subscriber

/// Who wants no mail.
#[derive(Clone)]
pub struct Blocked(pub &'static [&'static str]);

// ANCHOR: app
use tidings::consumer::{BuildError, Consumer};
use tower::timeout::TimeoutLayer;

/// What `broker` and `app` are: all that a group does.
pub fn greeter<T: Transport + Clone>(transport: &T) -> Result<Consumer, BuildError> {
    Consumer::builder("greeter")
        .handle(greet)
        .state(Blocked(&["nobody@example.org"]))
        .layer(TimeoutLayer::new(Duration::from_secs(5))) // a middleware
        .concurrency(16) // max_workers, without giving up the order of a key
        .build(transport)
}
// ANCHOR_END: app

// ANCHOR: worker
use tidings::worker;
use tidings::worker::Item;

/// `@broker.subscriber("greetings", group_id="postman", batch=True, max_records=50)`
#[worker(topic = "greetings", group = "postman", batch = 50, wait = "200ms", max_retries = 3)]
pub async fn post(greetings: Vec<Item<Event<Greeting>>>) -> Vec<Result<(), HandlerError>> {
    println!("{} letters", greetings.len());
    greetings.iter().map(|_| Ok(())).collect()
}
// ANCHOR_END: worker

// ANCHOR: publish
use tidings::error::BoxError;
use tidings::publisher::Publisher;

/// `broker.publish` waits too; a batch is one call and one acknowledgement.
pub async fn import(publisher: &Publisher, users: Vec<User>) -> Result<usize, BoxError> {
    Ok(publisher.publish_all(users).await?.len()) // broker.publish_batch(*users, topic="users")
}
// ANCHOR_END: publish

fn user(email: &str) -> User {
    User { id: "7".into(), email: email.into() }
}

// ANCHOR: test
#[tokio::test(start_paused = true)]
async fn who_signs_up_is_greeted() {
    let kit = TestKit::new(); // async with TestKafkaBroker(broker)
    kit.start(greeter(&kit.transport("greeter")).unwrap()).await;
    kit.publish(user("ada@example.org")).await;
    kit.publish(user("nobody@example.org")).await;
    kit.settled().await;
    kit.expect::<User>().handled_by("greet", 2); // greet.mock.assert_called..
    kit.expect::<Greeting>().published_exactly([Greeting { user: "7".into() }]);
}
// ANCHOR_END: test

#[tokio::test(start_paused = true)]
async fn a_batch_is_published_and_what_fails_each_time_is_a_dead_letter() {
    let kit = TestKit::new();
    kit.start(greeter(&kit.transport("greeter")).unwrap()).await;
    let users = vec![user("ada@example.org"), user("")];
    assert_eq!(import(&kit.publisher("import"), users).await.unwrap(), 2);
    kit.settled().await;
    kit.expect::<User>().handled_by("greet", 1).dead_lettered(1, "the address is not there yet");
}

#[tokio::test(start_paused = true)]
async fn of_a_record_of_faststream_the_content_type_counts() {
    for (content_type, handled) in [("application/json", 1), ("text/plain", 0), ("", 0)] {
        let kit = TestKit::new();
        kit.start(greeter(&kit.transport("greeter")).unwrap()).await;
        let record = format!(
            r#"{{ "topic": "users", "key": "7",
                  "headers": [["content-type", "{content_type}"], ["correlation_id", "c1"]],
                  "payload": {{ "json": {{"id":"7","email":"ada@example.org"}} }} }}"#
        );
        kit.replay(&Fixture::from_json(&record).unwrap()).await;
        kit.settled().await;
        kit.expect::<User>().handled_by("greet", handled).quarantined(1 - handled, "content type");
    }
}

#[tokio::test(start_paused = true)]
async fn greetings_are_posted_in_batches() {
    let kit = TestKit::new();
    let setup = tidings::consumer::TopicSetup::Create { partitions: None, replication: None };
    let postman = post::worker().topics(setup).build(&kit.transport("postman")).unwrap();
    let running = postman.start().await.unwrap();
    for user in ["7", "8"] {
        kit.publish(Greeting { user: user.into() }).await;
    }
    while running.status().done() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
