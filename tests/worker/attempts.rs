//! How often and when work has failed, as it hears itself and as its records say.

use std::sync::Arc;

use tidings::clock::Millis;
use tidings::consumer::*;
use tidings::event::{Headers, TopicName, header};
use tidings::retry::{Backoff, RetryPolicy};
use tidings::transport::{Receipt, Received, Record, Transport};
use tidings::worker::Worker;

use crate::stage::*;

const DEAD: TopicName = TopicName::from_static("visits.dlq");

/// Work that fails always and notes which attempt it is.
macro_rules! noting {
    ($seen:expr) => {{
        let seen = $seen.clone();
        move |_: Value<Visit>, Attempt(attempt): Attempt| {
            seen.add(attempt);
            async { Err::<(), _>(HandlerError::transient("not now")) }
        }
    }};
}

fn said<'a>(record: &'a Received, name: &str) -> &'a str {
    record.headers.get_str(name).unwrap_or_else(|| panic!("{name} is not there"))
}

/// How long after the record's append it failed first, and last.
fn failed_after(record: &Received) -> (Millis, Millis) {
    let at = |name| said(record, name).parse::<Millis>().unwrap();
    let read = at(header::ORIGIN_TIMESTAMP);
    (at(header::FIRST_FAILED_AT) - read, at(header::LAST_FAILED_AT) - read)
}

#[tokio::test(start_paused = true)]
async fn retries_in_place_count_and_a_dead_letter_says_when_it_failed_first_and_last() {
    let (broker, client) = stage().await;
    let seen = Seen::<u32>::default();
    let builder = Worker::builder("failing").input::<Visits>().process(noting!(seen));
    let builder = builder.max_retries(3).backoff(Backoff::fixed(secs(10)));
    let running = start(builder, &client).await;
    send(&client, [visit("home", 1)]).await;
    quiet(&broker).await;
    assert_eq!(seen.all(), [1, 2, 3, 4]);
    let [dead] = &broker.records(&DEAD)[..] else { panic!("one dead letter") };
    let (first, last) = failed_after(dead);
    assert!((0..1_000).contains(&first), "it failed first {first} ms after it was sent");
    assert!((30_000..31_000).contains(&last), "it failed last {last} ms after it was sent");
    assert_eq!(said(dead, header::RETRY_ATTEMPT), "1", "one delivery");
    assert_eq!(said(dead, header::RETRY_CALLS), "4");
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn attempts_rise_from_stop_to_stop_and_the_first_failure_is_the_one_before_all_tiers() {
    let (broker, client) = stage().await;
    let seen = Seen::<u32>::default();
    let policy = RetryPolicy::tiers([secs(5), secs(60)]);
    let policy = policy.immediate(2).backoff(Backoff::fixed(secs(1)));
    let builder = Consumer::builder("failing").topics(CREATE).retry(policy);
    let builder = builder.handle_on_named(Visits, "fails", noting!(seen));
    let running = builder.build(&client).unwrap().start().await.unwrap();
    send(&client, [visit("home", 1)]).await;
    quiet(&broker).await;
    assert_eq!(seen.all(), (1..=9).collect::<Vec<_>>(), "three calls at each of three stops");
    let stops = ["visits.retry.5s", "visits.retry.1m", "visits.dlq"].map(TopicName::from_static);
    for ((topic, stop), least) in stops.iter().zip(1..).zip([2_000, 9_000, 71_000]) {
        let records = broker.records(topic);
        let [copy] = &records[..] else { panic!("one copy on {topic}") };
        let (first, last) = failed_after(copy);
        assert!((0..1_000).contains(&first), "{topic}: first {first} ms after it was sent");
        assert!(
            (least..least + 1_000).contains(&last),
            "{topic}: last {last} ms after it was sent"
        );
        assert_eq!(said(copy, header::RETRY_ATTEMPT), stop.to_string(), "{topic}");
        assert_eq!(said(copy, header::RETRY_CALLS), (stop * 3).to_string(), "{topic}");
    }
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_group_cannot_read_or_has_no_handler_for_names_the_group_and_is_nobodys_retry() {
    let (broker, client) = stage().await;
    let running = Consumer::builder("readers")
        .topics(CREATE)
        .handle_on_named(Reports, "reads", |_: Event<Reported>| async { Ok::<_, HandlerError>(()) })
        .build(&client)
        .unwrap()
        .start()
        .await
        .unwrap();
    let reports = TopicName::from_static("reports");
    for kind in ["reported", "strange"] {
        let mut headers = Headers::default();
        for (name, value) in [
            (header::SPEC_VERSION, "1.0"),
            (header::ID, "1"),
            (header::SOURCE, "/test"),
            (header::TYPE, kind),
            (header::CONTENT_TYPE, "application/json"),
        ] {
            headers.push(name, value);
        }
        let record = Record {
            topic: reports.clone(),
            partition: None,
            key: None,
            payload: Some("not json".into()),
            headers,
            timestamp: None,
        };
        let (receipt, answer) = Receipt::one(None, Arc::default());
        client.producer().enqueue(&record, receipt).unwrap();
        answer.await.unwrap().unwrap();
    }
    quiet(&broker).await;
    for beside in ["reports.quarantine", "reports.dlq"].map(TopicName::from_static) {
        let records = broker.records(&beside);
        let [copy] = &records[..] else { panic!("one copy on {beside}") };
        assert_eq!(said(copy, header::RETRY_GROUP), "readers", "{beside}");
        for none in [header::RETRY_HANDLER, header::RETRY_ATTEMPT, header::RETRY_CALLS] {
            assert!(copy.headers.get_str(none).is_none(), "{beside}: {none}");
        }
        let (first, last) = failed_after(copy);
        assert!((0..1_000).contains(&first) && first == last, "{beside}: {first}, {last}");
    }
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_attempt_and_still_when_the_event_failed_first() {
    let (broker, client) = stage().await;
    let seen = Seen::<u32>::default();
    let noted = seen.clone();
    let work = move |_: Value<Visit>, Attempt(attempt): Attempt| {
        noted.add(attempt);
        let call = noted.all().len();
        async move {
            match call {
                1 | 2 => Err::<(), _>(HandlerError::outage("away")),
                _ => Err(HandlerError::transient("not now")),
            }
        }
    };
    let builder = Worker::builder("failing").input::<Visits>().process(work).max_retries(1);
    let running = start(builder.backoff(Backoff::fixed(secs(10))), &client).await;
    send(&client, [visit("home", 1)]).await;
    quiet(&broker).await;
    assert_eq!(seen.all(), [1, 1, 1, 2]);
    let [dead] = &broker.records(&DEAD)[..] else { panic!("one dead letter") };
    let (first, last) = failed_after(dead);
    assert!((0..500).contains(&first) && last > 10_000, "{first}, {last}");
    assert_eq!(said(dead, header::RETRY_CALLS), "2");
    clean(&running.stop(secs(5)).await);
}
