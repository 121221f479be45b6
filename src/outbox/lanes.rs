//! Rows between the database and the broker, and the rule that keeps a key in order.
//!
//! Of a key one row is on its way at a time. So whatever becomes of it, nothing of its key has
//! overtaken it; rows of other keys go on.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::ops::Deref;

use tokio::time::Instant;

use crate::mapper::type_map::Identity;
use crate::store::{OrderKey, OutboxRow, RowId, Shard};

/// A key's lane by its hash: keys that share one wait for each other, and that is all.
pub(super) type LaneId = u64;

#[derive(Default)]
pub(super) struct Lanes {
    lanes: HashMap<LaneId, Lane, BuildHasherDefault<Identity>>,
    ready: VecDeque<LaneRow>,
    retries: BTreeSet<(Instant, LaneId)>,
    to_park: VecDeque<LaneId>,
    parked: HashSet<OrderKey>,
    rows: usize,
}

struct Lane {
    shard: Shard,
    head: Head,
    attempts: u32,
    behind: VecDeque<OutboxRow>,
}

/// What becomes of the first row of a lane: ready → sent → gone, or → back → ready, or → failed → gone.
enum Head {
    /// It waits to be sent, or for its acknowledgement.
    Sent(RowId),
    /// It waits for its acknowledgement, and was read in an earlier term: it has no number here.
    Over,
    /// It is sent again when its time comes.
    Back(OutboxRow),
    /// It is to be parked.
    Failed(OutboxRow, String),
    /// It is parked; so is to be what came later.
    Parked,
}

/// Rows of one lane that are to be parked.
pub(super) struct ToPark {
    pub(super) lane: LaneId,
    pub(super) shard: Shard,
    /// The one that failed, and why.
    pub(super) failed: Option<(RowId, String)>,
    pub(super) behind: Vec<RowId>,
}

/// The first row of a lane, which knows the lane's id: it is computed once.
#[derive(Debug)]
pub(super) struct LaneRow {
    lane: LaneId,
    stored: OutboxRow,
}

impl Deref for LaneRow {
    type Target = OutboxRow;

    fn deref(&self) -> &OutboxRow {
        &self.stored
    }
}

fn lane_of(row: &OutboxRow) -> LaneId {
    // Not a map's own hasher: two runs of one seed take the same course.
    let mut hasher = DefaultHasher::new();
    row.record.topic.as_str().hash(&mut hasher);
    match &row.record.key {
        Some(key) => key.hash(&mut hasher),
        None => row.id.hash(&mut hasher),
    }
    hasher.finish()
}

fn order_key(row: &OutboxRow) -> Option<OrderKey> {
    let key = row.record.key.clone()?;
    Some(OrderKey { topic: row.record.topic.clone(), key })
}

impl Lanes {
    /// Rows that are held here.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Rows that can be sent now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The numbers of all rows that are held here.
    pub(super) fn known(&self, known: &mut Vec<RowId>) {
        known.reserve(self.rows);
        for lane in self.lanes.values() {
            match &lane.head {
                Head::Sent(row) => known.push(*row),
                Head::Back(row) | Head::Failed(row, _) => known.push(row.row),
                Head::Parked | Head::Over => {}
            }
            known.extend(lane.behind.iter().map(|row| row.row));
        }
    }

