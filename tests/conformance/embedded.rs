//! The suite over librdkafka's mock cluster.

use std::sync::Arc;
use std::time::Duration;

use tidings::error::BoxError;
use tidings::testing::conformance::{Capability, ClientSpec, Lack, Limits, Mortal, Start, Subject};
use tidings::transport::Transport;
use tidings::transport::kafka::config::AutoOffsetReset;
use tidings::transport::kafka::{EmbeddedBroker, Kafka, KafkaConfig};

use crate::support::unique;

/// As short as a machine that is short of time can keep up with.
const SESSION: Duration = Duration::from_secs(3);
/// The mock cluster gathers a group's members for a second less than the session after each change, be
/// it that one left or that one died.
const GATHER: Duration = Duration::from_secs(2);
/// To the mock cluster a member that asks for its part after the leader has given the parts out is in the
/// wrong: it has to join again, and while the group gathers for that the cluster refuses every commit, which
/// Kafka does not. The leader asks the broker once more before it gives them out, so with slow answers it
/// is the last one; on a machine that is short of time it may yet be the first.
const ANSWERS_AFTER: Duration = Duration::from_millis(20);
const REFUSALS: usize = 4;
/// All behaviours at a time: they wait, mostly for groups to gather.
const AT_ONCE: usize = 128;

struct Embedded(EmbeddedBroker);

impl Embedded {
    fn config(wanted: &ClientSpec) -> KafkaConfig {
        let config = KafkaConfig::new(wanted.service.as_str(), "embedded:1")
            .session_timeout(SESSION)
            .heartbeat(Duration::from_millis(300));
        match wanted.start {
            Start::Latest => config.auto_offset_reset(AutoOffsetReset::Latest),
            _ => config,
        }
    }
}

impl Subject for Embedded {
    fn name(&self) -> &str {
        "the mock cluster of librdkafka"
    }

    fn client(&self, wanted: &ClientSpec) -> Result<Arc<dyn Transport>, BoxError> {
        Ok(Arc::new(Kafka::embedded(&self.0, Self::config(wanted))?))
    }

    fn lacks(&self) -> Vec<Lack> {
        vec![
            Lack::new(Capability::SizeLimit, "the mock cluster takes records of any size"),
            Lack::new(Capability::TopicProperties, "the mock cluster keeps no topic settings"),
            Lack::new(Capability::TopicIds, "the mock cluster's topics have no ids"),
            Lack::new(Capability::Deletion, "the mock cluster deletes no topics"),
            Lack::new(Capability::Groups, "the mock cluster does not tell its groups"),
            Lack::new(Capability::OffsetsByTime, "the mock cluster answers the end to each time"),
            Lack::new(Capability::AppendTime, "the mock cluster keeps no topic settings"),
            Lack::new(
                Capability::Atomicity,
                "to the mock cluster a transaction's records are as others",
            ),
        ]
    }

    fn limits(&self) -> Limits {
        Limits::default().session(SESSION + GATHER).refusals(REFUSALS)
    }

    fn mortal(&self, wanted: &ClientSpec) -> Result<Option<Mortal>, BoxError> {
        // A static member does not leave when it closes: to its group it is as one that died.
        let config = Self::config(wanted).static_member_id(unique("mortal"));
        let client = Arc::new(Kafka::embedded(&self.0, config)?);
        Ok(Some(Mortal { client, kill: Box::new(|| ()) }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mock_cluster_does_what_a_transport_does() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.answer_after(ANSWERS_AFTER).unwrap();
    crate::conforms(Embedded(broker), AT_ONCE).await;
}
