use tidings::consumer::{HandlerError, Value};
use tidings::{Topic, worker};

#[derive(Topic)]
#[topic(kind = event, name = "users", carries(u32))]
struct Users;

#[worker(topic = Users, retries = 3)]
async fn unknown_key(_: Value<u32>) -> Result<(), HandlerError> {
    Ok(())
}

#[worker(topic = Users, concurrency = "8")]
async fn in_quotes(_: Value<u32>) -> Result<(), HandlerError> {
    Ok(())
}

#[worker(topic = Users, backoff = "quadratic:1s")]
async fn grows_unheard_of(_: Value<u32>) -> Result<(), HandlerError> {
    Ok(())
}

#[worker(topic = Users, backoff = "linear:1 s")]
async fn waits_no_duration(_: Value<u32>) -> Result<(), HandlerError> {
    Ok(())
}

#[worker(topic = Users, backoff = "linear:1s:at_most=9s")]
async fn has_an_unknown_part(_: Value<u32>) -> Result<(), HandlerError> {
    Ok(())
}

#[worker(topic = Users, backoff = "linear:1s:jitter=2")]
async fn leaves_too_much_to_chance(_: Value<u32>) -> Result<(), HandlerError> {
    Ok(())
}

#[worker(topic = Users, dlq = 7)]
async fn no_dead_letters(_: Value<u32>) -> Result<(), HandlerError> {
    Ok(())
}

#[worker(topic = Users, batch = 100)]
async fn waits_for_ever(_: Value<u32>) -> Result<(), HandlerError> {
    Ok(())
}

#[worker(topic = Users, output = Users)]
async fn answers_what_is_not_carried(_: Value<u32>) -> Result<Value<String>, HandlerError> {
    Ok(Value(String::new()))
}

fn main() {}
