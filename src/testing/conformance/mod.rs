//! One suite of named behaviours for a transport, so that anyone's transport can run it.
//!
//! A [`Subject`] is a broker and a way to make clients of it. The [`Suite`] puts the [`behaviours`] to
//! it, each with topics and groups of its own, and answers a [`Report`]: shown, it is a table of every
//! behaviour and what became of it. Nothing is skipped.
//!
//! ```
//! use std::sync::Arc;
//! use tidings::error::BoxError;
//! use tidings::event::TopicName;
//! use tidings::testing::conformance::{ClientSpec, Mortal, Start, Subject, Suite};
//! use tidings::transport::Transport;
//! use tidings::transport::memory::{MemoryBroker, MemoryConfig, OffsetReset};
//!
//! struct InMemory(MemoryBroker);
//!
//! #[async_trait::async_trait]
//! impl Subject for InMemory {
//!     fn name(&self) -> &str {
//!         "memory"
//!     }
//!
//!     fn client(&self, wanted: &ClientSpec) -> Result<Arc<dyn Transport>, BoxError> {
//!         let config = MemoryConfig::new(&wanted.service);
//!         Ok(Arc::new(self.0.connect(match wanted.start {
//!             Start::Latest => config.offset_reset(OffsetReset::Latest),
//!             _ => config,
//!         })?))
//!     }
//!
//!     fn mortal(&self, wanted: &ClientSpec) -> Result<Option<Mortal>, BoxError> {
//!         let client = self.0.client(&wanted.service)?;
//!         let killed = client.clone();
//!         Ok(Some(Mortal { client: Arc::new(client), kill: Box::new(move || killed.kill()) }))
//!     }
//!
//!     async fn delete_topic(&self, topic: &TopicName) -> Result<(), BoxError> {
//!         self.0.delete_topic(topic);
//!         Ok(())
//!     }
//! }
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
//! # runtime.unwrap().block_on(async {
//! let report = Suite::new(InMemory(MemoryBroker::new())).run().await;
//! println!("{report}");
//! assert!(report.is_conformant(), "{report}");
//! # });
//! ```
//!
//! Something that it cannot do would be declared by [`Subject::lacks`].
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
//! | `topics` | described, made, told apart, and whose time their records carry |
//! | `groups` | sharing, joining, leaving, dying |
//! | `followers` | partitions that go where those of another topic go, as retry tiers do |
//! | `commits` | where the next one begins; what a revoke waits for; what comes too late |
//! | `pauses` | nothing comes, nothing is lost, nothing comes twice |
//! | `shutdown` | what a close sends, reports and ends |
//! | `transactions` | records and offsets together or never; a newer producer fences an older one |
//! | `tools` | groups and offsets looked at; reading without a group |
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
mod tools;
mod topics;
mod transactions;
mod trial;

pub use behaviour::{Behaviour, behaviours};
pub use report::{Entry, Outcome, Report};
pub use subject::{Capability, ClientSpec, Lack, Limits, Mortal, Start, Subject};
pub use suite::Suite;
