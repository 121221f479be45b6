//! Lanes: events of one key one after another, keys side by side.
//!
//! A shard is one task that runs many lanes; a lane lives on one shard. A handler's future is polled
//! on its shard's task, so a handler that blocks its thread holds up the other lanes of the shard.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::{BuildHasherDefault, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};

use super::assignment::Assignment;
use super::batch::{BatchRecord, Local};
use super::slots::Slots;
use super::work::{Finish, Work};
use crate::event::header;

/// Events begun in one go before the task lets others run.
const BUDGET: usize = 256;

/// One event to be worked on.
pub(super) struct Job {
    pub(super) assignment: Local<Assignment>,
    /// Its place in the partition's ledger.
    pub(super) place: u64,
    pub(super) record: BatchRecord,
    pub(super) lane: u64,
}

impl Job {
    /// The id that its record says, or where it lies.
    fn event_id(&self) -> String {
        let record = &self.record;
        let place = || format!("{}/{}/{}", record.topic, record.partition, record.offset);
        record.headers.get_str(header::ID).map_or_else(place, str::to_owned)
    }
}

/// What a shard is told.
pub(super) enum ToShard {
    Work(Vec<Job>),
    /// Drops what still runs for dropped assignments; answers the ids of those events.
    Drop(oneshot::Sender<Vec<String>>),
}

/// An event that was worked on.
pub(super) struct Done {
    pub(super) assignment: u64,
    pub(super) place: u64,
    pub(super) finish: Finish,
    /// The event's id, where its work was abandoned.
    pub(super) left: Option<String>,
}

pub(super) struct Shard {
    inbox: mpsc::UnboundedReceiver<ToShard>,
    outbox: mpsc::UnboundedSender<Vec<Done>>,
    work: Arc<Work>,
    slots: Arc<Slots>,
    /// The lanes that have an event at work or ready, and what waits behind it.
    lanes: HashMap<u64, VecDeque<Job>, BuildHasherDefault<Spread>>,
    ready: VecDeque<Job>,
    running: FuturesUnordered<Running>,
    done: Vec<Done>,
}

/// A lane's number is a keyed hash already. Its low bits have chosen the shard, so they are moved away from where
/// the map looks.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, lane: u64) {
        self.0 = lane.rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct Running {
    job: Option<Job>,
    work: Pin<Box<dyn Future<Output = Finish> + Send>>,
}

impl Future for Running {
    type Output = (Job, Finish);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let finish = std::task::ready!(self.work.as_mut().poll(cx));
        let job = self.job.take().expect("a future is not polled after it is done");
        Poll::Ready((job, finish))
    }
}

impl Shard {
    /// A shard whose handlers run in the slots that it shares with others.
    pub(super) fn new(
        inbox: mpsc::UnboundedReceiver<ToShard>,
        outbox: mpsc::UnboundedSender<Vec<Done>>,
        work: Arc<Work>,
        slots: Slots,
    ) -> Self {
        Self {
            inbox,
            outbox,
            work,
            slots: Arc::new(slots),
            lanes: HashMap::default(),
            ready: VecDeque::new(),
            running: FuturesUnordered::new(),
            done: Vec::new(),
        }
    }

    /// Runs until its inbox is closed; what runs then is dropped.
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.turn(cx)).await;
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut budget = BUDGET;
        loop {
            let mut idle = true;
            while let Poll::Ready(message) = self.inbox.poll_recv(cx) {
                idle = false;
                match message {
                    None => return Poll::Ready(()),
                    Some(ToShard::Work(jobs)) => jobs.into_iter().for_each(|job| self.accept(job)),
                    Some(ToShard::Drop(reply)) => drop(reply.send(self.drop_work())),
                }
            }
            while self.slots.invites()
                && let Some(job) = self.ready.pop_front()
            {
                idle = false;
                self.begin(job, cx);
                budget -= 1;
                if budget == 0 {
                    self.report();
                    self.slots.give_back();
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            while let Poll::Ready(Some((job, finish))) = self.running.poll_next_unpin(cx) {
                idle = false;
                self.end(job, finish);
            }
            self.report();
            if idle {
                self.slots.give_back();
                return Poll::Pending;
            }
        }
    }

    fn accept(&mut self, job: Job) {
        match self.lanes.entry(job.lane) {
            Entry::Occupied(mut lane) => lane.get_mut().push_back(job),
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                self.ready.push_back(job);
            }
        }
    }

    fn begin(&mut self, job: Job, cx: &mut Context<'_>) {
        if !job.assignment.may_begin(job.place) {
            return self.next(job.lane);
        }
        let (work, slots) = (self.work.clone(), self.slots.clone());
        let (assignment, record) = (job.assignment.clone(), job.record.clone());
        let place = job.place;
        let work = Box::pin(async move { work.on(&assignment, place, &record, &slots).await });
        let mut running = Running { job: Some(job), work };
        // Most handlers of a busy consumer are done at their first poll.
        match Pin::new(&mut running).poll(cx) {
            Poll::Ready((job, finish)) => self.end(job, finish),
            Poll::Pending => self.running.push(running),
        }
    }

    fn end(&mut self, job: Job, finish: Finish) {
        if !matches!(finish, Finish::Done { .. }) {
            self.give_up_behind(&job);
        }
        self.next(job.lane);
        let left = (finish == Finish::Abandoned).then(|| job.event_id());
        self.done.push(Done { assignment: job.assignment.id, place: job.place, finish, left });
    }

    /// What waits on its lane behind an event that was not done must not be done before it.
    fn give_up_behind(&mut self, job: &Job) {
        let Some(waiting) = self.lanes.get_mut(&job.lane) else { return };
        let id = job.assignment.id;
        let (behind, others): (VecDeque<_>, _) =
            std::mem::take(waiting).into_iter().partition(|job| job.assignment.id == id);
        *waiting = others;
        let given_up = |Job { place, .. }| Done {
            assignment: id,
            place,
            finish: Finish::NotBegun,
            left: None,
        };
        self.done.extend(behind.into_iter().map(given_up));
    }

    fn next(&mut self, lane: u64) {
        if let Entry::Occupied(mut waiting) = self.lanes.entry(lane) {
            match waiting.get_mut().pop_front() {
                Some(job) => self.ready.push_back(job),
                None => drop(waiting.remove()),
            }
        }
    }

    /// Hands over what is done.
    fn report(&mut self) {
        if !self.done.is_empty() {
            // Fails only when the member is gone.
            let _ = self.outbox.send(std::mem::take(&mut self.done));
        }
    }

    fn drop_work(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for running in std::mem::take(&mut self.running) {
            let Some(job) = running.job.as_ref().filter(|job| job.assignment.is_dropped()) else {
                self.running.push(running);
                continue;
            };
            // What only waits for a slot has not begun.
            if job.place < job.assignment.begun() {
                left.push(job.event_id());
            }
            let lane = job.lane;
            drop(running);
            self.next(lane);
        }
        left
    }
}
