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

async fn again(Value(visit): Value<Visit>) -> Result<Value<Visit>, HandlerError> {
    Ok(Value(visit))
}

async fn onwards(Event(reported): Event<Reported>) -> Result<Reported, HandlerError> {
    Ok(reported)
}

/// An attribute goes through the builder.
#[tidings::worker(name = "attribute", topic = Visits, output = Visits)]
async fn by_attribute(Value(visit): Value<Visit>) -> Result<Value<Visit>, HandlerError> {
    Ok(Value(visit))
}

#[tokio::test]
async fn a_worker_that_would_write_where_it_reads_is_not_built() {
    let (_, client) = stage().await;
    let named = TopicName::from_static;
    let tiers = || RetryPolicy::tiers([secs(5)]);
    let writes = |topic| worker("w").process(nothing).retry(tiers()).writes([named(topic)]);
    for (built, worker, input, output) in [
        (worker("w").output::<Visits>().process(again).build(&client), "w", "visits", "visits"),
        (
            worker("w").output_named(named("visits")).process(again).build(&client),
            "w",
            "visits",
            "visits",
        ),
        // The event says its topic itself, for both.
        (Worker::builder("w").process(onwards).build(&client), "w", "reports", "reports"),
        (writes("visits").build(&client), "w", "visits", "visits"),
        (writes("visits.retry.5s").build(&client), "w", "visits", "visits.retry.5s"),
        (writes("visits.dlq").build(&client), "w", "visits", "visits.dlq"),
        (writes("visits.quarantine").build(&client), "w", "visits", "visits.quarantine"),
        (
            worker("w")
                .output::<Reports>()
                .process(again)
                .dead_letters(named("reports"))
                .build(&client),
            "w",
            "visits",
            "reports",
        ),
        (by_attribute::worker().build(&client), "attribute", "visits", "visits"),
    ] {
        let Err(error) = built else { panic!("it was built, though it writes to {output}") };
        let says = format!("worker {worker:?} reads {input} and writes to {output}, which is ");
        assert!(error.to_string().starts_with(&says), "{says:?} is not in: {error}");
    }
    // A tier that it does not have is another's topic.
    let other = worker("w").process(nothing).retry(tiers()).writes([named("visits.retry.1m")]);
    assert!(other.build(&client).is_ok());
    assert!(worker("w").output::<Reports>().process(again).build(&client).is_ok());
}
