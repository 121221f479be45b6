//! Batches as they fill: one partition's items in the order in which they come, one batch after another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::{BatchAnswer, BatchProcessor, Batches, Item};
use crate::consumer::{Delivery, HandlerError};
use crate::event::Flow;
use crate::task;
use crate::transport::TopicPartition;
use crate::worker::frame::Frame;
use crate::worker::held::{Hears, Worked};
use crate::worker::output::Output;

pub(super) struct Gather<P: BatchProcessor<Args>, Args, To> {
    pub(super) batches: Batches<P, Args, To>,
    size: usize,
    wait: Duration,
    /// Partitions that have items: each has a task as long as it has any.
    queues: Mutex<BTreeMap<TopicPartition, Queue<P::Input>>>,
}

struct Queue<I> {
    waiting: VecDeque<Waiting<I>>,
    /// Says that an item has come.
    news: Arc<Notify>,
}

/// An item that waits for its batch.
struct Waiting<I> {
    item: Item<I>,
    flow: Flow,
    since: Instant,
    /// Closed once nobody waits for the item any more: its partition is gone.
    tell: oneshot::Sender<Worked>,
}

impl<P: BatchProcessor<Args>, Args, To> Gather<P, Args, To> {
    pub(super) fn new(batches: Batches<P, Args, To>, size: usize, wait: Duration) -> Self {
        Self { batches, size, wait, queues: Mutex::default() }
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Queue<P::Input>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch of a partition, when it is full, its first item has waited long enough, or the partition
    /// is revoked; `None`, and the partition is forgotten, where it has no item.
    async fn next(
        &self,
        partition: &TopicPartition,
        news: &Notify,
    ) -> Option<Vec<Waiting<P::Input>>> {
        loop {
            let (due, first) = {
                let mut queues = self.queues();
                let waiting = &mut queues.get_mut(partition)?.waiting;
                waiting.retain(|waiting| !waiting.tell.is_closed());
                match waiting.front() {
                    None => {
                        queues.remove(partition);
                        return None;
                    }
                    Some(first) => {
                        let due = first.since + self.wait;
                        let first = first.item.delivery.clone();
                        let full = waiting.len() >= self.size || first.is_revoked();
                        if full || due <= Instant::now() {
                            let size = waiting.len().min(self.size);
                            return Some(waiting.drain(..size).collect());
                        }
                        (due, first)
                    }
                }
            };
            // Whichever it is, it is looked at again.
            tokio::select! {
                () = news.notified() => {}
                () = first.revoked() => {}
                () = sleep_until(due) => {}
            }
        }
    }
}

impl<P: BatchProcessor<Args>, Args: 'static, To: 'static> Gather<P, Args, To>
where
    <P::Answer as BatchAnswer>::Output: Output<To>,
{
    /// Puts an item into its partition's next batch, and waits for its outcome.
    pub(super) async fn item(self: &Arc<Self>, item: Item<P::Input>) -> Worked {
        let record = item.delivery.record();
        let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
        let (tell, told) = oneshot::channel();
        let waiting = Waiting { item, flow: Flow::current(), since: Instant::now(), tell };
        self.add(partition, waiting);
        // Nobody answers where the task has ended with the runtime.
        told.await.unwrap_or_else(|_| Err(HandlerError::outage("the batch was dropped")))
    }

    fn add(self: &Arc<Self>, partition: TopicPartition, waiting: Waiting<P::Input>) {
        let mut queues = self.queues();
        if let Some(queue) = queues.get_mut(&partition) {
            queue.waiting.push_back(waiting);
            queue.news.notify_one();
            return;
        }
        let news = Arc::new(Notify::new());
        let queue = Queue { waiting: VecDeque::from([waiting]), news: news.clone() };
        queues.insert(partition.clone(), queue);
        tokio::spawn(task::owned(self.clone().run(partition, news)));
    }

    /// Runs the batches of a partition until none of its items is left.
    async fn run(self: Arc<Self>, partition: TopicPartition, news: Arc<Notify>) {
        while let Some(batch) = self.next(&partition, &news).await {
            let (mut items, mut flows, mut tells) = (Vec::new(), Vec::new(), Vec::new());
            for Waiting { item, flow, tell, .. } in batch {
                items.push(item);
                flows.push(flow);
                tells.push(tell);
            }
            let gone = join_all(tells.iter_mut().map(oneshot::Sender::closed));
            let (worked, parts) = tokio::select! {
                biased;
                worked = self.batches.work(items, flows) => worked,
                // As a handler that is dropped with its partition.
                _ = gone => continue,
            };
            for (tell, worked) in tells.into_iter().zip(worked) {
                // Fails where the partition is gone.
                let _ = tell.send(worked);
            }
            // What comes behind must not overtake what is not published yet.
            if let Some(mut parts) = parts
                && parts.recv().await.is_some()
            {
                self.put_off(&partition);
            }
        }
    }

    /// Has the items that wait come again: what was before them was given up unpublished, and will come again too.
    fn put_off(&self, partition: &TopicPartition) {
        let waiting =
            self.queues().get_mut(partition).map(|queue| std::mem::take(&mut queue.waiting));
        for Waiting { tell, .. } in waiting.unwrap_or_default() {
            let why = "what follows from the inputs before it is not published";
            let _ = tell.send(Err(HandlerError::outage(why)));
        }
    }
}

impl<P: BatchProcessor<Args>, Args: 'static, To: 'static> Hears for Gather<P, Args, To> {
    fn frame(&self) -> &Frame {
        &self.batches.frame
    }

    fn failed(&self, error: &HandlerError, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        self.batches.process.failed(error, delivery)
    }

    fn succeeded(&self, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        self.batches.process.succeeded(delivery)
    }
}
