//! What has ended, and what follows from it.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::{
    BACKLOG_EVERY, DATABASE_AGAIN, Done, LOOK_AGAIN, Session, TIDY_EVERY, TIDY_NEXT, Work, place,
};
use crate::error::{ErrorClass, chain};
use crate::outbox::lanes::LaneRow;
use crate::store::{Fetched, Hint, Holding, RowId, Shard, StoreError};
use crate::transport::ProduceError;

impl Work {
    pub(super) fn deal_with(&mut self, done: Done) {
        match done {
            Done::Begun(answer) => {
                self.under_way.begin = false;
                if let Some(session) = self.answered("begin", answer) {
                    let session: Session = session.into();
                    self.session = Some(session.clone());
                    self.call(async move { Done::Hinted(session.hint().await) });
                }
            }
            Done::Hinted(hint) => {
                match hint {
                    Hint::Rows => (self.look_at, self.looks) = (Instant::now(), 0),
                    // One that stops would hear of what it gives up, take it again, and give it up.
                    Hint::Leases if self.stop_by.is_some() => {}
                    Hint::Leases => self.renew_at = Instant::now(),
                }
                if let Some(session) = self.session.clone() {
                    self.call(async move { Done::Hinted(session.hint().await) });
                }
            }
            Done::Renewed { asked, answer } => {
                self.under_way.renew = false;
                if let Some(holding) = self.answered("renew", answer) {
                    self.holds(asked, &holding);
                }
            }
            Done::GaveUp(answer) => {
                self.under_way.give_up = false;
                self.answered("renew", answer);
            }
            Done::Keys(answer) => {
                self.under_way.keys = false;
                match self.answered("parked_keys", answer) {
                    Some(keys) => self.lanes.set_parked(keys),
                    None => self.keys_unknown = true,
                }
            }
            Done::Fetched(answer) => {
                self.under_way.fetch = false;
                if let Some(fetched) = self.answered("fetch", answer) {
                    self.fetched(fetched);
                }
            }
            Done::Settled { term, rows, failed } => self.settled(term, rows, failed),
            Done::Marked { term, rows, answer } => self.marked(term, rows, answer),
            Done::Parked { what, answer } => {
                self.under_way.park = false;
                match self.answered("park", answer) {
                    Some(true) => {
                        self.lanes.was_parked(&what);
                        if let Some((row, reason)) = &what.failed {
                            self.status.parked();
                            tracing::error!(
                                row,
                                reason,
                                "an event cannot be published; it is parked"
                            );
                        }
                    }
                    Some(false) => {
                        // Its shard is lost, or what it waits behind was put back.
                        self.lanes.was_not_parked(&what);
                        self.keys_unknown = true;
                        self.renew_at = Instant::now();
                    }
                    None => self.lanes.was_not_parked(&what),
                }
            }
            Done::Due(answer) => {
                self.under_way.due = false;
                self.answered("due", answer);
                (self.look_at, self.looks) = (Instant::now(), 0);
            }
            Done::Backlog(answer) => {
                self.under_way.backlog = false;
                self.backlog_at = Instant::now() + BACKLOG_EVERY;
                if let Some(backlog) = self.answered("backlog", answer) {
                    self.status.waits(backlog);
                }
            }
            Done::Tidied(answer) => {
                self.under_way.tidy = false;
                // There may be more than what was asked for.
                let more = self.answered("tidy", answer) == Some(self.settings.batch);
                self.tidy_at = Instant::now() + if more { TIDY_NEXT } else { TIDY_EVERY };
            }
        }
    }

