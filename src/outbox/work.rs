//! The relay's one task: what is read, sent, marked, parked and leased, each by a call of its own.
//!
//! Nothing here waits for one thing only: calls to the database and acknowledgements are futures that
//! run side by side, and whichever ends is dealt with. So the next batch is read while the last one is
//! on its way, and a lease is renewed whatever else is slow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;

use super::builder::{Relay, Settings};
use super::health::RelayStatus;
use super::lanes::{Lanes, ToPark};
use super::running::RelayReport;
use crate::error::{ErrorClass, chain};
use crate::retry::Chance;
use crate::store::{
    Backlog, Fetched, Hint, Holding, OrderKey, OutboxRow, OutboxSession, OutboxStore, RowId,
    SHARDS, Shard, StoreError,
};
use crate::transport::{Batch, DeliveryCounts, ProduceError, Producer, Receipt};

/// The first look after one that brought nothing; each further one waits twice as long, up to the
/// poll. What was stored and hinted at may be committed a little later.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long after a failure the database is asked again.
const DATABASE_AGAIN: Duration = Duration::from_millis(250);
/// How often the whole outbox is looked at, for readiness.
const BACKLOG_EVERY: Duration = Duration::from_secs(5);
/// How often published rows that were kept are looked at.
const TIDY_EVERY: Duration = Duration::from_secs(60);

type Session = Arc<dyn OutboxSession>;

/// What has ended.
enum Done {
    Begun(Result<Box<dyn OutboxSession>, StoreError>),
    Hinted(Hint),
    Renewed { asked: Instant, answer: Result<Holding, StoreError> },
    GaveUp(Result<(), StoreError>),
    Keys(Result<Vec<OrderKey>, StoreError>),
    Fetched(Result<Fetched, StoreError>),
    Settled { rows: Vec<OutboxRow>, failed: Vec<(usize, ProduceError)> },
    Marked { rows: Vec<(RowId, Shard)>, answer: Result<Vec<Shard>, StoreError> },
    Parked { what: ToPark, answer: Result<bool, StoreError> },
    Due(Result<(), StoreError>),
    Backlog(Result<Backlog, StoreError>),
    Tidied(Result<(), StoreError>),
}

/// Calls of which one at a time is under way.
#[derive(Default)]
struct UnderWay {
    begin: bool,
    renew: bool,
    give_up: bool,
    keys: bool,
    fetch: bool,
    mark: bool,
    park: bool,
    due: bool,
    backlog: bool,
    tidy: bool,
}

pub(super) struct Work {
    store: Arc<dyn OutboxStore>,
    producer: Arc<dyn Producer>,
    chance: Chance,
    settings: Settings,
    status: RelayStatus,
    counts: Arc<DeliveryCounts>,
    session: Option<Session>,
    calls: FuturesUnordered<BoxFuture<'static, Done>>,
    under_way: UnderWay,
    lanes: Lanes,
    /// Rows on their way to the broker.
    sent: usize,
    /// Rows that are acknowledged and not marked.
    acknowledged: Vec<(RowId, Shard)>,
    marking: Vec<RowId>,
    /// By shard: rows on their way, or acknowledged and not marked.
    busy: [usize; SHARDS as usize],
    owned: BTreeSet<Shard>,
    /// Shards that are to be given up once nothing of them is busy.
    leaving: BTreeSet<Shard>,
    /// Nothing is sent after this: the leases may be over.
    send_until: Instant,
    renew_at: Instant,
    /// Parked keys are to be asked for before anything is read.
    keys_unknown: bool,
    look_at: Instant,
    looks: u32,
    database_at: Instant,
    due_at: Option<Instant>,
    backlog_at: Instant,
    tidy_at: Instant,
    stop_by: Option<Instant>,
    /// The others were told that it is gone.
    left: bool,
}

