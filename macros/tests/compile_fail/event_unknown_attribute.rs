use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(partition = user_id)]
struct UserCreated {
    user_id: u64,
}

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, name = "a", name = "b")]
struct Pinged;

fn main() {}
