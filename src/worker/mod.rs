//! Workers: a typed input topic, a function, a typed output topic or none.
//!
//! ```
//! use tidings::consumer::{Event, HandlerError};
//! use tidings::worker::Worker;
//! # use tidings::event::{IntegrationEvent, TopicName};
//! # #[derive(serde::Serialize, serde::Deserialize)] struct UserCreated { email: String }
//! # impl IntegrationEvent for UserCreated {
//! #     const NAME: &'static str = "user_created";
//! #     fn topics() -> Vec<TopicName> { vec![TopicName::from_static("users")] }
//! #     fn topic(&self) -> TopicName { TopicName::from_static("users") }
//! # }
//!
//! async fn greet(Event(user): Event<UserCreated>) -> Result<(), HandlerError> {
//!     println!("welcome, {}", user.email);
//!     Ok(())
//! }
//!
//! let builder = Worker::builder("greetings").process(greet).concurrency(8).max_retries(3);
//! ```
//!
//! A worker is a [consumer](mod@crate::consumer) with one handler. The offset of an input is committed only once
//! what its work answered is acknowledged: so every input has its output, and after a crash it may have it
//! twice. Outputs carry their input's correlation, it as their cause, its trace, and its key unless they have
//! one of their own.

mod batch;
mod builder;
mod frame;
mod held;
mod output;
mod process;
mod rate;
mod running;
mod settings;
mod single;
mod topics;
mod workers;

pub use batch::{BatchAnswer, BatchFn, BatchProcessor, Item, ProcessBatch};
pub use builder::{Work, WorkerBuilder};
pub use frame::Failed;
pub use output::{Output, Outputs};
pub use process::{OfType, Process, Processor};
pub use running::{RunningWorker, Worker, WorkerStatus};
pub use settings::DeadLetters;
pub use topics::{NoTopic, On, OutputTopic};
pub use workers::{RunningWorkers, Workers, WorkersError};

pub use crate::retry::Backoff;
