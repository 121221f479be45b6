use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = "user_id")]
struct UserCreated {
    user_id: u64,
}

fn main() {}
