//! The outbox: events that are stored, and what people do about those that are parked.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::session::Session;
use super::state::Row;
use super::{MemoryConnection, MemoryStore};
use crate::store::{
    Backlog, NewEvent, OutboxSession, OutboxStore, OutboxTables, ParkedEvent, RowId, StoreError,
};

impl OutboxTables for MemoryStore {
    async fn append(
        &self,
        connection: &mut MemoryConnection,
        events: Vec<NewEvent>,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        connection.begin("store events").await?;
        let (now, publish_at) = (self.shared.now(), publish_at.map(|at| at.timestamp_millis()));
        let mut state = self.shared.lock();
        for event in events {
            connection.events.insert(state.next_row(), Row::new(event, now, publish_at));
        }
        Ok(())
    }
}

#[async_trait]
impl OutboxStore for MemoryStore {
    async fn begin(&self, relay: &str) -> Result<Box<dyn OutboxSession>, StoreError> {
        self.reach("begin a relay's work").await?;
        Ok(Box::new(Session::new(self.clone(), relay)))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.reach("say what waits").await?;
        Ok(self.shared.lock().backlog(self.shared.now()))
    }

    async fn parked(&self, limit: usize) -> Result<Vec<ParkedEvent>, StoreError> {
        self.reach("list parked events").await?;
        let state = self.shared.lock();
        let of_a_key = |row: &Row, other: &Row| {
            row.record.key.is_some()
                && (&row.record.topic, &row.record.key) == (&other.record.topic, &other.record.key)
        };
        let failed = state.parked.iter().filter_map(|(number, parked)| {
            let behind = state.parked.values();
            let behind =
                behind.filter(|b| b.reason.is_none() && of_a_key(&parked.row, &b.row)).count();
            Some(ParkedEvent {
                row: *number,
                id: parked.row.id.clone(),
                topic: parked.row.record.topic.to_string(),
                key: parked.row.record.key.clone(),
                reason: parked.reason.clone()?,
                parked_at: DateTime::from_timestamp_millis(parked.at).unwrap_or_default(),
                behind: u64::try_from(behind).unwrap_or(u64::MAX),
            })
        });
        Ok(failed.take(limit).collect())
    }

    async fn release(&self, row: RowId) -> Result<bool, StoreError> {
        self.put_back(row, true).await
    }

    async fn discard(&self, row: RowId) -> Result<bool, StoreError> {
        self.put_back(row, false).await
    }
}

impl MemoryStore {
    /// Puts a parked event back, or only what waits behind it.
    async fn put_back(&self, row: RowId, itself: bool) -> Result<bool, StoreError> {
        self.reach("put a parked event back").await?;
        {
            let mut state = self.shared.lock();
            let Some(parked) = state.parked.get(&row).filter(|parked| parked.reason.is_some())
            else {
                return Ok(false);
            };
            let first = parked.row.clone();
            let behind = |other: &Row| {
                first.record.key.is_some()
                    && (&other.record.topic, &other.record.key)
                        == (&first.record.topic, &first.record.key)
            };
            let family = state.parked.iter().filter(|(number, parked)| {
                **number == row || parked.reason.is_none() && behind(&parked.row)
            });
            let family: Vec<_> = family.map(|(number, _)| *number).collect();
            for number in family {
                if let Some(parked) = state.parked.remove(&number)
                    && (itself || number != row)
                {
                    state.outbox.insert(number, parked.row);
                }
            }
            state.leases.put_back(first.shard);
        }
        self.shared.tell_rows();
        self.done().await;
        Ok(true)
    }
}
