//! A database in memory, for tests: the tables of outbox and inbox beside rows of the service's own, in
//! transactions, in tokio's time.
//!
//! Many transactions run at once, as in PostgreSQL at `READ COMMITTED`: each sees what is committed and
//! what it wrote itself, one that writes a row holds it until it ends, and outbox rows take their numbers
//! when they are stored, so one may be committed after others with higher numbers. With a paused clock
//! leases, delayed events and time-outs take no time but that of the relay's looks.
//!
//! ```
//! # #[cfg(feature = "macros")] {
//! use serde::{Deserialize, Serialize};
//! use tidings::IntegrationEvent;
//! use tidings::outbox::{Outbox, Relay};
//! use tidings::store::Transactions;
//! use tidings::testing::MemoryDatabase;
//! use tidings::transport::Transport;
//! use tidings::transport::memory::MemoryBroker;
//!
//! #[derive(Serialize, Deserialize, IntegrationEvent)]
//! #[event(key = user)]
//! struct Reminded { user: String }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! // #[tokio::test(start_paused = true)]
//! let (broker, database) = (MemoryBroker::new(), MemoryDatabase::new());
//! let (client, store) = (broker.client("users").unwrap(), database.store());
//! let _relay = Relay::builder(store.clone()).build(&client).unwrap().start();
//! let outbox = Outbox::new(store.clone(), client.service().clone());
//! let mut transaction = store.open().await.unwrap();
//! transaction.put("user/7", "ann").await.unwrap();
//! let later = database.now() + chrono::TimeDelta::hours(1);
//! outbox.add_later(&mut transaction, Reminded { user: "7".into() }, later).await.unwrap();
//! store.commit(transaction).await.unwrap();
//! tokio::time::sleep(std::time::Duration::from_secs(59 * 60)).await;
//! assert!(broker.records(&Reminded::topics()[0]).is_empty());
//! // An hour passes at once, save that the relay looks each second: `poll` makes that seldom.
//! database.settled().await;
//! assert_eq!(broker.records(&Reminded::topics()[0]).len(), 1);
//! # });
//! # }
//! ```

mod fault;
mod inbox;
mod leases;
mod outbox;
mod session;
mod state;
mod transaction;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::fault::DatabaseFault;
pub use self::state::{Claimed, Ended, Stored};
pub use self::transaction::{MemoryConnection, MemoryTransaction};

use self::state::State;
use crate::clock::{Millis, millis};
use crate::store::{Backlog, StoreError};

/// A database in this process. Cheap to clone; all clones are the same database.
///
/// It is for tests. What is in it is gone with the last clone.
#[derive(Clone)]
pub struct MemoryDatabase(Arc<Shared>);

/// What can be set about a database; see [`MemoryDatabase::builder`].
#[derive(Debug, Clone)]
pub struct MemoryDatabaseBuilder {
    seed: u64,
    started_at: Option<Millis>,
    latency: (Duration, Duration),
}

/// A service's access to a database, for its outbox, its relay, its inbox and its own rows. Cheap to
/// clone.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    caller: Option<Arc<dyn Caller>>,
}

/// Who uses a database.
pub(super) trait Caller: Send + Sync + 'static {
    /// Whether it may still do anything.
    fn is_alive(&self) -> bool;

    /// It has done something.
    fn did(&self);
}

/// Hears of each transaction that ends.
type Hear = Arc<dyn Fn(Ended) + Send + Sync>;

struct Shared {
    started: Instant,
    base: Millis,
    latency: (Duration, Duration),
    state: Mutex<State>,
    /// Something was committed or let go.
    changed: Notify,
    /// There is a hint for relays. No `watch`: that wakes many receivers in an order of its own.
    told: Notify,
    hear: Mutex<Option<Hear>>,
}

impl MemoryDatabase {
    /// An empty database that answers at once and does not fail.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A database to be configured.
    pub fn builder() -> MemoryDatabaseBuilder {
        MemoryDatabaseBuilder { seed: 0, started_at: None, latency: Default::default() }
    }

    /// Access to it.
    pub fn store(&self) -> MemoryStore {
        MemoryStore { shared: self.0.clone(), caller: None }
    }

    /// Access for somebody who may come to an end.
    pub(super) fn store_of(&self, caller: Arc<dyn Caller>) -> MemoryStore {
        MemoryStore { shared: self.0.clone(), caller: Some(caller) }
    }