    /// Takes a row that was read after all that are held of its key.
    pub(super) fn admit(&mut self, row: OutboxRow) {
        let id = lane_of(&row);
        self.rows += 1;
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.behind.push_back(row);
            return;
        }
        let parked = !self.parked.is_empty()
            && order_key(&row).is_some_and(|key| self.parked.contains(&key));
        let mut lane = Lane {
            shard: row.shard,
            head: Head::Sent(row.row),
            attempts: 0,
            behind: VecDeque::new(),
        };
        if parked {
            lane.head = Head::Parked;
            lane.behind.push_back(row);
            self.to_park.push_back(id);
        } else {
            self.ready.push_back(LaneRow { lane: id, stored: row });
        }
        self.lanes.insert(id, lane);
    }

    /// Takes rows that are to be sent, at most so many.
    pub(super) fn take(&mut self, most: usize) -> Vec<LaneRow> {
        let count = most.min(self.ready.len());
        self.ready.drain(..count).collect()
    }

    /// The row of a lane is acknowledged; the next of its key can be sent.
    pub(super) fn acknowledged(&mut self, row: &LaneRow) {
        self.rows -= 1;
        self.go_on(row.lane);
    }

    /// The row of a lane is not held any more, since somebody else works on its shard.
    pub(super) fn dropped(&mut self, row: &LaneRow) {
        self.acknowledged(row);
    }

    fn go_on(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        match lane.behind.pop_front() {
            Some(next) => {
                lane.head = Head::Sent(next.row);
                lane.attempts = 0;
                self.ready.push_back(LaneRow { lane: id, stored: next });
            }
            None => {
                self.lanes.remove(&id);
            }
        }
    }

    /// How often the row of this lane has failed, this time included.
    pub(super) fn failed(&mut self, row: &LaneRow) -> u32 {
        let Some(lane) = self.lanes.get_mut(&row.lane) else { return 1 };
        lane.attempts = lane.attempts.saturating_add(1);
        lane.attempts
    }

    /// The row of a lane is sent again later; what is behind it waits.
    pub(super) fn back(&mut self, row: LaneRow, until: Instant) {
        let LaneRow { lane: id, stored: row } = row;
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.head = Head::Back(row);
            self.retries.insert((until, id));
        }
    }

    /// The row of a lane was not sent at all: it is the next one to be.
    pub(super) fn unsent(&mut self, row: LaneRow) {
        self.ready.push_front(row);
    }

    /// When the next row is to be sent again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.first().map(|(until, _)| *until)
    }

    /// Makes rows ready whose time has come.
    pub(super) fn retry(&mut self, now: Instant) {
        while let Some((until, id)) =
            self.retries.first().copied().filter(|(until, _)| *until <= now)
        {
            self.retries.remove(&(until, id));
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            match std::mem::replace(&mut lane.head, Head::Parked) {
                Head::Back(row) => {
                    lane.head = Head::Sent(row.row);
                    self.ready.push_back(LaneRow { lane: id, stored: row });
                }
                // It was forgotten, and read again meanwhile.
                other => lane.head = other,
            }
        }
    }

    /// The row of a lane can never be published.
    pub(super) fn fail(&mut self, row: LaneRow, reason: String) {
        let LaneRow { lane: id, stored: row } = row;
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.head = Head::Failed(row, reason);
            self.to_park.push_back(id);
        }
    }

    /// What is to be parked next.
    pub(super) fn next_to_park(&mut self) -> Option<ToPark> {
        while let Some(id) = self.to_park.pop_front() {
            let Some(lane) = self.lanes.get(&id) else { continue };
            let failed = match &lane.head {
                Head::Failed(row, reason) => Some((row.row, reason.clone())),
                Head::Parked => None,
                Head::Sent(_) | Head::Back(_) | Head::Over => continue,
            };
            // Rows without a key share a lane by chance at most, and wait for nobody.
            let keyed = match &lane.head {
                Head::Failed(row, _) => row.record.key.is_some(),
                _ => true,
            };
            let behind = lane.behind.iter().filter(|_| keyed).map(|row| row.row).collect();
            return Some(ToPark { lane: id, shard: lane.shard, failed, behind });
        }
        None
    }

    /// It was parked.
    pub(super) fn was_parked(&mut self, done: &ToPark) {
        let Some(lane) = self.lanes.get_mut(&done.lane) else { return };
        // A lane that was forgotten and read again meanwhile begins with other rows, or the same.
        for parked in &done.behind {
            if lane.behind.front().is_some_and(|row| row.row == *parked) {
                lane.behind.pop_front();
                self.rows -= 1;
            }
        }
        match (&lane.head, &done.failed) {
            (Head::Failed(row, _), Some((failed, _))) if row.row == *failed => {
                self.rows -= 1;
                let Some(key) = order_key(row) else { return self.go_on(done.lane) };
                self.parked.insert(key);
                lane.head = Head::Parked;
            }
            (Head::Parked, _) => {}
            _ => return,
        }
        match lane.behind.is_empty() {
            true => drop(self.lanes.remove(&done.lane)),
            false => self.to_park.push_back(done.lane),
        }
    }

    /// It was not: it is tried again, or forgotten with its shard.
    pub(super) fn was_not_parked(&mut self, tried: &ToPark) {
        if self.lanes.contains_key(&tried.lane) {
            self.to_park.push_back(tried.lane);
        }
    }

    /// These keys have a parked event, and no others. What waited to be parked behind one is
    /// forgotten: it will be read again, behind what may have been put back.
    pub(super) fn set_parked(&mut self, keys: Vec<OrderKey>) {
        self.parked = keys.into_iter().collect();
        let mut gone = 0;
        self.lanes.retain(|_, lane| {
            let forget = matches!(lane.head, Head::Parked);
            gone += if forget { lane.behind.len() } else { 0 };
            !forget
        });
        self.rows -= gone;
    }

    /// What of these shards is still on its way, once the rest is forgotten, was read in an earlier term;
    /// what is read now waits behind it.
    pub(super) fn begin_term(&mut self, shard: impl Fn(Shard) -> bool) {
        for lane in self.lanes.values_mut().filter(|lane| shard(lane.shard)) {
            lane.head = Head::Over;
        }
    }

    /// Forgets all of these shards that is not on its way.
    pub(super) fn forget(&mut self, shard: impl Fn(Shard) -> bool) {
        let mut gone = 0;
        let mut unsent = HashSet::new();
        self.ready.retain(|row| {
            let forget = shard(row.shard);
            if forget {
                unsent.insert(row.row);
            }
            !forget
        });
        self.lanes.retain(|_, lane| {
            if !shard(lane.shard) {
                return true;
            }
            gone += lane.behind.len();
            lane.behind.clear();
            match lane.head {
                Head::Over => return true,
                Head::Sent(row) if !unsent.contains(&row) => return true,
                Head::Parked => {}
                _ => gone += 1,
            }
            false
        });
        self.rows -= gone;
    }
}

#[cfg(test)]
mod tests;
