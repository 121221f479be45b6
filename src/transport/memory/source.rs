//! A group member: one task that talks to the coordinator, fetches, and tells what happens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::broker::{Fetched, MemberId, Moves, Refusal, Shared};
use super::config::{Isolation, MemoryConfig, OffsetReset};
use super::producer::lock;
use super::transactions::MemberOf;
use crate::error::ErrorClass;
use crate::transport::{
    Assigned, GroupMember, Offsets, RecordBatch, RevokeReply, Source, SourceControl, SourceEvent,
    Subscription, TopicPartition, TransportError,
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
        outbox: VecDeque::new(),
        commits: VecDeque::new(),
        giving: None,
        closing: None,
    };
    let task = tokio::spawn(member.run());
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
    outbox: VecDeque<SourceEvent>,
    commits: VecDeque<Commit>,
    giving: Option<Giving>,
    /// Since when it is to leave.
    closing: Option<Instant>,
}

struct Position {
    /// `None` where the configuration says that there is nowhere to begin.
    next: Option<i64>,
    paused: bool,
}

struct Commit {
    member: Option<MemberId>,
    offsets: Offsets,
    /// When it is at the broker.
    due: Instant,
    /// Partitions that go once it is there.
    releases: Vec<TopicPartition>,
}

/// Why a member looks again.
enum Woken {
    Told(Command),
    GivenUp(Offsets),
    Again,
    /// Nobody can tell it anything any more.
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
            let Self { events, commands, outbox, giving, .. } = &mut self;
            let due = giving.as_ref().map(|giving| giving.deadline);
            let woken = tokio::select! {
                biased;
                () = events.closed() => return,
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
                () = sleep_until(wake) => Woken::Again,
                () = changes => Woken::Again,
            };
            match woken {
                Woken::Told(command) => self.told(command),
                Woken::GivenUp(offsets) => self.given_up(offsets),
                Woken::Again => {}
                Woken::Deserted => return,
            }
        }
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
            Command::Commit(offsets) => self.send_commit(offsets, Vec::new()),
            Command::Close => self.closing = Some(Instant::now()),
        }
    }

    // The group.

    fn talk(&mut self, now: Instant) {
        let group = self.subscription.group.clone();
        let moved = self.shared.update(|state, _| state.moved(&group));
        if now < self.beat_at && moved == self.moved {
            return;
        }
        self.beat_at = now + (self.session / 3).min(HEARTBEAT);
        let Some(id) = self.id else { return self.join(now) };
        let closing = self.closing.is_some();
        match self.shared.update(|state, now| state.heartbeat(&group, id, closing, now)) {
            Ok(moves) => {
                self.moved = moved;
                self.take(moves);
            }
            Err(Refusal::UnknownMember) => self.lost(now),
            Err(_) => self.beat_at = now + AGAIN,
        }
    }

    fn join(&mut self, now: Instant) {
        if self.closing.is_some() {
            return;
        }
        let (subscription, session) = (&self.subscription, self.session);
        let client = self.client;
        match self.shared.update(|state, now| state.join(client, subscription, session, now)) {
            Ok(id) => {
                self.id = Some(id);
                self.announced = false;
                self.beat_at = now;
            }
            Err(_) => self.beat_at = now + AGAIN,
        }
    }

    /// The group has gone on without this member: what it read is another's.
    fn lost(&mut self, now: Instant) {
        self.id = None;
        self.beat_at = now;
        self.giving = None;
        let partitions: Vec<_> = std::mem::take(&mut self.positions).into_keys().collect();
        if !partitions.is_empty() {
            let reply = RevokeReply::new(drop);
            self.outbox.push_back(SourceEvent::Revoked { partitions, lost: true, reply });
        }
    }

    fn take(&mut self, moves: Moves) {
        let Moves { revoke, assign } = moves;
        if !revoke.is_empty() && self.giving.is_none() && !self.releases(&revoke) {
            self.give_up(revoke);
        }
        if assign.is_empty() && self.announced {
            return;
        }
        self.announced = true;
        let assigned = assign.into_iter().map(|tp| self.begin(tp)).collect();
        self.outbox.push_back(SourceEvent::Assigned(assigned));
    }

    /// Whether partitions are on their way out already.
    fn releases(&self, partitions: &[TopicPartition]) -> bool {
        let mut on_their_way = self.commits.iter().flat_map(|commit| &commit.releases);
        on_their_way.any(|tp| partitions.contains(tp))
    }

    fn begin(&mut self, tp: TopicPartition) -> Assigned {
        let group = &self.subscription.group;
        let follows = self.subscription.followers.iter().any(|f| f.topic == tp.topic);
        let reset = if follows { OffsetReset::Earliest } else { self.reset };
        let (committed, next) = self.shared.update(|state, _| {
            let (start, end) = state.bounds(&tp);
            let committed = state.committed(group, &tp);
            let next = committed.or(match reset {
                OffsetReset::Earliest => Some(start),
                OffsetReset::Latest => Some(end),
                OffsetReset::Error => None,
            });
            if let Some(next) = next {
                state.begin(group, &tp, next);
            }
            (committed, next)
        });
        if next.is_none() {
            self.report(format!(
                "{tp}: there is no committed offset and the offset reset is `error`"
            ));
        }
        self.positions.insert(tp.clone(), Position { next, paused: false });
        Assigned { partition: tp, committed }
    }

    fn give_up(&mut self, partitions: Vec<TopicPartition>) {
        self.positions.retain(|tp, _| !partitions.contains(tp));
        let (release, answer) = oneshot::channel();
        // Nobody listens any more where the wait was over first.
        let reply = RevokeReply::new(move |offsets| drop(release.send(offsets)));
        let revoked = SourceEvent::Revoked { partitions: partitions.clone(), lost: false, reply };
        self.outbox.push_back(revoked);
        let deadline = Instant::now() + self.subscription.revoke_wait;
        self.giving = Some(Giving { partitions, answer, deadline });
    }

    fn given_up(&mut self, offsets: Offsets) {
        if let Some(giving) = self.giving.take() {
            self.send_commit(offsets, giving.partitions);
        }
    }

    // Commits.

    fn send_commit(&mut self, offsets: Offsets, releases: Vec<TopicPartition>) {
        let takes = self.shared.update(|state, _| state.latency());
        let before = self.commits.back().map(|commit| commit.due);
        let due = before.into_iter().chain([Instant::now() + takes]).max();
        let due = due.unwrap_or_else(Instant::now);
        self.commits.push_back(Commit { member: self.id, offsets, due, releases });
    }

    fn send_commits(&mut self, now: Instant) {
        while self.commits.front().is_some_and(|commit| commit.due <= now) {
            let Some(Commit { member, offsets, releases, .. }) = self.commits.pop_front() else {
                return;
            };
            let group = self.subscription.group.clone();
            if !offsets.is_empty() {
                let result = self.shared.update(|state, now| match member {
                    Some(member) => state.commit(&group, member, &offsets, now),
                    None => Err(Refusal::UnknownMember),
                });
                if result == Err(Refusal::UnknownMember) && self.id.is_some() && self.id == member {
                    self.lost(now);
                }
                let result = result.map_err(|refusal| TransportError {
                    what: format!("the offsets were not committed: {refusal}"),
                    class: refusal.class(),
                    source: None,
                });
                self.outbox.push_back(SourceEvent::Committed { offsets, result });
            }
            if let (Some(member), false) = (member, releases.is_empty()) {
                self.shared.update(|state, _| state.release(&group, member, &releases));
            }
        }
    }

    // Fetching.

    fn fetch(&mut self, now: Instant) {
        if !self.may_fetch() {
            return;
        }
        if self.fetch_at.is_none() {
            if self.readable().is_none() {
                return;
            }
            let takes = self.shared.update(|state, now| state.latency() + state.slowness(now));
            self.fetch_at = Some(now + takes);
        }
        if self.fetch_at.is_some_and(|at| at <= now) {
            self.fetch_at = None;
            if let Some(tp) = self.readable() {
                self.turn = self.turn.wrapping_add(1);
                self.fetch_from(&tp);
            }
            // Whether there is more is looked at once this is taken.
        }
    }

    fn may_fetch(&self) -> bool {
        self.outbox.is_empty() && self.closing.is_none()
    }

    /// The next partition that there is something to read in.
    fn readable(&mut self) -> Option<TopicPartition> {
        let isolation = self.isolation;
        let open = self.positions.iter().filter(|(_, position)| !position.paused);
        let open: Vec<_> =
            open.filter_map(|(tp, position)| Some((tp.clone(), position.next?))).collect();
        let turn = self.turn;
        self.shared.update(|state, _| {
            let count = open.len();
            (0..count).map(|at| &open[(turn + at) % count]).find_map(|(tp, next)| {
                match state.fetch(tp, *next, 1, isolation) {
                    Fetched::Records(records, after) if records.is_empty() && after == *next => {
                        None
                    }
                    _ => Some(tp.clone()),
                }
            })
        })
    }

    fn fetch_from(&mut self, tp: &TopicPartition) {
        let Some(next) = self.positions.get(tp).and_then(|position| position.next) else { return };
        let (most, isolation) = (self.most, self.isolation);
        match self.shared.update(|state, _| state.fetch(tp, next, most, isolation)) {
            Fetched::Records(records, after) => {
                self.go_on_at(tp, Some(after));
                if !records.is_empty() {
                    let records = records.iter().map(|record| (**record).clone()).collect();
                    let batch = RecordBatch { partition: tp.clone(), records };
                    self.outbox.push_back(SourceEvent::Records(batch));
                }
            }
            Fetched::OutOfRange(start, end) => {
                let follows = self.subscription.followers.iter().any(|f| f.topic == tp.topic);
                let goes_on = match self.reset {
                    _ if follows => Some(start),
                    OffsetReset::Earliest => Some(start),
                    OffsetReset::Latest => Some(end),
                    OffsetReset::Error => None,
                };
                let to = goes_on.map_or("nowhere".to_owned(), |offset| format!("at {offset}"));
                self.report(format!(
                    "{tp}: offset {next} is out of range ({start} to {end}); it goes on {to}"
                ));
                self.go_on_at(tp, goes_on);
            }
        }
    }

    fn go_on_at(&mut self, tp: &TopicPartition, next: Option<i64>) {
        if let Some(position) = self.positions.get_mut(tp) {
            position.next = next;
        }
    }

    fn report(&mut self, what: String) {
        let error = TransportError { what, class: ErrorClass::Retriable, source: None };
        self.outbox.push_back(SourceEvent::Error(error));
    }

    // The end.

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
        let reachable = self.shared.update(|state, now| state.unreachable(self.client, now));
        if reachable.is_none() {
            let group = &self.subscription.group;
            self.shared.update(|state, now| state.leave_group(group, self.source, self.id, now));
        }
        true
    }
}

async fn answer(giving: &mut Option<Giving>) -> Offsets {
    match giving {
        // A reply that was dropped says that nothing may be committed.
        Some(giving) => (&mut giving.answer).await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}
