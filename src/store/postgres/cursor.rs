//! Where to read from so that no late commit is passed and dead rows are not read again.
//!
//! An append takes its transaction's xid before its id. So of any id `m` that has been seen, and any
//! xid `x` that was handed out after that: a transaction with an xid from `x` up took its ids after
//! `m` was taken, and they are higher. Whenever the relay marks rows, it learns such a pair: a [`Mark`].
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
    /// The highest id that has been seen.
    seen: i64,
    marks: Vec<Mark>,
}

/// What the next read is to be given.
#[derive(Debug, Clone)]
pub(super) struct From {
    pub(super) snapshot: Option<String>,
    pub(super) read: i64,
    pub(super) xids: Vec<String>,
    pub(super) ids: Vec<i64>,
}

impl Cursor {
    /// Forgets everything: the next read begins at the first row.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    pub(super) fn from(&self) -> From {
        From {
            snapshot: self.snapshot.clone(),
            read: self.read,
            xids: self.marks.iter().map(|mark| mark.xid.to_string()).collect(),
            ids: self.marks.iter().map(|mark| mark.id).collect(),
        }
    }

    /// A read in this snapshot showed rows up to `last`, and more may follow if it was `cut` there.
    pub(super) fn read(&mut self, snapshot: &str, last: Option<i64>, cut: bool) {
        if self.snapshot.as_deref().map(xmax) > Some(xmax(snapshot)) {
            // Xids only rise, unless the database stands further back than it did. What was learnt before
            // says nothing of it. (That the server is another one is noticed before that.)
            return self.restart();
        }
        self.snapshot = Some(snapshot.to_owned());
        let last = last.unwrap_or(0);
        self.seen = self.seen.max(last);
        self.read = if cut { last } else { self.read.max(last) };
    }

    /// The highest id that has been seen: to be asked before a transaction that [`mark`](Self::mark)
    /// is told of begins.
    pub(super) fn seen(&self) -> i64 {
        self.seen
    }

    /// `seen` had been seen before the transaction `xid` began.
    pub(super) fn mark(&mut self, xid: u64, seen: i64) {
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
        self.marks.push(Mark { xid, id: seen });
    }
}

/// The second part of `xmin:xmax:xid,xid,..`.
fn xmax(snapshot: &str) -> u64 {
    snapshot.split(':').nth(1).and_then(|xmax| xmax.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_was_cut_goes_on_where_it_was_cut_also_when_that_lies_further_back() {
        let mut cursor = Cursor::default();
        cursor.read("10:10:", Some(500), false);
        assert_eq!((cursor.read, cursor.seen()), (500, 500));
        cursor.read("12:12:", Some(300), true);
        assert_eq!((cursor.read, cursor.seen()), (300, 500));
        cursor.read("12:12:", None, false);
        assert_eq!((cursor.read, cursor.seen()), (300, 500));
    }

    #[test]
    fn a_database_that_stands_further_back_is_read_from_its_first_row() {
        let mut cursor = Cursor::default();
        cursor.read("90:100:90,95", Some(500), false);
        cursor.mark(101, 500);
        cursor.read("40:60:", Some(300), false);
        let From { snapshot, read, xids, .. } = cursor.from();
        assert_eq!((snapshot, read, xids.len(), cursor.seen()), (None, 0, 0, 0));
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
