//! Events and contracts.

use tidings::event::{InvalidKey, PartitionKey, TopicName};

// ANCHOR: derived
use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use uuid::Uuid;

/// Somebody signed up. Topic `integration-events.user_created`, version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id)]
pub struct UserCreated {
    pub user_id: Uuid,
    pub email: String,
}
// ANCHOR_END: derived

// ANCHOR: named
/// Somebody is called something else. The topic is shared by all events of users, so that they stay in order.
#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id, name = "user_renamed", version = 2, topic = "crm.users.v1", subject = user_id)]
pub struct UserRenamed {
    pub user_id: Uuid,
    pub given_name: String,
    pub family_name: String,
}
// ANCHOR_END: named

// ANCHOR: routed
/// A reading of a gauge. Its topic depends on where the gauge stands.
#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key_with = Self::gauge, topic_with = Self::place, topics = ["gauges.eu", "gauges.us"])]
pub struct Measured {
    pub region: String,
    pub gauge: u32,
    pub value: f64,
}

impl Measured {
    fn gauge(&self) -> String {
        format!("{}-{}", self.region, self.gauge)
    }

    fn place(&self) -> TopicName {
        match self.region.as_str() {
            "eu" => TopicName::from_static("gauges.eu"),
            _ => TopicName::from_static("gauges.us"),
        }
    }
}
// ANCHOR_END: routed

// ANCHOR: by_hand
#[derive(Debug, Serialize, Deserialize)]
pub struct InvoicePaid {
    pub invoice: String,
}

impl tidings::event::IntegrationEvent for InvoicePaid {
    const NAME: &'static str = "invoice_paid";

    fn topics() -> Vec<TopicName> {
        vec![TopicName::from_static("billing.invoices")]
    }

    fn topic(&self) -> TopicName {
        TopicName::from_static("billing.invoices")
    }

    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        PartitionKey::new(self.invoice.as_str()).map(Some)
    }
}
// ANCHOR_END: by_hand

#[test]
fn the_contracts_are_what_the_book_says() {
    assert_eq!(UserCreated::topics()[0].as_str(), "integration-events.user_created");
    assert_eq!((UserCreated::NAME, UserCreated::VERSION), ("user_created", 1));
    assert_eq!((UserRenamed::NAME, UserRenamed::VERSION), ("user_renamed", 2));
    assert_eq!(Measured::topics().len(), 2);
    let paid = InvoicePaid { invoice: "7".into() };
    assert_eq!(paid.partition_key().unwrap().unwrap().as_str(), "7");
    let measured = Measured { region: "eu".into(), gauge: 3, value: 0.5 };
    assert_eq!(measured.topic().as_str(), "gauges.eu");
}