    /// The answer of the database; where it failed that is said, and it is left alone for a while.
    fn answered<T>(&mut self, call: &'static str, answer: Result<T, StoreError>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.status.database(call, None);
                Some(answer)
            }
            Err(error) => {
                self.status.database(call, Some(chain(&error)));
                self.database_at = Instant::now() + DATABASE_AGAIN;
                None
            }
        }
    }

    fn holds(&mut self, asked: Instant, holding: &Holding) {
        self.renew_at = asked + self.settings.renew_after();
        self.send_until = asked + self.settings.send_for();
        let held: BTreeSet<_> = holding.shards.iter().copied().collect();
        let taken: BTreeSet<_> = holding.taken.iter().copied().collect();
        // What was taken anew was somebody else's meanwhile, or this relay's and lost.
        self.lose(|shard| taken.contains(&shard) || !held.contains(&shard));
        if !taken.is_empty() {
            self.begin_term(&taken);
        }
        let worked = self.working();
        self.owned = held;
        let keep = if self.stop_by.is_some() { 0 } else { holding.fair };
        self.leaving =
            self.owned.iter().rev().take(self.owned.len().saturating_sub(keep)).copied().collect();
        let leaving = &self.leaving;
        self.lanes.forget(|shard| leaving.contains(&shard));
        self.tell_shards();
        if self.working().iter().any(|shard| !worked.contains(shard)) {
            // It was not read, or forgotten since.
            self.keys_unknown = true;
            (self.look_at, self.looks) = (Instant::now(), 0);
        }
    }

    fn fetched(&mut self, fetched: Fetched) {
        let now = Instant::now();
        if fetched.stale {
            self.keys_unknown = true;
            return;
        }
        self.due_at = fetched.due_in.map(|due| now + due);
        if self.lanes.len() == 0 {
            self.status.idle();
        }
        if fetched.rows.is_empty() {
            let again = LOOK_AGAIN.saturating_mul(1 << self.looks.min(16));
            self.look_at = now + again.min(self.settings.poll);
            self.looks = self.looks.saturating_add(1);
            return;
        }
        (self.look_at, self.looks) = (now, 0);
        for row in fetched.rows {
            // What was given up or lost while it was read is not ours to send.
            if self.owned.contains(&row.shard) && !self.leaving.contains(&row.shard) {
                self.lanes.admit(row);
            }
        }
    }

    fn settled(&mut self, term: u64, rows: Vec<LaneRow>, failed: Vec<(usize, ProduceError)>) {
        self.sent -= rows.len();
        let (mut failed, mut acknowledged) = (failed.into_iter().peekable(), 0);
        let mut unsent = Vec::new();
        for (index, row) in rows.into_iter().enumerate() {
            let error = failed.next_if(|(at, _)| *at == index);
            if self.is_over(term, row.shard) {
                self.busy[place(row.shard)] -= 1;
                self.lanes.dropped(&row);
                continue;
            }
            let Some((_, error)) = error else {
                self.lanes.acknowledged(&row);
                self.acknowledged.push((row.row, row.shard));
                acknowledged += 1;
                continue;
            };
            self.busy[place(row.shard)] -= 1;
            if !self.owned.contains(&row.shard) || self.leaving.contains(&row.shard) {
                self.lanes.dropped(&row);
            } else if matches!(error, ProduceError::QueueFull { .. }) {
                unsent.push(row);
            } else {
                self.failed(row, &error);
            }
        }
        unsent.into_iter().rev().for_each(|row| self.lanes.unsent(row));
        if acknowledged > 0 {
            self.status.published(acknowledged);
        }
    }

    fn failed(&mut self, row: LaneRow, error: &ProduceError) {
        let attempts = self.lanes.failed(&row);
        if error.class() == ErrorClass::Permanent && attempts >= self.settings.refusals {
            return self.lanes.fail(row, error.to_string());
        }
        self.status.retried(error.to_string());
        let wait = self.settings.backoff.jittered(attempts, &self.chance);
        self.lanes.back(row, Instant::now() + wait);
    }

    fn marked(
        &mut self,
        term: u64,
        rows: Vec<(RowId, Shard)>,
        answer: Result<Vec<Shard>, StoreError>,
    ) {
        self.under_way.mark = false;
        self.marking.clear();
        let answer = self.answered("published", answer);
        let (over, rows): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(_, shard)| self.is_over(term, *shard));
        for (_, shard) in &over {
            self.busy[place(*shard)] -= 1;
        }
        match answer {
            Some(held) => {
                let held: BTreeSet<_> = held.into_iter().collect();
                for (_, shard) in &rows {
                    self.busy[place(*shard)] -= 1;
                }
                let lost = |shard: &Shard| self.owned.contains(shard) && !held.contains(shard);
                if rows.iter().any(|(_, shard)| lost(shard)) {
                    // Somebody took a shard: what is held is to be known before more is sent.
                    self.send_until = Instant::now();
                    self.renew_at = Instant::now();
                }
            }
            // The rows may be gone or not: to mark them again harms nothing.
            None => self.acknowledged.extend(rows),
        }
    }
}
