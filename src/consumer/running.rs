//! A consumer, and one that runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;

use super::builder::ConsumerBuilder;
use super::delivery::Shared;
use super::forward::Forward;
use super::health::{Counts, MemberHealth};
use super::hooks::Hooks;
use super::plan::Topics;
use super::read::Policies;
use super::seat::{Aborts, Seat, Seen, Vacant};
use super::settings::Settings;
use super::stop::{MemberReport, StopReport};
use super::work::Work;
use crate::error::{ErrorClass, debug_as_told};
use crate::event::TopicName;
use crate::inbox::{StoredOffsets, Transact, purge};
use crate::retry::{Backoff, Chance, RetryPolicy};
use crate::store::StoreError;
use crate::task;
#[cfg(feature = "cli")]
use crate::transport::Look;
use crate::transport::{
    TopicNeed, TopicPartition, TopicSetup, TopicsError, Transport, TransportError, prepare_topics,
};

/// The registry of a service's handlers, built and checked, ready to start.
pub struct Consumer {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) topics: Arc<Topics>,
    /// Topics that its handlers write to.
    pub(super) writes: Vec<TopicNeed>,
    pub(super) settings: Arc<Settings>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) shared: Arc<Shared>,
    pub(super) policies: Policies,
    pub(super) inbox: Option<Arc<dyn Transact>>,
    pub(super) retry: RetryPolicy,
    pub(super) handler_timeout: Duration,
    pub(super) members: usize,
    pub(super) start_wait: Duration,
    pub(super) setup: TopicSetup,
}

debug_as_told!(StartError);

/// Why a consumer did not start.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Topics are missing or wrong, or could not be looked at.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// The client refuses the settings.
    #[error("the consumer cannot join its group")]
    Transport(#[from] TransportError),
    /// The inbox's tables are missing or of another version.
    #[error("the consumer's inbox cannot be used")]
    Inbox(#[source] StoreError),
}

impl StartError {
    /// Whether the same start may succeed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Topics(error) => error.is_retriable(),
            Self::Transport(error) => error.class == ErrorClass::Retriable,
            Self::Inbox(_) => false,
        }
    }
}

impl Consumer {
    /// A consumer of this group, to be told its handlers.
    pub fn builder(group: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(Some(group.into()))
    }

    /// A consumer of the group that the transport's configuration names.
    pub fn configured() -> ConsumerBuilder {
        ConsumerBuilder::new(None)
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.settings.group
    }

