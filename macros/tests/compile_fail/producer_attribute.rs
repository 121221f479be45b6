use serde::{Deserialize, Serialize};
use tidings::{IntegrationEvent, Topic, producer};

#[derive(Topic)]
#[topic(kind = event, name = "users", carries(UserCreated))]
struct Users;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = Users)]
struct UserCreated;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed)]
struct OrderPlaced;

#[derive(Serialize)]
struct Click {
    user: String,
}

#[producer(group = "users")]
async fn unknown_key() -> UserCreated {
    UserCreated
}

#[producer(topic = Users)]
async fn answers_nothing() {}

#[producer(topic = Users)]
async fn answers_many() -> Vec<UserCreated> {
    Vec::new()
}

#[producer(topic = Users)]
fn not_async() -> UserCreated {
    UserCreated
}

#[producer(topic = Users)]
async fn not_carried() -> OrderPlaced {
    OrderPlaced
}

#[producer]
async fn no_event() -> Click {
    Click { user: String::new() }
}

#[producer(key = user)]
async fn without_a_topic() -> Click {
    Click { user: String::new() }
}

#[producer(topic = "clicks", key = "user")]
async fn key_in_quotes() -> Click {
    Click { user: String::new() }
}

#[producer(topic = "clicks", key = user, unkeyed)]
async fn with_two_keys() -> Click {
    Click { user: String::new() }
}

#[producer(topic = "clicks", key = page)]
async fn of_no_field() -> Click {
    Click { user: String::new() }
}

fn main() {}
