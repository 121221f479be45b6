use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
struct UserCreated {
    user_id: u64,
}

fn main() {}
