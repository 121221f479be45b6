//! The event of all arms: about 300 bytes of JSON with a key.

use std::sync::RwLock;

use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::event::{InvalidKey, PartitionKey, TopicName};

/// How many keys there are.
const KEYS: u64 = 10_000;

/// Where events go, set before each round.
pub(crate) static TOPIC: RwLock<Option<TopicName>> = RwLock::new(None);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OrderPlaced {
    pub order_id: u64,
    pub customer: String,
    pub email: String,
    pub(crate) name: String,
    pub street: String,
    pub city: String,
    pub country: String,
    pub items: u32,
    pub total_cents: i64,
    pub currency: String,
    pub note: String,
}

impl OrderPlaced {
    /// The `number`th event; the same each time.
    pub(crate) fn numbered(number: u64) -> Self {
        let customer = number.wrapping_mul(0x9e37_79b9) % KEYS;
        Self {
            order_id: 10_000_000 + number,
            customer: format!("customer-{customer:05}"),
            email: format!("somebody.{customer:05}@example.com"),
            name: "Ada Augusta King-Noel".into(),
            street: "12 St James's Square, second floor".into(),
            city: "London".into(),
            country: "United Kingdom".into(),
            items: 3,
            total_cents: 129_900,
            currency: "GBP".into(),
            note: "leave it with the neighbours, please".into(),
        }
    }

    /// So many events, in batches of `size`.
    pub(crate) fn batches(count: u64, size: usize) -> Vec<Vec<Self>> {
        let from = (0..count).step_by(size);
        let until = |from| count.min(from + size as u64);
        from.map(|from| (from..until(from)).map(Self::numbered).collect()).collect()
    }
}

impl IntegrationEvent for OrderPlaced {
    const NAME: &'static str = "order_placed";

    fn topics() -> Vec<TopicName> {
        TOPIC.read().expect("nobody panics with it").iter().cloned().collect()
    }

    fn topic(&self) -> TopicName {
        TOPIC.read().expect("nobody panics with it").clone().expect("set before each round")
    }

    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        PartitionKey::new(self.customer.as_str()).map(Some)
    }
}
