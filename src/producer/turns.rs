//! Turns: messages of one key go one after another, and only so many wait for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::event::TopicName;
use crate::transport::Record;

/// The queue of each key. One that nobody is in is not kept.
pub(super) struct Turns {
    most: usize,
    queues: Mutex<HashMap<Ordered, Queue>>,
}

/// What is kept in order among themselves. A message with a key and a partition by number is in both queues.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Ordered {
    Key(TopicName, Bytes),
    Partition(TopicName, i32),
    /// Without a key: they are queued in the order in which they come, and that is all.
    Topic(TopicName),
}

struct Queue {
    room: Arc<Semaphore>,
    /// Those that are in it, or wait for room.
    inside: usize,
    /// Ends with the turn that was taken last.
    last: Option<oneshot::Receiver<()>>,
}

/// A message's place in its queues: one, or two where it has a key and names its partition.
pub(super) struct Place {
    turns: Arc<Turns>,
    queues: [Option<Joined>; 2],
}

/// A queue that a message is in.
struct Joined {
    of: Ordered,
    room: Option<OwnedSemaphorePermit>,
}

/// A message's turn: it comes when the one before has ended, and ends when this is dropped.
///
/// One that is dropped before it has come lets the next one go beside the one before: that is done only where
/// nothing is sent any more.
pub(super) struct Turn {
    before: [Option<oneshot::Receiver<()>>; 2],
    /// Dropped with it, which is what the next one waits for.
    _ends: [Option<oneshot::Sender<()>>; 2],
    place: Place,
}

impl Turns {
    /// At least one message of a key, and at most so many.
    pub(super) fn new(most: usize) -> Arc<Self> {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self { most, queues: Mutex::default() })
    }

    /// Waits for a place behind all that came before for the same key, and to the same partition by number.
    pub(super) async fn enter(self: &Arc<Self>, record: &Record) -> Place {
        let topic = || record.topic.clone();
        let key = record.key.as_ref().map(|key| Ordered::Key(topic(), key.clone()));
        let of = match (key, record.partition.map(|number| Ordered::Partition(topic(), number))) {
            (None, None) => [Some(Ordered::Topic(topic())), None],
            // All wait for room in this order, so that no two wait for each other.
            both => both.into(),
        };
        let mut place = Place { turns: self.clone(), queues: [None, None] };
        for (of, joined) in of.into_iter().zip(&mut place.queues) {
            let Some(of) = of else { continue };
            let room = self.join(&of);
            let joined = joined.insert(Joined { of, room: None });
            // It is never closed.
            joined.room = room.acquire_owned().await.ok();
        }
        place
    }

    /// Whoever has joined a queue leaves it by dropping its place.
    fn join(&self, of: &Ordered) -> Arc<Semaphore> {
        let mut queues = self.queues();
        let queue = queues.entry(of.clone()).or_insert_with(|| Queue {
            room: Arc::new(Semaphore::new(self.most)),
            inside: 0,
            last: None,
        });
        queue.inside += 1;
        queue.room.clone()
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<Ordered, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The turn after all that were taken before.
    pub(super) fn turn(self) -> Turn {
        let (mut before, mut ends) = ([None, None], [None, None]);
        // Behind the same ones in both queues: nothing else comes in between.
        let mut queues = self.turns.queues();
        for (n, joined) in self.queues.iter().enumerate() {
            let queue = joined.as_ref().and_then(|joined| queues.get_mut(&joined.of));
            let Some(queue) = queue else { continue };
            let (end, ended) = oneshot::channel();
            before[n] = queue.last.replace(ended);
            ends[n] = Some(end);
        }
        drop(queues);
        Turn { before, _ends: ends, place: self }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.turns.queues();
        for Joined { of, .. } in self.queues.iter().flatten() {
            if let Some(queue) = queues.get_mut(of) {
                queue.inside -= 1;
                if queue.inside == 0 {
                    queues.remove(of);
                }
            }
        }
        // The room is given back with the queue known to be there, or gone.
        self.queues = [None, None];
    }
}

impl Turn {
    /// Waits until it has come.
    pub(super) async fn come(&mut self) {
        for one in &mut self.before {
            if let Some(before) = one {
                // The other end is dropped, never sent to.
                let _ = before.await;
                *one = None;
            }
        }
    }

