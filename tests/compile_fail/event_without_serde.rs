use tidings::IntegrationEvent;

#[derive(IntegrationEvent)]
#[event(unkeyed)]
struct Pinged;

fn main() {}
