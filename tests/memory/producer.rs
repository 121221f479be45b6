//! Plain messages on the broker in memory.

use tidings::event::{Flow, TopicName, header};
use tidings::producer::{Message, MessageId, Producer};
use tidings::transport::memory::MemoryBroker;

const CLICKS: TopicName = TopicName::from_static("clicks");

fn click(n: u32) -> Message {
    Message::new(CLICKS, &n).unwrap().key("k")
}

#[tokio::test(start_paused = true)]
async fn a_message_lies_there_with_its_key_headers_and_id_and_the_flow_that_it_was_sent_in() {
    let broker = MemoryBroker::new();
    let producer = Producer::new(&broker.client("web").unwrap());
    let flow = Flow { correlation_id: Some(MessageId::new()), ..Flow::default() };
    let message = click(7).header("mine", [0xff]).id(MessageId::parse("m-7").unwrap());
    let sent = flow.clone().scope(producer.send(message)).await.unwrap();
    assert_eq!(sent.id.to_string(), "m-7");
    let [record] = &broker.records(&CLICKS)[..] else { panic!("one record") };
    assert_eq!((record.offset, record.key.as_deref()), (sent.delivered.offset, Some(&b"k"[..])));
    assert_eq!(record.payload.as_deref(), Some(&b"7"[..]));
    let headers = &record.headers;
    assert_eq!(headers.get_str(header::MESSAGE_ID), Some("m-7"));
    assert_eq!(headers.get("mine"), Some(&[0xff][..]));
    let correlation = flow.correlation_id.unwrap().to_string();
    assert_eq!(headers.get_str(header::PLAIN_CORRELATION_ID), Some(&*correlation));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_stored_in_order_and_one_that_is_not_valid_sends_nothing() {
    let broker = MemoryBroker::new();
    let producer = Producer::new(&broker.client("web").unwrap());
    let sent = producer.send_all((0..50).map(click).collect()).await.unwrap();
    assert_eq!(sent.len(), 50);
    let stored = |broker: &MemoryBroker| -> Vec<_> {
        broker.records(&CLICKS).into_iter().map(|record| record.payload.unwrap()).collect()
    };
    assert_eq!(stored(&broker), (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
    let failure = producer.send_all(vec![click(50), click(51).header("", "")]).await.unwrap_err();
    assert_eq!(failure.unsent.len(), 2);
    assert_eq!(stored(&broker).len(), 50);
}
