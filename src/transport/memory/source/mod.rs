//! A group member: one task that talks to the coordinator, fetches, and tells what happens.

mod commits;
mod fetch;
mod group;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::broker::{MemberId, Refusal, Shared, State};
use super::config::{Isolation, MemoryConfig, OffsetReset};
use super::killed::Killed;
use super::producer::lock;
use super::transactions::MemberOf;
use crate::task;
use crate::transport::{
    GroupMember, Offsets, Source, SourceControl, SourceEvent, Subscription, TopicPartition,
};

/// Events that may wait for the runtime.
const EVENTS: usize = 16;
/// The longest time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long until something that the coordinator put off is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long `close` waits for a broker that does not answer.
const LAST: Duration = Duration::from_secs(5);

pub(super) fn start(
    shared: Arc<Shared>,
    client: u64,
    config: &MemoryConfig,
    subscription: Subscription,
    killed: Killed,
) -> (Source, AbortHandle) {
    let (events, receiver) = mpsc::channel(EVENTS);
    let (commands, inbox) = mpsc::unbounded_channel();
    let now = Instant::now();
    let source = shared.update(|state, _| state.expect(&subscription));
    let control = Arc::new(Control {
        commands,
        group: subscription.group.clone(),
        seen: Mutex::new(Seen { polled: now, member: None }),
    });
    let member = Member {
        shared,
        client,
        killed,
        source,
        session: config.session,
        reset: config.reset,
        isolation: config.isolation,
        most: config.fetch,
        subscription,
        control: control.clone(),
        events,
        commands: inbox,
        id: None,
        announced: false,
        moved: 0,
        beat_at: now,
        fetch_at: None,
        turn: 0,
        positions: BTreeMap::new(),
        asking: None,
        outbox: VecDeque::new(),
        commits: VecDeque::new(),
        giving: None,
        parting: None,
        closing: None,
    };
    let task = tokio::spawn(task::owned(member.run()));
    (Source { events: receiver, control }, task.abort_handle())
}

struct Control {
    commands: mpsc::UnboundedSender<Command>,
    group: String,
    seen: Mutex<Seen>,
}

struct Seen {
    polled: Instant,
    member: Option<MemberId>,
}

enum Command {
    Pause(Vec<TopicPartition>, bool),
    Seek(Offsets),
    Commit(Offsets),
    Close,
}

impl Control {
    fn command(&self, command: Command) {
        // Fails only when the member has ended.
        let _ = self.commands.send(command);
    }
}

impl SourceControl for Control {
    fn pause(&self, partitions: Vec<TopicPartition>) {
        self.command(Command::Pause(partitions, true));
    }

    fn resume(&self, partitions: Vec<TopicPartition>) {
        self.command(Command::Pause(partitions, false));
    }

    fn seek(&self, offsets: Offsets) {
        self.command(Command::Seek(offsets));
    }

    fn commit(&self, offsets: Offsets) {
        self.command(Command::Commit(offsets));
    }

    fn close(&self) {
        self.command(Command::Close);
    }

    fn polled(&self) -> Duration {
        lock(&self.seen).polled.elapsed()
    }

    fn member(&self) -> Option<GroupMember> {
        let id = lock(&self.seen).member?;
        Some(GroupMember::new(MemberOf { group: self.group.clone(), id }))
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemorySource").field("group", &self.group).finish_non_exhaustive()
    }
}

struct Member {
    shared: Arc<Shared>,
    client: u64,
    killed: Killed,
    source: u64,
    session: Duration,
    reset: OffsetReset,
    isolation: Isolation,
    most: usize,
    subscription: Subscription,
    control: Arc<Control>,
    events: mpsc::Sender<SourceEvent>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Who it is in the group; `None` while it joins.
    id: Option<MemberId>,
    /// Whether the runtime was told of an assignment since it joined.
    announced: bool,
    /// The moves of partitions that it has looked at.
    moved: u64,
    beat_at: Instant,
    /// When the answer to the fetch under way is there.
    fetch_at: Option<Instant>,
    /// Partitions take turns.
    turn: usize,
    positions: BTreeMap<TopicPartition, Position>,
    /// Partitions that are its own once it is known what offsets the group keeps.
    asking: Option<Asking>,
    outbox: VecDeque<SourceEvent>,
    commits: VecDeque<Commit>,
    giving: Option<Giving>,
    /// Says when the runtime has let go what was lost.
    parting: Option<oneshot::Receiver<()>>,
    /// Since when it is to leave.
    closing: Option<Instant>,
}

struct Position {
    /// `None` where the configuration says that there is nowhere to begin.
    next: Option<i64>,
    paused: bool,
    /// Whether it was told that its end was reached, and nothing was read since.
    ended: bool,
}

struct Commit {
    member: Option<MemberId>,
    offsets: Offsets,
    /// When it is at the broker.
    due: Instant,
    /// Partitions that go once it is there.
    releases: Vec<TopicPartition>,
}

/// What was assigned, and the question from where it is read.
struct Asking {
    partitions: Vec<TopicPartition>,
    answer: BoxFuture<'static, Offsets>,
}

/// Why a member looks again.
enum Woken {
    Kept(Offsets),
    Told(Command),
    GivenUp(Offsets),
    Parted,
    Again,
    /// Nobody listens to it, or can tell it anything, any more.
    Deserted,
}

