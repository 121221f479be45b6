//! One member of the group: the single owner of its partitions, ledgers, pauses and commits.
//!
//! It reads one channel of events from the source and one of completions from the lanes, and never
//! waits for either while it holds work: what cannot be taken now is paused at the source. Its parts:
//! `rebalance` takes and gives partitions, `intake` takes records and hands them to lanes, `progress`
//! counts what is done and commits it, `leave` ends.

mod intake;
mod leave;
mod progress;
mod rebalance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use self::intake::Lanes;
use self::progress::Refused;
use self::rebalance::Revoke;
use super::hooks::Hooks;
use super::lane::{Done, Shard, ToShard};
use super::partition::Partition;
use super::plan::Topics;
use super::running::Consumer;
use super::settings::Settings;
use super::slots::Slots;
use super::stop::MemberReport;
use super::work::Work;
use crate::clock::BrokerClock;
use crate::error::ErrorClass;
use crate::task;
use crate::transport::{Source, SourceEvent, TopicPartition};

/// How often pauses and commits are looked at while anything is worked on or held up.
const TICK: Duration = Duration::from_millis(100);
/// How often they are while nothing is.
const CALM: Duration = Duration::from_secs(10);

/// Held by whatever belongs to a member; whoever has the other end learns when nothing of it is left.
pub(super) type Alive = mpsc::Sender<std::convert::Infallible>;

/// What it chooses depends on what it is told and on its chance, and on nothing else: no map in it is
/// in an order of its own, and of several things that are ready the first named comes first.
pub(super) struct Member {
    /// Its number among those of this consumer, from 0.
    number: usize,
    source: Source,
    topics: Arc<Topics>,
    settings: Arc<Settings>,
    hooks: Arc<Hooks>,
    work: Arc<Work>,
    clock: BrokerClock,
    partitions: BTreeMap<u64, Partition>,
    ids: BTreeMap<TopicPartition, u64>,
    /// Assignments so far.
    assignments: u64,
    /// Whether the group has taken it in.
    subscribed: bool,
    shards: Vec<mpsc::UnboundedSender<ToShard>>,
    done: mpsc::UnboundedReceiver<Vec<Done>>,
    tasks: JoinSet<()>,
    aborts: Vec<AbortHandle>,
    revokes: Vec<Revoke>,
    /// Partitions of which enough is in memory, and since when there is one.
    full: BTreeSet<u64>,
    full_since: Option<Instant>,
    lanes: Lanes,
    finished: u64,
    committed_at: Instant,
    refused: Refused,
    stopping: bool,
    /// Events whose work was begun and not finished when the member stopped.
    left: Vec<String>,
    failed: Option<String>,
}

impl Member {
    /// Its shards hold `alive` until the last of their work is gone.
    pub(super) fn new(
        number: usize,
        source: Source,
        consumer: &Consumer,
        work: Work,
        alive: &Alive,
    ) -> Self {
        let Consumer { transport, topics, settings, hooks, .. } = consumer;
        let work = Arc::new(work);
        let (outbox, done) = mpsc::unbounded_channel();
        let (mut tasks, mut aborts) = (JoinSet::new(), Vec::new());
        let shards = settings.shards();
        let lanes = Lanes::new(settings.order, work.chance.number(), shards);
        let free = Arc::new(Semaphore::new(settings.concurrency.min(Semaphore::MAX_PERMITS)));
        let shards = (0..shards)
            .map(|_| {
                let (to, inbox) = mpsc::unbounded_channel();
                let slots = Slots::new(free.clone());
                let shard = Shard::new(inbox, outbox.clone(), work.apart(), slots);
                let alive = alive.clone();
                aborts.push(tasks.spawn(task::owned(async move {
                    shard.run().await;
                    drop(alive);
                })));
                to
            })
            .collect();
        Self {
            number,
            source,
            topics: topics.clone(),
            settings: settings.clone(),
            hooks: hooks.clone(),
            work,
            clock: transport.clock().clone(),
            partitions: BTreeMap::new(),
            ids: BTreeMap::new(),
            assignments: 0,
            subscribed: false,
            shards,
            done,
            tasks,
            aborts,
            revokes: Vec::new(),
            full: BTreeSet::new(),
            full_since: None,
            lanes,
            finished: 0,
            committed_at: Instant::now(),
            refused: Refused::default(),
            stopping: false,
            left: Vec::new(),
            failed: None,
        }
    }

