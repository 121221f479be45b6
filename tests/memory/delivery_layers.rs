//! What goes around sending plain messages: breakers, rate limits, tower layers, handlers, metrics hooks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::error::ErrorClass;
use tidings::producer::*;
use tidings::retry::Backoff;
use tidings::transport::memory::{Fault, MemoryBroker};
use tokio::time::Instant;

use crate::deliveries::*;
use crate::stage::secs;

#[tokio::test(start_paused = true)]
async fn a_breaker_refuses_at_once_while_the_broker_is_away_and_closes_with_a_probe() {
    let broker = MemoryBroker::new();
    let breaker = Breaker::new().failures(3).away(secs(3_600)).open_for(secs(10));
    let producer = producer(&broker).dead_letters(DEAD).layer(breaker.clone()).build();
    broker.inject(Fault::BrokerGone(secs(60)));
    for n in 0..3 {
        let error = producer.send(click("a", n)).await.unwrap_err();
        assert!(!error.is_refused(), "{error:?}");
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    let began = Instant::now();
    let error = producer.send(click("a", 3)).await.unwrap_err();
    assert!(error.is_refused() && !error.is_indefinite(), "{error:?}");
    assert_eq!((error.class(), began.elapsed()), (ErrorClass::Retriable, Duration::ZERO));
    assert_eq!(producer.counts().refused(), 1);

    tokio::time::sleep(secs(11)).await;
    assert!(producer.send(click("a", 4)).await.unwrap_err().is_refused(), "it is still away");
    tokio::time::sleep(secs(60)).await;
    producer.send(click("a", 5)).await.unwrap();
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(numbers(&broker, "a"), [5]);
}

#[tokio::test(start_paused = true)]
async fn what_a_breaker_refuses_is_told_to_its_caller_and_puts_nothing_in_the_clients_queue() {
    let broker = MemoryBroker::new();
    let breaker = Breaker::new().failures(1).away(secs(3_600)).open_for(secs(600));
    let builder = producer(&broker).dead_letters(DEAD).errors(ERRORS);
    let producer = builder.layer(breaker.clone()).build();
    broker.inject(Fault::BrokerGone(secs(300)));
    producer.send(click("a", 0)).await.unwrap_err();
    assert_eq!(breaker.state(), BreakerState::Open);
    tokio::time::sleep(secs(10)).await;
    let before = broker.backlog().queued;
    for n in 0..200 {
        let error = producer.send(click("a", n)).await.unwrap_err();
        let SendError::NotAcknowledged { attempts: 0, dead_letter: None, .. } = &error else {
            panic!("{error:?}")
        };
        assert!(error.is_refused());
    }
    assert_eq!(broker.backlog().queued, before);
    assert_eq!(producer.counts().refused(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_message_in_retry_waits_for_an_open_breaker_and_keeps_its_retries() {
    let broker = MemoryBroker::new();
    let breaker = Breaker::new().failures(1).away(secs(3_600)).open_for(secs(5));
    let told = Told::default();
    let builder = producer(&broker).retries(1).backoff(Backoff::fixed(secs(1))).dead_letters(DEAD);
    let producer = builder.layer(breaker.clone()).handler(told.clone()).build();
    broker.inject(Fault::BrokerGone(secs(20)));
    let began = Instant::now();
    producer.send(click("a", 0)).await.unwrap();
    assert_eq!(breaker.state(), BreakerState::Closed);
    // The client's own second and the backoff; the first refusal waits for what is left of the 5 s.
    assert_eq!(began.elapsed().as_secs(), 21);
    let all = told.all();
    let (last, before) = all.split_last().unwrap();
    assert_eq!((last.as_str(), before.len()), ("success 2", 5));
    assert!(before.iter().all(|told| told == "retry 1"), "{all:?}");
    assert!(broker.records(&DEAD).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_the_wait_for_a_breaker_and_names_the_message() {
    let broker = MemoryBroker::new();
    // It may be asked at once, which must not keep a thread busy.
    let breaker = Breaker::new().failures(1).open_for(Duration::ZERO);
    let builder = producer(&broker).retries(1).backoff(Backoff::fixed(Duration::ZERO));
    let producer = builder.layer(breaker.clone()).build();
    broker.inject(Fault::BrokerGone(secs(3_600)));
    let id = producer.send_and_forget(click("a", 0)).await.unwrap();
    tokio::time::sleep(secs(60)).await;
    assert!(matches!(producer.status(&id), Some(DeliveryStatus::RetryScheduled { .. })));
    assert!(producer.counts().retried() < 700, "{:?}", producer.counts());
    assert_eq!(producer.close(secs(1)).await, [id]);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_spreads_messages_and_keeps_their_order() {
    let broker = MemoryBroker::new();
    let limit = RateLimit::new(10, secs(1)).unwrap().burst(5);
    let producer = producer(&broker).layer(limit).build();
    let began = Instant::now();
    producer.send_all((0..25).map(|n| click("a", n)).collect()).await.unwrap();
    assert_eq!(began.elapsed().as_millis().div_ceil(100), 20);
    assert_eq!(numbers(&broker, "a"), (0..25).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn any_tower_layer_goes_around_sending() {
    let broker = MemoryBroker::new();
    let timeout = tower::timeout::TimeoutLayer::new(Duration::from_millis(100));
    let producer = producer(&broker).layer(timeout).retries(2).build();
    producer.send(click("a", 0)).await.unwrap();
    broker.inject(Fault::ProduceTimesOut { stored: false });
    producer.send(click("a", 1)).await.unwrap();
    assert!(producer.counts().retried() > 0, "what the layer says is worth another try");
    broker.inject(Fault::BrokerGone(secs(60)));
    let error = producer.send(click("a", 2)).await.unwrap_err();
    let SendError::NotAcknowledged { source: AttemptError::Layer(_), .. } = &error else {
        panic!("{error:?}")
    };
    assert!(error.is_indefinite());
}

struct Panics;

impl DeliveryHandler for Panics {
    fn on_success(&self, _: &DeliveryContext) {
        panic!("a bug of the user's");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_handler_or_hook_or_layer_loses_nothing() {
    let broker = MemoryBroker::new();
    let bug = |_: &Measured<'_>| panic!("another one");
    let panicking = tower::util::MapRequestLayer::new(|attempt: Attempt| {
        assert!(attempt.number() > 1, "a third one");
        attempt
    });
    let told = Told::default();
    let builder = producer(&broker).handler(Panics).handler(told.clone()).metrics(bug);
    let producer = builder.layer(panicking).retries(1).build();
    producer.send(click("a", 0)).await.unwrap();
    assert_eq!(told.all(), ["retry 1", "success 2"]);
    assert_eq!(numbers(&broker, "a"), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_metrics_hook_is_told_of_every_end_and_every_retry() {
    let broker = MemoryBroker::new();
    let seen: Arc<Mutex<Vec<_>>> = Arc::default();
    let hook = seen.clone();
    let measure = move |measured: &Measured<'_>| {
        let Measured { topic, outcome, attempt, took, .. } = measured;
        hook.lock().unwrap().push((topic.to_string(), *outcome, *attempt, took.as_secs()));
    };
    let builder = producer(&broker).retries(1).backoff(Backoff::fixed(secs(1))).metrics(measure);
    let producer = builder.build();
    broker.inject(Fault::ProduceTimesOut { stored: false });
    producer.send(click("a", 0)).await.unwrap();
    producer.send(refused(1)).await.unwrap_err();
    let clicks = || "clicks".to_owned();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (clicks(), SendOutcome::Retried, 1, 1),
            (clicks(), SendOutcome::Acknowledged, 2, 2),
            (clicks(), SendOutcome::Failed, 1, 0),
        ]
    );
}
