//! A store that tests listen to while it commits or purges.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::postgres::PgTransaction;
use tidings::store::postgres::PostgresStore;
use tidings::store::{
    Claim, InboxTables, NewEvent, OutboxTables, Standing, StoreError, Transactions, Turn,
};
use tidings::transport::TopicPartition;

/// A store of whose commits somebody hears before and after, and of whose purges; he may say that they
/// failed.
#[derive(Clone)]
pub struct Heard(pub PostgresStore, pub Arc<Hear>);

type Hear = dyn Fn(&'static str) -> Result<(), StoreError> + Send + Sync;

impl Transactions for Heard {
    type Connection = PgConnection;
    type Transaction = PgTransaction<'static>;

    async fn open(&self) -> Result<Self::Transaction, StoreError> {
        self.0.open().await
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        (self.1)("before commit")?;
        self.0.commit(transaction).await?;
        (self.1)("after commit")
    }

    async fn roll_back(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        self.0.roll_back(transaction).await
    }
}

impl OutboxTables for Heard {
    async fn append(
        &self,
        connection: &mut PgConnection,
        events: Vec<NewEvent>,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        self.0.append(connection, events, publish_at).await
    }
}

impl InboxTables for Heard {
    async fn check(&self) -> Result<(), StoreError> {
        self.0.check().await
    }

    async fn turn(&self) -> Turn {
        self.0.turn().await
    }

    async fn claim(
        &self,
        connection: &mut PgConnection,
        claim: &Claim<'_>,
        within: Duration,
    ) -> Result<bool, StoreError> {
        self.0.claim(connection, claim, within).await
    }

    async fn standing(
        &self,
        connection: &mut PgConnection,
        claim: &Claim<'_>,
    ) -> Result<Standing, StoreError> {
        self.0.standing(connection, claim).await
    }

    async fn purge(&self, group: &str, window: Duration, most: u32) -> Result<u64, StoreError> {
        (self.1)("purge")?;
        self.0.purge(group, window, most).await
    }

    async fn store_offset(
        &self,
        connection: &mut PgConnection,
        group: &str,
        partition: &TopicPartition,
        next: i64,
    ) -> Result<(), StoreError> {
        self.0.store_offset(connection, group, partition, next).await
    }

    async fn offsets(&self, group: &str) -> Result<Vec<(TopicPartition, i64)>, StoreError> {
        self.0.offsets(group).await
    }
}
