use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = "orders placed")]
struct OrderPlaced;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = "")]
struct Empty;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, name = "user created")]
struct UserCreated;

fn main() {}
