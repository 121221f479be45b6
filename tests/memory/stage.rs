//! An event, its service, and what its handlers saw.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::consumer::{Consumer, ConsumerBuilder, Event, HandlerError};
use tidings::retry::RetryPolicy;
use tidings::transport::TopicSetup;
use tidings::transport::memory::MemoryBroker;
use tokio::time::Instant;

#[derive(Debug, Clone, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "paid", topic = "paid", key = key)]
pub struct Paid {
    pub key: String,
    pub n: u32,
}

pub fn paid(n: u32) -> Paid {
    Paid { key: format!("k{}", n % 5), n }
}

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What a handler saw, and when.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<(u32, Instant)>>>);

impl Seen {
    pub fn add(&self, event: &Paid) -> usize {
        let mut seen = self.0.lock().unwrap();
        seen.push((event.n, Instant::now()));
        seen.iter().filter(|(n, _)| *n == event.n).count()
    }

    pub fn all(&self) -> Vec<(u32, Instant)> {
        self.0.lock().unwrap().clone()
    }

    pub fn numbers(&self) -> Vec<u32> {
        self.all().into_iter().map(|(n, _)| n).collect()
    }
}

/// A consumer that notes what it sees; events fail as often as `fails` says.
pub fn consumer(
    seen: &Seen,
    fails: impl Fn(u32) -> usize + Send + Sync + 'static,
) -> ConsumerBuilder {
    let (seen, fails) = (seen.clone(), Arc::new(fails));
    Consumer::builder("mailer")
        .handle_named("mail", move |Event(event): Event<Paid>| {
            let (seen, fails) = (seen.clone(), fails.clone());
            async move {
                if seen.add(&event) <= fails(event.n) {
                    return Err(HandlerError::transient("not yet"));
                }
                Ok(())
            }
        })
        .retry(RetryPolicy::tiers([secs(5), secs(60)]).immediate(0))
        .topics(TopicSetup::Create { partitions: Some(4), replication: None })
}

/// Waits until no group has anything to read or to commit.
pub async fn quiet(broker: &MemoryBroker) {
    while !broker.backlog().is_empty() {
        broker.changed().await;
    }
}
