//! One relay's reading and marking.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use super::leases::Held;
use super::state::{Parked, Row};
use crate::clock::millis;
use crate::store::{
    Fetched, Hint, Holding, OrderKey, OutboxRow, OutboxSession, RowId, Shard, StoreError,
};

pub(super) struct Session {
    store: MemoryStore,
    relay: String,
    held: Mutex<Held>,
    /// What it has heard of what relays are told.
    heard: Mutex<(u64, u64)>,
}

impl Session {
    pub(super) fn new(store: MemoryStore, relay: &str) -> Self {
        let heard = Mutex::new(store.shared.lock().told);
        Self { store, relay: relay.to_owned(), held: Mutex::default(), heard }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OutboxSession for Session {
    async fn renew(&self, lease: Duration) -> Result<Holding, StoreError> {
        self.store.reach("renew leases").await?;
        let now = self.store.shared.now();
        let (holding, news) = {
            let mut state = self.store.shared.lock();
            state.leases.renew(&self.relay, &mut self.held(), lease, now)
        };
        if news {
            self.store.shared.tell_leases();
        }
        self.store.travel().await;
        Ok(holding)
    }

    async fn give_up(&self, shards: &[Shard]) -> Result<(), StoreError> {
        self.store.reach("give leases up").await?;
        self.store.shared.lock().leases.give_up(&mut self.held(), shards);
        self.store.shared.tell_leases();
        self.store.travel().await;
        Ok(())
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.store.reach("let a relay leave").await?;
        self.store.shared.lock().leases.leave(&self.relay);
        self.store.shared.tell_leases();
        Ok(())
    }

    async fn parked_keys(&self, shards: &[Shard]) -> Result<Vec<OrderKey>, StoreError> {
        self.store.reach("list parked keys").await?;
        let keys = {
            let state = self.store.shared.lock();
            let epochs = shards.iter().map(|shard| (*shard, state.leases.epoch(*shard)));
            self.held().epochs.extend(epochs);
            let parked = state.parked.values().filter(|parked| shards.contains(&parked.row.shard));
            let key = |Row { record, .. }: &Row| {
                Some(OrderKey { topic: record.topic.clone(), key: record.key.clone()? })
            };
            parked.filter_map(|parked| key(&parked.row)).collect()
        };
        self.store.travel().await;
        Ok(keys)
    }

    async fn fetch(
        &self,
        shards: &[Shard],
        known: &[RowId],
        limit: usize,
    ) -> Result<Fetched, StoreError> {
        self.store.reach("list what is to be published").await?;
        let now = self.store.shared.now();
        let fetched = {
            let (state, held) = (self.store.shared.lock(), self.held());
            let fresh = |shard: &Shard| held.epochs.get(shard) == Some(&state.leases.epoch(*shard));
            if !shards.iter().all(fresh) {
                return Ok(Fetched { stale: true, ..Fetched::default() });
            }
            let of_them = || state.outbox.iter().filter(|(_, row)| shards.contains(&row.shard));
            let rows = of_them()
                .filter(|(number, row)| row.publish_at.is_none() && !known.contains(number))
                .take(limit)
                .map(|(number, Row { shard, id, record, .. })| OutboxRow {
                    row: *number,
                    shard: *shard,
                    id: id.clone(),
                    record: Box::new(record.clone()),
                });
            let due = of_them().filter_map(|(_, row)| row.publish_at).min();
            let due_in = due.map(|due| due.saturating_sub(now).max(0).unsigned_abs());
            let due_in = due_in.map(Duration::from_millis);
            Fetched { rows: rows.collect(), stale: false, due_in }
        };
        self.store.travel().await;
        Ok(fetched)
    }

    async fn published(
        &self,
        rows: &[(RowId, Shard)],
        keep: Duration,
    ) -> Result<Vec<Shard>, StoreError> {
        self.store.reach("delete what was published").await?;
        let until = self.store.shared.now().saturating_add(millis(keep));
        let mut marked = Vec::new();
        {
            let (mut state, held) = (self.store.shared.lock(), self.held());
            for (row, shard) in rows {
                if !state.leases.holds(&held, *shard) {
                    continue;
                }
                if state.outbox.remove(row).is_some() && !keep.is_zero() {
                    state.kept.push(until);
                }
                marked.push(*shard);
            }
        }
        marked.sort_unstable();
        marked.dedup();
        self.store.done().await;
        Ok(marked)
    }

    async fn park(
        &self,
        shard: Shard,
        failed: Option<(RowId, &str)>,
        behind: &[RowId],
    ) -> Result<bool, StoreError> {
        self.store.reach("park an event").await?;
        let at = self.store.shared.now();
        {
            let (mut state, held) = (self.store.shared.lock(), self.held());
            let fresh = held.epochs.get(&shard) == Some(&state.leases.epoch(shard));
            if !fresh || !state.leases.holds(&held, shard) {
                return Ok(false);
            }
            let reason = |number| failed.filter(|(row, _)| *row == number);
            for number in failed.iter().map(|(row, _)| *row).chain(behind.iter().copied()) {
                if let Some(row) = state.outbox.remove(&number) {
                    let reason = reason(number).map(|(_, reason)| reason.to_owned());
                    state.parked.insert(number, Parked { row, reason, at });
                }
            }
        }
        self.store.done().await;
        Ok(true)
    }

    async fn due(&self, shards: &[Shard], limit: usize) -> Result<(), StoreError> {
        self.store.reach("move what is due").await?;
        let now = self.store.shared.now();
        {
            let (mut state, held) = (self.store.shared.lock(), self.held());
            let due = state.outbox.iter().filter(|(_, row)| {
                let ours = shards.contains(&row.shard) && state.leases.holds(&held, row.shard);
                ours && row.publish_at.is_some_and(|at| at <= now)
            });
            let mut due: Vec<_> = due.map(|(number, row)| (row.publish_at, *number)).collect();
            due.sort_unstable();
            for (_, number) in due.into_iter().take(limit) {
                // It takes a new number, as if it were stored now.
                if let Some(row) = state.outbox.remove(&number) {
                    let number = state.next_row();
                    let row = Row { publish_at: None, appended: now, ..row };
                    state.outbox.insert(number, row);
                }
            }
        }
        self.store.done().await;
        Ok(())
    }

    async fn tidy(&self, limit: usize) -> Result<usize, StoreError> {
        self.store.reach("delete what was kept long enough").await?;
        let now = self.store.shared.now();
        let mut tidied = 0;
        self.store.shared.lock().kept.retain(|until| {
            let over = *until <= now && tidied < limit;
            tidied += usize::from(over);
            !over
        });
        Ok(tidied)
    }

    async fn hint(&self) -> Hint {
        loop {
            let mut told = std::pin::pin!(self.store.shared.told.notified());
            told.as_mut().enable();
            let now = self.store.shared.lock().told;
            let before = {
                let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *heard, now)
            };
            match now {
                (_, leases) if leases != before.1 => return Hint::Leases,
                (rows, _) if rows != before.0 => return Hint::Rows,
                _ => told.await,
            }
        }
    }
}
