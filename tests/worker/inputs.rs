//! What handlers read beside integration events.

use std::sync::Arc;

use bytes::Bytes;
use tidings::Topic;
use tidings::consumer::*;
use tidings::event::{Headers, Metadata, TopicName};
use tidings::producer::{Message, Producer};
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tidings::topic::{TopicKind, TopicSpec};
use tidings::transport::{Receipt, Record, Transport};
use tidings::worker::Worker;

use crate::stage::*;

/// Numbers, and the types that their records say.
type Noted = Seen<(u32, String)>;

fn consumer() -> ConsumerBuilder {
    Consumer::builder("reader").retry(RetryPolicy::none()).topics(CREATE)
}

async fn note(
    Value(visit): Value<Visit>,
    metadata: Metadata,
    State(seen): State<Noted>,
) -> Result<(), HandlerError> {
    seen.add((visit.n, metadata.event_type.to_string()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_value_is_read_from_a_plain_record_and_from_a_cloud_event() {
    let (broker, client) = stage().await;
    let seen = Noted::default();
    let builder = consumer().handle_on(Visits, note).state(seen.clone());
    let running = builder.build(&client).unwrap().start().await.unwrap();
    send(&client, [visit("a", 1)]).await;
    let mut event = Message::bytes(Visits::NAME, &br#"{"page":"a","n":2}"#[..]);
    event = event.content_type("application/json");
    Producer::new(&client).send(event).await.unwrap();
    quiet(&broker).await;
    assert_eq!(seen.all(), [(1, String::new()), (2, String::new())]);
    stop(running).await;

    // The event's own topic carries it; whatever lies there is read, under the type that it says.
    #[derive(serde::Deserialize)]
    struct Any {
        n: u32,
    }
    let seen = Noted::default();
    let builder = consumer().state(seen.clone()).handle_on_named(
        Reports::NAME,
        "any",
        |Value(any): Value<Any>, metadata: Metadata, State(seen): State<Noted>| async move {
            seen.add((any.n, metadata.event_type.to_string()));
            Ok::<_, HandlerError>(())
        },
    );
    let running = builder.build(&client).unwrap().start().await.unwrap();
    let publisher = Publisher::new(&client);
    publisher.publish(Counted { n: 3 }).await.unwrap();
    publisher.publish(Reported { title: "t".into(), n: 4 }).await.unwrap();
    quiet(&broker).await;
    assert_eq!(seen.all(), [(3, "counted".to_owned()), (4, "reported".to_owned())]);
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_such_value_goes_to_quarantine_byte_for_byte() {
    let (broker, client) = stage().await;
    let seen = Noted::default();
    let builder = consumer().handle_on(Visits, note).state(seen.clone());
    let running = builder.build(&client).unwrap().start().await.unwrap();
    let producer = Producer::new(&client);
    for wrong in [&b"{\"page\":1}"[..], b"not JSON", b"\xff"] {
        let message = Message::bytes(Visits::NAME, wrong).content_type("application/json");
        producer.send(message).await.unwrap();
    }
    let unknown = Message::bytes(Visits::NAME, &b"x"[..]).content_type("text/plain");
    producer.send(unknown).await.unwrap();
    producer.send(Message::tombstone(Visits::NAME, "a")).await.unwrap();
    send(&client, [visit("a", 1)]).await;
    quiet(&broker).await;
    assert_eq!(seen.all().len(), 1);
    let counts = running.status().counts();
    assert_eq!((counts.handled(), counts.quarantined(), counts.dead_lettered()), (1, 5, 0));
    let kept = broker.records(&TopicName::from_static("visits.quarantine"));
    let kept: Vec<_> = kept.iter().map(|record| record.payload.clone()).collect();
    let all = [&b"{\"page\":1}"[..], b"not JSON", b"\xff", b"x"].map(Bytes::from_static);
    let mut all: Vec<_> = all.into_iter().map(Some).collect();
    all.push(None);
    assert_eq!(kept, all);
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_raw_record_is_whatever_lies_there_and_a_record_without_a_payload_too() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let builder = consumer().handle_on_named(Visits, "raw", move |RawRecord(record)| {
        noted.add(record.payload);
        async { Ok::<_, HandlerError>(()) }
    });
    let running = builder.build(&client).unwrap().start().await.unwrap();
    let producer = Producer::new(&client);
    producer.send(Message::bytes(Visits::NAME, &b"\x00\xff"[..])).await.unwrap();
    producer.send(Message::tombstone(Visits::NAME, "a")).await.unwrap();
    quiet(&broker).await;
    assert_eq!(seen.all(), [Some(Bytes::from_static(b"\x00\xff")), None]);
    stop(running).await;

    let seen = Seen::default();
    let noted = seen.clone();
    let builder = consumer().tombstones(Tombstones::Ignore);
    let builder = builder.handle_on_named(Visits, "raw", move |RawRecord(record)| {
        noted.add(record.payload);
        async { Ok::<_, HandlerError>(()) }
    });
    let running = builder.build(&client).unwrap().start().await.unwrap();
    producer.send(Message::tombstone(Visits::NAME, "a")).await.unwrap();
    quiet(&broker).await;
    assert!(seen.all().is_empty(), "where they are to be ignored they are");
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_raw_record_is_what_lies_there_also_where_its_headers_are_no_cloud_event() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let work = move |RawRecord(record): RawRecord, metadata: Metadata| {
        noted.add((record, metadata));
        async { Ok::<_, HandlerError>(()) }
    };
    let builder = Worker::builder("raw").input::<Visits>().process(work);
    let running = start(builder, &client).await;
    let mut headers = Headers::default();
    headers.push("ce_specversion", "0.3");
    headers.push("ce_id", "1");
    let payload = Some(Bytes::from_static(b"\x00"));
    let record = Record {
        topic: Visits::NAME,
        partition: None,
        key: None,
        payload: payload.clone(),
        headers: headers.clone(),
        timestamp: None,
    };
    let (receipt, answer) = Receipt::one(None, Arc::default());
    client.producer().enqueue(&record, receipt).expect("there is room");
    answer.await.unwrap().unwrap();
    quiet(&broker).await;
    let (seen, metadata) = seen.all().pop().expect("it was handled");
    assert_eq!((seen.payload, seen.headers), (payload, headers));
    assert_eq!(
        (metadata.id.to_string().as_str(), metadata.source.as_str()),
        ("visits/0/0", "visits")
    );
    assert!(broker.records(&TopicName::from_static("visits.quarantine")).is_empty());
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_topic_whose_name_is_known_at_run_time_is_made_as_it_is_declared() {
    let (broker, client) = stage().await;
    let seen = Noted::default();
    let name = TopicName::new(format!("visits.{}", "eu")).unwrap();
    let spec = TopicSpec::new(name.clone(), TopicKind::Event).partitions(5);
    let builder = consumer().handle_on(spec, note).state(seen.clone());
    let running = builder.build(&client).unwrap().start().await.unwrap();
    assert!(broker.topics().contains(&(name.clone(), 5)));
    let message = Message::new(name, &visit("a", 1)).unwrap();
    Producer::new(&client).send(message).await.unwrap();
    quiet(&broker).await;
    assert_eq!(seen.all().len(), 1);
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_read_from_another_topic_that_carries_it() {
    #[derive(Topic)]
    #[topic(kind = event, name = "copies", carries(Counted))]
    struct Copies;
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let builder = consumer().handle_on_named(Copies, "copy", move |Event(Counted { n })| {
        noted.add(n);
        async { Ok::<_, HandlerError>(()) }
    });
    let running = builder.build(&client).unwrap().start().await.unwrap();
    let publisher = Publisher::new(&client);
    publisher.publish(Counted { n: 1 }).await.unwrap();
    publisher.publish_to(Copies, Counted { n: 2 }).await.unwrap();
    quiet(&broker).await;
    assert_eq!(seen.all(), [2]);
    stop(running).await;
}

async fn raw(_: RawRecord) -> Result<(), HandlerError> {
    Ok(())
}

async fn counted(_: Event<Counted>) -> Result<(), HandlerError> {
    Ok(())
}

fn error(builder: ConsumerBuilder, client: &impl BuildOn) -> String {
    client.refuses(builder)
}

/// So that a test needs no type of its client.
trait BuildOn {
    fn refuses(&self, builder: ConsumerBuilder) -> String;
}

impl<T: Transport + Clone> BuildOn for T {
    fn refuses(&self, builder: ConsumerBuilder) -> String {
        let Err(error) = builder.build(self) else { panic!("it was built") };
        error.to_string()
    }
}

#[tokio::test]
async fn what_takes_whatever_lies_on_a_topic_has_it_for_itself() {
    let (_, client) = stage().await;
    let said = error(consumer().handle(counted).handle_on(Reports, raw), &client);
    for word in ["\"raw\"", "reports", "RawRecord", "\"counted\"", "group"] {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    let said = error(consumer().ignore::<Counted>().handle_on(Reports, raw), &client);
    assert!(said.contains("handled or ignored"), "{said}");
    let said = error(consumer().handle_on(Visits, raw).handle_on(Visits, raw), &client);
    assert!(said.contains("two handlers") && said.contains("handle_named"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn two_handlers_of_whatever_lies_there_each_get_all_of_it() {
    let (broker, client) = stage().await;
    let seen = Noted::default();
    let builder = consumer().handle_on(Visits, note).handle_on(Visits, raw).state(seen.clone());
    let running = builder.build(&client).unwrap().start().await.unwrap();
    send(&client, numbered("a", 0..3)).await;
    quiet(&broker).await;
    assert_eq!((seen.all().len(), running.status().counts().handled()), (3, 6));
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_a_handler_of_values_failed_on_comes_back_to_that_handler_alone() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let builder = Consumer::builder("reader").topics(CREATE);
    let builder = builder.retry(RetryPolicy::tiers([secs(5)]).immediate(0));
    let builder =
        builder.handle_on(Visits, raw).handle_on_named(
            Visits,
            "fails",
            move |Value(visit): Value<Visit>, Attempt(attempt)| {
                noted.add((visit.n, attempt));
                async move {
                    if attempt == 1 { Err(HandlerError::transient("not yet")) } else { Ok(()) }
                }
            },
        );
    let running = builder.build(&client).unwrap().start().await.unwrap();
    send(&client, [visit("a", 1)]).await;
    quiet(&broker).await;
    assert_eq!(seen.all(), [(1, 1), (1, 2)]);
    assert_eq!(running.status().counts().handled(), 2);
    stop(running).await;
}

#[tokio::test(start_paused = true)]
async fn unordered_records_of_a_partition_begin_in_their_order_and_run_side_by_side() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let builder = consumer().order(Order::Unordered).handle_on_named(
        Visits,
        "all at once",
        move |Value(visit): Value<Visit>| {
            let noted = noted.clone();
            async move {
                noted.add(visit.n);
                // Nobody is done before all have begun, those of one key too.
                while noted.all().len() < 50 {
                    tokio::time::sleep(ms(1)).await;
                }
                Ok::<_, HandlerError>(())
            }
        },
    );
    let running = builder.build(&client).unwrap().start().await.unwrap();
    send(&client, numbered("a", 0..50)).await;
    quiet(&broker).await;
    assert_eq!(seen.all(), (0..50).collect::<Vec<_>>());
    stop(running).await;
}
