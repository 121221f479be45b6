//! The suite over a real Kafka.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use tidings::error::BoxError;
use tidings::event::TopicName;
use tidings::testing::conformance::{ClientSpec, Limits, Mortal, Start, Subject};
use tidings::transport::Transport;
use tidings::transport::kafka::config::AutoOffsetReset;
use tidings::transport::kafka::{Kafka, KafkaConfig};

use crate::support::{kafka_address, unique};

const SESSION: Duration = Duration::from_secs(10);

struct Real {
    address: String,
}

impl Real {
    fn config(&self, wanted: &ClientSpec) -> KafkaConfig {
        let config = KafkaConfig::new(wanted.service.as_str(), self.address.as_str())
            .session_timeout(SESSION)
            .heartbeat(Duration::from_millis(500));
        match wanted.start {
            Start::Latest => config.auto_offset_reset(AutoOffsetReset::Latest),
            _ => config,
        }
    }
}

#[async_trait]
impl Subject for Real {
    fn name(&self) -> &str {
        "Kafka"
    }

    fn client(&self, wanted: &ClientSpec) -> Result<Arc<dyn Transport>, BoxError> {
        Ok(Arc::new(Kafka::connect(self.config(wanted))?))
    }

    fn limits(&self) -> Limits {
        Limits::default().session(SESSION)
    }

    fn mortal(&self, wanted: &ClientSpec) -> Result<Option<Mortal>, BoxError> {
        // A static member does not leave when it closes: to its group it is as one that died.
        let config = self.config(wanted).static_member_id(unique("mortal"));
        let client = Arc::new(Kafka::connect(config)?);
        Ok(Some(Mortal { client, kill: Box::new(|| ()) }))
    }

    async fn delete_topic(&self, topic: &TopicName) -> Result<(), BoxError> {
        let admin: AdminClient<_> =
            ClientConfig::new().set("bootstrap.servers", &self.address).create()?;
        let deleted = admin.delete_topics(&[topic.as_str()], &AdminOptions::new()).await?;
        for result in deleted {
            result.map_err(|(topic, code)| format!("{topic}: {code}"))?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_does_what_a_transport_does() {
    let Some(address) = kafka_address() else { return };
    crate::conforms(Real { address }, 4).await;
}
