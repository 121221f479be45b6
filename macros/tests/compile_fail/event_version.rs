use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, version = 0)]
struct Zero;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, version = 4294967296)]
struct Huge;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, version = "1.0")]
struct Text;

fn main() {}