    /// The database's time.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.now()).unwrap_or_default()
    }

    /// A row of the service's own, as it is committed.
    pub fn get(&self, key: &str) -> Option<String> {
        self.0.lock().rows.get(key).cloned()
    }

    /// What waits in its outbox.
    pub fn backlog(&self) -> Backlog {
        let now = self.0.now();
        self.0.lock().backlog(now)
    }

    /// Waits until nothing waits in its outbox, delayed events included. Parked ones are nothing to
    /// wait for.
    pub async fn settled(&self) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            let Backlog { rows, delayed, .. } = self.backlog();
            if rows == 0 && delayed == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Lets it be as if these events had been handled at some time before.
    pub fn was_handled(&self, claims: impl IntoIterator<Item = Claimed>, at: DateTime<Utc>) {
        let at = at.timestamp_millis();
        self.0.lock().inbox.extend(claims.into_iter().map(|claim| (claim, at)));
    }

    /// Lets it be as if so many published events had been kept, until some time.
    pub fn was_kept(&self, events: usize, until: DateTime<Utc>) {
        self.0.lock().kept.extend(std::iter::repeat_n(until.timestamp_millis(), events));
    }

    /// How many events of a group are remembered that were handled longer ago.
    pub(super) fn handled_before(&self, group: &str, since: Duration) -> usize {
        let before = self.0.now().saturating_sub(millis(since));
        let state = self.0.lock();
        state.inbox.iter().filter(|(claim, at)| claim.group == group && **at < before).count()
    }

    /// How many published events are kept that were to be kept until longer ago.
    pub(super) fn kept_until(&self, since: Duration) -> usize {
        let before = self.0.now().saturating_sub(millis(since));
        self.0.lock().kept.iter().filter(|until| **until < before).count()
    }

    /// Makes a fault happen now.
    pub fn inject(&self, fault: DatabaseFault) {
        self.0.lock().happen(fault, Instant::now());
        self.0.changed.notify_waiters();
    }

    /// Ends every fault.
    pub fn heal(&self) {
        self.0.lock().faults.heal();
    }

    /// Lets `hear` hear of each transaction that ends, in order. It is called with the database held:
    /// be short, and do not call the database.
    pub(super) fn on_end(&self, hear: Hear) {
        *self.0.hear.lock().unwrap_or_else(PoisonError::into_inner) = Some(hear);
    }
}

impl MemoryDatabaseBuilder {
    /// What its chance is drawn from: how long calls take, which hints are missed. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Its time at its start, in Unix milliseconds. Default: this machine's.
    #[must_use]
    pub fn starting_at(mut self, now: Millis) -> Self {
        self.started_at = Some(now);
        self
    }

    /// How long each call takes, there and back, drawn between the two. Default: no time.
    #[must_use]
    pub fn latency(mut self, least: Duration, most: Duration) -> Self {
        self.latency = (least, most.max(least));
        self
    }

    /// The database.
    pub fn build(self) -> MemoryDatabase {
        MemoryDatabase(Arc::new(Shared {
            started: Instant::now(),
            base: self.started_at.unwrap_or_else(|| Utc::now().timestamp_millis()),
            latency: self.latency,
            state: Mutex::new(State::new(self.seed)),
            changed: Notify::new(),
            told: Notify::new(),
            hear: Mutex::default(),
        }))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Millis {
        self.base.saturating_add(millis(self.started.elapsed()))
    }

    /// Relays came or went.
    fn tell_leases(&self) {
        self.lock().told.1 += 1;
        self.told.notify_waiters();
    }

    /// Rows were stored.
    fn tell_rows(&self) {
        self.lock().told.0 += 1;
        self.told.notify_waiters();
    }

    fn tell(&self, ended: Ended) {
        let hear = self.hear.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hear) = hear {
            hear(ended);
        }
    }
}

impl MemoryStore {
    /// The way there: it takes its time, and may fail.
    async fn reach(&self, what: &'static str) -> Result<(), StoreError> {
        self.travel().await;
        self.check(what)?;
        self.shared.lock().faults.next(what)
    }

    /// Half of what a call takes.
    async fn travel(&self) {
        let (least, most) = self.shared.latency;
        if most.is_zero() {
            return;
        }
        let takes = self.shared.lock().rng.u64(0..=1_000);
        let spread = u32::try_from(takes).unwrap_or_default();
        tokio::time::sleep((least + (most - least) * spread / 1_000) / 2).await;
    }

    /// Whether the database can be asked.
    fn check(&self, what: &'static str) -> Result<(), StoreError> {
        if self.caller.as_ref().is_some_and(|caller| !caller.is_alive()) {
            return Err(failed(what, "the process that asks is no more"));
        }
        if self.shared.lock().faults.is_away(Instant::now()) {
            return Err(failed(what, "a fault keeps the database away"));
        }
        Ok(())
    }

    /// Something was done that others can see; and the way back.
    async fn done(&self) {
        self.shared.changed.notify_waiters();
        if let Some(caller) = &self.caller {
            caller.did();
        }
        self.travel().await;
    }
}

fn failed(what: &'static str, why: &'static str) -> StoreError {
    StoreError::Database { what, source: why.into() }
}

impl Default for MemoryDatabase {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDatabase").finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