/// Partitions that are being given up.
struct Giving {
    partitions: Vec<TopicPartition>,
    answer: oneshot::Receiver<Offsets>,
    deadline: Instant,
}

impl Member {
    async fn run(mut self) {
        loop {
            let shared = self.shared.clone();
            let changes = shared.changes();
            let wake = self.act();
            if self.has_left() {
                return;
            }
            let Self { events, commands, outbox, giving, parting, asking, .. } = &mut self;
            let parts = parting.is_some();
            let due = giving.as_ref().map(|giving| giving.deadline);
            let woken = tokio::select! {
                biased;
                () = events.closed() => Woken::Deserted,
                command = commands.recv() => command.map_or(Woken::Deserted, Woken::Told),
                permit = events.reserve(), if !outbox.is_empty() => {
                    if let (Ok(permit), Some(event)) = (permit, outbox.pop_front()) {
                        permit.send(event);
                    }
                    Woken::Again
                }
                offsets = answer(giving), if due.is_some() => Woken::GivenUp(offsets),
                () = sleep_until(due.unwrap_or(wake)), if due.is_some() => {
                    tracing::warn!("revoked partitions are let go with work unfinished");
                    Woken::GivenUp(Vec::new())
                }
                () = parted(parting), if parts => Woken::Parted,
                kept = kept(asking) => Woken::Kept(kept),
                () = sleep_until(wake) => Woken::Again,
                () = changes => Woken::Again,
            };
            match woken {
                Woken::Told(command) => self.told(command),
                Woken::GivenUp(offsets) => self.given_up(offsets),
                Woken::Parted => {
                    self.parting = None;
                    self.beat_at = Instant::now();
                }
                Woken::Kept(kept) => self.begin_asked(&kept),
                Woken::Again => {}
                Woken::Deserted => return self.go(),
            }
        }
    }

    /// Asks the coordinator for something, which who was killed cannot.
    fn request<T>(
        &self,
        act: impl FnOnce(&mut State, Instant) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.shared.update(|state, now| {
            self.killed.check()?;
            act(state, now)
        })
    }

    /// Does what can be done now; answers when to look again.
    fn act(&mut self) -> Instant {
        let now = Instant::now();
        lock(&self.control.seen).polled = now;
        let unreachable = self.shared.update(|state, now| state.unreachable(self.client, now));
        if let Some((_, again)) = unreachable {
            return self.closing.map_or(again, |since| again.min(since + LAST));
        }
        self.talk(now);
        self.send_commits(now);
        self.leave();
        self.fetch(now);
        lock(&self.control.seen).member = self.id;
        let commit = self.commits.front().map(|commit| commit.due.max(now));
        // An answer that cannot be taken now is looked at once something else has happened.
        let fetched = self.fetch_at.filter(|_| self.may_fetch());
        [Some(self.beat_at), fetched, commit].into_iter().flatten().min().unwrap_or(now)
    }

    fn told(&mut self, command: Command) {
        match command {
            Command::Pause(partitions, paused) => {
                for tp in partitions {
                    if let Some(position) = self.positions.get_mut(&tp) {
                        position.paused = paused;
                        let group = &self.subscription.group;
                        self.shared.update(|state, _| state.pause(group, &tp, paused));
                    }
                }
            }
            Command::Seek(offsets) => {
                for (tp, offset) in offsets {
                    self.go_on_at(&tp, Some(offset));
                }
            }
            Command::Commit(offsets) => self.commit_owned(offsets),
            Command::Close => self.closing = Some(Instant::now()),
        }
    }

    fn leave(&mut self) {
        if self.closing.is_none() || self.giving.is_some() || self.positions.is_empty() {
            return;
        }
        let all = self.positions.keys().cloned().collect();
        self.give_up(all);
    }

    /// Whether everything is told and answered, or the broker was away for too long.
    fn has_left(&mut self) -> bool {
        let Some(since) = self.closing else { return false };
        let busy = !self.commits.is_empty() || !self.positions.is_empty();
        if self.giving.is_some() || !self.outbox.is_empty() {
            return false;
        }
        if busy && since.elapsed() < LAST {
            return false;
        }
        self.go();
        true
    }

    /// Says good-bye, if the broker can hear it.
    fn go(&self) {
        let unreachable = self.shared.update(|state, now| state.unreachable(self.client, now));
        if unreachable.is_none() {
            let group = &self.subscription.group;
            // Who was killed says nothing.
            let _ = self.request(|state, now| {
                state.leave_group(group, self.source, self.id, now);
                Ok(())
            });
        }
    }
}

/// Waits for the runtime to have let go; an answer that is dropped says that too.
async fn parted(parting: &mut Option<oneshot::Receiver<()>>) {
    if let Some(parting) = parting {
        let _ = parting.await;
    }
}

async fn kept(asking: &mut Option<Asking>) -> Offsets {
    match asking {
        Some(asking) => (&mut asking.answer).await,
        None => std::future::pending().await,
    }
}

async fn answer(giving: &mut Option<Giving>) -> Offsets {
    match giving {
        // A reply that was dropped says that nothing may be committed.
        Some(giving) => (&mut giving.answer).await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}
