//! Plain messages on the embedded broker: consumers that read them, a broker that goes away, a close.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tidings::consumer::*;
use tidings::event::{Flow, Metadata, header};
use tidings::producer::*;
use tidings::retry::Backoff;
use tidings::transport::kafka::EmbeddedBroker;

use crate::events::{Contract, Note, contract, topic};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

fn message<C: Contract>(key: &str, n: u32) -> Message {
    Message::new(topic::<C>(), &serde_json::json!({ "key": key, "n": n })).unwrap().key(key)
}

/// A broker with the contract's topic, and a producer whose client gives up after half a second.
fn own<C: Contract>(
    setup: impl FnOnce(ProducerBuilder) -> ProducerBuilder,
) -> (EmbeddedBroker, Producer) {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic(&topic::<C>(), 2).unwrap();
    let config = config().message_timeout(ms(500)).delivery_wait(ms(500)).send_wait(ms(200));
    let producer = setup(Producer::builder(&client_of(&broker, config))).build();
    (broker, producer)
}

async fn note_metadata<C: Contract>(
    Event(_): Event<Note<C>>,
    metadata: Metadata,
    State(seen): State<Seen<Metadata>>,
) -> Result<(), HandlerError> {
    seen.add(metadata);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_reads_the_ids_that_a_plain_message_says_and_others_from_where_it_lies() {
    contract!(Plain: "producer.plain");
    let seen: Seen<Metadata> = Seen::default();
    let kafka = client();
    let consumer = consumer::<Plain>().handle(note_metadata::<Plain>).state(seen.clone());
    let running = start(consumer, &kafka).await;
    let producer = Producer::new(&kafka);
    let flow = Flow {
        correlation_id: Some(MessageId::new()),
        causation_id: Some(MessageId::new()),
        ..Flow::default()
    };
    let sent = flow.clone().scope(producer.send(message::<Plain>("k", 1))).await.unwrap();
    eventually("it is handled", SOON, || seen.len() == 1).await;
    let hostile = blank(topic::<Plain>());
    let mut hostile =
        tidings::transport::Record { payload: Some(r#"{"key":"k","n":2}"#.into()), ..hostile };
    hostile.headers.push(header::MESSAGE_ID, "a\nb");
    hostile.headers.push(header::PLAIN_CORRELATION_ID, [0xff]);
    let lies = put(&kafka, &hostile).await;
    eventually("the stranger's is too", SOON, || seen.len() == 2).await;
    let all = seen.all();
    assert_eq!(
        (&all[0].id, Some(&all[0].correlation_id)),
        (&sent.id, flow.correlation_id.as_ref())
    );
    assert_eq!(all[0].causation_id, flow.causation_id);
    let place = format!("producer.plain/0/{}", lies.offset);
    assert_eq!((all[1].id.to_string(), &all[1].correlation_id), (place, &all[1].id));
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_broker_away_messages_wait_in_order_and_an_outcome_that_is_not_known_is_called_so()
{
    contract!(Away: "producer.away");
    let (broker, once) = own::<Away>(|builder| builder);
    let config = config().message_timeout(ms(500)).delivery_wait(ms(500));
    let kafka = client_of(&broker, config);
    let backoff = Backoff::fixed(ms(100));
    let producer = Producer::builder(&kafka).retries(1_000).backoff(backoff).build();
    producer.send(message::<Away>("a", 0)).await.unwrap();
    once.send(message::<Away>("b", 0)).await.unwrap();
    broker.go_away().unwrap();
    let error = once.send(message::<Away>("b", 1)).await.unwrap_err();
    assert!(error.is_indefinite(), "{error:?}");
    for n in 1..50 {
        producer.send_and_forget(message::<Away>("a", n)).await.unwrap();
    }
    eventually("the first is in retry", SOON, || producer.counts().retried() > 1).await;
    broker.come_back().unwrap();
    eventually("all are sent", SOON, || producer.open() == 0).await;
    let stored = lies_on(&client_of(&broker, crate::stage::config()), &topic::<Away>()).await;
    let of_key: Vec<_> =
        stored.into_iter().filter(|record| record.key.as_deref() == Some(b"a")).collect();
    let mut numbers = numbers(&of_key);
    numbers.dedup();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    assert_eq!((producer.counts().acknowledged(), producer.counts().failed()), (50, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_with_the_broker_away_answers_in_time_exactly_what_was_not_acknowledged() {
    contract!(Close: "producer.close");
    let (broker, producer) = own::<Close>(|builder| builder.retries(1_000));
    for n in 0..3 {
        producer.send(message::<Close>("k", n)).await.unwrap();
    }
    broker.go_away().unwrap();
    let mut open = HashSet::new();
    for n in 3..53 {
        // Some are on their way, others wait for their turn.
        let key = if n % 2 == 0 { "k".to_owned() } else { n.to_string() };
        open.insert(producer.send_and_forget(message::<Close>(&key, n)).await.unwrap());
    }
    eventually("some are in retry", SOON, || producer.counts().retried() > 0).await;
    let begun = Instant::now();
    let left = producer.close(ms(500)).await;
    let took = begun.elapsed();
    assert!(took < ms(500) + Duration::from_secs(4), "{took:?}");
    assert_eq!(left.len(), 50, "each once");
    assert_eq!(left.into_iter().collect::<HashSet<_>>(), open);
    assert_eq!((producer.counts().acknowledged(), producer.counts().failed()), (3, 50));
    assert!(
        open.iter()
            .all(|id| { matches!(producer.status(id), Some(DeliveryStatus::Failed { .. })) })
    );
    broker.come_back().unwrap();
    let stored = lies_on(&client_of(&broker, config()), &topic::<Close>()).await;
    assert_eq!(stored.len(), 3, "nothing that is on the list");
}