    /// Every topic that it reads or writes: main topics, retry tiers, dead letters, quarantine.
    pub fn topic_names(&self) -> Vec<TopicName> {
        self.topics
            .mains()
            .iter()
            .flat_map(|main| main.around.topics().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// The topics that it reads: main topics and their retry tiers.
    pub(crate) fn topics_read(&self) -> Vec<TopicName> {
        self.topics.all().cloned().collect()
    }

    /// What is done about topics at start.
    #[cfg(feature = "cli")]
    pub(crate) fn topic_setup(&self) -> TopicSetup {
        self.setup
    }

    /// What the topics that it reads and those that its handlers write to have to be.
    pub(crate) fn needs(&self) -> Vec<TopicNeed> {
        let mut needs = self.topics.needs();
        for need in &self.writes {
            if !needs.iter().any(|other| other.name == need.name) {
                needs.push(need.clone());
            }
        }
        needs
    }

    /// What a start would say of the topics, changing none; answers those that the start would make.
    #[cfg(feature = "cli")]
    pub(crate) async fn check_topics(
        &self,
        within: Duration,
    ) -> Result<Vec<TopicName>, TopicsError> {
        if self.setup == TopicSetup::Off {
            return Ok(Vec::new());
        }
        let admin = self.transport.admin();
        Look::at(&*admin, &self.needs(), within).await?.to_be_made(&*admin, self.setup)
    }

    /// Looks at the topics and starts the members. While the broker does not answer it goes on
    /// trying, for the start wait.
    ///
    /// # Errors
    /// When a topic is missing or wrong, or the broker refuses or stays away.
    pub async fn start(self) -> Result<RunningConsumer, StartError> {
        let admin = self.transport.admin();
        prepare_topics(&*admin, &self.needs(), self.setup, self.start_wait).await?;
        self.check_inbox().await?;
        let mut stop = Vec::with_capacity(self.members);
        let mut tasks = JoinSet::new();
        let mut members = Vec::with_capacity(self.members);
        let aborts = Aborts::default();
        let chance = self.transport.chance();
        let counts = Arc::new(Counts::default());
        let kept = self.kept();
        let consumer = Arc::new(self);
        for number in 0..consumer.members {
            let seen = Arc::new(Seen::default());
            let seat = Seat {
                number,
                consumer: consumer.clone(),
                counts: counts.clone(),
                kept: kept.clone(),
                chance: chance.clone(),
                seen: seen.clone(),
                aborts: aborts.clone(),
            };
            let first = match seat.take() {
                Err(Vacant::Refused(error)) => return Err(error.into()),
                first => first,
            };
            members.push(seen);
            // One channel each: that of many receivers wakes them in an order of its own.
            let (tell, told) = watch::channel(None);
            stop.push(tell);
            aborts.add([tasks.spawn(task::owned(seat.run(first, told)))]);
        }
        let Self { inbox, settings, hooks, transport, .. } = &*consumer;
        let purge = inbox.as_ref().map(|inbox| {
            let purge = purge(inbox.clone(), settings.group.clone());
            Background(tokio::spawn(task::owned(purge)))
        });
        hooks.started();
        let status = ConsumerStatus(Arc::new(Status {
            group: settings.group.clone(),
            transport: transport.clone(),
            members,
            counts,
            kept,
            settings: settings.clone(),
        }));
        let hooks = hooks.clone();
        Ok(RunningConsumer { stop, tasks, aborts, ended: Vec::new(), status, hooks, _purge: purge })
    }

    /// Starts, runs until `shutdown` is ready, and stops within `drain`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        drain: Duration,
    ) -> Result<StopReport, StartError> {
        let mut running = self.start().await?;
        tokio::select! {
            biased;
            () = shutdown => {}
            () = running.ended() => {}
        }
        Ok(running.stop(drain).await)
    }

    fn kept(&self) -> Option<Arc<StoredOffsets>> {
        let inbox = self.inbox.clone().filter(|inbox| inbox.keeps_offsets())?;
        Some(Arc::new(StoredOffsets::new(inbox, self.settings.group.clone())))
    }

    /// Whether the inbox's tables are there. A database that is away is waited for as in an outage.
    async fn check_inbox(&self) -> Result<(), StartError> {
        let Some(inbox) = &self.inbox else { return Ok(()) };
        match tokio::time::timeout(self.start_wait, inbox.check()).await {
            Ok(Err(error @ StoreError::Version { .. })) => Err(StartError::Inbox(error)),
            Ok(Err(error)) => {
                let error = crate::error::chain(&error);
                tracing::warn!(error, "the inbox's tables were not looked at");
                Ok(())
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    pub(super) fn work(
        &self,
        counts: Arc<Counts>,
        health: Arc<MemberHealth>,
        chance: Chance,
    ) -> Work {
        Work {
            shared: self.shared.clone(),
            policies: self.policies.clone(),
            retry: self.retry.clone(),
            handler_timeout: self.handler_timeout,
            forward: Arc::new(Forward::new(
                self.transport.producer(),
                self.transport.clock().clone(),
            )),
            counts,
            health,
            system: self.transport.system(),
            probe: Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(30)),
            chance,
            observer: self.transport.observer(),
            inbox: self.inbox.clone(),
        }
    }
}

/// A consumer that runs. Dropping it ends it at once, as a crash would: no handler of it goes on, and
/// nothing more is committed. [`stop`](Self::stop) is the way.
pub struct RunningConsumer {
    stop: Vec<watch::Sender<Option<Instant>>>,
    tasks: JoinSet<MemberReport>,
    aborts: Aborts,
    /// Members whose end was seen before the stop.
    ended: Vec<Result<MemberReport, JoinError>>,
    status: ConsumerStatus,
    hooks: Arc<Hooks>,
    _purge: Option<Background>,
}

/// A task that ends with this value.
struct Background(JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RunningConsumer {
    /// A handle to its health, counters and pauses. Cheap to clone.
    pub fn status(&self) -> &ConsumerStatus {
        &self.status
    }

    /// Waits until a member ends by itself, which it does only when it cannot go on.
    pub async fn ended(&mut self) {
        if !self.ended.is_empty() {
            return;
        }
        let ends = self.status.0.members.iter().map(|member| Box::pin(member.health.end()));
        tokio::select! {
            biased;
            _ = futures::future::select_all(ends) => {}
            // One that panicked has said nothing.
            Some(member) = self.tasks.join_next() => self.ended.push(member),
        }
    }

    /// Fetches nothing more, finishes what has begun and what lies before it, up to `drain`, commits and
    /// leaves the group. Returns at the latest a few seconds after the drain, even when the client hangs.
    pub async fn stop(mut self, drain: Duration) -> StopReport {
        let deadline = Some(Instant::now() + drain);
        for member in &self.stop {
            // One that has ended already does not listen.
            let _ = member.send(deadline);
        }
        let mut report = StopReport::default();
        while let Some(member) = self.tasks.join_next().await {
            self.ended.push(member);
        }
        for member in self.ended.drain(..) {
            match member {
                Ok(member) => report.add(member),
                Err(error) => report.failures.push(error.to_string()),
            }
        }
        self.hooks.stopped();
        report
    }
}

impl Drop for RunningConsumer {
    fn drop(&mut self) {
        // All of them before any is dropped: on a runtime of one thread none runs after this.
        self.aborts.all();
    }
}

/// What a running consumer is doing. Cheap to clone.
#[derive(Clone)]
pub struct ConsumerStatus(Arc<Status>);

struct Status {
    group: Arc<str>,
    transport: Arc<dyn Transport>,
    members: Vec<Arc<Seen>>,
    counts: Arc<Counts>,
    kept: Option<Arc<StoredOffsets>>,
    settings: Arc<Settings>,
}

impl ConsumerStatus {
    /// Finds it as long as somebody holds it.
    #[cfg(feature = "otel")]
    pub(crate) fn weakly(&self) -> impl Fn() -> Option<Self> + Send + Sync + use<> {
        let held = Arc::downgrade(&self.0);
        move || held.upgrade().map(Self)
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.0.group
    }

    /// What it has done since its start.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Partitions that its members own, retry topics included.
    pub fn partitions(&self) -> usize {
        self.0.members.iter().map(|member| member.health.partitions()).sum()
    }

    /// Partitions that are not fetched now: the user has paused them, enough of them is in memory or
    /// waits for its time, a failed event is stuck, a handler reports an outage, or what one answered cannot
    /// be published.
    pub fn paused(&self) -> Vec<TopicPartition> {
        self.0.members.iter().flat_map(|member| member.health.all_paused()).collect()
    }

    /// Why it is not ready; empty when it is: the broker answers, every member has joined, polled
    /// lately, its commits are taken, no failed event is stuck, and it is known from where to read.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = self
            .0
            .transport
            .producer()
            .reachable()
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect();
        problems.extend(self.0.kept.as_ref().and_then(|kept| kept.problem()));
        problems.extend(self.0.members.iter().flat_map(|member| member.problems()));
        problems
    }

    /// Whether it does what it should; [`problems`](Self::problems) says what is missing.
    pub fn is_ready(&self) -> bool {
        self.problems().is_empty()
    }

    /// Fetches no more of a topic until [`resume`](Self::resume); a main topic takes its tiers along.
    /// Other reasons to pause are independent of this one. Takes effect within 100 ms.
    pub fn pause(&self, topic: TopicName) {
        self.0.settings.paused.send_modify(|paused| drop(paused.replace(topic)));
    }

    /// Takes a pause back. What is paused for other reasons stays so.
    pub fn resume(&self, topic: &TopicName) {
        self.0.settings.paused.send_modify(|paused| drop(paused.take(topic)));
    }
}

impl std::fmt::Debug for ConsumerStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerStatus")
            .field("group", &self.0.group)
            .field("counts", &self.0.counts)
            .finish()
    }
}
