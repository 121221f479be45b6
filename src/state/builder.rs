//! What can be set about a view, and how one starts.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::error::StateStartError;
use super::reading::{Reading, Start, start};
use super::settings::{Settings, Unreadable};
use super::status::StateViewStatus;
use super::store::Store;
use super::view::StateView;
use crate::error::ErrorClass;
use crate::event::TopicSpec;
use crate::task;
use crate::topic::TopicKind;
use crate::transport::{Admin, TopicNeed, TopicSetup, Transport, TransportError, prepare_topics};

/// Between two tries while the broker does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// What is settable about a view; see [`StateView::builder`].
#[derive(Debug)]
pub struct StateViewBuilder<T, V> {
    spec: TopicSpec,
    setup: TopicSetup,
    settings: Settings,
    of: PhantomData<fn() -> (T, V)>,
}

impl<T, V> StateViewBuilder<T, V> {
    pub(super) fn new(spec: TopicSpec) -> Self {
        let (setup, settings) = (TopicSetup::default(), Settings::default());
        Self { spec, setup, settings, of: PhantomData }
    }

    /// What is done about the topic at start. Default: it must be there, as it is declared.
    #[must_use]
    pub fn topics(mut self, setup: TopicSetup) -> Self {
        self.setup = setup;
        self
    }

    /// The most that keys and values may take, in bytes; a view that would take more stops. Default
    /// 256 MiB.
    ///
    /// Counted are of each key: its bytes, those of its value's payload in place of what the value
    /// owns, the value's own size, and 160 bytes for what lies around them; so are keys that were
    /// removed, until the view has caught up, where the topic has several partitions. What the client
    /// has fetched ahead is not among them.
    #[must_use]
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.settings.max_memory = bytes;
        self
    }

    /// What is done with a value that cannot be read. Default: the key keeps its last one.
    #[must_use]
    pub fn unreadable(mut self, policy: Unreadable) -> Self {
        self.settings.unreadable = policy;
        self
    }

    /// How long a start goes on trying while the broker does not answer. Default 30 s.
    #[must_use]
    pub fn start_wait(mut self, wait: Duration) -> Self {
        self.settings.start_wait = wait;
        self
    }
}

impl<T, V: DeserializeOwned + Send + Sync + 'static> StateViewBuilder<T, V> {
    /// Looks at the topic and begins to read; it has not caught up yet.
    ///
    /// # Errors
    /// When the topic is missing or not as it must be, or the broker refuses or stays away.
    pub async fn start<K: Transport + Clone>(
        self,
        transport: &K,
    ) -> Result<StateView<T, V>, StateStartError> {
        let Self { spec, setup, settings, .. } = self;
        let (topic, wait) = (spec.name().clone(), settings.start_wait);
        if spec.kind() != TopicKind::State {
            return Err(StateStartError::NotState { topic, kind: spec.kind() });
        }
        let transport: Arc<dyn Transport> = Arc::new(transport.clone());
        let admin = transport.admin();
        let deadline = Instant::now() + wait;
        prepare_topics(&*admin, &[TopicNeed::from(spec)], setup, wait).await?;
        let refused = |source| StateStartError::Transport { topic: topic.clone(), source };
        let found = look(&*admin, &topic, wait, deadline).await.map_err(refused)?;
        let found = found.ok_or_else(|| StateStartError::Missing { topic: topic.clone() })?;
        let status = StateViewStatus::new(topic.clone(), settings.max_memory, transport.producer());
        let store = Arc::new(Store::new(settings, status));
        let reading = Reading::new(transport, topic.clone(), store.clone(), found);
        let reading = reading.map_err(refused)?;
        let admin: Arc<dyn Admin> = admin;
        let task = tokio::spawn(task::owned(reading.run()));
        Ok(StateView::new(store, admin, task.abort_handle()))
    }
}

/// Which topic it is, and where its partitions begin and end; while the broker does not answer it goes on trying.
async fn look(
    admin: &dyn Admin,
    topic: &crate::event::TopicName,
    within: Duration,
    deadline: Instant,
) -> Result<Option<Start>, TransportError> {
    loop {
        match start(admin, topic, within).await {
            Err(error) if error.class == ErrorClass::Retriable && Instant::now() < deadline => {
                let error = crate::error::chain(&error);
                tracing::warn!(%topic, error, "a state topic cannot be looked at yet");
                tokio::time::sleep(AGAIN).await;
            }
            result => return result,
        }
    }
}
