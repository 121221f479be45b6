//! Integration events: published, versioned contracts.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{InvalidKey, PartitionKey, Subject, TopicName, TopicSpec};

/// A published, versioned contract between services.
///
/// Usually derived: `#[derive(IntegrationEvent)] #[event(key = user_id)]` gives the name
/// `user_created` to a type `UserCreated`, version 1 and the topic
/// `integration-events.user_created`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an integration event",
    note = "derive it: `#[derive(Serialize, Deserialize, IntegrationEvent)]`"
)]
pub trait IntegrationEvent: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The type on the wire (`ce_type`). Unique within a topic; it never changes once published.
    const NAME: &'static str;

    /// The contract's version (`ce_eventversion`), from 1 up.
    const VERSION: u32 = 1;

    /// Every topic that [`topic`](Self::topic) can answer: what a consumer of this event subscribes to.
    fn topics() -> Vec<TopicName>;

    /// Those of its topics that are declared with their settings. Default: none is.
    fn declared_topics() -> Vec<TopicSpec> {
        Vec::new()
    }

    /// Where this event goes.
    fn topic(&self) -> TopicName;

    /// The key whose events stay in order. `None`: no order is asked for and any partition will do.
    ///
    /// # Errors
    /// The field that the key is made of holds a value that no key can have (empty, too long).
    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        Ok(None)
    }

    /// What the event is about within its source (`ce_subject`), when that is worth saying.
    fn subject(&self) -> Option<Subject> {
        None
    }
}

/// A type's name without its path: `UserCreated` of `users::events::UserCreated`, parameters kept.
pub fn simple_type_name<T: ?Sized>() -> &'static str {
    let full = std::any::type_name::<T>();
    let path = full.split('<').next().unwrap_or(full);
    path.rfind("::").map_or(full, |at| &full[at + 2..])
}
