//! The words of the library: domain events, integration events, envelopes and their metadata.

mod domain;
mod envelope;
mod flow;
pub mod header;
mod headers;
mod id;
mod integration;
mod key;
mod metadata;
mod topic_name;
mod trace;

pub use domain::DomainEvent;
pub use envelope::{Encoded, Envelope};
pub use flow::Flow;
pub use headers::Headers;
pub use id::{EventId, InvalidEventId};
pub use integration::{IntegrationEvent, simple_type_name};
pub use key::{InvalidKey, PartitionKey, ToPartitionKey};
pub use metadata::{InvalidAttribute, Metadata, Source, Subject, Tenant};
pub use topic_name::{InvalidTopicName, TopicName};
pub use trace::{InvalidTraceContext, TraceContext};
