//! The relay's one task: what is read, sent, marked, parked and leased, each by a call of its own. What
//! it knows is here; [`begin`] makes the calls, [`end`] deals with what has ended.
//!
//! Nothing here waits for one thing only: calls to the database and acknowledgements are futures that
//! run side by side, and whichever ends is dealt with. So the next batch is read while the last one is
//! on its way, and a lease is renewed whatever else is slow.

mod begin;
mod end;

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
use super::lanes::{LaneRow, Lanes, ToPark};
use super::running::RelayReport;
use crate::retry::Chance;
use crate::store::{
    Backlog, Fetched, Hint, Holding, OrderKey, OutboxSession, OutboxStore, RowId, SHARDS, Shard,
    StoreError,
};
use crate::transport::{DeliveryCounts, ProduceError, Producer};

/// The first look after one that brought nothing; each further one waits twice as long, up to the
/// poll. What was stored and hinted at may be committed a little later.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long after a failure the database is asked again.
const DATABASE_AGAIN: Duration = Duration::from_millis(250);
/// How often the whole outbox is looked at, for readiness.
const BACKLOG_EVERY: Duration = Duration::from_secs(5);
/// How often published rows that were kept are looked at.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How soon again while there are more of them than a batch.
const TIDY_NEXT: Duration = Duration::from_millis(10);

type Session = Arc<dyn OutboxSession>;

/// What has ended.
enum Done {
    Begun(Result<Box<dyn OutboxSession>, StoreError>),
    Hinted(Hint),
    Renewed { asked: Instant, answer: Result<Holding, StoreError> },
    GaveUp(Result<(), StoreError>),
    Keys(Result<Vec<OrderKey>, StoreError>),
    Fetched(Result<Fetched, StoreError>),
    Settled { term: u64, rows: Vec<LaneRow>, failed: Vec<(usize, ProduceError)> },
    Marked { term: u64, rows: Vec<(RowId, Shard)>, answer: Result<Vec<Shard>, StoreError> },
    Parked { what: ToPark, answer: Result<bool, StoreError> },
    Due(Result<(), StoreError>),
    Backlog(Result<Backlog, StoreError>),
    Tidied(Result<usize, StoreError>),
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
    marking: Vec<(RowId, Shard)>,
    /// By shard: rows on their way, or acknowledged and not marked.
    busy: [usize; SHARDS as usize],
    owned: BTreeSet<Shard>,
    /// How often shards were taken.
    term: u64,
    /// By shard: the term that it was taken in last. What was read before is neither marked nor known any
    /// more: its number may be another row's, where the database stands further back than it did.
    taken_in: [u64; SHARDS as usize],
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
            term: 0,
            taken_in: [0; SHARDS as usize],
            leaving: BTreeSet::new(),
            send_until: now,
            renew_at: now,
            keys_unknown: true,
            look_at: now,
            looks: 0,
            database_at: now,
            due_at: None,
            backlog_at: now,
            tidy_at: now,
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
        let tidy = (!self.under_way.tidy).then_some(self.tidy_at);
        let retry = self.lanes.next_retry();
        let times = [Some(self.look_at), Some(self.renew_at), self.due_at, tidy, retry];
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

    /// Shards that rows are read of.
    fn working(&self) -> Vec<Shard> {
        self.owned.difference(&self.leaving).copied().collect()
    }

    /// These shards are somebody else's now, or may be.
    fn lose(&mut self, lost: impl Fn(Shard) -> bool) {
        self.lanes.forget(&lost);
        self.owned.retain(|shard| !lost(*shard));
        self.leaving.retain(|shard| !lost(*shard));
        self.tell_shards();
    }

    /// These shards were somebody else's, or are in a database that stands further back.
    fn begin_term(&mut self, taken: &BTreeSet<Shard>) {
        self.term += 1;
        for shard in taken {
            self.taken_in[place(*shard)] = self.term;
        }
        let busy = &mut self.busy;
        self.acknowledged.retain(|(_, shard)| {
            let keep = !taken.contains(shard);
            busy[place(*shard)] -= usize::from(!keep);
            keep
        });
        self.marking.retain(|(_, shard)| !taken.contains(shard));
        self.lanes.begin_term(|shard| taken.contains(&shard));
    }

    /// Whether the shard was taken anew since.
    fn is_over(&self, term: u64, shard: Shard) -> bool {
        self.taken_in[place(shard)] > term
    }

    fn tell_shards(&self) {
        if self.session.is_some() {
            self.status.holds(&self.working());
        }
    }
}

fn place(shard: Shard) -> usize {
    shard.number().unsigned_abs().into()
}
