//! The inbox: which events handlers have handled, and where groups stand.

use std::time::Duration;

use super::state::Claimed;
use super::{MemoryConnection, MemoryStore};
use crate::clock::millis;
use crate::store::{Claim, InboxTables, Standing, StoreError, Turn};
use crate::transport::TopicPartition;

impl From<&Claim<'_>> for Claimed {
    fn from(claim: &Claim<'_>) -> Self {
        Self {
            group: claim.group.to_owned(),
            handler: claim.handler.to_owned(),
            source: claim.source.to_owned(),
            event: claim.event.to_owned(),
        }
    }
}

impl InboxTables for MemoryStore {
    async fn check(&self) -> Result<(), StoreError> {
        self.reach("look at its tables").await
    }

    async fn turn(&self) -> Turn {
        Turn::free()
    }

    async fn claim(
        &self,
        connection: &mut MemoryConnection,
        claim: &Claim<'_>,
        _within: Duration,
    ) -> Result<bool, StoreError> {
        const WHAT: &str = "claim an event";
        connection.begin(WHAT).await?;
        let claim = Claimed::from(claim);
        connection.hold(format!("claim {claim:?}"), WHAT).await?;
        let known = self.shared.lock().inbox.contains_key(&claim);
        if known || connection.claims.contains(&claim) {
            return Ok(false);
        }
        connection.claims.push(claim);
        Ok(true)
    }

    async fn standing(
        &self,
        connection: &mut MemoryConnection,
        claim: &Claim<'_>,
    ) -> Result<Standing, StoreError> {
        if connection.spoilt {
            return Ok(Standing::Lost);
        }
        connection.begin("look at a claim").await?;
        let claim = claim.into();
        if connection.claims.contains(&claim) {
            return Ok(Standing::Open);
        }
        let committed = self.shared.lock().inbox.contains_key(&claim);
        Ok(if committed { Standing::Committed } else { Standing::Lost })
    }

    async fn purge(&self, group: &str, window: Duration, most: u32) -> Result<u64, StoreError> {
        self.reach("purge the inbox").await?;
        let before = self.shared.now().saturating_sub(millis(window));
        let mut state = self.shared.lock();
        let old = state.inbox.iter().filter(|(claim, at)| claim.group == group && **at < before);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let old: Vec<_> = old.map(|(claim, _)| claim.clone()).take(most).collect();
        state.inbox.retain(|claim, _| !old.contains(claim));
        Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
    }

    async fn store_offset(
        &self,
        connection: &mut MemoryConnection,
        group: &str,
        partition: &TopicPartition,
        next: i64,
    ) -> Result<(), StoreError> {
        const WHAT: &str = "store an offset";
        connection.begin(WHAT).await?;
        connection.hold(format!("offset {group} {partition}"), WHAT).await?;
        let stored = connection.offsets.entry((group.to_owned(), partition.clone()));
        let stored = stored.or_insert(next);
        *stored = (*stored).max(next);
        Ok(())
    }

    async fn offsets(&self, group: &str) -> Result<Vec<(TopicPartition, i64)>, StoreError> {
        self.reach("say which offsets are stored").await?;
        let state = self.shared.lock();
        let of_it = state.offsets.iter().filter(|((of, _), _)| of == group);
        Ok(of_it.map(|((_, partition), next)| (partition.clone(), *next)).collect())
    }
}
