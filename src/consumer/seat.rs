//! A member's seat in a consumer: the member that has it, and the one that follows where it panicked.

use std::any::Any;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::health::{Counts, MemberHealth};
use super::member::Member;
use super::running::Consumer;
use super::stop::MemberReport;
use crate::error::{ErrorClass, chain};
use crate::inbox::StoredOffsets;
use crate::retry::{Backoff, Chance};
use crate::task;
use crate::transport::{KeptOffsets, SourceControl, Subscription, TransportError};

/// How much longer than the drain the source waits for its answer to a revoke.
const REVOKE_MARGIN: Duration = Duration::from_secs(2);
/// Until a member that panicked is started again.
const AGAIN: Backoff = Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(30));

/// What ends the tasks of all members, those of their shards too.
#[derive(Clone, Default)]
pub(super) struct Aborts(Arc<Mutex<Vec<AbortHandle>>>);

impl Aborts {
    fn handles(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, more: impl IntoIterator<Item = AbortHandle>) {
        let mut handles = self.handles();
        handles.retain(|handle| !handle.is_finished());
        handles.extend(more);
    }

    pub(super) fn all(&self) {
        self.handles().iter().for_each(AbortHandle::abort);
    }
}

/// What others see of a seat.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) health: Arc<MemberHealth>,
    control: Mutex<Option<Arc<dyn SourceControl>>>,
}

impl Seen {
    fn control(&self) -> MutexGuard<'_, Option<Arc<dyn SourceControl>>> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the member is not ready; empty when it is.
    pub(super) fn problems(&self) -> Vec<String> {
        let polled = self.control().as_ref().map(|control| control.polled());
        self.health.problems(polled.unwrap_or_default())
    }
}

pub(super) struct Seat {
    pub(super) number: usize,
    pub(super) consumer: Arc<Consumer>,
    pub(super) counts: Arc<Counts>,
    pub(super) kept: Option<Arc<StoredOffsets>>,
    pub(super) chance: Chance,
    pub(super) seen: Arc<Seen>,
    pub(super) aborts: Aborts,
}

/// A member that is ready to run.
pub(super) struct Taken {
    member: Member,
    /// Says when nothing of its work is left.
    gone: mpsc::Receiver<Infallible>,
}

/// Why there is no member.
pub(super) enum Vacant {
    /// Its client was refused.
    Refused(TransportError),
    /// It panicked.
    Panicked(String),
}

impl Seat {
    /// Makes a member, with a client that joins the group by itself.
    pub(super) fn take(&self) -> Result<Taken, Vacant> {
        catch_unwind(AssertUnwindSafe(|| self.make())).unwrap_or_else(|panic| {
            task::panicked(&*panic);
            Err(Vacant::Panicked(said(&*panic)))
        })
    }

    fn make(&self) -> Result<Taken, Vacant> {
        let Consumer { transport, topics, settings, hooks, .. } = &*self.consumer;
        hooks.creating(self.number);
        let subscription = Subscription {
            group: settings.group.to_string(),
            topics: topics.mains().iter().map(|main| main.name.clone()).collect(),
            followers: topics.followers(),
            revoke_wait: settings.revoke_drain + REVOKE_MARGIN,
            kept: self.kept.clone().map(|kept| kept as Arc<dyn KeptOffsets>),
            ends: hooks.wants_ends(),
        };
        let source = transport.subscribe(subscription).map_err(Vacant::Refused)?;
        let control = source.control.clone();
        let work =
            self.consumer.work(self.counts.clone(), self.seen.health.clone(), self.chance.clone());
        let (alive, gone) = mpsc::channel(1);
        let member = Member::new(self.number, source, &self.consumer, work, &alive);
        self.aborts.add(member.aborts());
        hooks.created(self.number);
        *self.seen.control() = Some(control);
        self.seen.health.up();
        Ok(Taken { member, gone })
    }

    /// Runs the member, and another one where it panics, until it is told to stop or cannot go on.
    pub(super) async fn run(
        self,
        mut seat: Result<Taken, Vacant>,
        mut stop: watch::Receiver<Option<Instant>>,
    ) -> MemberReport {
        let mut panics = VecDeque::new();
        loop {
            let why = match seat {
                Ok(Taken { member, gone }) => {
                    match AssertUnwindSafe(member.run(stop.clone())).catch_unwind().await {
                        Ok(report) => return report,
                        Err(panic) => {
                            task::panicked(&*panic);
                            let why = said(&*panic);
                            self.down(&why);
                            if self.wait_for_its_work(gone, &mut stop).await.is_err() {
                                return self.leave(why);
                            }
                            why
                        }
                    }
                }
                Err(Vacant::Panicked(why)) => why,
                Err(Vacant::Refused(error)) if error.class == ErrorClass::Fatal => {
                    return self.fail(chain(&error));
                }
                Err(Vacant::Refused(error)) => chain(&error),
            };
            let (now, restarts) = (Instant::now(), self.consumer.settings.restarts);
            panics.push_back(now);
            panics.retain(|at| now.duration_since(*at) < restarts.within);
            if panics.len() > restarts.most {
                let times = panics.len();
                return self.fail(format!(
                    "it ended {times} times within {:?}, at last: {why}",
                    restarts.within
                ));
            }
            let wait = AGAIN.delay(u32::try_from(panics.len()).unwrap_or(u32::MAX));
            self.down(&why);
            tracing::error!(group = %self.consumer.settings.group, member = self.number, why, again_in = ?wait, "a member of the consumer is started again");
            tokio::select! {
                biased;
                // An error says that nobody is left who could tell it.
                _ = stop.wait_for(Option::is_some) => return self.leave(why),
                () = sleep(wait) => {}
            }
            Counts::one(&self.counts.restarts);
            seat = self.take();
        }
    }

    /// Handlers that still run, on other threads, must not run beside those of the next member. `Err`: it is
    /// told to stop before.
    async fn wait_for_its_work(
        &self,
        mut gone: mpsc::Receiver<Infallible>,
        stop: &mut watch::Receiver<Option<Instant>>,
    ) -> Result<(), ()> {
        tokio::select! {
            biased;
            _ = gone.recv() => Ok(()),
            _ = stop.wait_for(Option::is_some) => Err(()),
        }
    }

    fn down(&self, why: &str) {
        *self.seen.control() = None;
        let number = self.number;
        self.seen.health.down(format!("member {number} is down and is started again: {why}"));
    }

    fn fail(&self, why: String) -> MemberReport {
        let why = format!("member {}: {why}", self.number);
        tracing::error!(why, group = %self.consumer.settings.group, "the consumer ends");
        self.seen.health.ended(why.clone());
        self.leave(why)
    }

    /// The seat stays empty.
    fn leave(&self, why: String) -> MemberReport {
        self.consumer.hooks.stopping(self.number);
        MemberReport::of_nobody(why)
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    format!("it panicked: {}", task::message(panic).unwrap_or("no message"))
}
