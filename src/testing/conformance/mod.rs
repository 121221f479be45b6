//! One suite of named behaviours for a transport, so that anyone's transport can run it.
//!
//! A [`Subject`] is a broker and a way to make clients of it. The [`Suite`] puts the [`behaviours`] to
//! it, each with topics and groups of its own, and answers a [`Report`]: shown, it is a table of every
//! behaviour and what became of it. Nothing is skipped.
//!
#![cfg_attr(feature = "kafka", doc = "```")]
#![cfg_attr(not(feature = "kafka"), doc = "```ignore")]
//! use std::sync::Arc;
//! use tidings::error::BoxError;
//! use tidings::testing::conformance::{Capability, ClientSpec, Lack, Subject, Suite};
//! use tidings::transport::Transport;
//! use tidings::transport::kafka::{EmbeddedBroker, Kafka, KafkaConfig};
//!
//! struct Mock(EmbeddedBroker);
//!
//! impl Subject for Mock {
//!     fn name(&self) -> &str {
//!         "librdkafka's mock cluster"
//!     }
//!
//!     fn client(&self, wanted: &ClientSpec) -> Result<Arc<dyn Transport>, BoxError> {
//!         let config = KafkaConfig::new(wanted.service.as_str(), "embedded:1");
//!         Ok(Arc::new(Kafka::embedded(&self.0, config)?))
//!     }
//!
//!     fn lacks(&self) -> Vec<Lack> {
//!         vec![Lack::new(Capability::AppendTime, "it keeps no topic settings")]
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! let suite = Suite::new(Mock(EmbeddedBroker::start()?));
//! // All of them, where a test has the time; here one area.
//! let report = suite.only(|behaviour| behaviour.area() == "payloads").run().await;
//! assert!(report.is_conformant(), "{report}");
//! # Ok(())
//! # }
//! ```
//!
//! # What becomes of a behaviour
//!
//! | outcome | meaning | conformant |
//! | --- | --- | --- |
//! | passed | it holds | yes |
//! | failed | it does not; the text says what was expected and what was seen | no |
//! | lacks | it does not, and the subject has declared that it lacks a [`Capability`] that is needed | yes |
//! | passed unexpectedly | it holds, though something that it needs is declared as lacking | no |
//!
//! What is declared is tried all the same, so that a declaration that is no longer true is found. There is
//! no way to declare a behaviour that needs no capability: those are what consumers and publishers
//! rely on with any transport.
//!
//! # What a transport owes
//!
//! Beside what the behaviours say, each member checks at any time that a partition is not assigned to
//! it twice, that it is asked to give up only what it has, that no batch is empty or of another
//! partition, and that offsets rise from one assignment to the revoke.
//!
//! | area | what it is about |
//! | --- | --- |
//! | `delivery` | acknowledged is there, byte for byte, where the acknowledgement says; keys choose partitions |
//! | `order` | of a key, of a batch, of a partition |
//! | `payloads`, `headers` | empty, none, any bytes, large, too large |
//! | `topics` | described, made, and whose time their records carry |
//! | `groups` | sharing, joining, leaving, dying |
//! | `followers` | partitions that go where those of another topic go, as retry tiers do |
//! | `commits` | where the next one begins; what a revoke waits for; what comes too late |
//! | `pauses` | nothing comes, nothing is lost, nothing comes twice |
//! | `shutdown` | what a close sends, reports and ends |
//! | `consumers`, `tiers` | a publisher and a consumer on top of it: handled, committed, retried, dead, quarantined |
//!
//! # Time
//!
//! The suite waits for conditions by tokio's clock and never for a time, so that a transport whose time
//! is tokio's can be run under a paused one. [`Limits`] says how patient it is. A broker that keeps its
//! topics should be given a [`prefix`](Subject::prefix) by which they can be found; names of one run
//! are never used again.

mod behaviour;
mod commits;
mod consumers;
mod delivery;
mod event;
mod followers;
mod groups;
mod headers;
mod member;
mod order;
mod pauses;
mod payloads;
mod report;
mod shutdown;
mod subject;
mod suite;
mod tiers;
mod topics;
mod trial;

pub use behaviour::{Behaviour, behaviours};
pub use report::{Entry, Outcome, Report};
pub use subject::{Capability, ClientSpec, Lack, Limits, Mortal, Start, Subject};
pub use suite::Suite;
