//! A transaction: what it wrote is its own until it commits, and what it holds is until it ends.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::fault::lost;
use super::state::{Claimed, Ended, Row, TxId};
use super::{MemoryStore, failed};
use crate::store::{RowId, StoreError, Transactions};
use crate::transport::TopicPartition;

/// How long a transaction waits for what another one holds.
const WAITS: Duration = Duration::from_secs(5);

/// A transaction of its own. Dropped, it is taken back.
#[derive(Debug)]
pub struct MemoryTransaction(MemoryConnection);

/// A connection in a transaction: the service's own rows, by key.
#[derive(Debug)]
pub struct MemoryConnection {
    pub(super) store: MemoryStore,
    pub(super) id: TxId,
    /// A call of it failed: it can be committed no more.
    pub(super) spoilt: bool,
    over: bool,
    pub(super) events: BTreeMap<RowId, Row>,
    pub(super) claims: Vec<Claimed>,
    pub(super) offsets: BTreeMap<(String, TopicPartition), i64>,
    rows: BTreeMap<String, String>,
    effects: Vec<String>,
    held: Vec<String>,
}

impl MemoryConnection {
    /// A row: as this transaction wrote it, or as it is committed.
    ///
    /// # Errors
    /// When the database is away, or the transaction is no more.
    pub async fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        self.begin("read a row").await?;
        let own = self.rows.get(key).cloned();
        Ok(own.or_else(|| self.store.shared.lock().rows.get(key).cloned()))
    }

    /// Writes a row, and holds it until the transaction ends.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub async fn put(&mut self, key: &str, value: impl Into<String>) -> Result<(), StoreError> {
        self.lock(key).await?;
        self.rows.insert(key.to_owned(), value.into());
        Ok(())
    }

    /// Holds a row until the transaction ends, whether it is there or not: another transaction waits.
    ///
    /// # Errors
    /// When the database is away, the transaction is no more, or another one holds it for 5 s.
    pub async fn lock(&mut self, key: &str) -> Result<(), StoreError> {
        self.begin("hold a row").await?;
        self.hold(format!("row {key}"), "hold a row").await
    }

    /// Notes an effect that is to happen once: a simulation checks that no other transaction that
    /// commits has noted it.
    ///
    /// # Errors
    /// When the database is away, or the transaction is no more.
    pub async fn effect(&mut self, name: impl Into<String>) -> Result<(), StoreError> {
        self.begin("write a row").await?;
        self.effects.push(name.into());
        Ok(())
    }

    /// Begins a call in this transaction; a call that fails spoils it.
    pub(super) async fn begin(&mut self, what: &'static str) -> Result<(), StoreError> {
        let reached = self.store.reach(what).await;
        let reached = reached.and_then(|()| self.check(what));
        self.spoilt |= reached.is_err();
        reached
    }

    fn check(&self, what: &'static str) -> Result<(), StoreError> {
        let refused = |why: &'static str| StoreError::Refused { what, source: why.into() };
        if self.spoilt {
            return Err(refused("a call of this transaction has failed before"));
        }
        if !self.store.shared.lock().open.contains_key(&self.id) {
            return Err(failed(what, "the connection is gone, and the transaction with it"));
        }
        Ok(())
    }

    /// Holds something until the transaction ends; waits for who holds it.
    pub(super) async fn hold(
        &mut self,
        name: String,
        what: &'static str,
    ) -> Result<(), StoreError> {
        let deadline = Instant::now() + WAITS;
        let held = loop {
            let shared = self.store.shared.clone();
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = shared.lock();
                match state.held.get(&name) {
                    Some(holder) if *holder != self.id => {}
                    _ => {
                        state.held.insert(name.clone(), self.id);
                        break Ok(());
                    }
                }
            }
            if timeout_at(deadline, changed).await.is_err() {
                let why = "another transaction has held it for too long".into();
                break Err(StoreError::Conflict { what, source: why });
            }
            self.store.check(what)?;
            self.check(what)?;
        };
        self.spoilt |= held.is_err();
        self.held.push(name);
        held
    }

    /// What is told of it.
    fn ended(&mut self, committed: bool) -> Ended {
        Ended {
            committed,
            events: self.events.iter().map(|(row, event)| event.told(*row)).collect(),
            claims: std::mem::take(&mut self.claims),
            effects: std::mem::take(&mut self.effects),
            held: std::mem::take(&mut self.held),
        }
    }

    /// Makes what it wrote everybody's, if it is still open; answers whether it was.
    fn apply(&mut self) -> bool {
        self.over = true;
        let shared = self.store.shared.clone();
        let now = shared.now();
        let mut state = shared.lock();
        if !state.end(self.id) {
            drop(state);
            self.take_back();
            return false;
        }
        let ended = self.ended(true);
        state.rows.append(&mut self.rows);
        state.inbox.extend(ended.claims.iter().map(|claim| (claim.clone(), now)));
        for (key, next) in std::mem::take(&mut self.offsets) {
            let stored = state.offsets.entry(key).or_insert(next);
            *stored = (*stored).max(next);
        }
        let news = !self.events.is_empty();
        state.outbox.append(&mut self.events);
        // A hint is a hint: one of four is missed.
        let told = news && state.rng.u8(0..4) > 0;
        shared.tell(ended);
        drop(state);
        if told {
            shared.tell_rows();
        }
        true
    }

    fn take_back(&mut self) {
        self.over = true;
        let shared = self.store.shared.clone();
        let mut state = shared.lock();
        state.end(self.id);
        let ended = self.ended(false);
        shared.tell(ended);
        drop(state);
        shared.changed.notify_waiters();
    }
}

impl Transactions for MemoryStore {
    type Connection = MemoryConnection;
    type Transaction = MemoryTransaction;

    async fn open(&self) -> Result<MemoryTransaction, StoreError> {
        self.reach("open a transaction").await?;
        let id = self.shared.lock().begin();
        Ok(MemoryTransaction(MemoryConnection {
            store: self.clone(),
            id,
            spoilt: false,
            over: false,
            events: BTreeMap::new(),
            claims: Vec::new(),
            offsets: BTreeMap::new(),
            rows: BTreeMap::new(),
            effects: Vec::new(),
            held: Vec::new(),
        }))
    }

    async fn commit(&self, mut transaction: MemoryTransaction) -> Result<(), StoreError> {
        let connection = &mut transaction.0;
        connection.begin("commit").await?;
        let lost_answer = connection.store.shared.lock().faults.next_commit();
        if lost_answer == Some(false) {
            connection.take_back();
            return Err(lost());
        }
        if !connection.apply() {
            return Err(failed("commit", "the connection is gone, and the transaction with it"));
        }
        self.done().await;
        if lost_answer.is_some() {
            return Err(lost());
        }
        Ok(())
    }

    async fn roll_back(&self, mut transaction: MemoryTransaction) -> Result<(), StoreError> {
        transaction.0.take_back();
        self.reach("roll back").await
    }
}

impl Deref for MemoryTransaction {
    type Target = MemoryConnection;

    fn deref(&self) -> &MemoryConnection {
        &self.0
    }
}

impl DerefMut for MemoryTransaction {
    fn deref_mut(&mut self) -> &mut MemoryConnection {
        &mut self.0
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        if !self.over {
            self.take_back();
        }
    }
}
