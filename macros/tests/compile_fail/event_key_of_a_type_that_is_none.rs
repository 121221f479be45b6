use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = amount)]
struct Paid {
    amount: f64,
}

#[derive(Serialize, Deserialize)]
struct UserId(u64);

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = id)]
struct UserCreated {
    id: UserId,
}

fn main() {}
