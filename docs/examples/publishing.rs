//! Publishing without a mediator.

use std::time::Duration;

use tidings::error::BoxError;
use tidings::publisher::Publisher;
use uuid::Uuid;

use super::contracts::UserCreated;

fn user(email: &str) -> UserCreated {
    UserCreated { user_id: Uuid::now_v7(), email: email.into() }
}

// ANCHOR: publish
async fn publish(publisher: &Publisher) -> Result<(), BoxError> {
    // Acknowledged by the broker when this returns.
    let published = publisher.publish(user("ada@example.org")).await?;
    println!("{} lies at offset {}", published.id, published.delivered.offset);

    // In order, one shared acknowledgement; the error holds what was not taken.
    let ids =
        publisher.publish_all([user("grace@example.org"), user("edsger@example.org")]).await?;
    println!("{} more", ids.len());

    // Queued only: the outcome is counted, and logged when it is a failure.
    publisher.publish_and_forget(user("alan@example.org")).await?;

    // Sends what is queued; what the broker did not take in time is named.
    let left = publisher.close(Duration::from_secs(10)).await;
    println!("{} not acknowledged", left.len());
    Ok(())
}
// ANCHOR_END: publish

// ANCHOR: errors
use tidings::error::ErrorClass;

async fn publish_or_say_why(publisher: &Publisher) {
    let Err(error) = publisher.publish(user("ada@example.org")).await else { return };
    if error.is_indefinite() {
        println!("no answer came; the event may be stored or not");
    }
    match error.class() {
        ErrorClass::Retriable => println!("the same call may succeed later: {error}"),
        ErrorClass::Permanent => println!("the same call fails each time: {error}"),
        ErrorClass::Fatal => println!("the client is done for: {error}"),
    }
}
// ANCHOR_END: errors

// ANCHOR: envelope
use tidings::event::{Envelope, EventId, Tenant};

async fn publish_for_a_tenant(publisher: &Publisher, order: EventId) -> Result<(), BoxError> {
    let mut envelope = Envelope::new(user("ada@example.org"), publisher.source().clone())?;
    envelope.metadata.correlation_id = order;
    envelope.metadata.tenant = Some(Tenant::new("acme")?);
    publisher.publish_envelope(envelope).await?;
    Ok(())
}
// ANCHOR_END: envelope

#[tokio::test]
async fn what_is_published_is_acknowledged() {
    let kafka = super::embedded("user-service");
    super::topics::for_publisher(&kafka).await.unwrap();
    let publisher = Publisher::new(&kafka);
    publish_or_say_why(&publisher).await;
    publish_for_a_tenant(&publisher, EventId::new()).await.unwrap();
    publish(&publisher).await.unwrap();
    assert_eq!((publisher.counts().acknowledged(), publisher.counts().failed()), (6, 0));
    publish_or_say_why(&publisher).await;
}
