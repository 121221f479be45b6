//! The end of a member.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::partition::Partition;
use super::super::stop::MemberReport;
use super::Member;
use crate::transport::SourceEvent;

/// How long a member that was told to stop waits for the source beyond the deadline.
const LEAVE: Duration = Duration::from_secs(5);
/// How long it waits for a database to store its offsets.
const STORE: Duration = Duration::from_secs(2);

impl Member {
    /// Finishes what runs and what lies before it, up to the deadline; commits; leaves the group.
    pub(super) async fn leave(mut self, deadline: Instant) -> MemberReport {
        self.stopping = true;
        self.hooks.stopping(self.number);
        self.partitions.values().for_each(|partition| partition.assignment.revoke());
        while !self.partitions.values().all(Partition::is_finished) {
            tokio::select! {
                biased;
                () = sleep_until(deadline) => break,
                Some(done) = self.done.recv() => self.completed(done),
                Some(event) = self.source.events.recv() => self.happened(event),
            }
            self.finish_revokes();
        }
        self.partitions.values().for_each(|partition| partition.assignment.drop_work());
        for left in self.drop_work() {
            self.left.extend(left.await.unwrap_or_default());
        }
        while let Ok(done) = self.done.try_recv() {
            self.completed(done);
        }
        self.commit();
        self.store_offsets(deadline.max(Instant::now()) + STORE).await;
        self.source.control.close();
        let left_group = self.drain_source(deadline.max(Instant::now()) + LEAVE).await;
        self.shards.clear();
        while self.tasks.join_next().await.is_some() {}
        MemberReport { unfinished: self.left, left_group, failed: self.failed }
    }

    /// Stores where the partitions stand, where handlers' transactions store it too: what they did at
    /// once with others is not in there.
    async fn store_offsets(&mut self, deadline: Instant) {
        let Some(inbox) = self.work.inbox.as_ref().filter(|inbox| inbox.keeps_offsets()) else {
            return;
        };
        let next = |p: &Partition| Some((p.assignment.partition.clone(), p.ledger.watermark()?));
        let offsets: Vec<_> = self.partitions.values().filter_map(next).collect();
        let stored = inbox.store_offsets(&self.settings.group, &offsets);
        match timeout_at(deadline, stored).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = crate::error::chain(&error);
                tracing::warn!(error, "the last offsets were not stored; some events come again");
            }
            Err(_) => {
                tracing::warn!("the last offsets were not stored in time; some events come again")
            }
        }
    }

    /// Takes the source's last events; answers whether it ended in time.
    pub(super) async fn drain_source(&mut self, deadline: Instant) -> bool {
        loop {
            match timeout_at(deadline, self.source.events.recv()).await {
                Ok(None) => return true,
                Ok(Some(SourceEvent::Revoked { reply, .. })) => {
                    let name = |p: &Partition| p.assignment.partition.clone();
                    let left = self.partitions.values();
                    reply.release(
                        left.filter_map(|p| Some((name(p), p.unacknowledged()?))).collect(),
                    );
                }
                Ok(Some(SourceEvent::Records(_))) => {}
                Ok(Some(event)) => self.happened(event),
                Err(_) => {
                    tracing::error!(group = %self.settings.group, "the client did not leave the group in time; it is left behind");
                    return false;
                }
            }
        }
    }
}
