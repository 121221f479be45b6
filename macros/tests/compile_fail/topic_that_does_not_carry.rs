use serde::{Deserialize, Serialize};
use tidings::publisher::Publisher;
use tidings::{IntegrationEvent, Topic};

#[derive(Topic)]
#[topic(kind = event, name = "users", carries(UserCreated))]
struct Users;

struct NoTopic;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = Users)]
struct UserCreated;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = Users)]
struct OrderPlaced;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = NoTopic)]
struct OrderPaid;

async fn publish(publisher: &Publisher) {
    publisher.publish_to(Users, UserCreated).await.unwrap();
    publisher.publish_to(Users, OrderPlaced).await.unwrap();
}

fn main() {}
