//! Mistakes are found when a consumer is built or started.

use tidings::consumer::*;
use tidings::retry::RetryPolicy;
use tidings::transport::TopicsError;
use tidings::transport::kafka::EmbeddedBroker;

use crate::events::{Note, contract, topic};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

contract!(Built: "building.built");

async fn nothing(_: Event<Note<Built>>) -> Result<(), HandlerError> {
    Ok(())
}

fn error(builder: ConsumerBuilder) -> BuildError {
    let Err(error) = builder.build(&client()) else { panic!("it was built") };
    error
}

#[tokio::test]
async fn state_that_a_handler_asks_for_and_nobody_gave_is_named() {
    let error = error(consumer::<Built>().handle(record::<Built>));
    assert!(
        matches!(&error, BuildError::NoState { handler, .. } if handler == "record"),
        "{error}"
    );
    assert!(error.to_string().contains("Seen<"), "{error}");
}

#[tokio::test]
async fn state_that_is_given_twice_is_refused() {
    let seen = Seen::<u8>::default();
    let error = error(consumer::<Built>().handle(nothing).state(seen.clone()).state(seen));
    assert!(matches!(error, BuildError::StateTwice(_)), "{error}");
}

#[tokio::test]
async fn two_handlers_of_an_event_with_one_name_are_refused() {
    let error = error(consumer::<Built>().handle(nothing).handle_named("nothing", nothing));
    assert!(
        matches!(&error, BuildError::HandlerTwice { event: "noted", handler } if handler == "nothing")
    );
    contract!(Other: "building.other" as "other");
    async fn nothing_other(_: Event<Note<Other>>) -> Result<(), HandlerError> {
        Ok(())
    }
    let builder = consumer::<Built>().handle_named("same", nothing);
    let consumer = builder.handle_named("same", nothing_other).build(&client());
    assert!(consumer.is_ok(), "two events may share a handler's name");
}

#[tokio::test]
async fn a_closure_without_a_name_is_refused_and_told_how_to_get_one() {
    let closure = |_: Event<Note<Built>>| async { Ok::<_, HandlerError>(()) };
    let error = error(consumer::<Built>().handle(closure));
    assert!(matches!(error, BuildError::NoName { event: "noted" }), "{error}");
    assert!(error.to_string().contains("handle_named"), "{error}");
    assert!(consumer::<Built>().handle_named("named", closure).build(&client()).is_ok());
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let built = || consumer::<Built>().handle(nothing);
    assert!(
        matches!(error(consumer::<Built>()), BuildError::NoHandler(group) if group == "building.built")
    );
    for builder in [
        built().concurrency(0),
        built().members(0),
        built().handler_timeout(ms(0)),
        built().offset_refresh(ms(0)),
        Consumer::builder(" ").handle(nothing),
        Consumer::configured().handle(nothing),
    ] {
        let error = error(builder);
        assert!(matches!(error, BuildError::Setting(_)), "{error}");
    }
    let error = error(built().retry(RetryPolicy::tiers([ms(100), ms(50)])));
    assert!(
        matches!(&error, BuildError::Topics { topic, .. } if topic.as_str() == "building.built")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_names_each_topic_that_is_not_there_or_too_small() {
    contract!(Missing: "building.missing");
    async fn missing(_: Event<Note<Missing>>) -> Result<(), HandlerError> {
        Ok(())
    }
    let kafka = client();
    for (name, partitions) in [
        (topic::<Missing>(), 4),
        (beside::<Missing>("dlq"), 1),
        (beside::<Missing>("retry.50ms"), 3),
    ] {
        broker().create_topic(&name, partitions).unwrap();
    }
    let builder = Consumer::builder("building").retry(quick()).handle(missing);
    let Err(error) = builder.build(&kafka).unwrap().start().await else { panic!("it started") };
    let StartError::Topics(TopicsError::NotAsNeeded { problems, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(problems.len(), 3, "{problems:?}");
    for problem in [
        "building.missing.quarantine is not there",
        "building.missing.retry.100ms is not there",
        "building.missing.retry.50ms has 3 partitions and building.missing has 4",
    ] {
        assert!(error.to_string().contains(problem), "{error}");
    }
    assert!(!error.is_retriable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_starts_while_the_broker_is_away_becomes_ready_when_it_comes() {
    contract!(Late: "building.late");
    let broker = EmbeddedBroker::start().unwrap();
    let kafka = client_of(&broker, config());
    broker.go_away().unwrap();
    let seen = Seen::<Note<Late>>::default();
    let builder = consumer::<Late>().handle(record::<Late>).state(seen.clone());
    let running = builder.build(&kafka).unwrap().start().await.unwrap();
    let problems = running.status().problems();
    assert!(problems.iter().any(|p| p.contains("waits for the group")), "{problems:?}");
    broker.come_back().unwrap();
    eventually("it is ready", SOON, || running.status().is_ready()).await;
    put(&kafka, &written::<Late>("k", 1)).await;
    eventually("it handles", SOON, || seen.len() == 1).await;
    stop(running).await;
}
