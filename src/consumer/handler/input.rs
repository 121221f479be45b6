//! Inputs: what a handler's first argument reads, and on which topics that lies.

use serde::de::DeserializeOwned;

use super::{Event, FromDelivery, RawRecord, Value};
use crate::event::{IntegrationEvent, TopicName, TopicSpec, simple_type_name};
use crate::topic::{Carries, Topic};
use crate::transport::TopicNeed;

/// What a handler reads: the type of its first argument.
///
/// [`Event<E>`](Event) is one integration event, on the topics that it says itself. [`Value<V>`](Value) and
/// [`RawRecord`] are whatever lies on a topic, as any type that serde reads, or as bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a handler can read",
    note = "the first argument is `Event<E>`, `Value<V>` or `RawRecord`"
)]
pub trait Input: FromDelivery + 'static {
    /// What it takes of what lies on a topic.
    fn reads() -> Reads;
}

/// What an [`Input`] takes of what lies on a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reads {
    /// One event.
    Event {
        /// Its name.
        name: &'static str,
        /// Its version.
        version: u32,
    },
    /// Every record, a CloudEvent or not.
    Everything {
        /// The type's name, for messages.
        what: &'static str,
        /// Records without a payload too.
        tombstones: bool,
    },
}

impl Reads {
    /// What it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event { name, .. } => name,
            Self::Everything { what, .. } => what,
        }
    }

    /// Whether a record for the one is for the other, too.
    pub(in super::super) fn is_with(self, other: Self) -> bool {
        self == other || self.is_everything() && other.is_everything()
    }

    /// Whether nothing else on the topic can have a handler.
    pub(in super::super) fn is_everything(self) -> bool {
        matches!(self, Self::Everything { .. })
    }
}

impl<E: IntegrationEvent> Input for Event<E> {
    fn reads() -> Reads {
        Reads::Event { name: E::NAME, version: E::VERSION }
    }
}

impl<V: DeserializeOwned + Send + 'static> Input for Value<V> {
    fn reads() -> Reads {
        Reads::Everything { what: simple_type_name::<V>(), tombstones: false }
    }
}

impl Input for RawRecord {
    fn reads() -> Reads {
        Reads::Everything { what: "RawRecord", tombstones: true }
    }
}

/// An input that says itself on which topics it lies: an [`Event`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say on which topic it lies",
    note = "name the topic: `.handle_on(Users, handler)` for a consumer, `.input::<Users>()` for a worker, `topic = Users` in an attribute"
)]
pub trait OwnTopics: Input {
    /// Their names.
    fn topics() -> Vec<TopicName>;

    /// Those of them that are declared.
    fn declared() -> Vec<TopicSpec>;
}

impl<E: IntegrationEvent> OwnTopics for Event<E> {
    fn topics() -> Vec<TopicName> {
        E::topics()
    }

    fn declared() -> Vec<TopicSpec> {
        E::declared_topics()
    }
}

/// An input that can lie on the topic `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from the topic `{T}`",
    note = "the topic has to carry it: `#[topic(.., carries(..))]`"
)]
pub trait LiesOn<T: Topic>: Input {}

impl<T: Topic + Carries<E>, E: IntegrationEvent> LiesOn<T> for Event<E> {}
impl<T: Topic + Carries<V>, V: DeserializeOwned + Send + 'static> LiesOn<T> for Value<V> {}
impl<T: Topic> LiesOn<T> for RawRecord {}

/// Where the input `I` is read: a topic that is a type and carries it, [`Own`], or a topic that is known
/// at run time only, as a [`TopicSpec`] or a name.
#[diagnostic::on_unimplemented(
    message = "`{I}` cannot be read from `{Self}`",
    label = "not a topic that carries it",
    note = "where the topic is declared, list what it carries: `#[topic(.., carries(..))]`"
)]
pub trait InputTopics<I: Input> {
    /// The topics, and what is declared about them.
    fn needs(self) -> Vec<TopicNeed>;
}

/// The topics that an event says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Own;

impl<I: OwnTopics> InputTopics<I> for Own {
    fn needs(self) -> Vec<TopicNeed> {
        let declared = I::declared();
        let need = |name: TopicName| match declared.iter().find(|spec| *spec.name() == name) {
            Some(spec) => spec.clone().into(),
            None => name.into(),
        };
        I::topics().into_iter().map(need).collect()
    }
}

impl<T: Topic, I: LiesOn<T>> InputTopics<I> for T {
    fn needs(self) -> Vec<TopicNeed> {
        vec![T::spec().into()]
    }
}

impl<I: Input> InputTopics<I> for TopicNeed {
    fn needs(self) -> Vec<TopicNeed> {
        vec![self]
    }
}

impl<I: Input> InputTopics<I> for TopicSpec {
    fn needs(self) -> Vec<TopicNeed> {
        vec![self.into()]
    }
}

impl<I: Input> InputTopics<I> for TopicName {
    fn needs(self) -> Vec<TopicNeed> {
        vec![self.into()]
    }
}
