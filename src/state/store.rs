//! What a view shares with who reads: the table, and who hears of changes.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::de::DeserializeOwned;
use tokio::sync::broadcast;

use super::changes::{StateChange, StateChanges};
use super::error::StateStopped;
use super::settings::{Settings, Unreadable};
use super::status::{StateCounts, StateViewStatus};
use super::table::{Full, Origin, Table};
use super::value::decode;
use crate::transport::{Received, RecordBatch, Timestamp};

/// Changes that a subscriber may be behind.
const CHANGES: usize = 256;
/// The first unreadable values are each worth a line in the log, then fewer and fewer.
const LOGGED: u64 = 10;

pub(super) struct Store<V> {
    table: RwLock<Table<V>>,
    changes: broadcast::Sender<StateChange<V>>,
    pub(super) status: StateViewStatus,
    settings: Settings,
}

/// What a record says about its key.
enum Says<V> {
    Value(V, usize),
    Unreadable(String),
    Tombstone,
}

impl<V> Store<V> {
    pub(super) fn new(settings: Settings, status: StateViewStatus) -> Self {
        let table = RwLock::new(Table::new(settings.max_memory));
        Self { table, changes: broadcast::Sender::new(CHANGES), status, settings }
    }

    /// For a look: the reading waits meanwhile.
    pub(super) fn table(&self) -> RwLockReadGuard<'_, Table<V>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, Table<V>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changes(&self) -> StateChanges<V> {
        StateChanges::new(self.changes.subscribe(), self.status.phase())
    }

    pub(super) fn clear(&self) {
        let mut table = self.table_mut();
        table.clear();
        self.count(&table);
        drop(table);
        // Nobody has to listen.
        let _ = self.changes.send(StateChange::Cleared);
    }

    /// While several partitions are read from their beginning, which may be in any order.
    pub(super) fn keep_tombstones(&self) {
        self.table_mut().keep_tombstones();
    }

    pub(super) fn forget_tombstones(&self) {
        let mut table = self.table_mut();
        table.forget_tombstones();
        self.count(&table);
    }

    fn count(&self, table: &Table<V>) {
        use std::sync::atomic::Ordering::Relaxed;
        let counts = self.status.counts();
        counts.keys.store(table.len(), Relaxed);
        counts.unreadable_keys.store(table.unreadable(), Relaxed);
        counts.bytes.store(table.bytes(), Relaxed);
    }
}

impl<V: DeserializeOwned> Store<V> {
    /// Takes records in their order; who looks sees none of them, or all.
    pub(super) fn apply(&self, batch: &RecordBatch) -> Result<(), StateStopped> {
        let counts = self.status.counts();
        let mut said = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let Some(key) = &record.key else {
                StateCounts::add(&counts.keyless, 1);
                tracing::debug!(partition = %batch.partition, offset = record.offset, "a record of a state topic has no key");
                continue;
            };
            let says = match &record.payload {
                None => Says::Tombstone,
                Some(payload) => match decode(record, payload) {
                    Ok(value) => Says::Value(value, payload.len()),
                    Err(reason) => Says::Unreadable(reason),
                },
            };
            said.push((record, key, says));
        }
        let heard = self.changes.receiver_count() > 0;
        let mut changes = Vec::new();
        let mut table = self.table_mut();
        let mut applied = Ok(());
        for (record, key, says) in said {
            let origin = Origin {
                partition: record.partition,
                made: record.timestamp.map(Timestamp::millis),
            };
            let taken = match says {
                Says::Value(value, payload) => {
                    StateCounts::add(&counts.values, 1);
                    table
                        .put(key, value, payload, origin)
                        .map(|put| put.map(|(key, value)| StateChange::Put { key, value }))
                }
                Says::Tombstone => {
                    StateCounts::add(&counts.tombstones, 1);
                    table
                        .remove(key, origin)
                        .map(|removed| removed.map(|key| StateChange::Removed { key }))
                }
                Says::Unreadable(reason) => {
                    self.unreadable(record, &reason);
                    if self.settings.unreadable == Unreadable::Stop {
                        let (partition, offset) = (batch.partition.clone(), record.offset);
                        applied = Err(StateStopped::Unreadable { partition, offset, reason });
                        break;
                    }
                    table.put_unreadable(key, origin).map(|()| None)
                }
            };
            match taken {
                Ok(change) => changes.extend(change.filter(|_| heard)),
                Err(Full) => {
                    applied = Err(StateStopped::TooMuchMemory {
                        topic: self.status.topic().clone(),
                        limit: self.settings.max_memory,
                        keys: table.len(),
                    });
                    break;
                }
            }
        }
        self.count(&table);
        drop(table);
        for change in changes {
            // They may have gone meanwhile.
            let _ = self.changes.send(change);
        }
        applied
    }

    fn unreadable(&self, record: &Received, reason: &str) {
        let number = StateCounts::add(&self.status.counts().unreadable, 1);
        if number <= LOGGED || number.is_power_of_two() {
            tracing::warn!(
                topic = %record.topic,
                partition = record.partition,
                offset = record.offset,
                reason,
                number,
                "a value of a state topic cannot be read"
            );
        }
    }
}
