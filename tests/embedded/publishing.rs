//! The publisher: what it promises with the broker there, slow and away (reliability rows 30 and 31).

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tidings::codec::EnvelopeError;
use tidings::codec::Format;
use tidings::error::ErrorClass;
use tidings::publisher::{PublishError, Publisher};
use tidings::transport::kafka::{EmbeddedBroker, KafkaConfig};
use tidings::transport::{ProduceError, Transport as _};

use crate::events::{Contract, Note, contract, note, topic};
use crate::stage::*;
use crate::support::{SOON, eventually};

/// A broker with the contract's topic, its client, and a publisher.
fn own<C: Contract>(capacity: u32) -> (EmbeddedBroker, Publisher) {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic(&topic::<C>(), 2).unwrap();
    let config = config().queue_capacity(capacity).send_wait(ms(200));
    let publisher = Publisher::new(&client_of(&broker, config));
    (broker, publisher)
}

fn is_full(error: &PublishError) -> bool {
    matches!(error, PublishError::NotAcknowledged { source: ProduceError::QueueFull { .. }, .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_with_the_broker_away_answers_in_time_exactly_what_was_not_acknowledged() {
    contract!(Close: "publishing.close");
    let (broker, publisher) = own::<Close>(1_000);
    for n in 0..3 {
        publisher.publish(note::<Close>("k", n)).await.unwrap();
    }
    broker.go_away().unwrap();
    let mut queued = HashSet::new();
    for n in 3..53 {
        queued.insert(publisher.publish_and_forget(note::<Close>("k", n)).await.unwrap());
    }
    let begun = Instant::now();
    let left = publisher.close(ms(500)).await;
    let took = begun.elapsed();
    assert!(took < ms(500) + Duration::from_secs(2), "{took:?}");
    assert_eq!(left.len(), 50, "each once");
    assert_eq!(left.into_iter().collect::<HashSet<_>>(), queued);
    assert_eq!((publisher.counts().acknowledged(), publisher.counts().failed()), (3, 50));

    let error = publisher.publish(note::<Close>("k", 99)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fatal, "{error}");
    assert!(publisher.close(ms(500)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_names_what_was_queued_for_a_broker_that_was_never_there() {
    contract!(Never: "publishing.never");
    let (broker, publisher) = own::<Never>(1_000);
    broker.go_away().unwrap();
    // Nothing is known of its topic: not one partition.
    let publisher = {
        drop(publisher);
        Publisher::new(&client_of(&broker, config()))
    };
    let id = publisher.publish_and_forget(note::<Never>("k", 1)).await.unwrap();
    let keyless = publisher.publish_and_forget(note::<Never>("", 2)).await.unwrap();
    let left = publisher.close(ms(200)).await;
    assert_eq!(left.into_iter().collect::<HashSet<_>>(), HashSet::from([id, keyless]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_with_the_broker_there_sends_what_is_queued() {
    contract!(Flush: "publishing.flush");
    let (broker, publisher) = own::<Flush>(1_000);
    for n in 0..100 {
        publisher.publish_and_forget(note::<Flush>("k", n)).await.unwrap();
    }
    assert!(publisher.close(SOON).await.is_empty());
    assert_eq!((publisher.counts().acknowledged(), publisher.counts().failed()), (100, 0));
    let stored = lies_on(&client_of(&broker, config()), &topic::<Flush>()).await;
    assert_eq!(numbers(&stored), (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_broker_away_a_publish_fails_within_its_own_waits_and_memory_stays_bounded() {
    contract!(Bounded: "publishing.bounded");
    let (broker, publisher) = own::<Bounded>(10);
    publisher.publish(note::<Bounded>("k", 0)).await.unwrap();
    broker.go_away().unwrap();
    for n in 1..=10 {
        publisher.publish_and_forget(note::<Bounded>("k", n)).await.unwrap();
    }
    let begun = Instant::now();
    let error = publisher.publish_and_forget(note::<Bounded>("k", 11)).await.unwrap_err();
    let took = begun.elapsed();
    assert!(is_full(&error), "{error:?}");
    assert!(took >= ms(200) && took < ms(1_200), "{took:?}");
    assert_eq!(error.class(), ErrorClass::Retriable);
    let begun = Instant::now();
    let many = (0..50).map(|n| publisher.publish(note::<Bounded>("k", 20 + n)));
    let failed = futures::future::join_all(many).await;
    assert!(failed.iter().all(|result| is_full(result.as_ref().unwrap_err())));
    assert!(begun.elapsed() < ms(1_200), "they wait side by side: {:?}", begun.elapsed());
    assert_eq!(publisher.counts().failed(), 51);

    broker.come_back().unwrap();
    eventually("the queue empties", SOON, || publisher.counts().acknowledged() == 11).await;
    publisher.publish(note::<Bounded>("k", 100)).await.unwrap();
    let stored = lies_on(&client_of(&broker, config()), &topic::<Bounded>()).await;
    let expected: Vec<_> = (0..=10).chain([100]).collect();
    assert_eq!(numbers(&stored), expected, "in order, and nothing that was refused");
}

/// Publishes to a partition that its broker refuses the first requests to; answers those that were acknowledged,
/// and what is stored.
///
/// A broker takes the first batch that it sees of a producer, whatever its number, and librdkafka takes that one's
/// acknowledgement for those before it.
async fn refused_at_first<C: Contract>(
    config: KafkaConfig,
    apart: u64,
    refusals: usize,
) -> (Vec<u64>, Vec<u64>) {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic(&topic::<C>(), 1).unwrap();
    let kafka = client_of(&broker, config);
    let publisher = Publisher::new(&kafka);
    eventually("it is connected", SOON, || kafka.producer().reachable().is_ok()).await;
    broker.answer_after(ms(100)).unwrap();
    broker.fail_produce(refusals);
    let publish = async |n| {
        tokio::time::sleep(ms(apart * u64::from(n))).await;
        publisher.publish(note::<C>("k", n)).await.is_ok().then_some(u64::from(n))
    };
    let acknowledged = futures::future::join_all((0..20).map(publish)).await;
    broker.answer_after(Duration::ZERO).unwrap();
    let stored = lies_on(&client_of(&broker, self::config()), &topic::<C>()).await;
    (acknowledged.into_iter().flatten().collect(), numbers(&stored))
}

const APART_AND_REFUSALS: [(u64, usize); 6] = [(0, 1), (5, 1), (10, 2), (20, 1), (30, 3), (50, 1)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_key_are_stored_in_order_also_where_the_first_requests_are_refused() {
    contract!(First: "publishing.first");
    for (apart, refusals) in APART_AND_REFUSALS {
        let (acknowledged, stored) = refused_at_first::<First>(config(), apart, refusals).await;
        assert_eq!(acknowledged, (0..20).collect::<Vec<_>>(), "{refusals} refusals, {apart} ms");
        assert_eq!(stored, acknowledged, "{refusals} refusals, {apart} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_stored_with_many_requests_at_a_time_too() {
    contract!(Many: "publishing.many");
    for (apart, refusals) in APART_AND_REFUSALS {
        let config = config().max_in_flight(5_u32);
        let (acknowledged, stored) = refused_at_first::<Many>(config, apart, refusals).await;
        let lost: Vec<_> = acknowledged.iter().filter(|n| !stored.contains(n)).collect();
        assert!(lost.is_empty(), "acknowledged and not stored: {lost:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_awaited_publish_gives_up_within_its_delivery_wait_and_says_that_it_does_not_know() {
    contract!(Wait: "publishing.wait");
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic(&topic::<Wait>(), 2).unwrap();
    let kafka = client_of(&broker, config());
    let publisher = Publisher::builder(&kafka, Format::Json).delivery_wait(ms(300)).build();
    // Connecting takes its time.
    Publisher::new(&kafka).publish(note::<Wait>("k", 0)).await.unwrap();
    broker.go_away().unwrap();
    let begun = Instant::now();
    let error = publisher.publish(note::<Wait>("k", 1)).await.unwrap_err();
    let took = begun.elapsed();
    assert!(took >= ms(300) && took < ms(1_300), "{took:?}");
    assert!(error.is_indefinite(), "{error:?}");
    let failure = publisher.publish_all((2..5).map(|n| note::<Wait>("k", n))).await.unwrap_err();
    assert!(failure.source.is_indefinite());
    let ids: Vec<_> = failure.unpublished.iter().map(|envelope| &envelope.metadata.id).collect();
    assert!(ids.len() == 3 && ids.is_sorted(), "all of them, in order: {ids:?}");

    // What was given up here may be stored all the same, and is counted when it is.
    broker.come_back().unwrap();
    eventually("they are counted", SOON, || publisher.counts().acknowledged() == 4).await;
    assert_eq!(publisher.counts().failed(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_whose_future_is_dropped_is_counted_when_its_outcome_comes() {
    contract!(Dropped: "publishing.dropped");
    let (broker, publisher) = own::<Dropped>(5);
    publisher.publish(note::<Dropped>("k", 0)).await.unwrap();
    drop(publisher.publish(note::<Dropped>("k", 100)));
    for n in 1..=2 {
        // Polled once, and dropped whatever it said: it is rarely so fast, and counts all the same.
        let _ = publisher.publish(note::<Dropped>("k", n)).now_or_never();
    }
    eventually("they are acknowledged", SOON, || publisher.counts().acknowledged() == 3).await;
    assert_eq!(publisher.counts().failed(), 0);

    broker.go_away().unwrap();
    for n in 3..=9 {
        // The last two find no room and are dropped while they wait for it.
        assert!(publisher.publish(note::<Dropped>("k", n)).now_or_never().is_none());
    }
    assert_eq!(publisher.counts().failed(), 2);
    let batch = publisher.publish_all((10..20).map(|n| note::<Dropped>("k", n)));
    assert!(batch.now_or_never().is_none());
    assert_eq!(
        publisher.counts().failed(),
        3,
        "the first of the batch waited, the others never were"
    );
    assert_eq!(publisher.close(ms(100)).await.len(), 5);
    assert_eq!((publisher.counts().acknowledged(), publisher.counts().failed()), (3, 8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_stored_in_order_and_names_what_was_not() {
    contract!(Batch: "publishing.batch");
    let (broker, publisher) = own::<Batch>(1_000);
    let ids = publisher.publish_all((0..200).map(|n| note::<Batch>("k", n))).await.unwrap();
    assert!(ids.len() == 200 && ids.is_sorted());
    assert!(publisher.publish_all(Vec::<Note<Batch>>::new()).await.unwrap().is_empty());

    // A payload over the client's limit fails alone; those around it are stored.
    let big = |n| if n % 2 == 0 { note::<Batch>("k", n) } else { note("k".repeat(1_024), n) };
    let failure = publisher.publish_all((200..204).map(big)).await;
    assert!(failure.is_ok(), "a key of 1,024 bytes is one");
    let broken = |n| if n == 206 { note::<Batch>("k".repeat(1_025), n) } else { note("k", n) };
    let failure = publisher.publish_all((204..210).map(broken)).await.unwrap_err();
    assert!(failure.unpublished.is_empty() && failure.class() == ErrorClass::Permanent);
    assert!(
        matches!(failure.source, PublishError::Envelope(EnvelopeError::Key { .. })),
        "{failure:?}"
    );

    let stored = lies_on(&client_of(&broker, config()), &topic::<Batch>()).await;
    let of_key: Vec<_> =
        stored.iter().filter(|record| record.key.as_deref() == Some(b"k")).cloned().collect();
    let expected: Vec<_> = (0..200).chain([200, 202]).collect();
    assert_eq!(numbers(&of_key), expected, "nothing of a batch that cannot be encoded is sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_finds_the_queue_full_lets_nothing_overtake_what_was_not_taken() {
    contract!(Full: "publishing.full");
    let (broker, publisher) = own::<Full>(4);
    publisher.publish(note::<Full>("k", 0)).await.unwrap();
    broker.go_away().unwrap();
    let publishing = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish_all((1..=8).map(|n| note::<Full>("k", n))).await }
    });
    eventually("the rest is given up", SOON, || publisher.counts().failed() == 4).await;
    broker.come_back().unwrap();
    let failure = publishing.await.unwrap().unwrap_err();
    assert!(is_full(&failure.source), "{failure:?}");
    let left: Vec<_> = failure.unpublished.iter().map(|e| e.event.payload.clone()).collect();
    let expected: Vec<_> = (5..=8).map(|n| format!(r#"{{"key":"k","n":{n}}}"#)).collect();
    assert_eq!(left, expected, "in order");
    publisher.publish_envelopes(failure.unpublished).await.unwrap();
    let stored = lies_on(&client_of(&broker, config()), &topic::<Full>()).await;
    assert_eq!(numbers(&stored), (0..=8).collect::<Vec<_>>());
}