impl Work {
    pub(super) fn new(relay: Relay, status: RelayStatus) -> Self {
        let Relay { store, producer, chance, settings } = relay;
        let now = Instant::now();
        Self {
            store,
            producer,
            chance,
            status,
            counts: Arc::default(),
            session: None,
            calls: FuturesUnordered::new(),
            under_way: UnderWay::default(),
            lanes: Lanes::default(),
            sent: 0,
            acknowledged: Vec::new(),
            marking: Vec::new(),
            busy: [0; SHARDS as usize],
            owned: BTreeSet::new(),
            leaving: BTreeSet::new(),
            send_until: now,
            renew_at: now,
            keys_unknown: true,
            look_at: now,
            looks: 0,
            database_at: now,
            due_at: None,
            backlog_at: now,
            tidy_at: now + TIDY_EVERY,
            stop_by: None,
            left: false,
            settings,
        }
    }

    pub(super) async fn run(mut self, mut told: watch::Receiver<Option<Instant>>) -> RelayReport {
        loop {
            let now = Instant::now();
            if self.stop_by.is_some_and(|by| self.has_left() || by <= now) {
                break;
            }
            self.begin_what_can_begin(now);
            let wake = self.next_wake();
            tokio::select! {
                biased;
                changed = told.changed(), if self.stop_by.is_none() => {
                    // A sender that is gone has aborted this task.
                    self.stop_by = if changed.is_ok() { *told.borrow() } else { Some(now) };
                    self.leaving.clone_from(&self.owned);
                    self.lanes.forget(|_| true);
                }
                Some(done) = self.calls.next(), if !self.calls.is_empty() => self.deal_with(done),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        let unmarked = self.sent + self.acknowledged.len() + self.marking.len();
        RelayReport { unmarked, failure: None }
    }

    /// Nothing is left to be done before the end.
    fn has_left(&self) -> bool {
        let UnderWay { renew, give_up, mark, park, .. } = self.under_way;
        let busy = self.sent > 0 || !self.acknowledged.is_empty();
        let left = self.left || self.session.is_none();
        left && self.owned.is_empty() && !(busy || renew || give_up || mark || park)
    }

    fn next_wake(&self) -> Instant {
        let far = Instant::now() + self.settings.poll;
        let times = [Some(self.look_at), Some(self.renew_at), self.due_at, self.lanes.next_retry()];
        let next = times.into_iter().flatten().min().unwrap_or(far).max(self.database_at);
        // What is overdue waits for a call to end, not for the clock.
        let next = if next <= Instant::now() { far } else { next };
        self.stop_by.map_or(next, |by| next.min(by)).min(far)
    }

    fn call(&mut self, call: impl Future<Output = Done> + Send + 'static) {
        self.calls.push(Box::pin(call));
    }

    fn begin_what_can_begin(&mut self, now: Instant) {
        if now >= self.send_until && !self.owned.is_empty() {
            // The leases may be over: somebody else may work on what is here.
            self.lose(|_| true);
        }
        self.lanes.retry(now);
        self.send(now);
        if now < self.database_at {
            return;
        }
        let Some(session) = self.session.clone() else { return self.begin() };
        self.renew(&session, now);
        self.give_up(&session);
        self.mark(&session);
        self.park(&session);
        if self.stop_by.is_some() {
            return;
        }
        self.ask_keys(&session);
        self.fetch(&session, now);
        self.look_after(&session, now);
    }

    fn begin(&mut self) {
        if self.under_way.begin || self.stop_by.is_some() {
            return;
        }
        self.under_way.begin = true;
        let (store, name) = (self.store.clone(), self.settings.name.clone());
        self.call(async move { Done::Begun(store.begin(&name).await) });
    }

    fn renew(&mut self, session: &Session, now: Instant) {
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
            Done::Renewed { asked, answer: session.renew(lease).await }
        });
    }

    fn give_up(&mut self, session: &Session) {
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
        let session = session.clone();
        self.call(async move {
            let given = session.give_up(&shards).await;
            let left = if last { session.leave().await } else { Ok(()) };
            Done::GaveUp(given.and(left))
        });
    }

    fn mark(&mut self, session: &Session) {
        if self.under_way.mark || self.acknowledged.is_empty() {
            return;
        }
        self.under_way.mark = true;
        let rows = std::mem::take(&mut self.acknowledged);
        self.marking = rows.iter().map(|(row, _)| *row).collect();
        let (session, keep) = (session.clone(), self.settings.keep);
        self.call(async move {
            let answer = session.published(&rows, keep).await;
            Done::Marked { rows, answer }
        });
    }

