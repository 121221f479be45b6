//! What the relay begins: calls to the database, and records to the broker.

use std::time::Duration;

use tokio::time::Instant;

use super::{Done, Session, Settings, Work, place};
use crate::store::{Shard, StoreError};
use crate::transport::{Batch, ProduceError, Receipt};

impl Work {
    pub(super) fn begin(&mut self) {
        if self.under_way.begin || self.stop_by.is_some() {
            return;
        }
        self.under_way.begin = true;
        let (store, name) = (self.store.clone(), self.settings.name.clone());
        let lease = self.settings.lease;
        self.call(async move { Done::Begun(answered(lease, store.begin(&name)).await) });
    }

    pub(super) fn renew(&mut self, session: &Session, now: Instant) {
        let stopped = self.stop_by.is_some() && self.owned.is_empty();
        let busy = self.under_way.renew || self.under_way.give_up;
        if busy || now < self.renew_at || stopped {
            return;
        }
        self.under_way.renew = true;
        let (session, lease) = (session.clone(), self.settings.lease);
        // Counted from before the call: the database counts from a later moment.
        self.call(async move {
            let asked = Instant::now();
            Done::Renewed { asked, answer: answered(lease, session.renew(lease)).await }
        });
    }

    pub(super) fn give_up(&mut self, session: &Session) {
        if self.under_way.give_up || self.under_way.renew {
            return;
        }
        let idle = |shard: &&Shard| self.busy[place(**shard)] == 0;
        let shards: Vec<_> = self.leaving.iter().filter(idle).copied().collect();
        for shard in &shards {
            self.leaving.remove(shard);
            self.owned.remove(shard);
        }
        let last = self.stop_by.is_some() && self.owned.is_empty() && !self.left;
        if shards.is_empty() && !last {
            return;
        }
        self.left |= last;
        self.tell_shards();
        self.under_way.give_up = true;
        let (session, lease) = (session.clone(), self.settings.lease);
        self.call(async move {
            let given = answered(lease, session.give_up(&shards)).await;
            let left = if last { answered(lease, session.leave()).await } else { Ok(()) };
            Done::GaveUp(given.and(left))
        });
    }

    pub(super) fn mark(&mut self, session: &Session) {
        if self.under_way.mark || self.acknowledged.is_empty() {
            return;
        }
        self.under_way.mark = true;
        let rows = std::mem::take(&mut self.acknowledged);
        self.marking.clone_from(&rows);
        let Settings { keep, lease, .. } = self.settings;
        let (session, term) = (session.clone(), self.term);
        self.call(async move {
            let answer = answered(lease, session.published(&rows, keep)).await;
            Done::Marked { term, rows, answer }
        });
    }

    pub(super) fn park(&mut self, session: &Session) {
        // What was put back must be known first: else this is refused, again and again.
        if self.under_way.park || self.under_way.keys || self.keys_unknown {
            return;
        }
        let Some(what) = self.lanes.next_to_park() else { return };
        self.under_way.park = true;
        let (session, lease) = (session.clone(), self.settings.lease);
        self.call(async move {
            let failed = what.failed.as_ref().map(|(row, reason)| (*row, reason.as_str()));
            let parked = session.park(what.shard, failed, &what.behind);
            let answer = answered(lease, parked).await;
            Done::Parked { what, answer }
        });
    }

    pub(super) fn ask_keys(&mut self, session: &Session) {
        let busy = self.under_way.keys || self.under_way.park || self.under_way.fetch;
        if busy || !self.keys_unknown || self.owned.is_empty() {
            return;
        }
        (self.under_way.keys, self.keys_unknown) = (true, false);
        let (session, shards, lease) = (session.clone(), self.working(), self.settings.lease);
        self.call(async move { Done::Keys(answered(lease, session.parked_keys(&shards)).await) });
    }

    pub(super) fn fetch(&mut self, session: &Session, now: Instant) {
        let Settings { batch, held, lease, .. } = self.settings;
        let room = self.lanes.ready() < batch && self.lanes.len() + batch <= held * batch;
        let busy = self.under_way.fetch || self.under_way.keys;
        let shards = self.working();
        if busy || self.keys_unknown || now < self.look_at || !room || shards.is_empty() {
            return;
        }
        self.under_way.fetch = true;
        let mut known = Vec::new();
        self.lanes.known(&mut known);
        known.extend(self.acknowledged.iter().map(|(row, _)| *row));
        known.extend(self.marking.iter().map(|(row, _)| *row));
        let session = session.clone();
        self.call(async move {
            Done::Fetched(answered(lease, session.fetch(&shards, &known, batch)).await)
        });
    }

    pub(super) fn look_after(&mut self, session: &Session, now: Instant) {
        let Settings { batch, lease, .. } = self.settings;
        if !self.under_way.due && self.due_at.is_some_and(|due| due <= now) {
            (self.under_way.due, self.due_at) = (true, None);
            let (session, shards) = (session.clone(), self.working());
            self.call(async move { Done::Due(answered(lease, session.due(&shards, batch)).await) });
        }
        if !self.under_way.backlog && self.backlog_at <= now {
            self.under_way.backlog = true;
            let store = self.store.clone();
            self.call(async move { Done::Backlog(store.backlog().await) });
        }
        if !self.under_way.tidy && self.tidy_at <= now {
            self.under_way.tidy = true;
            let session = session.clone();
            self.call(async move { Done::Tidied(answered(lease, session.tidy(batch)).await) });
        }
    }

    pub(super) fn send(&mut self, now: Instant) {
        let Settings { batch, in_flight, .. } = self.settings;
        while now < self.send_until && self.lanes.ready() > 0 {
            let room = (in_flight * batch).saturating_sub(self.sent);
            if room == 0 {
                return;
            }
            let rows = self.lanes.take(room.min(batch));
            self.sent += rows.len();
            let acknowledgement = Batch::new(rows.len());
            let mut full = false;
            for (index, row) in rows.iter().enumerate() {
                self.busy[place(row.shard)] += 1;
                let (id, counts) = (Some(row.id.clone()), self.counts.clone());
                let receipt = Receipt::batch(id, counts, acknowledgement.clone(), index);
                // What finds no room settles with the rest, and is the next to be sent.
                let back =
                    if full { Err(receipt) } else { self.producer.enqueue(&row.record, receipt) };
                if let Err(receipt) = back {
                    full = true;
                    receipt.settle(Err(ProduceError::QueueFull { waited: Duration::ZERO }));
                }
            }
            let (producer, term) = (full.then(|| self.producer.clone()), self.term);
            self.call(async move {
                let failed = acknowledgement.settled().await;
                if let Some(producer) = producer {
                    producer.room().await;
                }
                Done::Settled { term, rows, failed }
            });
            if full {
                return;
            }
        }
    }
}

/// A database that does not answer holds nothing up for longer than a lease.
async fn answered<T>(
    within: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Database {
            what: "answer the relay",
            source: format!("nothing came within {within:?}").into(),
        }),
    }
}
