//! The words of the library: domain events, integration events, envelopes and their metadata.
//!
//! Everything here is checked when it is made: a [`TopicName`], a [`PartitionKey`] or a [`Source`]
//! that exists is legal on the wire. What comes from the wire is bounded and never trusted.

mod domain;
mod envelope;
mod flow;
pub mod header;
mod headers;
mod id;
mod integration;
mod key;
mod metadata;
mod text;
mod topic_name;
mod topic_settings;
mod topic_spec;
mod trace;

pub use domain::DomainEvent;
pub use envelope::{Encoded, Envelope};
pub use flow::Flow;
pub use headers::Headers;
pub use id::{EventId, InvalidEventId};
pub use integration::{IntegrationEvent, simple_type_name};
pub use key::{InvalidKey, PartitionKey, ToPartitionKey};
pub use metadata::{InvalidAttribute, Metadata, Source, Subject, Tenant};
pub(crate) use text::shared;
pub use topic_name::{InvalidTopicName, TopicName};
pub use topic_settings::{
    InvalidRetention, Profile, Replication, Retention, TopicCompression, TopicSettings,
};
pub use topic_spec::{InvalidTopicSpec, TopicKind, TopicSpec};
pub use trace::{InvalidTraceContext, TraceContext};
