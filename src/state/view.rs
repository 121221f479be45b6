//! A view: what each key of a state topic stands at.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;

use super::builder::StateViewBuilder;
use super::changes::StateChanges;
use super::error::{StateStartError, StateStopped};
use super::key::StateKey;
use super::status::{Phase, StateViewStatus};
use super::store::Store;
use crate::event::{Profile, TopicKind, TopicName, TopicSettings, TopicSpec};
use crate::topic::{CarriedBy, StateTopic};
use crate::transport::{Admin, Delivered, Position, Transport, TransportError, positions};

/// The last value of each key of a state topic, in memory. Cheap to clone; all clones are one view,
/// which ends with the last of them.
///
/// It reads without a group: each process that has one sees every key, and nothing is committed. It
/// can be looked at from the start on; [`caught_up`](Self::caught_up) says when it has read all that
/// was there then. After that it follows, as a rule within milliseconds.
///
/// The last record of a key counts, by the order in its partition. A topic that is given more
/// partitions has old records of a key where the key went before; the one with the younger timestamp
/// counts then, but a tombstone is not remembered: write every key anew, or take a new topic.
pub struct StateView<T, V> {
    store: Arc<Store<V>>,
    admin: Arc<dyn Admin>,
    _task: Arc<EndsWith>,
    of: PhantomData<fn() -> T>,
}

/// In place of a topic's type where its name is known only at run time.
#[derive(Debug)]
pub enum AnyTopic {}

/// A task that ends with this value.
struct EndsWith(AbortHandle);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T, V> StateView<T, V>
where
    T: StateTopic,
    V: CarriedBy<T> + DeserializeOwned + Send + Sync + 'static,
{
    /// A view with all defaults: the topic must be there, as it is declared.
    ///
    /// # Errors
    /// When the topic is missing or not as it must be, or the broker refuses or stays away.
    pub async fn start<K: Transport + Clone>(transport: &K) -> Result<Self, StateStartError> {
        Self::builder().start(transport).await
    }

    /// A view to be configured.
    pub fn builder() -> StateViewBuilder<T, V> {
        StateViewBuilder::new(T::spec())
    }
}

impl<V: DeserializeOwned + Send + Sync + 'static> StateView<AnyTopic, V> {
    /// A view of a topic whose name is known only at run time, and of which nothing is declared but
    /// that it is compacted.
    pub fn named(topic: TopicName) -> StateViewBuilder<AnyTopic, V> {
        let nothing = Profile::new("as it is", TopicSettings::default());
        Self::declared(TopicSpec::new(topic, TopicKind::State).profile(nothing))
    }

    /// A view of a topic that is declared at run time, of the kind `State`.
    pub fn declared(topic: TopicSpec) -> StateViewBuilder<AnyTopic, V> {
        StateViewBuilder::new(topic)
    }
}

impl<T, V> StateView<T, V> {
    pub(super) fn new(store: Arc<Store<V>>, admin: Arc<dyn Admin>, task: AbortHandle) -> Self {
        Self { store, admin, _task: Arc::new(EndsWith(task)), of: PhantomData }
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Arc<V>> {
        self.store.table().get(key.as_ref())
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.store.table().len()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys and values of one moment, by key. The values are shared, not copied; the reading
    /// waits while they are gathered.
    pub fn snapshot(&self) -> Vec<(StateKey, Arc<V>)> {
        let table = self.store.table();
        let mut all: Vec<_> =
            table.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        drop(table);
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// The keys whose last record could not be read, in no order. Some of them still have the value before it.
    pub fn unreadable_keys(&self) -> Vec<StateKey> {
        self.store.table().unreadable_keys()
    }

    /// Waits until all is read that was in the topic when the view started, or last began anew.
    ///
    /// # Errors
    /// When it stops before, or has stopped since.
    pub async fn caught_up(&self) -> Result<(), StateStopped> {
        let mut phase = self.status().phase();
        let told = phase.wait_for(|phase| *phase != Phase::Reading).await;
        match told.as_deref() {
            Ok(Phase::Stopped(why)) => Err(why.clone()),
            // The view holds the other end.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Waits until what was written at this place of the topic is in the view, so that a reader sees its
    /// own writes.
    ///
    /// # Errors
    /// When it stops before.
    pub async fn reached(&self, at: &Delivered) -> Result<(), StateStopped> {
        let Delivered { partition, offset, .. } = *at;
        let mut next = self.status().next();
        let mut phase = self.status().phase();
        tokio::select! {
            biased;
            _ = next.wait_for(|all| all.get(&partition).is_some_and(|next| *next > offset)) => Ok(()),
            stopped = phase.wait_for(|phase| matches!(phase, Phase::Stopped(_))) => match stopped.as_deref() {
                Ok(Phase::Stopped(why)) => Err(why.clone()),
                _ => Ok(()),
            },
        }
    }

    /// The changes from now on. What is in the view already is not among them: ask for the changes,
    /// then take a [`snapshot`](Self::snapshot); some of the changes may be in it.
    pub fn changes(&self) -> StateChanges<V> {
        self.store.changes()
    }

    /// How many offsets it is behind, all partitions together: asks the broker. Transactions and
    /// compaction leave offsets without a record, so there may be fewer records, and none.
    ///
    /// # Errors
    /// When the broker does not answer within `within`.
    pub async fn lag(&self, within: Duration) -> Result<u64, TransportError> {
        let topic = self.status().topic();
        let ends = positions(&*self.admin, topic, Position::Latest, within).await?;
        let next = self.status().next();
        let next = next.borrow();
        let behind = ends.into_iter().flatten().map(|(partition, end)| {
            let next = next.get(&partition.partition).copied().unwrap_or_default();
            u64::try_from(end - next).unwrap_or_default()
        });
        Ok(behind.sum())
    }

    /// A handle to its health and counters that knows no types. Cheap to clone.
    pub fn status(&self) -> &StateViewStatus {
        &self.store.status
    }
}

impl<T, V> Clone for StateView<T, V> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            admin: self.admin.clone(),
            _task: self._task.clone(),
            of: PhantomData,
        }
    }
}

impl<T, V> std::fmt::Debug for StateView<T, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StateView").field(self.status()).finish()
    }
}
