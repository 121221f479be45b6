//! Topics as types: what is published to one that does not carry it does not compile.

use crate::event::{TopicName, TopicSpec};

/// A topic as a type; see `#[derive(Topic)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a topic",
    label = "not a topic",
    note = "derive it: `#[derive(Topic)] #[topic(kind = event, name = \"..\", carries(..))] struct {Self};`"
)]
pub trait Topic: Send + Sync + 'static {
    /// Its name.
    const NAME: TopicName;

    /// Its name, kind and settings.
    fn spec() -> TopicSpec;
}

/// A topic of what happened; old records are deleted.
pub trait EventTopic: Topic {}

/// A topic of what is to be done; old records are deleted.
pub trait CommandTopic: Topic {}

/// A topic of the state of each key; all but the last record of each is cleaned away.
pub trait StateTopic: Topic {}

/// A topic that carries `E`: what `#[topic(carries(E))]` says.
#[diagnostic::on_unimplemented(
    message = "the topic `{Self}` does not carry `{E}`",
    label = "`{E}` does not belong on this topic",
    note = "list it where the topic is declared: `#[topic(.., carries({E}))]`"
)]
pub trait Carries<E>: Topic {}

/// What a topic carries: [`Carries`] from the other side, so that the compiler names the topic and not
/// another type that it carries.
pub trait CarriedBy<T> {}

impl<T: Carries<E>, E> CarriedBy<T> for E {}
