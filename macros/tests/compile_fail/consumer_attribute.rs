use serde::{Deserialize, Serialize};
use tidings::consumer::{Event, HandlerError, Value};
use tidings::{IntegrationEvent, Topic, consumer};

#[derive(Topic)]
#[topic(kind = event, name = "users", carries(UserCreated))]
struct Users;

#[derive(Topic)]
#[topic(kind = event, name = "orders")]
struct Orders;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = Users)]
struct UserCreated;

#[consumer(topics = Users)]
async fn unknown_key(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

#[consumer("users")]
async fn without_its_name(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

#[consumer]
#[tidings::producer]
async fn reads_and_publishes(Event(user): Event<UserCreated>) -> Result<UserCreated, HandlerError> {
    Ok(user)
}

#[consumer(group = "a", group = "b")]
async fn said_twice(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

#[consumer(group = email)]
async fn without_quotes(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

#[consumer(group = "")]
async fn in_no_group(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

#[consumer(topic = 7)]
async fn no_topic(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

#[consumer(topic = "no topic's name")]
async fn on_a_name_that_is_none(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

#[consumer]
fn not_async(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

#[consumer]
struct NoFunction;

#[consumer]
async fn reads_nothing() -> Result<(), HandlerError> {
    Ok(())
}

#[consumer]
async fn answers_nothing(_: Event<UserCreated>) {}

#[consumer]
async fn of_any<T: Send>(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

struct Service;

impl Service {
    #[consumer]
    async fn method(&self, _: Event<UserCreated>) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[consumer(topic = Orders)]
async fn of_another_topic(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

#[consumer]
async fn on_no_topic(_: Value<u32>) -> Result<(), HandlerError> {
    Ok(())
}

fn main() {}
