//! The transaction coordinator: who holds a transactional id, and what its open transaction did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::groups::MemberId;
use crate::transport::{Offsets, TopicPartition};

/// How long a transaction may be open before the broker aborts it (`transaction.timeout.ms`).
const OPEN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct TransactionTable(BTreeMap<String, Holder>);

#[derive(Debug)]
struct Holder {
    /// Whom the records are marked with while the transaction is open.
    producer: u64,
    epoch: u64,
    open: Option<Open>,
}

/// What an open transaction has done.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) since: Instant,
    pub(crate) partitions: BTreeSet<TopicPartition>,
    pub(crate) offsets: Vec<(String, MemberId, Offsets)>,
}

/// Somebody newer holds the id, or the broker has aborted the transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fenced;

impl TransactionTable {
    /// Takes an id over; answers the new epoch, and what the older holder left open.
    pub(crate) fn take_over(&mut self, id: &str, producer: u64) -> (u64, Option<(u64, Open)>) {
        let holder =
            self.0.entry(id.to_owned()).or_insert(Holder { producer, epoch: 0, open: None });
        let left = holder.open.take().map(|open| (holder.producer, open));
        holder.producer = producer;
        holder.epoch += 1;
        (holder.epoch, left)
    }

    fn holder(&mut self, id: &str, epoch: u64) -> Result<&mut Holder, Fenced> {
        self.0.get_mut(id).filter(|holder| holder.epoch == epoch).ok_or(Fenced)
    }

    pub(crate) fn begin(&mut self, id: &str, epoch: u64, now: Instant) -> Result<(), Fenced> {
        let holder = self.holder(id, epoch)?;
        holder.open = Some(Open { since: now, partitions: BTreeSet::new(), offsets: Vec::new() });
        Ok(())
    }

    /// The open transaction of an id's holder.
    pub(crate) fn open(&mut self, id: &str, epoch: u64) -> Result<&mut Open, Fenced> {
        self.holder(id, epoch)?.open.as_mut().ok_or(Fenced)
    }

    /// Ends the open transaction; answers what it did.
    pub(crate) fn end(&mut self, id: &str, epoch: u64) -> Result<Open, Fenced> {
        self.holder(id, epoch)?.open.take().ok_or(Fenced)
    }

    /// Takes away what has been open for too long; its producer is fenced.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(u64, Open)> {
        let mut expired = Vec::new();
        for holder in self.0.values_mut() {
            let old = |open: &mut Open| now.saturating_duration_since(open.since) > OPEN;
            if let Some(open) = holder.open.take_if(old) {
                holder.epoch += 1;
                expired.push((holder.producer, open));
            }
        }
        expired
    }
}