    /// What ends the tasks of its shards, for who ends it before its time.
    pub(super) fn aborts(&self) -> impl Iterator<Item = AbortHandle> {
        self.aborts.iter().cloned()
    }

    /// Runs until it is told to stop, or cannot go on; `stop` holds the deadline.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) -> MemberReport {
        let mut paused = self.settings.paused.subscribe();
        let mut look = Instant::now();
        let mut calm = false;
        let deadline = loop {
            let (due, full) = (self.next_due(), self.receives_again());
            let looked = tokio::select! {
                biased;
                deadline = told(&mut stop) => break deadline,
                Some(done) = self.done.recv() => { self.completed(done); false }
                Ok(()) = paused.changed() => { self.look_around(); true }
                () = sleep_until(full.unwrap_or_else(Instant::now)), if full.is_some() => { self.pause_full(); false }
                event = self.source.events.recv(), if full.is_none() => {
                    match event {
                        Some(event) => self.happened(event),
                        None => self.fail("the source has ended".into()),
                    }
                    false
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => { self.release_due(); false }
                Some(ended) = self.tasks.join_next() => { self.shard_ended(ended); false }
                () = sleep_until(look) => { self.look_around(); true }
            };
            self.finish_revokes();
            if self.failed.is_some() {
                break Instant::now() + self.settings.revoke_drain;
            }
            if looked {
                let again = self.calm_until();
                calm = again.is_some();
                look = again.unwrap_or_else(|| Instant::now() + TICK);
            } else if calm {
                calm = false;
                look = Instant::now() + TICK;
            }
        };
        self.leave(deadline).await
    }

    /// A shard ends after its member; what one does not do that panics, nobody does.
    fn shard_ended(&mut self, ended: Result<(), JoinError>) {
        match ended.map_err(JoinError::try_into_panic) {
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Ok(()) | Err(Err(_)) => self.fail("a task of the consumer has ended".into()),
        }
    }

    fn fail(&mut self, why: String) {
        tracing::error!(why, group = %self.settings.group, "the consumer ends");
        self.work.health.ended(why.clone());
        self.failed.get_or_insert(why);
    }

    fn happened(&mut self, event: SourceEvent) {
        if let SourceEvent::Error(error) = &event {
            self.hooks.error(self.number, error);
        }
        if event.is_fatal()
            && let SourceEvent::Error(error) = &event
        {
            return self.fail(crate::error::chain(error));
        }
        match event {
            SourceEvent::Assigned(assigned) => self.assigned(assigned),
            SourceEvent::Revoked { partitions, lost, reply } => {
                self.revoked(&partitions, lost, reply)
            }
            SourceEvent::Records(batch) => self.received(batch),
            SourceEvent::End(partition) => {
                if self.ids.contains_key(&partition) {
                    self.hooks.partition_end(self.number, &partition);
                }
            }
            SourceEvent::Committed { offsets, result } => self.committed(offsets, result),
            SourceEvent::Error(error) => {
                let text = crate::error::chain(&error);
                match error.class {
                    ErrorClass::Permanent => {
                        tracing::error!(error = text, "the source reports an error")
                    }
                    _ => tracing::warn!(error = text, "the source reports an error and goes on"),
                }
            }
        }
    }
}

/// Waits until the member is told to stop; answers the deadline.
async fn told(stop: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        // The handle is gone without a word: then there is nobody to wait for either.
        Err(_) => Instant::now(),
    }
}
