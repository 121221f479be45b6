//! Mistakes are found when a worker is built.

use tidings::consumer::*;
use tidings::event::TopicName;
use tidings::retry::{Backoff, RetryPolicy};
use tidings::worker::{Worker, WorkerBuilder};

use crate::stage::*;

async fn nothing(_: Value<Visit>) -> Result<(), HandlerError> {
    Ok(())
}

async fn with_state(_: Value<Visit>, _: State<u64>) -> Result<(), HandlerError> {
    Ok(())
}

fn worker(name: &str) -> WorkerBuilder<tidings::worker::On<Visits>> {
    Worker::builder(name).input::<Visits>()
}

#[tokio::test]
async fn what_cannot_work_is_told_with_what_to_do() {
    let (_, client) = stage().await;
    let policy = RetryPolicy::none();
    let letters = TopicName::from_static("visits");
    for (built, why) in [
        (worker(" ").process(nothing).build(&client), "must have a name"),
        (worker("w").process(nothing).concurrency(0).build(&client), "starts at 1"),
        (worker("w").process(nothing).timeout(secs(0)).build(&client), "must not be zero"),
        (
            worker("w").process(nothing).retry(policy.clone()).max_retries(3).build(&client),
            "both a retry policy and retries of its own",
        ),
        (
            worker("w").process(nothing).retry(policy).backoff(Backoff::default()).build(&client),
            "`.backoff(…)`",
        ),
        (worker("w").process(with_state).build(&client), "State<u64>"),
        (
            worker("w").process(nothing).dead_letters(letters).build(&client),
            "cannot hold the dead letters of visits",
        ),
    ] {
        let Err(error) = built else { panic!("it was built, though {why}") };
        assert!(error.to_string().contains(why), "{why:?} is not in: {error}");
    }
}

#[tokio::test]
async fn a_worker_is_a_consumer_of_its_own_name_or_of_the_group_that_is_said() {
    let (_, client) = stage().await;
    let built = worker("visitors").process(nothing).build(&client).unwrap();
    assert_eq!((built.name(), built.consumer().group()), ("visitors", "visitors"));
    let built = worker("visitors").group("site-visitors").process(nothing).build(&client).unwrap();
    assert_eq!((built.name(), built.consumer().group()), ("visitors", "site-visitors"));
    let consumer: Consumer = built.into();
    assert_eq!(consumer.group(), "site-visitors");
}