    /// Whether a later message must not be stored before this one, also when this one is sent again.
    pub(super) fn is_strict(&self) -> bool {
        !self.place.queues.iter().flatten().any(|joined| matches!(joined.of, Ordered::Topic(_)))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::event::Headers;

    fn place(
        turns: &Arc<Turns>,
        partition: Option<i32>,
        key: Option<&'static str>,
    ) -> Option<Place> {
        let record = Record {
            topic: TopicName::from_static("t"),
            partition,
            key: key.map(Bytes::from),
            payload: None,
            headers: Headers::default(),
            timestamp: None,
        };
        turns.enter(&record).now_or_never()
    }

    fn turn(turns: &Arc<Turns>, partition: Option<i32>, key: Option<&'static str>) -> Turn {
        place(turns, partition, key).unwrap().turn()
    }

    #[test]
    fn a_turn_comes_when_the_one_before_of_its_key_has_ended_and_no_key_waits_for_another() {
        let turns = Turns::new(10);
        let mut first = turn(&turns, None, Some("a"));
        let mut second = turn(&turns, None, Some("a"));
        let mut third = turn(&turns, None, Some("a"));
        let mut other = turn(&turns, None, Some("b"));
        assert!(first.come().now_or_never().is_some() && other.come().now_or_never().is_some());
        assert!(second.come().now_or_never().is_none());
        drop(first);
        assert!(third.come().now_or_never().is_none());
        assert!(second.come().now_or_never().is_some());
        drop(second);
        assert!(third.come().now_or_never().is_some());
        drop((third, other));
        assert!(turns.queues().is_empty(), "nothing is kept");
    }

    #[test]
    fn what_goes_to_a_partition_by_number_is_in_order_there_and_what_has_no_key_only_at_first() {
        let turns = Turns::new(10);
        let first = turn(&turns, Some(0), Some("a"));
        let mut second = turn(&turns, Some(0), Some("b"));
        assert!(second.come().now_or_never().is_none() && second.is_strict());
        drop(first);
        assert!(second.come().now_or_never().is_some());
        let first = turn(&turns, None, None);
        let mut second = turn(&turns, None, None);
        assert!(second.come().now_or_never().is_none() && !second.is_strict());
        drop(first);
        assert!(second.come().now_or_never().is_some());
    }

    #[test]
    fn a_message_with_a_key_and_a_partition_by_number_is_behind_those_of_both() {
        let turns = Turns::new(2);
        let of_key = turn(&turns, None, Some("a"));
        let to_partition = turn(&turns, Some(0), None);
        let mut both = turn(&turns, Some(0), Some("a"));
        let mut elsewhere = turn(&turns, Some(1), Some("b"));
        assert!(elsewhere.come().now_or_never().is_some());
        assert!(place(&turns, Some(1), Some("a")).is_none(), "there are two of the key");
        assert!(place(&turns, Some(0), Some("b")).is_none(), "there are two to the partition");
        assert!(both.come().now_or_never().is_none());
        drop(of_key);
        assert!(both.come().now_or_never().is_none());
        drop(to_partition);
        assert!(both.come().now_or_never().is_some() && both.is_strict());
        let mut next_of_key = turn(&turns, None, Some("a"));
        let mut next_to_partition = turn(&turns, Some(0), None);
        assert!(next_of_key.come().now_or_never().is_none());
        assert!(next_to_partition.come().now_or_never().is_none());
        drop(both);
        assert!(next_of_key.come().now_or_never().is_some());
        assert!(next_to_partition.come().now_or_never().is_some());
        drop((elsewhere, next_of_key, next_to_partition));
        assert!(turns.queues().is_empty(), "nothing is kept");
    }

    #[test]
    fn only_so_many_of_a_key_wait_and_others_are_not_in_their_way() {
        let turns = Turns::new(2);
        let first = turn(&turns, None, Some("a"));
        let _second = turn(&turns, None, Some("a"));
        assert!(place(&turns, None, Some("a")).is_none());
        assert!(place(&turns, None, Some("b")).is_some());
        drop(first);
        assert!(place(&turns, None, Some("a")).is_some());
    }
}
