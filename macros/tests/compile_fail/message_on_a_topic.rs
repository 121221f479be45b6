use serde::{Deserialize, Serialize};
use tidings::producer::Message;
use tidings::{IntegrationEvent, Topic};

#[derive(Topic)]
#[topic(kind = event, name = "users", carries(UserCreated))]
struct Users;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = Users)]
struct UserCreated;

#[derive(Serialize)]
struct Click;

fn main() {
    Message::on::<Users>(&UserCreated).unwrap();
    Message::on::<Users>(&Click).unwrap();
    Message::on::<Click>(&UserCreated).unwrap();
}
