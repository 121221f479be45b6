use tidings::mapper::EventMapper;
use tidings::DomainEvent;

#[derive(Debug, DomainEvent)]
struct UserRegistered;

#[derive(Debug)]
struct Stranger;

fn main() {
    let _ = EventMapper::builder().map_with(|_: &UserRegistered| "user_created");
    let _ = EventMapper::builder().ignore::<Stranger>();
    let _ = EventMapper::builder().covers::<UserRegistered>();
}
