//! Where messages are, by id: as many as there is room for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{DeliveryStatus, MessageId};

/// Statuses by message id. Those that are settled leave again, the oldest first, when there are too many.
pub(super) struct Tracked {
    most: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    messages: HashMap<MessageId, (u64, DeliveryStatus)>,
    /// In the order in which they were settled.
    settled: VecDeque<(u64, MessageId)>,
    begun: u64,
}

impl Tracked {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    /// A message is on its way; answers a number that tells it from another of the same id.
    pub(super) fn begin(&self, id: &MessageId) -> u64 {
        let mut known = self.known();
        known.begun += 1;
        let number = known.begun;
        if self.most > 0 {
            known.messages.insert(id.clone(), (number, DeliveryStatus::Pending));
            known.shrink(self.most);
        }
        number
    }

    /// What has become of it by now.
    pub(super) fn set(&self, id: &MessageId, number: u64, status: DeliveryStatus) {
        let mut known = self.known();
        let Some(message) = known.messages.get_mut(id).filter(|message| message.0 == number) else {
            return;
        };
        let settled = status.is_settled();
        message.1 = status;
        if settled {
            known.settled.push_back((number, id.clone()));
            known.shrink(self.most);
        }
    }

    pub(super) fn status(&self, id: &MessageId) -> Option<DeliveryStatus> {
        self.known().messages.get(id).map(|(_, status)| status.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn shrink(&mut self, most: usize) {
        // One whose id was used again is there twice among the settled, and once by its id.
        while self.messages.len() > most || self.settled.len() > most {
            let Some((number, id)) = self.settled.pop_front() else { return };
            if self.messages.get(&id).is_some_and(|message| message.0 == number) {
                self.messages.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Delivered;

    const DONE: DeliveryStatus =
        DeliveryStatus::Success(Delivered { partition: 0, offset: 0, appended_at: None });

    fn ids(count: usize) -> Vec<MessageId> {
        (0..count).map(|_| MessageId::new()).collect()
    }

    #[test]
    fn the_oldest_settled_one_leaves_first_and_what_is_pending_stays() {
        let tracked = Tracked::new(3);
        let ids = ids(5);
        let numbers: Vec<_> = ids[..3].iter().map(|id| tracked.begin(id)).collect();
        tracked.set(&ids[2], numbers[2], DONE);
        tracked.set(&ids[1], numbers[1], DONE);
        tracked.begin(&ids[3]);
        assert_eq!(tracked.status(&ids[2]), None, "the first that was settled");
        assert_eq!(tracked.status(&ids[1]), Some(DONE));
        tracked.begin(&ids[4]);
        assert_eq!(tracked.status(&ids[1]), None);
        assert_eq!(tracked.status(&ids[0]), Some(DeliveryStatus::Pending));
        assert_eq!(tracked.status(&MessageId::new()), None, "never heard of");
    }

    #[test]
    fn an_id_that_is_used_again_tells_of_the_later_message_and_takes_one_place() {
        let tracked = Tracked::new(2);
        let id = MessageId::new();
        let first = tracked.begin(&id);
        let second = tracked.begin(&id);
        tracked.set(&id, first, DONE);
        assert_eq!(tracked.status(&id), Some(DeliveryStatus::Pending));
        tracked.set(&id, second, DONE);
        for _ in 0..100 {
            let number = tracked.begin(&id);
            tracked.set(&id, number, DONE);
        }
        assert_eq!(tracked.status(&id), Some(DONE));
        assert!(tracked.known().settled.len() <= 2);
    }

    #[test]
    fn with_no_room_nothing_is_known_and_nothing_kept() {
        let tracked = Tracked::new(0);
        let id = MessageId::new();
        let number = tracked.begin(&id);
        tracked.set(&id, number, DONE);
        assert_eq!(tracked.status(&id), None);
        assert!(tracked.known().settled.is_empty());
    }
}
