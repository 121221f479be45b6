//! The task behind a view: reads each partition from its beginning, follows, and looks at the topic
//! from time to time.

mod look;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, select_all};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use self::look::{Bounds, LOOK, LOOK_AGAIN, Looked};
pub(super) use self::look::{Start, start};
use super::error::StateStopped;
use super::status::{Failing, StateViewStatus};
use super::store::Store;
use crate::error::{ErrorClass, chain};
use crate::event::TopicName;
use crate::retry::Backoff;
use crate::transport::{
    Admin, Offsets, ReadEvent, RecordBatch, TopicId, TopicPartition, TopicReader, Transport,
    TransportError,
};

/// Until a reader that has ended is opened again.
const REOPEN: Backoff = Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(30));

pub(super) struct Reading<V> {
    transport: Arc<dyn Transport>,
    admin: Arc<dyn Admin>,
    topic: TopicName,
    /// Which topic of that name is read, where the cluster tells it.
    id: Option<TopicId>,
    store: Arc<Store<V>>,
    places: BTreeMap<TopicPartition, Place>,
    open: Vec<Open>,
    /// Partitions that nobody reads now, and when somebody is to read them again.
    closed: Vec<TopicPartition>,
    reopen_at: Option<Instant>,
    reopened: u32,
    look_at: Instant,
    looking: Option<BoxFuture<'static, Looked>>,
    /// Whether it is to begin anew.
    anew: bool,
    /// Looks in a row that found another topic: another id, or an end before what was read.
    other: u32,
}

/// How far a partition was read.
struct Place {
    next: i64,
    /// Its end when the reading began.
    end: i64,
    caught_up: bool,
}

/// A reader that is open.
struct Open {
    reader: TopicReader,
    partitions: Vec<TopicPartition>,
    /// Since when it is refused and has said nothing else.
    refused: Option<Instant>,
}

enum Woken {
    Looked(Looked),
    Look,
    Reopen,
    /// A reader, by its place, has told something; `None`: it has ended.
    Told(usize, Option<Result<ReadEvent, TransportError>>),
}

