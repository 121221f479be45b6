//! A process of the simulated application: it owns a client and tasks, and loses both when it ends.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::database::{MemoryDatabase, MemoryStore};
use super::journal::{Client, What};
use super::pace::Pace;
use super::world::World;
use crate::consumer::{Consumer, RunningConsumer};
use crate::error::BoxError;
use crate::outbox::{Relay, RunningRelay};
use crate::task;
use crate::transport::memory::{Memory, MemoryConfig};

/// What a process runs each time that it is started.
pub(super) type Main =
    Arc<dyn Fn(Life) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send + Sync>;

/// A process, as it is started again after each of its ends.
#[derive(Clone)]
pub struct Process {
    /// Its name, for stories.
    pub(super) name: String,
    /// The group whose consumer it runs; `None` where it runs none.
    pub(super) group: Option<String>,
    /// Its client's settings; its clock is the world's to set.
    pub(super) config: MemoryConfig,
    pub(super) main: Main,
}

/// One life of a process, from a start to a crash or a stop.
#[derive(Clone)]
pub struct Life {
    /// Its client of the broker.
    pub client: Memory,
    /// The world that it is in.
    pub world: World,
    pub(super) pace: Arc<Pace>,
    owned: Arc<Mutex<Owned>>,
}

/// What ends with a life.
#[derive(Default)]
struct Owned {
    consumers: Vec<RunningConsumer>,
    relays: Vec<RunningRelay>,
    tasks: JoinSet<()>,
    over: bool,
}

impl Life {
    pub(super) fn new(client: Memory, world: World, pace: Arc<Pace>) -> Self {
        Self { client, world, pace, owned: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Owned> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of the broker's clients it is.
    pub fn number(&self) -> Client {
        self.client.number()
    }

    /// Starts a consumer; it runs until the life ends.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn consume(&self, consumer: Consumer) -> Result<(), BoxError> {
        let running = consumer.start().await?;
        let mut owned = self.lock();
        if !owned.over {
            owned.consumers.push(running);
        }
        Ok(())
    }

    /// Its access to a database of the world: it ends with the life, and what was open is taken back.
    pub fn store(&self, database: &MemoryDatabase) -> MemoryStore {
        database.store_of(self.pace.clone())
    }

    /// Starts a relay; it runs until the life ends.
    pub fn relay(&self, relay: Relay) {
        let running = relay.start();
        let mut owned = self.lock();
        if !owned.over {
            owned.relays.push(running);
        }
    }

    /// Starts a task; it runs until it is done or the life ends. A task that is started otherwise, with
    /// `tokio::spawn`, does not belong to the life: no crash ends it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut owned = self.lock();
        if !owned.over {
            owned.tasks.spawn(task::within(self.pace.clone(), self.world.watched(task)));
        }
    }

    /// Ends at once: no task of it is polled again, nothing of it reaches the broker.
    pub(super) fn end(&self) {
        self.pace.ends();
        self.pace.disarm();
        self.client.kill();
        let owned = {
            let mut owned = self.lock();
            std::mem::replace(&mut *owned, Owned { over: true, ..Owned::default() })
        };
        drop(owned);
    }

    /// Stops its consumers and relays within `drain`, and then ends; answers whether nothing was left. It may crash
    /// while it stops.
    pub(super) async fn stop(&self, drain: Duration) -> bool {
        self.world.journal().note(What::Stopping { client: self.number() });
        let (consumers, relays) = {
            let mut owned = self.lock();
            (std::mem::take(&mut owned.consumers), std::mem::take(&mut owned.relays))
        };
        let stops = async {
            let mut clean = true;
            for consumer in consumers {
                clean &= consumer.stop(drain).await.is_clean();
            }
            for relay in relays {
                clean &= relay.stop(drain).await.is_clean();
            }
            clean
        };
        let clean = tokio::select! {
            biased;
            // Whatever waits for its tasks waits for ever.
            () = self.pace.ended() => false,
            clean = stops => {
                self.world.journal().note(What::Stopped { client: self.number(), clean });
                clean
            }
        };
        self.end();
        clean
    }
}

impl Process {
    /// A process that runs `main` each time that it is started. When that returns an error the process
    /// ends and is started again; when it returns `Ok`, the process goes on with what it has started.
    pub fn new<F, Fut>(name: impl Into<String>, config: MemoryConfig, main: F) -> Self
    where
        F: Fn(Life) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let main: Main = Arc::new(move |life| Box::pin(main(life)));
        Self { name: name.into(), group: None, config, main }
    }

    /// It runs a consumer of this group, and publishes what its handlers answer, each time announced by
    /// [`What::Follows`], and nothing else.
    #[must_use]
    pub fn consumes(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("name", &self.name).finish_non_exhaustive()
    }
}
