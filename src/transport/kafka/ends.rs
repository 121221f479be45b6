//! Which partition's end was reached: the client says its number, and not its topic.

use std::collections::BTreeMap;

use super::ffi::Watermarks;
use crate::transport::{Assigned, Received, TopicPartition};

/// The partitions of a member, and how far each was read.
#[derive(Default)]
pub(super) struct Ends(BTreeMap<TopicPartition, Place>);

struct Place {
    /// The next offset; `None` where nothing was read since it was assigned, and nobody has said where
    /// it begins.
    next: Option<i64>,
    /// Its end was told, and nothing was read since.
    told: bool,
}

impl Ends {
    pub(super) fn assigned(&mut self, assigned: &[Assigned]) {
        let place = |assigned: &Assigned| Place { next: assigned.committed, told: false };
        self.0.extend(assigned.iter().map(|one| (one.partition.clone(), place(one))));
    }

    pub(super) fn revoked(&mut self, partitions: &[TopicPartition]) {
        self.0.retain(|partition, _| !partitions.contains(partition));
    }

    pub(super) fn read(&mut self, partition: &TopicPartition, record: &Received) {
        if let Some(place) = self.0.get_mut(partition) {
            *place = Place { next: Some(record.offset + 1), told: false };
        }
    }

    /// The partitions of a number whose end was reached; one at least, where one was not told yet.
    ///
    /// `marks` are the first offset and the end of each, as the client's last fetch has them. Where the
    /// last offsets hold no records (a transaction's end) no partition may look as if it were at its end:
    /// then it is the one that is nearest to it.
    pub(super) fn reached(
        &mut self,
        number: i32,
        marks: impl Fn(&TopicPartition) -> Option<Watermarks>,
    ) -> Vec<TopicPartition> {
        let open =
            self.0.iter().filter(|(partition, place)| partition.partition == number && !place.told);
        let mut open: Vec<_> = open
            .map(|(partition, place)| (behind(place, marks(partition)), partition.clone()))
            .collect();
        open.sort();
        let at_end = open.iter().filter(|(behind, _)| *behind == Some(0)).count();
        // Those that can be anywhere come last.
        let unknown = open.iter().filter(|(behind, _)| behind.is_none()).count();
        open.rotate_left(unknown);
        let reached: Vec<_> =
            open.into_iter().take(at_end.max(1)).map(|(_, partition)| partition).collect();
        for partition in &reached {
            if let Some(place) = self.0.get_mut(partition) {
                place.told = true;
            }
        }
        reached
    }
}

/// How far from its end a partition was read; `None` where that is not known.
fn behind(place: &Place, marks: Option<Watermarks>) -> Option<i64> {
    let Watermarks { first, end } = marks?;
    let next = place.next.unwrap_or(first);
    Some((end - next).max(0)).filter(|behind| place.next.is_some() || *behind == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Headers, TopicName};

    fn at(topic: &'static str, partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicName::from_static(topic), partition }
    }

    fn record(partition: &TopicPartition, offset: i64) -> Received {
        Received {
            topic: partition.topic.clone(),
            partition: partition.partition,
            offset,
            timestamp: None,
            key: None,
            payload: None,
            headers: Headers::default(),
        }
    }

    fn ends(partitions: &[(TopicPartition, Option<i64>)]) -> Ends {
        let mut ends = Ends::default();
        let assigned = partitions.iter().map(|(partition, committed)| Assigned {
            partition: partition.clone(),
            committed: *committed,
        });
        ends.assigned(&assigned.collect::<Vec<_>>());
        ends
    }

    fn marks(of: &[(TopicPartition, i64)]) -> impl Fn(&TopicPartition) -> Option<Watermarks> {
        move |partition| {
            let found = of.iter().find(|(other, _)| other == partition);
            found.map(|(_, end)| Watermarks { first: 0, end: *end })
        }
    }

    #[test]
    fn of_several_topics_it_is_the_one_that_was_read_to_its_end() {
        let (main, tier) = (at("main", 1), at("tier", 1));
        let mut ends =
            ends(&[(main.clone(), Some(5)), (tier.clone(), None), (at("main", 2), None)]);
        let now = [(main.clone(), 7), (tier.clone(), 0)];
        assert_eq!(ends.reached(1, marks(&now)), std::slice::from_ref(&tier), "it is empty");
        for offset in [5, 6] {
            ends.read(&main, &record(&main, offset));
        }
        assert_eq!(ends.reached(1, marks(&now)), std::slice::from_ref(&main));
        assert_eq!(ends.reached(1, marks(&now)), [], "both were told");
        ends.read(&tier, &record(&tier, 0));
        let now = [(main.clone(), 7), (tier.clone(), 1)];
        assert_eq!(ends.reached(1, marks(&now)), [tier]);
        ends.revoked(&[main]);
        assert_eq!(ends.reached(1, marks(&now)), []);
    }

    #[test]
    fn behind_a_transactions_end_it_is_the_nearest() {
        let (one, other) = (at("one", 0), at("other", 0));
        let mut ends = ends(&[(one.clone(), Some(3)), (other.clone(), Some(0))]);
        let now = [(one.clone(), 4), (other.clone(), 9)];
        assert_eq!(ends.reached(0, marks(&now)), [one]);
        assert_eq!(ends.reached(0, |_| None), [other], "the only one that is left");
    }
}
