//! Row 37: the same id on two consumers at once, and a database that is away, with a real Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tidings::codec::cloudevents::{self, ContentMode};
use tidings::consumer::{
    Consumer, ConsumerBuilder, ConsumerStatus, Event, HandlerError, RunningConsumer, State,
    TopicSetup, Tx,
};
use tidings::event::{Encoded, Envelope, TopicName};
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tidings::store::postgres::{PostgresInbox, PostgresStore};
use tidings::transport::{Receipt, Record, Transport};

use crate::inbox_stage::*;
use crate::inspect::Inspector;
use crate::stage::*;
use crate::support::*;

const PARTITIONS: i32 = 2;

async fn book_on<const TEST: u8>(
    Event(event): Event<ChargedOn<TEST>>,
    mut tx: Tx<PostgresStore>,
    State(insert): State<Insert>,
) -> Result<Booked, HandlerError> {
    note(&mut tx, insert, event.n).await?;
    // Long enough for the other one to come, and for a database to go in the middle of it.
    tokio::time::sleep(Duration::from_millis(2)).await;
    Ok(Booked { key: event.key, n: event.n })
}

/// Whose failures are dead letters at once: whatever moves aside shows.
fn booking(stage: &Stage, group: &str) -> ConsumerBuilder {
    Consumer::builder(group)
        .inbox(PostgresInbox::new(stage.outbox.clone()))
        .state(stage.insert())
        .topics(TopicSetup::Create { partitions: Some(PARTITIONS), replication: None })
        .retry(RetryPolicy::none())
}