    fn park(&mut self, session: &Session) {
        if self.under_way.park || self.under_way.keys {
            return;
        }
        let Some(what) = self.lanes.next_to_park() else { return };
        self.under_way.park = true;
        let session = session.clone();
        self.call(async move {
            let failed = what.failed.as_ref().map(|(row, reason)| (*row, reason.as_str()));
            let answer = session.park(what.shard, failed, &what.behind).await;
            Done::Parked { what, answer }
        });
    }

    fn ask_keys(&mut self, session: &Session) {
        let busy = self.under_way.keys || self.under_way.park || self.under_way.fetch;
        if busy || !self.keys_unknown || self.owned.is_empty() {
            return;
        }
        (self.under_way.keys, self.keys_unknown) = (true, false);
        let (session, shards) = (session.clone(), self.working());
        self.call(async move { Done::Keys(session.parked_keys(&shards).await) });
    }

    fn fetch(&mut self, session: &Session, now: Instant) {
        let Settings { batch, held, .. } = self.settings;
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
        known.extend(&self.marking);
        let session = session.clone();
        self.call(async move { Done::Fetched(session.fetch(&shards, &known, batch).await) });
    }

    fn look_after(&mut self, session: &Session, now: Instant) {
        if !self.under_way.due && self.due_at.is_some_and(|due| due <= now) {
            (self.under_way.due, self.due_at) = (true, None);
            let (session, shards) = (session.clone(), self.working());
            self.call(async move { Done::Due(session.due(&shards).await) });
        }
        if !self.under_way.backlog && self.backlog_at <= now {
            self.under_way.backlog = true;
            let store = self.store.clone();
            self.call(async move { Done::Backlog(store.backlog().await) });
        }
        if !self.under_way.tidy && self.tidy_at <= now && !self.settings.keep.is_zero() {
            self.under_way.tidy = true;
            let session = session.clone();
            self.call(async move { Done::Tidied(session.tidy().await) });
        }
    }

    /// Shards that rows are read of.
    fn working(&self) -> Vec<Shard> {
        self.owned.difference(&self.leaving).copied().collect()
    }

    fn send(&mut self, now: Instant) {
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
            let producer = full.then(|| self.producer.clone());
            self.call(async move {
                let failed = acknowledgement.settled().await;
                if let Some(producer) = producer {
                    producer.room().await;
                }
                Done::Settled { rows, failed }
            });
            if full {
                return;
            }
        }
    }

    fn deal_with(&mut self, done: Done) {
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
            Done::Settled { rows, failed } => self.settled(rows, failed),
            Done::Marked { rows, answer } => self.marked(rows, answer),
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
                self.tidy_at = Instant::now() + TIDY_EVERY;
                self.answered("tidy", answer);
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

    /// These shards are somebody else's now, or may be.
    fn lose(&mut self, lost: impl Fn(Shard) -> bool) {
        self.lanes.forget(&lost);
        self.owned.retain(|shard| !lost(*shard));
        self.leaving.retain(|shard| !lost(*shard));
        self.tell_shards();
    }

    fn tell_shards(&self) {
        if self.session.is_some() {
            self.status.holds(&self.working());
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

    fn settled(&mut self, rows: Vec<OutboxRow>, failed: Vec<(usize, ProduceError)>) {
        self.sent -= rows.len();
        let (mut failed, mut acknowledged) = (failed.into_iter().peekable(), 0);
        let mut unsent = Vec::new();
        for (index, row) in rows.into_iter().enumerate() {
            let Some((_, error)) = failed.next_if(|(at, _)| *at == index) else {
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

    fn failed(&mut self, row: OutboxRow, error: &ProduceError) {
        let attempts = self.lanes.failed(&row);
        if error.class() == ErrorClass::Permanent && attempts >= self.settings.refusals {
            return self.lanes.fail(row, error.to_string());
        }
        self.status.retried(error.to_string());
        let wait = self.settings.backoff.jittered(attempts, &self.chance);
        self.lanes.back(row, Instant::now() + wait);
    }

    fn marked(&mut self, rows: Vec<(RowId, Shard)>, answer: Result<Vec<Shard>, StoreError>) {
        self.under_way.mark = false;
        self.marking.clear();
        match self.answered("published", answer) {
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

fn place(shard: Shard) -> usize {
    shard.number().unsigned_abs().into()
}
