//! The suite over the memory transport, whose time is tokio's: here it costs none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidings::error::BoxError;
use tidings::event::TopicName;
use tidings::testing::conformance::{ClientSpec, Limits, Mortal, Start, Subject};
use tidings::transport::Transport;
use tidings::transport::memory::{Memory, MemoryBroker, MemoryConfig, OffsetReset};

const SESSION: Duration = Duration::from_secs(10);

pub(crate) struct InMemory {
    pub(crate) name: &'static str,
    pub(crate) broker: MemoryBroker,
}

impl InMemory {
    fn connect(&self, wanted: &ClientSpec) -> Result<Memory, BoxError> {
        let config = MemoryConfig::new(wanted.service.as_str()).session_timeout(SESSION);
        let config = match wanted.start {
            Start::Latest => config.offset_reset(OffsetReset::Latest),
            _ => config,
        };
        Ok(self.broker.connect(config)?)
    }
}

#[async_trait]
impl Subject for InMemory {
    fn name(&self) -> &str {
        self.name
    }

    fn client(&self, wanted: &ClientSpec) -> Result<Arc<dyn Transport>, BoxError> {
        Ok(Arc::new(self.connect(wanted)?))
    }

    fn limits(&self) -> Limits {
        Limits::default().session(SESSION)
    }

    fn mortal(&self, wanted: &ClientSpec) -> Result<Option<Mortal>, BoxError> {
        let client = self.connect(wanted)?;
        let killed = client.clone();
        Ok(Some(Mortal { client: Arc::new(client), kill: Box::new(move || killed.kill()) }))
    }

    async fn delete_topic(&self, topic: &TopicName) -> Result<(), BoxError> {
        self.broker.delete_topic(topic);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn memory_does_what_a_transport_does() {
    let broker = MemoryBroker::new();
    crate::conforms(InMemory { name: "memory", broker }, 4).await;
}

#[tokio::test(start_paused = true)]
async fn memory_that_takes_its_time_does_what_a_transport_does() {
    let broker = MemoryBroker::builder()
        .seed(7)
        .latency(Duration::from_millis(1), Duration::from_millis(40))
        .build();
    crate::conforms(InMemory { name: "memory with latency", broker }, 4).await;
}
