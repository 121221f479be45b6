use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = usr_id)]
struct UserCreated {
    user_id: u64,
    email: String,
}

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = 1)]
struct UserRenamed(u64);

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, subject = user_id)]
struct Pinged;

fn main() {}
