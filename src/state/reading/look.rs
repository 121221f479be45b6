//! Looks at the topic: for more partitions, and whether it is still the same.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::super::error::StateStopped;
use super::super::status::Failing;
use super::{Open, Reading};
use crate::error::chain;
use crate::event::TopicName;
use crate::transport::{Admin, Position, TopicId, TopicPartition, TransportError, positions};

/// How often the topic is looked at: for more partitions, and whether it is still the same.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// The same while something is wrong.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a look may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Looks in a row that must find another id, or the topic's end before what was read: a broker that has just
/// become the leader may answer with an older end for a moment, and one that is behind with an older id.
const SURE: u32 = 2;
/// A reader that was refused and says nothing since is opened anew after this.
const DOUBT: Duration = Duration::from_secs(30);

/// Of each partition its first offset and its end.
pub(in super::super) type Bounds = Vec<(TopicPartition, i64, i64)>;

/// A topic as it is found when its reading begins.
pub(in super::super) struct Start {
    pub(super) id: Option<TopicId>,
    pub(super) bounds: Bounds,
}

/// Which topic it is, and where each partition begins and ends now; `None` where the topic is not there.
pub(in super::super) async fn start(
    admin: &dyn Admin,
    topic: &TopicName,
    within: Duration,
) -> Result<Option<Start>, TransportError> {
    // First: of a topic that is made anew in between the older id is kept, and the next look finds the other.
    let id = admin.topic_id(topic, within).await?;
    let Some(ends) = positions(admin, topic, Position::Latest, within).await? else {
        return Ok(None);
    };
    let places: Vec<_> =
        ends.iter().map(|(partition, _)| (partition.clone(), Position::Earliest)).collect();
    let firsts = admin.offsets(&places, within).await?;
    let bounds = ends.into_iter().zip(firsts);
    let bounds = bounds.map(|((partition, end), first)| (partition, first, end)).collect();
    Ok(Some(Start { id, bounds }))
}

pub(super) enum Looked {
    Topic(Result<Option<Found>, TransportError>),
    Anew(Result<Option<Start>, TransportError>),
}

/// What a look at the topic has found.
pub(super) struct Found {
    /// Which topic it is, where that is told.
    id: Option<TopicId>,
    /// Whether a partition ends before what was read of it when the look began.
    back: bool,
    /// Partitions that were not known.
    new: Bounds,
}

impl<V: DeserializeOwned + Send + Sync + 'static> Reading<V> {
    /// The topic is gone, or has records where others were read: it was deleted, made anew, or cut.
    pub(super) fn begin_anew(&mut self) {
        tracing::warn!(topic = %self.topic, "a state topic begins anew, and so does its view");
        self.open.clear();
        self.closed.clear();
        self.reopen_at = None;
        self.anew = true;
        self.other = 0;
        self.status().anew();
        self.looking = None;
        self.look_at = Instant::now();
    }

    pub(super) fn look(&mut self) {
        let (admin, topic) = (self.admin.clone(), self.topic.clone());
        if self.anew {
            let start = async move { Looked::Anew(start(&*admin, &topic, WITHIN).await) };
            self.looking = Some(Box::pin(start));
            return;
        }
        // What is read while the look is under way may lie behind the ends that it finds.
        let known: BTreeMap<_, _> =
            self.places.iter().map(|(partition, place)| (partition.clone(), place.next)).collect();
        let look = async move {
            let id = admin.topic_id(&topic, WITHIN).await?;
            let Some(ends) = positions(&*admin, &topic, Position::Latest, WITHIN).await? else {
                return Ok(None);
            };
            let read = |partition: &TopicPartition| known.get(partition).copied();
            let back = ends.iter().any(|(partition, end)| Some(*end) < read(partition));
            let new: Vec<_> =
                ends.into_iter().filter(|(partition, _)| read(partition).is_none()).collect();
            let places: Vec<_> =
                new.iter().map(|(partition, _)| (partition.clone(), Position::Earliest)).collect();
            let firsts = admin.offsets(&places, WITHIN).await?;
            let new = new.into_iter().zip(firsts);
            let new = new.map(|((partition, end), first)| (partition, first, end)).collect();
            Ok(Some(Found { id, back, new }))
        };
        self.looking = Some(Box::pin(async move { Looked::Topic(look.await) }));
    }

    pub(super) fn looked(&mut self, looked: Looked) -> Result<(), StateStopped> {
        self.look_at = Instant::now() + LOOK_AGAIN;
        let gone = || format!("topic {} is not there any more", self.topic);
        match looked {
            Looked::Topic(Err(error)) | Looked::Anew(Err(error)) => {
                self.fails(Failing::Look, chain(&error));
            }
            Looked::Topic(Ok(None)) => {
                self.fails(Failing::Look, gone());
                // When it is back it is another one, however long that is.
                self.begin_anew();
            }
            Looked::Anew(Ok(None)) => self.fails(Failing::Look, gone()),
            Looked::Anew(Ok(Some(Start { id, bounds }))) => {
                self.anew = false;
                self.id = id;
                self.store.clear();
                self.places.clear();
                self.status().works(Failing::Look);
                let from = self.note(bounds);
                self.read_or_wait(from)?;
                self.works();
            }
            Looked::Topic(Ok(Some(Found { id, back, new }))) => {
                self.status().works(Failing::Look);
                self.works();
                let other = back || self.is_other(id);
                self.other = if other { self.other + 1 } else { 0 };
                if self.other >= SURE {
                    self.begin_anew();
                    return Ok(());
                }
                self.more(new)?;
                self.open_the_refused_anew()?;
                if self.other == 0 && self.open.iter().all(|open| open.refused.is_none()) {
                    self.look_at = Instant::now() + LOOK;
                }
            }
        }
        Ok(())
    }

    /// Whether an id is another topic's. One that was never told before is this one's.
    fn is_other(&mut self, id: Option<TopicId>) -> bool {
        match (&self.id, id) {
            (Some(known), Some(id)) => *known != id,
            (None, Some(id)) => {
                self.id = Some(id);
                false
            }
            (_, None) => false,
        }
    }

    /// Reads partitions that were added, too.
    fn more(&mut self, new: Bounds) -> Result<(), StateStopped> {
        if new.is_empty() {
            return Ok(());
        }
        tracing::info!(topic = %self.topic, partitions = new.len(), "a state topic has more partitions");
        let from = self.note(new);
        self.read_or_wait(from)
    }

    /// Who was refused may hear nothing of being let in again.
    fn open_the_refused_anew(&mut self) -> Result<(), StateStopped> {
        let old = |open: &Open| open.refused.is_some_and(|since| since.elapsed() > DOUBT);
        while let Some(at) = self.open.iter().position(old) {
            let partitions = self.open.remove(at).partitions;
            let next = |partition: TopicPartition| {
                let next = self.places.get(&partition)?.next;
                Some((partition, next))
            };
            let from = partitions.into_iter().filter_map(next).collect();
            self.read_or_wait(from)?;
        }
        Ok(())
    }
}
