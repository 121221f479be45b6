use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed)]
enum UserEvent {
    Created,
    Renamed,
}

#[derive(IntegrationEvent)]
#[event(unkeyed)]
union Bits {
    int: u32,
    float: f32,
}

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed)]
struct Changed<T> {
    to: T,
}

#[derive(Serialize, IntegrationEvent)]
#[event(unkeyed)]
struct Borrowed<'a> {
    name: &'a str,
}

fn main() {}
