//! What is settable about a relay, and what is checked before it runs.

use std::sync::Arc;
use std::time::Duration;

use super::health::RelayStatus;
use super::running::RunningRelay;
use super::work::Work;
use crate::retry::{Backoff, Chance};
use crate::store::OutboxStore;
use crate::transport::{Producer, Transport};

/// The part of a lease at whose end nothing is sent any more.
const MARGIN: u32 = 4;
/// How often a lease is renewed within its time.
const RENEWALS: u32 = 4;
/// The shortest lease: a renewal must fit into its quarter, on a bad day too.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// Publishes what is stored in an outbox. Several may run at once, in as many processes.
pub struct Relay {
    pub(crate) store: Arc<dyn OutboxStore>,
    pub(super) producer: Arc<dyn Producer>,
    pub(super) chance: Chance,
    pub(super) settings: Settings,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) batch: usize,
    pub(super) in_flight: usize,
    pub(super) held: usize,
    pub(super) lease: Duration,
    pub(super) poll: Duration,
    pub(super) backoff: Backoff,
    pub(super) refusals: u32,
    pub(super) keep: Duration,
    pub(super) oldest: Duration,
}

impl Settings {
    /// When a lease that was asked for now is to be renewed.
    pub(super) fn renew_after(&self) -> Duration {
        self.lease / RENEWALS
    }

    /// For how long rows are sent under a lease that was asked for now.
    pub(super) fn send_for(&self) -> Duration {
        self.lease - self.lease / MARGIN
    }
}

/// What is settable about a relay; see [`Relay::builder`].
#[must_use = "there is no relay before `build()`"]
pub struct RelayBuilder {
    store: Arc<dyn OutboxStore>,
    settings: Settings,
}

/// A relay whose settings contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// Nothing would ever be sent.
    #[error("batch is {batch} and in_flight is {in_flight}; both are at least 1")]
    Nothing {
        /// Rows of a batch.
        batch: usize,
        /// Batches on their way.
        in_flight: usize,
    },
    /// A relay that is only slow would lose its shards.
    #[error("a lease of {lease:?} is shorter than {SHORTEST_LEASE:?}")]
    ShortLease {
        /// The lease.
        lease: Duration,
    },
    /// It would not look before its lease is over.
    #[error("poll is {poll:?}, which must be more than nothing")]
    NoPoll {
        /// The poll.
        poll: Duration,
    },
}

impl Relay {
    /// A relay of this outbox, with settings that suit most services.
    pub fn builder(store: impl OutboxStore) -> RelayBuilder {
        let settings = Settings {
            name: format!("relay-{}", uuid::Uuid::now_v7().simple()),
            batch: 1_000,
            in_flight: 3,
            held: 10,
            lease: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            backoff: Backoff::exponential(Duration::from_millis(100))
                .cap(Duration::from_secs(10))
                .jitter(true),
            refusals: 5,
            keep: Duration::ZERO,
            oldest: Duration::from_secs(60),
        };
        RelayBuilder { store: Arc::new(store), settings }
    }

    /// Its name among the relays of its outbox.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Starts it. A database or broker that is away is no error: it goes on trying, and its
    /// [`status`](RunningRelay::status) says so.
    pub fn start(self) -> RunningRelay {
        let status = RelayStatus::new(&self.settings);
        RunningRelay::new(status.clone(), move |told| Work::new(self, status).run(told))
    }
}

impl RelayBuilder {
    /// Rows that are read, sent and marked together. Default 1,000.
    pub fn batch(mut self, rows: usize) -> Self {
        self.settings.batch = rows;
        self
    }

    /// Batches that may wait for their acknowledgements at once. Default 3.
    pub fn in_flight(mut self, batches: usize) -> Self {
        self.settings.in_flight = batches;
        self
    }

    /// Batches whose rows may be in memory: those on their way, those that wait for an earlier one of
    /// their key, those that are tried again. When so many wait, nothing more is read. Default 10.
    pub fn held(mut self, batches: usize) -> Self {
        self.settings.held = batches;
        self
    }

    /// How long a shard stays with a relay that says nothing any more; until then nobody publishes
    /// what is in it. It stops sending a quarter of that earlier. At least 1 s. Default 10 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How often it looks at an outbox of which it hears nothing. Default 1 s.
    pub fn poll(mut self, every: Duration) -> Self {
        self.settings.poll = every;
        self
    }

    /// How long it waits before it sends a row again that was not acknowledged; rows of its key wait
    /// with it. Default: exponential from 100 ms to 10 s, with jitter.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// How often a row may be refused for good (too large, no such topic, not allowed) before it is
    /// parked: a topic may be there a moment later. What only takes long is never parked. Default 5.
    pub fn park_after(mut self, refusals: u32) -> Self {
        self.settings.refusals = refusals;
        self
    }

    /// For how long published rows are kept, in a table of their own. Default: not at all.
    pub fn keep(mut self, published: Duration) -> Self {
        self.settings.keep = published;
        self
    }

    /// How old the oldest row may be before the relay is not ready. Default 60 s.
    pub fn ready_within(mut self, oldest: Duration) -> Self {
        self.settings.oldest = oldest;
        self
    }

    /// Its name among the relays of its outbox, for people: what is unique is added to it. Default: `relay`.
    pub fn name(mut self, name: &str) -> Self {
        self.settings.name = format!("{name}-{}", uuid::Uuid::now_v7().simple());
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// When they contradict each other; the error names them.
    pub fn build(self, transport: &dyn Transport) -> Result<Relay, RelayError> {
        let Self { store, settings } = self;
        let Settings { batch, in_flight, lease, poll, .. } = settings;
        if batch == 0 || in_flight == 0 {
            return Err(RelayError::Nothing { batch, in_flight });
        }
        if lease < SHORTEST_LEASE {
            return Err(RelayError::ShortLease { lease });
        }
        if poll.is_zero() {
            return Err(RelayError::NoPoll { poll });
        }
        let settings = Settings { held: settings.held.max(in_flight + 1), ..settings };
        Ok(Relay { store, producer: transport.producer(), chance: transport.chance(), settings })
    }
}
