//! What becomes of plain messages when something goes wrong: retries, dead letters, layers, bounds, a close.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use tidings::error::ErrorClass;
use tidings::event::{TopicName, header};
use tidings::producer::*;
use tidings::publisher::Publisher;
use tidings::retry::Backoff;
use tidings::topic::Replication;
use tidings::transport::memory::{Fault, MemoryBroker, MemoryConfig, TopicConfig};
use tidings::transport::{ProduceError, Received, TopicSetup};
use tokio::time::Instant;

use crate::stage::secs;

pub const CLICKS: TopicName = TopicName::from_static("clicks");
pub const DEAD: TopicName = TopicName::from_static("web.dlq");
pub const ERRORS: TopicName = TopicName::from_static("errors");

pub fn click(key: &str, n: u32) -> Message {
    Message::new(CLICKS, &n).unwrap().key(key)
}

/// A message that the broker refuses for good: there is no such partition.
pub fn refused(n: u32) -> Message {
    click("k", n).partition(99)
}

/// A producer whose client gives up on the broker after a second.
pub fn producer(broker: &MemoryBroker) -> ProducerBuilder {
    let config = MemoryConfig::new("web").delivery_wait(secs(1)).send_wait(secs(1));
    Producer::builder(&broker.connect(config).unwrap())
}

pub fn numbers(broker: &MemoryBroker, key: &str) -> Vec<u32> {
    let records = broker.records(&CLICKS).into_iter();
    let of_key = records.filter(|record| record.key.as_deref() == Some(key.as_bytes()));
    let number = |record: Received| std::str::from_utf8(&record.payload.unwrap()).unwrap().parse();
    of_key.map(|record| number(record).unwrap()).collect()
}

pub async fn settled(producer: &Producer) {
    while producer.open() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What handlers were told: `retry 1`, `success 2`.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<(String, Instant)>>>);

impl Told {
    fn add(&self, what: &str, delivery: &DeliveryContext) {
        let told = format!("{what} {}", delivery.attempt());
        self.0.lock().unwrap().push((told, Instant::now()));
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(told, _)| told.clone()).collect()
    }
}

impl DeliveryHandler for Told {
    fn on_success(&self, delivery: &DeliveryContext) {
        assert!(matches!(delivery.status(), DeliveryStatus::Success(_)));
        self.add("success", delivery);
    }

    fn on_failure(&self, delivery: &DeliveryContext, error: &SendError) {
        assert!(matches!(delivery.status(), DeliveryStatus::Failed { .. }));
        assert_eq!(error.id(), delivery.message_id());
        self.add("failure", delivery);
    }