fn committed(offsets: &Inspector, topic: &TopicName) -> i64 {
    (0..PARTITIONS).map(|p| offsets.committed(topic, p).unwrap_or(0)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_two_consumers_get_at_once_has_one_effect() {
    const EVENTS: i32 = 300;
    let (Some(stage), Some(broker)) = (stage().await, kafka_address()) else { return };
    stage.make_effects().await;
    let (group, topic) = (unique("books"), ChargedOn::<1>::topic_name());
    let kafka = client("shop", &broker);
    create_topics(&kafka, &[(topic.as_str(), PARTITIONS, false)]).await;
    let mut both = Vec::new();
    for _ in 0..2 {
        let consumer = booking(&stage, &group).handle(book_on::<1>);
        let running = consumer.build(&client("books", &broker)).unwrap().start().await.unwrap();
        both.push(running);
    }
    let each_has_one = || {
        let sizes = both.iter().map(|running| running.status().partitions());
        sizes.eq([1, 1])
    };
    eventually("each has a partition", SOON, each_has_one).await;
    let mut answers = Vec::new();
    for n in 0..EVENTS {
        let Envelope { metadata, event, .. } = ChargedOn::<1>::envelope(n);
        let (mode, Encoded { content_type, payload }) = (ContentMode::Binary, event);
        let written = cloudevents::write(mode, &metadata, content_type, payload).unwrap();
        for partition in 0..PARTITIONS {
            let (headers, payload) = written.clone();
            let record = Record {
                topic: topic.clone(),
                partition: Some(partition),
                key: None,
                payload: Some(payload),
                headers,
                timestamp: None,
            };
            let (receipt, answer) = Receipt::one(None, Arc::default());
            kafka.producer().enqueue(&record, receipt).expect("room in the queue");
            answers.push(answer);
        }
    }
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let sum = |count: fn(&ConsumerStatus) -> u64| -> u64 {
        both.iter().map(|running| count(running.status())).sum()
    };
    let all = || {
        sum(|status| status.counts().handled() + status.counts().duplicates()) == 2 * EVENTS as u64
    };
    eventually("all are done", 2 * SOON, all).await;
    assert_eq!(sum(|status| status.counts().handled()), EVENTS as u64);
    assert_eq!(sum(|status| status.counts().dead_lettered()), 0);
    assert_eq!(stage.effects().await, (0..EVENTS).collect::<Vec<_>>());
    assert_eq!(stage.count("{outbox}").await, i64::from(EVENTS), "what follows, once too");
    for running in both {
        assert!(running.stop(SOON).await.is_clean());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_nothing_is_committed_or_moved_and_each_effect_comes_once() {
    const AWAY: Duration = Duration::from_secs(30);
    let (Some(server), Some(broker)) = (OwnServer::start().await, kafka_address()) else { return };
    let stage = stage_at(&server.url).await;
    stage.make_effects().await;
    let (group, topic) = (unique("books"), ChargedOn::<2>::topic_name());
    let kafka = client("books", &broker);
    let consumer = booking(&stage, &group).handle(book_on::<2>).build(&kafka).unwrap();
    let running = consumer.start().await.unwrap();
    let status = running.status().clone();
    let enough = Arc::new(AtomicBool::new(false));
    let publishing = {
        let (publisher, enough) = (Publisher::new(&kafka), enough.clone());
        tokio::spawn(async move {
            let mut n = 0;
            while !enough.load(Ordering::SeqCst) {
                let events = (n..n + 10).map(ChargedOn::<2>::envelope).collect();
                publisher.publish_envelopes(events).await.unwrap();
                n += 10;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            n
        })
    };
    eventually("some are handled", SOON, || status.counts().handled() > 100).await;
    server.tell("stop").await;
    let offsets = Inspector::new(&broker, &group);
    let says = || status.problems().iter().any(|problem| problem.contains("outage"));
    eventually("it says what is wrong", SOON, says).await;
    // What had been handled by then has been committed.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (before, handled) = (committed(&offsets, &topic), status.counts().handled());
    eventually("both are paused", SOON, || status.paused().len() >= PARTITIONS as usize).await;
    tokio::time::sleep(AWAY - Duration::from_secs(5)).await;
    assert_eq!(committed(&offsets, &topic), before, "nothing is committed while it is away");
    assert_eq!(status.counts().handled(), handled);
    server.tell("start").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    enough.store(true, Ordering::SeqCst);
    let published = publishing.await.unwrap();
    let ends = || committed(&offsets, &topic) == i64::from(published);
    eventually("all is committed", 3 * SOON, ends).await;
    assert_eq!(stage.effects().await, (0..published).collect::<Vec<_>>());
    let counts = status.counts();
    println!("{published} events, {} found to be done already", counts.duplicates());
    assert_eq!((counts.dead_lettered(), counts.retried()), (0, 0));
    assert!(status.is_ready(), "{:?}", status.problems());
    assert!(running.stop(SOON).await.is_clean());
}

/// Makes the broker forget a group that has no members, and all of its offsets.
async fn forget(brokers: &str, group: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let deadline = Instant::now() + SOON;
    loop {
        let gone = admin.delete_groups(&[group], &AdminOptions::new()).await.unwrap();
        match &gone[0] {
            Ok(_) => return,
            // Its last member may just be leaving.
            Err((_, code)) => assert!(Instant::now() < deadline, "{code}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_the_broker_has_forgotten_goes_on_from_the_offsets_in_the_database() {
    const EVENTS: i32 = 200;
    let (Some(stage), Some(broker)) = (stage().await, kafka_address()) else { return };
    stage.make_effects().await;
    let (group, topic) = (unique("books"), ChargedOn::<4>::topic_name());
    let kafka = client("books", &broker);
    let start = async || {
        let inbox = PostgresInbox::new(stage.outbox.clone()).offsets_in_database();
        // With a tier, whose partitions are the client's own to find.
        let retry = RetryPolicy::tiers([Duration::from_secs(1)]).immediate(0);
        let consumer = booking(&stage, &group).inbox(inbox).retry(retry).handle(book_on::<4>);
        consumer.build(&kafka).unwrap().start().await.unwrap()
    };
    let publisher = Publisher::new(&kafka);
    let publish = async |numbers: std::ops::Range<i32>| {
        let events = numbers.map(ChargedOn::<4>::envelope).collect();
        publisher.publish_envelopes(events).await.unwrap();
    };
    let running = start().await;
    publish(0..EVENTS).await;
    let handled = |running: &RunningConsumer| running.status().counts().handled();
    eventually("all are handled", SOON, || handled(&running) == EVENTS as u64).await;
    assert!(running.stop(SOON).await.is_clean());
    forget(&broker, &group).await;
    let offsets = Inspector::new(&broker, &group);
    assert_eq!(committed(&offsets, &topic), 0, "it is forgotten");
    publish(EVENTS..EVENTS + 50).await;
    let running = start().await;
    eventually("the others are handled", SOON, || handled(&running) == 50).await;
    let all = i64::from(EVENTS + 50);
    eventually("all is committed", SOON, || committed(&offsets, &topic) == all).await;
    assert_eq!(running.status().counts().duplicates(), 0);
    assert_eq!(stage.effects().await, (0..EVENTS + 50).collect::<Vec<_>>());
    assert!(running.stop(SOON).await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_cannot_say_where_a_group_stands_nothing_is_read_whoever_joins() {
    let (Some(stage), Some(broker)) = (stage().await, kafka_address()) else { return };
    stage.make_effects().await;
    let group = unique("books");
    let kafka = client("books", &broker);
    let topic = ChargedOn::<5>::topic_name();
    create_topics(&kafka, &[(topic.as_str(), PARTITIONS, false)]).await;
    let publisher = Publisher::new(&kafka);
    publisher.publish_envelopes((0..50).map(ChargedOn::<5>::envelope).collect()).await.unwrap();
    // How often members were told to give something up.
    let gave = Arc::new(AtomicUsize::new(0));
    let start = async || {
        let inbox = PostgresInbox::new(stage.outbox.clone()).offsets_in_database();
        let consumer = booking(&stage, &group).inbox(inbox).handle(book_on::<5>);
        let retry = RetryPolicy::tiers([Duration::from_secs(1)]).immediate(0);
        let gave = gave.clone();
        let consumer = consumer.retry(retry).on_revoked(move |_, _| {
            gave.fetch_add(1, Ordering::SeqCst);
        });
        consumer.build(&client("books", &broker)).unwrap().start().await.unwrap()
    };
    stage.execute("ALTER TABLE {inbox_offsets} RENAME TO tidings_away").await;
    let mut running = vec![start().await];
    let joined = |running: &RunningConsumer| {
        let problems = running.status().problems();
        !problems.is_empty() && problems.iter().all(|problem| problem.contains("the offsets in"))
    };
    eventually("the first has joined", SOON, || joined(&running[0])).await;
    // A partition that it was given and does not read goes to a second one.
    running.push(start().await);
    let given = || gave.load(Ordering::SeqCst) > 0;
    eventually("the first has given it one", SOON, given).await;
    eventually("the second has joined", SOON, || joined(&running[1])).await;
    let none = |running: &RunningConsumer| running.status().partitions() == 0;
    assert!(running.iter().all(none) && stage.effects().await.is_empty());
    stage.execute("ALTER TABLE {away} RENAME TO tidings_inbox_offsets").await;
    let handled =
        || -> u64 { running.iter().map(|running| running.status().counts().handled()).sum() };
    eventually("all are handled", SOON, || handled() == 50).await;
    assert_eq!(stage.effects().await, (0..50).collect::<Vec<_>>());
    for running in &running {
        let status = running.status();
        assert!(status.is_ready(), "{:?}", status.problems());
        assert_eq!(status.partitions(), 2, "one, and its tier's");
        assert_eq!(status.counts().duplicates(), 0, "what is another's is not read");
    }
    for running in running {
        assert!(running.stop(SOON).await.is_clean());
    }
}