impl<V: DeserializeOwned + Send + Sync + 'static> Reading<V> {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        topic: TopicName,
        store: Arc<Store<V>>,
        Start { id, bounds }: Start,
    ) -> Result<Self, TransportError> {
        let mut reading = Self {
            admin: transport.admin(),
            transport,
            topic,
            id,
            store,
            places: BTreeMap::new(),
            open: Vec::new(),
            closed: Vec::new(),
            reopen_at: None,
            reopened: 0,
            look_at: Instant::now() + LOOK,
            looking: None,
            anew: false,
            other: 0,
        };
        let from = reading.note(bounds);
        reading.read(from)?;
        reading.look_whether_caught_up();
        Ok(reading)
    }

    pub(super) async fn run(mut self) {
        let _ended = Ended(self.status().clone());
        loop {
            if let Err(why) = self.step().await {
                tracing::error!(topic = %self.topic, why = %why, "the view of a state topic stops");
                self.status().stop(why);
                return;
            }
        }
    }

    fn status(&self) -> &StateViewStatus {
        &self.store.status
    }

    async fn step(&mut self) -> Result<(), StateStopped> {
        let Self { looking, look_at, reopen_at, open, .. } = self;
        let looks = looking.is_some();
        let woken = tokio::select! {
            biased;
            looked = async { looking.as_mut().expect("it looks").await }, if looks => Woken::Looked(looked),
            () = sleep_until(*look_at), if !looks => Woken::Look,
            () = async { sleep_until(reopen_at.expect("it is to be")).await }, if reopen_at.is_some() => Woken::Reopen,
            (at, told) = next(open) => Woken::Told(at, told),
        };
        match woken {
            Woken::Looked(looked) => {
                self.looking = None;
                self.looked(looked)?;
            }
            Woken::Look => self.look(),
            Woken::Reopen => self.reopen()?,
            Woken::Told(at, told) => self.told(at, told)?,
        }
        self.look_whether_caught_up();
        Ok(())
    }

    /// Notes partitions that are new; answers where to read them from.
    fn note(&mut self, bounds: Bounds) -> Offsets {
        let mut from = Offsets::new();
        for (partition, first, end) in bounds {
            let place = Place { next: first, end, caught_up: first >= end };
            self.status().read_up_to(partition.partition, first);
            self.places.insert(partition.clone(), place);
            from.push((partition, first));
        }
        if self.places.len() > 1 && !self.status().is_caught_up() {
            self.store.keep_tombstones();
        }
        from
    }

    fn read(&mut self, from: Offsets) -> Result<(), TransportError> {
        let partitions = from.iter().map(|(partition, _)| partition.clone()).collect();
        let reader = self.transport.read(from)?;
        self.open.push(Open { reader, partitions, refused: None });
        Ok(())
    }

    /// Reads partitions; while that cannot be, they wait.
    fn read_or_wait(&mut self, from: Offsets) -> Result<(), StateStopped> {
        let partitions: Vec<_> = from.iter().map(|(partition, _)| partition.clone()).collect();
        match self.read(from) {
            Ok(()) => Ok(()),
            Err(error) if error.class == ErrorClass::Retriable => {
                self.close(partitions, chain(&error));
                Ok(())
            }
            Err(error) => {
                Err(StateStopped::Client { topic: self.topic.clone(), reason: chain(&error) })
            }
        }
    }

    fn close(&mut self, partitions: Vec<TopicPartition>, why: String) {
        self.fails(Failing::Reader, why);
        self.closed.extend(partitions);
        self.reopened = self.reopened.saturating_add(1);
        self.reopen_at.get_or_insert_with(|| Instant::now() + REOPEN.delay(self.reopened));
        self.look_soon();
    }

    fn reopen(&mut self) -> Result<(), StateStopped> {
        self.reopen_at = None;
        let closed = std::mem::take(&mut self.closed);
        let next = |partition: TopicPartition| {
            let next = self.places.get(&partition)?.next;
            Some((partition, next))
        };
        self.read_or_wait(closed.into_iter().filter_map(next).collect())
    }

    fn fails(&self, what: Failing, why: String) {
        if self.status().fails(what, why.clone()) {
            tracing::warn!(topic = %self.topic, error = why, "reading a state topic fails and goes on");
        }
    }

    fn told(
        &mut self,
        at: usize,
        told: Option<Result<ReadEvent, TransportError>>,
    ) -> Result<(), StateStopped> {
        match told {
            Some(Ok(event)) => {
                self.open[at].refused = None;
                self.reopened = 0;
                self.works();
                match event {
                    ReadEvent::Records(batch) => self.records(batch)?,
                    ReadEvent::End(partition) => {
                        if let Some(place) = self.places.get_mut(&partition) {
                            place.caught_up = true;
                        }
                    }
                }
            }
            Some(Err(error)) => {
                if error.class != ErrorClass::Retriable {
                    self.open[at].refused.get_or_insert_with(Instant::now);
                }
                self.fails(Failing::Reader, chain(&error));
                self.look_soon();
            }
            None => {
                let open = self.open.remove(at);
                self.close(open.partitions, "the reader has ended".into());
                return Ok(());
            }
        }
        // Readers take turns. Beginning anew has closed all of them.
        if !self.open.is_empty() {
            self.open.rotate_left(at + 1);
        }
        Ok(())
    }

    /// To find out soon whether it is over, and whether the topic is still the same.
    fn look_soon(&mut self) {
        self.look_at = self.look_at.min(Instant::now() + LOOK_AGAIN);
    }

    fn works(&self) {
        let refused = self.open.iter().any(|open| open.refused.is_some());
        if !refused && self.closed.is_empty() {
            self.status().works(Failing::Reader);
        }
    }

    fn records(&mut self, batch: RecordBatch) -> Result<(), StateStopped> {
        let (Some(first), Some(last)) = (batch.records.first(), batch.records.last()) else {
            return Ok(());
        };
        let Some(place) = self.places.get_mut(&batch.partition) else { return Ok(()) };
        if first.offset < place.next {
            self.begin_anew();
            return Ok(());
        }
        let next = last.offset + 1;
        place.next = next;
        place.caught_up |= next >= place.end;
        self.store.apply(&batch)?;
        self.status().read_up_to(batch.partition.partition, next);
        Ok(())
    }

    fn look_whether_caught_up(&self) {
        if self.status().is_caught_up() || self.anew {
            return;
        }
        let open = self.places.values().filter(|place| !place.caught_up);
        let left: i64 = open.clone().map(|place| (place.end - place.next).max(0)).sum();
        self.status().left(u64::try_from(left).unwrap_or_default());
        if open.count() == 0 {
            self.store.forget_tombstones();
            self.status().caught_up();
        }
    }
}

/// Waits for what any of the readers tells.
async fn next(open: &mut [Open]) -> (usize, Option<Result<ReadEvent, TransportError>>) {
    match open {
        [] => std::future::pending().await,
        [one] => (0, one.reader.next().await),
        many => {
            let all = many.iter_mut().map(|open| Box::pin(open.reader.next()));
            let (told, at, _) = select_all(all).await;
            (at, told)
        }
    }
}

/// Says that the task has ended, however that came.
struct Ended(StateViewStatus);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.stop(StateStopped::Ended { topic: self.0.topic().clone() });
    }
}
