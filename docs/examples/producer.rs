//! Sending plain messages.

use tidings::error::BoxError;
use tidings::event::TopicName;
use tidings::producer::{Message, Producer};

// ANCHOR: send
const CLICKS: TopicName = TopicName::from_static("web.clicks");

#[derive(serde::Serialize)]
struct Click {
    page: String,
    at: i64,
}

async fn send(producer: &Producer) -> Result<(), BoxError> {
    let click = Click { page: "/prices".into(), at: 1_790_000_000 };
    let message = Message::new(CLICKS, &click)?.key("user-7").header("campaign", "spring");
    // Acknowledged by the broker when this returns.
    let sent = producer.send(message).await?;
    println!("{} lies at offset {}", sent.id, sent.delivered.offset);

    // Queued only.
    producer.send_and_forget(Message::bytes(CLICKS, &b"\x01\x02"[..]).key("user-8")).await?;

    // In order; the error names and holds what was not acknowledged.
    let batch = (0..3).map(|page| Message::new(CLICKS, &page)).collect::<Result<Vec<_>, _>>()?;
    producer.send_all(batch).await?;
    Ok(())
}
// ANCHOR_END: send

// ANCHOR: typed
use super::topics::{AccountOpened, Accounts};

async fn send_typed(producer: &Producer) -> Result<(), BoxError> {
    // A topic that is known as a type takes what it carries, and nothing else compiles.
    let opened = AccountOpened { id: "a-1".into() };
    producer.send(Message::on::<Accounts>(&opened)?.key(&opened.id)).await?;
    Ok(())
}
// ANCHOR_END: typed

#[tokio::test]
async fn what_is_sent_is_acknowledged() {
    let kafka = super::embedded("web");
    let producer = Producer::new(&kafka);
    send(&producer).await.unwrap();
    send_typed(&producer).await.unwrap();
}
