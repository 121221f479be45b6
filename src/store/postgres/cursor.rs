//! Where to read from so that no late commit is passed and dead rows are not read again.
//!
//! An append takes its transaction's xid before its id. So of any id `m` that has been taken, and any
//! xid `x` that was handed out after that: a transaction with an xid from `x` up took its ids after
//! `m` was taken, and they are higher. Whenever the relay marks rows, it learns such a pair: a [`Mark`].
//! For `m` each read asks the sequence, which has no cache, for the last id that anybody took. Whether its
//! transaction ever commits does not matter, so while much waits `m` lies far above what was read, and
//! one pair does for all reads that follow: relays' marks, which end between them and store nothing, are
//! later than that pair and make no read begin lower. (A mark that was answered is on disk, and so is
//! what the log said before it: no crash gives such an `m` out again.)
//!
//! What a snapshot shows and the last one did not, belongs to transactions that ended in between:
//! those that were running in the last one, or began later. The lowest of their xids tells, by the
//! marks, how low their ids can be; the next read begins there. A transaction that runs for
//! hours holds nothing up: its xid counts once, when it has ended.
//!
//! A snapshot's own xmax will not do instead of `x`: it is one past the highest xid that has *ended*. A
//! transaction that took the next xid, and then a lower id than one that has been seen, may still run.

/// A transaction with an xid from `xid` up has no id up to `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    xid: u64,
    id: i64,
}

/// Marks that are kept; beyond that the older half is thinned out, which only makes a read begin lower.
const MARKS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The snapshot of the last read, as PostgreSQL writes it; none before the first.
    snapshot: Option<String>,
    /// All that the last snapshot showed up to here has been read.
    read: i64,
    /// The highest id that is known to have been taken.
    taken: i64,
    marks: Vec<Mark>,
}

/// What the next read is to be given.
#[derive(Debug, Clone)]
pub(super) struct From {
    pub(super) snapshot: Option<String>,
    pub(super) read: i64,
    pub(super) xids: Vec<String>,
    pub(super) ids: Vec<i64>,
    /// The read begins here or higher, whatever has ended.
    pub(super) floor: i64,
}

impl Cursor {
    /// Forgets everything: the next read begins at the first row.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    pub(super) fn from(&self) -> From {
        From {
            floor: self.floor(),
            snapshot: self.snapshot.clone(),
            read: self.read,
            xids: self.marks.iter().map(|mark| mark.xid.to_string()).collect(),
            ids: self.marks.iter().map(|mark| mark.id).collect(),
        }
    }

    /// The lowest xid that can have ended since the last snapshot is its xmin.
    fn floor(&self) -> i64 {
        let xmin = self.snapshot.as_deref().map_or(0, |snapshot| part(snapshot, 0));
        let after = self.marks.partition_point(|mark| mark.xid <= xmin);
        after.checked_sub(1).map_or(0, |last| self.marks[last].id.min(self.read))
    }

    /// A read in this snapshot showed rows up to `last`, and more may follow if it was `cut` there. Up to
    /// `taken` ids had been taken, read or not.
    pub(super) fn read(&mut self, snapshot: &str, last: Option<i64>, cut: bool, taken: i64) {
        if self.snapshot.as_deref().map(|last| part(last, 1)) > Some(part(snapshot, 1)) {
            // Xids only rise, unless the database stands further back than it did. What was learnt before
            // says nothing of it. (That the server is another one is noticed before that.)
            return self.restart();
        }
        self.snapshot = Some(snapshot.to_owned());
        let last = last.unwrap_or(0);
        self.taken = self.taken.max(taken).max(last);
        self.read = if cut { last } else { self.read.max(last) };
    }

    /// The highest id that is known to have been taken: to be asked before a transaction that
    /// [`mark`](Self::mark) is told of begins.
    pub(super) fn taken(&self) -> i64 {
        self.taken
    }

    /// `taken` had been taken before the transaction `xid` began.
    pub(super) fn mark(&mut self, xid: u64, taken: i64) {
        if self.marks.last().is_some_and(|last| xid <= last.xid) {
            return;
        }
        if self.marks.len() == MARKS {
            let mut at = 0;
            self.marks.retain(|_| {
                at += 1;
                at > MARKS / 2 || at % 2 == 0
            });
        }
        self.marks.push(Mark { xid, id: taken });
    }
}

/// One of the first two parts of `xmin:xmax:xid,xid,..`.
fn part(snapshot: &str, nth: usize) -> u64 {
    snapshot.split(':').nth(nth).and_then(|xid| xid.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_was_cut_goes_on_where_it_was_cut_also_when_that_lies_further_back() {
        let mut cursor = Cursor::default();
        cursor.read("10:10:", Some(500), false, 500);
        assert_eq!((cursor.read, cursor.taken()), (500, 500));
        cursor.read("12:12:", Some(300), true, 500);
        assert_eq!((cursor.read, cursor.taken()), (300, 500));
        cursor.read("12:12:", None, false, 500);
        assert_eq!((cursor.read, cursor.taken()), (300, 500));
    }

    #[test]
    fn what_was_taken_and_not_read_counts_for_marks_and_for_no_read() {
        let mut cursor = Cursor::default();
        cursor.read("10:10:", Some(500), true, 9_000);
        let before = cursor.taken();
        cursor.read("12:12:", Some(700), true, 9_100);
        assert_eq!((before, cursor.read, cursor.taken()), (9_000, 700, 9_100));
        // It began before the second read was answered.
        cursor.mark(13, before);
        let From { read, xids, ids, .. } = cursor.from();
        assert_eq!((read, xids, ids), (700, vec!["13".to_owned()], vec![9_000]));
        // A row that was seen had its id taken, whatever a sequence says that was set back.
        cursor.read("14:14:", Some(9_200), false, 0);
        assert_eq!((cursor.read, cursor.taken()), (9_200, 9_200));
    }

    #[test]
    fn a_database_that_stands_further_back_is_read_from_its_first_row() {
        let mut cursor = Cursor::default();
        cursor.read("90:100:90,95", Some(500), false, 800);
        cursor.mark(101, 500);
        cursor.read("40:60:", Some(300), false, 700);
        let From { snapshot, read, xids, .. } = cursor.from();
        assert_eq!((snapshot, read, xids.len(), cursor.taken()), (None, 0, 0, 0));
    }

    #[test]
    fn a_read_begins_no_lower_than_the_marks_of_what_can_have_ended_say() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.from().floor, 0);
        for (xid, taken) in [(10, 100), (20, 200), (30, 300)] {
            cursor.mark(xid, taken);
        }
        assert_eq!(cursor.from().floor, 0, "nothing was read");
        let floors = [("9:40:9", 0), ("10:40:10", 100), ("29:41:29,35", 200), ("41:41:", 300)];
        for (snapshot, floor) in floors {
            cursor.read(snapshot, Some(1_000), false, 1_000);
            assert_eq!(cursor.from().floor, floor, "{snapshot}");
        }
        cursor.read("42:42:", Some(250), true, 1_000);
        assert_eq!(cursor.from().floor, 250, "what follows was not read");
    }

    #[test]
    fn marks_rise_and_do_not_pile_up() {
        let mut cursor = Cursor::default();
        for n in 1..1_000 {
            cursor.mark(n * 2, n as i64);
        }
        cursor.mark(5, 10_000);
        let From { ids, .. } = cursor.from();
        assert!(ids.is_sorted() && ids.len() <= MARKS, "{ids:?}");
        assert_eq!(ids.last(), Some(&999));
    }
}
