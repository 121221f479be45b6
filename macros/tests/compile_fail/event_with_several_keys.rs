use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id, unkeyed)]
struct UserCreated {
    user_id: u64,
}

fn main() {}
