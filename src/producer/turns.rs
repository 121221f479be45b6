//! Turns: messages of one key go one after another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::event::TopicName;
use crate::transport::Record;

/// Who is last for each key. A key that nobody waits for is not kept.
#[derive(Default)]
pub(super) struct Turns(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    last: HashMap<Ordered, Last>,
    taken: u64,
}

/// What is kept in order among themselves.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Ordered {
    Key(TopicName, Bytes),
    Partition(TopicName, i32),
}

struct Last {
    number: u64,
    ended: oneshot::Receiver<()>,
}

/// A message's turn: it comes when the one before has ended, and ends when this is dropped.
///
/// One that is dropped before it has come lets the next one go beside the one before: that is done only where
/// nothing is sent any more.
pub(super) struct Turn {
    turns: Arc<Turns>,
    of: Ordered,
    number: u64,
    before: Option<oneshot::Receiver<()>>,
    /// Dropped with it, which is what the next one waits for.
    _ends: oneshot::Sender<()>,
}

impl Turns {
    /// The turn after all that were taken for the same key; none where nothing asks for order.
    pub(super) fn take(self: &Arc<Self>, record: &Record) -> Option<Turn> {
        let topic = || record.topic.clone();
        let of = match (record.partition, &record.key) {
            (Some(partition), _) => Ordered::Partition(topic(), partition),
            (None, Some(key)) => Ordered::Key(topic(), key.clone()),
            (None, None) => return None,
        };
        let (ends, ended) = oneshot::channel();
        let mut keys = self.keys();
        keys.taken += 1;
        let number = keys.taken;
        let before = keys.last.insert(of.clone(), Last { number, ended }).map(|last| last.ended);
        drop(keys);
        Some(Turn { turns: self.clone(), of, number, before, _ends: ends })
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits until it has come.
    pub(super) async fn come(&mut self) {
        if let Some(before) = &mut self.before {
            // The other end is dropped, never sent to.
            let _ = before.await;
            self.before = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Entry::Occupied(last) = self.turns.keys().last.entry(self.of.clone())
            && last.get().number == self.number
        {
            last.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::event::Headers;

    fn turn(turns: &Arc<Turns>, partition: Option<i32>, key: Option<&'static str>) -> Option<Turn> {
        turns.take(&Record {
            topic: TopicName::from_static("t"),
            partition,
            key: key.map(Bytes::from),
            payload: None,
            headers: Headers::default(),
            timestamp: None,
        })
    }

    #[test]
    fn a_turn_comes_when_the_one_before_of_its_key_has_ended_and_no_key_waits_for_another() {
        let turns = Arc::new(Turns::default());
        let mut first = turn(&turns, None, Some("a")).unwrap();
        let mut second = turn(&turns, None, Some("a")).unwrap();
        let mut third = turn(&turns, None, Some("a")).unwrap();
        let mut other = turn(&turns, None, Some("b")).unwrap();
        assert!(turn(&turns, None, None).is_none(), "nothing asks for order");
        assert!(first.come().now_or_never().is_some() && other.come().now_or_never().is_some());
        assert!(second.come().now_or_never().is_none());
        drop(first);
        assert!(third.come().now_or_never().is_none());
        assert!(second.come().now_or_never().is_some());
        drop(second);
        assert!(third.come().now_or_never().is_some());
        drop((third, other));
        assert!(turns.keys().last.is_empty(), "nothing is kept");
    }

    #[test]
    fn what_goes_to_a_partition_by_number_is_in_order_there() {
        let turns = Arc::new(Turns::default());
        let first = turn(&turns, Some(0), Some("a")).unwrap();
        let mut second = turn(&turns, Some(0), Some("b")).unwrap();
        assert!(second.come().now_or_never().is_none());
        drop(first);
        assert!(second.come().now_or_never().is_some());
    }
}
