//! Which offsets of a partition are done, and up to where they may be committed.

use std::collections::VecDeque;

/// The offsets of one assignment of a partition, in the order they were read.
///
/// Offsets may have gaps (compaction, transaction markers); places are counted, not offsets.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Offset and whether it is done; the first one is not.
    open: VecDeque<(i64, bool)>,
    /// The place of the first one.
    first: u64,
    /// The next offset to read, once everything before it is done.
    watermark: Option<i64>,
}

impl Ledger {
    /// Notes an offset that was read; answers its place.
    pub(super) fn read(&mut self, offset: i64) -> u64 {
        self.open.push_back((offset, false));
        self.first + (self.open.len() - 1) as u64
    }

    /// Notes that the offset at `place` is done. A place that is not open is left alone.
    pub(super) fn done(&mut self, place: u64) {
        let Some(at) = place.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else {
            return;
        };
        let Some(entry) = self.open.get_mut(at) else { return };
        entry.1 = true;
        while let Some((offset, true)) = self.open.front() {
            self.watermark = Some(offset + 1);
            self.open.pop_front();
            self.first += 1;
        }
    }

    /// Begins again: the partition's offsets have started anew, and what was read of the old ones
    /// counts no longer. Places go on.
    pub(super) fn restart(&mut self) {
        self.first += self.open.len() as u64;
        self.open.clear();
        self.watermark = None;
    }

    /// What may be committed: the offset after the last one before which nothing is open.
    pub(super) fn watermark(&self) -> Option<i64> {
        self.watermark
    }

    /// The place and the offset of the first that is not done.
    pub(super) fn front(&self) -> Option<(u64, i64)> {
        self.open.front().map(|(offset, _)| (self.first, *offset))
    }

    /// How many offsets were read and are not behind the watermark.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// How many offsets before this place are not done.
    pub(super) fn undone_before(&self, place: u64) -> usize {
        let before = usize::try_from(place.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.open.iter().take(before).filter(|(_, done)| !done).count()
    }

    /// Whether an offset was read before.
    pub(super) fn has_passed(&self, offset: i64) -> bool {
        match self.open.back() {
            Some((last, _)) => offset <= *last,
            None => self.watermark.is_some_and(|next| offset < next),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_watermark_stops_at_the_first_offset_that_is_not_done() {
        let mut ledger = Ledger::default();
        let places: Vec<_> = [10, 11, 15].map(|offset| ledger.read(offset)).into();
        ledger.done(places[1]);
        assert_eq!(ledger.watermark(), None);
        ledger.done(places[0]);
        assert_eq!(ledger.watermark(), Some(12));
        assert_eq!([0, 2, 3, 9].map(|place| ledger.undone_before(place)), [0, 0, 1, 1]);
        ledger.done(places[2]);
        assert_eq!((ledger.watermark(), ledger.open()), (Some(16), 0));
        ledger.done(places[0]);
        ledger.done(99);
        assert_eq!(ledger.watermark(), Some(16), "an unknown place changes nothing");
    }

    #[test]
    fn an_offset_that_was_read_before_is_known() {
        let mut ledger = Ledger::default();
        assert!(!ledger.has_passed(0));
        let place = ledger.read(7);
        assert!(ledger.has_passed(7) && !ledger.has_passed(8));
        ledger.done(place);
        assert!(ledger.has_passed(7) && !ledger.has_passed(8));
    }

    #[test]
    fn what_was_read_before_a_restart_moves_nothing() {
        let mut ledger = Ledger::default();
        let (done, open) = (ledger.read(7), ledger.read(8));
        ledger.done(done);
        ledger.restart();
        assert!(!ledger.has_passed(0));
        assert_eq!((ledger.watermark(), ledger.open()), (None, 0));
        let new = ledger.read(0);
        ledger.done(open);
        assert_eq!((ledger.watermark(), ledger.open()), (None, 1));
        ledger.done(new);
        assert_eq!((ledger.watermark(), ledger.open()), (Some(1), 0));
    }

    proptest! {
        #[test]
        fn no_order_of_completion_passes_an_open_offset(
            gaps in prop::collection::vec(1i64..5, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
        ) {
            let mut ledger = Ledger::default();
            let mut offset = 0;
            let read: Vec<_> = gaps.iter().map(|gap| { offset += gap; (offset, ledger.read(offset)) }).collect();
            let mut done = vec![false; read.len()];
            for index in order {
                let at = index.index(read.len());
                ledger.done(read[at].1);
                done[at] = true;
                let first_open = done.iter().position(|done| !done).unwrap_or(read.len());
                let expected = first_open.checked_sub(1).map(|at| read[at].0 + 1);
                prop_assert_eq!(ledger.watermark(), expected);
            }
        }
    }
}