    fn on_retry_scheduled(&self, delivery: &DeliveryContext) {
        assert!(matches!(delivery.status(), DeliveryStatus::RetryScheduled { .. }));
        self.add("retry", delivery);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_in_retry_keeps_those_of_its_key_behind_it_and_no_others() {
    let broker = MemoryBroker::new();
    let told = Told::default();
    let backoff = Backoff::exponential(secs(1)).cap(secs(4));
    let producer = producer(&broker).retries(10).backoff(backoff).handler(told.clone()).build();
    broker.inject(Fault::ProduceTimesOut { stored: false });
    let first = producer.send_and_forget(click("a", 0)).await.unwrap();
    for n in 1..20 {
        producer.send_and_forget(click("a", n)).await.unwrap();
    }
    while told.all().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = producer.status(&first);
    let Some(DeliveryStatus::RetryScheduled { after, reason }) = status else {
        panic!("{status:?}")
    };
    assert_eq!(after, secs(1));
    assert!(reason.contains("no acknowledgement within 1s"), "{reason}");
    producer.send(click("b", 100)).await.unwrap();
    assert!(numbers(&broker, "a").is_empty(), "they wait behind the first one");

    settled(&producer).await;
    assert_eq!(numbers(&broker, "a"), (0..20).collect::<Vec<_>>());
    assert!(matches!(producer.status(&first), Some(DeliveryStatus::Success(_))));
    assert_eq!(told.all()[0], "retry 1");
    assert_eq!(told.all().iter().filter(|told| *told == "success 2").count(), 1);
    let counts = producer.counts();
    assert_eq!((counts.acknowledged(), counts.retried(), counts.failed()), (21, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_keeps_its_order_whichever_of_its_messages_name_their_partition() {
    let named = |n, by_number| match by_number {
        true => click("a", n).partition(0),
        false => click("a", n),
    };
    for first_by_number in [true, false] {
        let broker = MemoryBroker::new();
        let mut one = TopicConfig::default();
        one.partitions = 1;
        broker.create_topic(CLICKS, one);
        let producer = producer(&broker).retries(5).build();
        broker.inject(Fault::ProduceTimesOut { stored: false });
        producer.send_and_forget(named(0, first_by_number)).await.unwrap();
        while producer.counts().retried() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        producer.send_and_forget(named(1, !first_by_number)).await.unwrap();
        settled(&producer).await;
        assert_eq!(numbers(&broker, "a"), [0, 1], "the first names it: {first_by_number}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_wait_longer_each_time_up_to_the_cap_and_end_at_their_limit() {
    let broker = MemoryBroker::new();
    let told = Told::default();
    let backoff = Backoff::exponential(secs(1)).cap(secs(4));
    let producer = producer(&broker).retries(4).backoff(backoff).handler(told.clone()).build();
    broker.inject(Fault::BrokerGone(secs(3_600)));
    let error = producer.send(click("a", 0)).await.unwrap_err();
    assert!(error.is_indefinite() && error.class() == ErrorClass::Retriable);
    let SendError::NotAcknowledged { attempts, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*attempts, 5);
    assert_eq!(told.all(), ["retry 1", "retry 2", "retry 3", "retry 4", "failure 5"]);
    let at: Vec<_> = told.0.lock().unwrap().iter().map(|(_, at)| *at).collect();
    let waits: Vec<_> = at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    // The client's own second, and 1, 2, 4 and 4 of ours.
    assert_eq!(waits, [2, 3, 5, 5]);
    assert_eq!((producer.counts().failed(), producer.counts().retried()), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn without_retries_messages_of_a_key_do_not_wait_for_each_others_answers() {
    let latency = Duration::from_millis(50);
    let broker = MemoryBroker::builder().latency(latency, latency).build();
    let producer = producer(&broker).build();
    let began = Instant::now();
    producer.send_all((0..200).map(|n| click("a", n)).collect()).await.unwrap();
    assert!(began.elapsed() < secs(1), "{:?}", began.elapsed());
    assert_eq!(numbers(&broker, "a"), (0..200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_has_key_value_and_headers_byte_for_byte_and_its_history() {
    let broker = MemoryBroker::new();
    let builder = producer(&broker).dead_letters(DEAD).errors(ERRORS);
    let producer = builder.retries(2).backoff(Backoff::fixed(secs(1))).build();
    broker.inject(Fault::ProduceTimesOut { stored: false });
    broker.inject(Fault::ProduceTimesOut { stored: false });
    broker.inject(Fault::ProduceTimesOut { stored: false });
    let value = &b"\x00\xff not json"[..];
    let message = Message::bytes(CLICKS, value).key(&[0xfe][..]).header("mine", [0xfd]);
    let id = message.message_id().clone();
    let error = producer.send(message).await.unwrap_err();
    let SendError::NotAcknowledged { dead_letter: Some(lies), .. } = &error else {
        panic!("{error:?}")
    };
    let [dead] = &broker.records(&DEAD)[..] else { panic!("one dead letter") };
    assert_eq!((dead.partition, dead.offset), (lies.partition, lies.offset));
    assert_eq!(dead.payload.as_deref(), Some(value));
    assert_eq!(dead.key.as_deref(), Some(&[0xfe][..]));
    let own: Vec<_> = dead.headers.iter().take(3).collect();
    let id = id.to_string();
    assert_eq!(
        own,
        [
            (&b"message-id"[..], Some(id.as_bytes())),
            (b"content-type", Some(b"application/octet-stream")),
            (b"mine", Some(&[0xfd])),
        ]
    );
    let said = |name| dead.headers.get_str(name).unwrap();
    assert_eq!(said(header::ORIGIN_TOPIC), "clicks");
    assert_eq!((said(header::ERROR_KIND), said(header::SEND_ATTEMPTS)), ("retriable", "3"));
    assert!(said(header::ERROR_MESSAGE).contains("no acknowledgement"));
    let history: Vec<serde_json::Value> = serde_json::from_str(said(header::SEND_HISTORY)).unwrap();
    let at: Vec<_> = history.iter().map(|tried| tried["at"].as_i64().unwrap()).collect();
    assert_eq!((history.len(), history[2]["attempt"].as_u64()), (3, Some(3)));
    assert!(at.is_sorted() && said(header::FIRST_FAILED_AT) == at[0].to_string());
    assert!(history[0]["error"].as_str().unwrap().contains("no acknowledgement"));

    settled(&producer).await;
    while broker.records(&ERRORS).is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let [report] = &broker.records(&ERRORS)[..] else { panic!("one report") };
    let text = std::str::from_utf8(report.payload.as_deref().unwrap()).unwrap();
    assert!(!text.contains("not json") && !text.contains('\n'), "{text}");
    let report: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!((&report["message_id"], &report["service"]), (&id.into(), &"web".into()));
    assert_eq!(report["dead_letter"]["topic"], "web.dlq");
    let counts = producer.counts();
    assert_eq!((counts.dead_lettered(), counts.failed(), counts.acknowledged()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_topics_of_dead_letters_and_errors_are_known_and_can_be_verified_or_made() {
    let broker = MemoryBroker::builder().auto_create(false).build();
    let client = broker.client("web").unwrap();
    assert!(Producer::new(&client).topics_beside().is_empty());
    let producer = Producer::builder(&client).dead_letters(DEAD).errors(ERRORS).build();
    let topics = || {
        let declared = producer.topics_beside().into_iter();
        declared.map(|spec| spec.replication(Replication::Auto))
    };
    let (verify, create) =
        (TopicSetup::Verify, TopicSetup::Create { partitions: None, replication: None });
    let missing = Publisher::prepare_topics(&client, topics(), verify, secs(5)).await.unwrap_err();
    let missing = missing.to_string();
    assert!(missing.contains("web.dlq") && missing.contains("errors"), "{missing}");
    Publisher::prepare_topics(&client, topics(), create, secs(5)).await.unwrap();
    Publisher::prepare_topics(&client, topics(), verify, secs(5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_no_retry_can_help_is_tried_once_and_fails_where_there_is_no_place_for_it() {
    let broker = MemoryBroker::new();
    let told = Told::default();
    let kept = producer(&broker).retries(5).dead_letters(DEAD).handler(told.clone()).build();
    let error = kept.send(refused(1)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Permanent);
    assert_eq!(told.all(), ["failure 1"]);
    assert_eq!(broker.records(&DEAD).len(), 1);

    let lost = producer(&broker).build();
    let id = lost.send_and_forget(refused(2)).await.unwrap();
    settled(&lost).await;
    let status = lost.status(&id);
    let Some(DeliveryStatus::Failed { class: ErrorClass::Permanent, dead_letter: None, .. }) =
        status
    else {
        panic!("{status:?}")
    };
}

#[tokio::test(start_paused = true)]
async fn a_batch_names_what_was_not_sent_and_keeps_its_ids() {
    let broker = MemoryBroker::new();
    let producer = producer(&broker).build();
    let messages = vec![click("a", 0), refused(1), click("a", 2), refused(3)];
    let ids: Vec<_> = messages.iter().map(|message| message.message_id().clone()).collect();
    let failure = producer.send_all(messages).await.unwrap_err();
    let unsent: Vec<_> = failure.unsent.iter().map(Message::message_id).collect();
    assert_eq!(unsent, [&ids[1], &ids[3]]);
    assert_eq!(failure.source.id(), &ids[1]);
    assert_eq!(numbers(&broker, "a"), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn with_the_broker_away_memory_stays_bounded_and_every_try_comes_to_its_one_end() {
    let broker = MemoryBroker::new();
    let producer = producer(&broker).memory(8 * 1024).retries(100).build();
    broker.inject(Fault::BrokerGone(secs(30)));
    for n in 0..8 {
        producer.send_and_forget(click("a", n)).await.unwrap();
    }
    let began = Instant::now();
    let error = producer.send(click("a", 8)).await.unwrap_err();
    assert_eq!(began.elapsed(), secs(1));
    assert!(error.to_string().contains("attempts: 0"), "{error}");
    assert_eq!(producer.open(), 8);
    // Dropped while it waits for room, and dropped when it has got some.
    assert!(producer.send(click("a", 9)).now_or_never().is_none());
    assert_eq!(producer.counts().failed(), 2);
    settled(&producer).await;
    drop(Box::pin(producer.send(click("a", 10))));
    assert!(producer.send(click("a", 11)).now_or_never().is_none());
    settled(&producer).await;
    assert_eq!(numbers(&broker, "a"), (0..8).chain([11]).collect::<Vec<_>>());
    let counts = producer.counts();
    assert_eq!((counts.acknowledged(), counts.failed()), (9, 2));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_does_not_get_on_leaves_the_memory_to_others() {
    let broker = MemoryBroker::new();
    let producer = producer(&broker).key_queue(3).retries(5).build();
    broker.inject(Fault::ProduceTimesOut { stored: false });
    for n in 0..3 {
        producer.send_and_forget(click("a", n)).await.unwrap();
    }
    let waiting = producer.send_and_forget(click("a", 3));
    tokio::pin!(waiting);
    assert!((&mut waiting).now_or_never().is_none());
    tokio::time::sleep(Duration::from_millis(900)).await;
    let error = waiting.await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retriable, "{error}");
    producer.send(click("b", 0)).await.unwrap();
    settled(&producer).await;
    assert_eq!((numbers(&broker, "a"), numbers(&broker, "b")), (vec![0, 1, 2], vec![0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_without_a_key_are_stored_as_they_were_given_where_there_is_one_partition() {
    for retries in [0, 3] {
        let broker = MemoryBroker::new();
        let mut one = TopicConfig::default();
        one.partitions = 1;
        broker.create_topic(CLICKS, one);
        let producer = producer(&broker).retries(retries).build();
        let all = (0..500).map(|n| Message::new(CLICKS, &n).unwrap());
        producer.send_all(all.collect()).await.unwrap();
        let stored = broker.records(&CLICKS).into_iter().map(|record| record.payload.unwrap());
        assert!(stored.eq((0..500).map(|n| n.to_string())), "retries: {retries}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_goes_on_with_retries_while_it_has_time_and_lists_what_is_left() {
    let broker = MemoryBroker::new();
    let backoff = Backoff::fixed(secs(1));
    let patient = producer(&broker).retries(100).backoff(backoff).build();
    broker.inject(Fault::BrokerGone(secs(10)));
    for n in 0..5 {
        patient.send_and_forget(click("a", n)).await.unwrap();
    }
    assert!(patient.close(secs(60)).await.is_empty());
    assert_eq!(numbers(&broker, "a"), (0..5).collect::<Vec<_>>());

    let hasty = producer(&broker).retries(100).backoff(backoff).build();
    broker.inject(Fault::BrokerGone(secs(3_600)));
    let mut ids = Vec::new();
    for n in 5..10 {
        // One that waits for its answer, one for its turn.
        ids.push(hasty.send_and_forget(click(&format!("k{}", n % 2), n)).await.unwrap());
    }
    let waiting = tokio::spawn({
        let hasty = hasty.clone();
        async move { hasty.send(click("k0", 10)).await }
    });
    tokio::time::sleep(secs(5)).await;
    let began = Instant::now();
    let mut left = hasty.close(secs(2)).await;
    assert!(began.elapsed() < secs(5), "{:?}", began.elapsed());
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fatal, "{error}");
    ids.push(error.id().clone());
    ids.sort();
    left.sort();
    assert_eq!(left, ids);
    assert_eq!((hasty.open(), hasty.counts().failed()), (0, 6));
    let error = hasty.send(click("a", 11)).await.unwrap_err();
    let SendError::NotAcknowledged { source: AttemptError::NotAcknowledged(why), .. } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(why, ProduceError::Closed);
    assert!(hasty.close(secs(1)).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_close_says_that_a_message_may_be_stored_that_waited_for_its_retry_and_not_what_waited_behind()
 {
    let broker = MemoryBroker::new();
    let backoff = Backoff::fixed(secs(3_600));
    let producer = producer(&broker).retries(5).backoff(backoff).build();
    broker.inject(Fault::ProduceTimesOut { stored: true });
    let send = |n| {
        let producer = producer.clone();
        tokio::spawn(async move { producer.send(click("a", n)).await.unwrap_err() })
    };
    let retried = send(0);
    while producer.counts().retried() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let behind = send(1);
    while producer.open() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(producer.close(secs(1)).await.len(), 2);
    let (retried, behind) = (retried.await.unwrap(), behind.await.unwrap());
    assert_eq!((retried.class(), behind.class()), (ErrorClass::Fatal, ErrorClass::Fatal));
    assert_eq!(numbers(&broker, "a"), [0], "it was stored, and nobody was told");
    assert!(retried.is_indefinite() && !behind.is_indefinite(), "{retried:?}, {behind:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_safe_among_the_dead_letters_is_not_what_a_close_left() {
    let broker = MemoryBroker::new();
    let builder = producer(&broker).retries(1).backoff(Backoff::fixed(secs(1))).dead_letters(DEAD);
    let producer = builder.build();
    // Its second time-out is over at 3 s; the dead letter's own would be at 4 s.
    broker.inject(Fault::BrokerGone(Duration::from_millis(3_500)));
    let id = producer.send_and_forget(click("a", 0)).await.unwrap();
    assert_eq!(producer.close(secs(60)).await, []);
    assert_eq!(broker.records(&DEAD).len(), 1);
    let status = producer.status(&id);
    let Some(DeliveryStatus::Failed { dead_letter: Some(_), .. }) = status else {
        panic!("{status:?}")
    };
}

/// Whoever sends again what is on the list would reorder the key otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_key_is_stored_behind_a_message_that_a_close_gave_up() {
    // Which of two tasks is faster is left to chance.
    for round in 0..200 {
        let broker = MemoryBroker::new();
        let config = MemoryConfig::new("web").delivery_wait(Duration::from_millis(2));
        let builder = Producer::builder(&broker.connect(config).unwrap()).retries(100);
        let producer = builder.backoff(Backoff::fixed(secs(3_600))).build();
        broker.inject(Fault::ProduceTimesOut { stored: false });
        for n in 0..50 {
            producer.send_and_forget(click("a", n)).await.unwrap();
        }
        while producer.counts().retried() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let left = producer.close(Duration::ZERO).await;
        assert_eq!((left.len(), numbers(&broker, "a")), (50, vec![]), "round {round}");
    }
}
