//! What a consumer's handlers run in.

use std::time::Duration;

use crate::outbox::Outbox;
use crate::store::{InboxTables, OutboxTables};

/// How long handled events are remembered unless it is said.
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);

/// Remembers which events were handled, in the database that handlers write to. Cheap to clone.
///
/// Give it to a consumer with [`inbox`](crate::consumer::ConsumerBuilder::inbox). Handlers that ask
/// for a [`Tx`](crate::consumer::Tx) then run in a transaction: the effect of each event is committed
/// exactly once. Events that a handler answers are stored in the outbox, in the same transaction.
///
/// An event is known by its id and its source, for each group and each handler. Where a record has
/// none, its place in the topic it came from and its timestamp stand in.
#[derive(Clone)]
pub struct Inbox<S> {
    pub(super) outbox: Outbox<S>,
    pub(super) window: Duration,
    pub(super) offsets: bool,
}

impl<S: OutboxTables + InboxTables> Inbox<S> {
    /// An inbox beside the outbox of a service, in the same tables' database.
    pub fn new(outbox: Outbox<S>) -> Self {
        Self { outbox, window: WINDOW, offsets: false }
    }

    /// How long a handled event is remembered, in the database's time. Default 7 days.
    ///
    /// An event that is delivered again later than that runs again: keep it longer than its retries
    /// take (a consumer whose retries may take longer is not built), and longer than a group is ever
    /// away, or set back.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Stores the group's offsets in the database too, in the transactions that events are handled
    /// in, and goes on from there where they are ahead of the broker's. Default: no.
    ///
    /// A group whose offsets the broker has lost goes on where it was, and less is delivered again
    /// after a crash. The price: all transactions of a partition that move its offset meet at one row,
    /// and wait there for each other's commit. Where a topic is made anew under its old name, delete
    /// its rows from the table of offsets.
    #[must_use]
    pub fn offsets_in_database(mut self) -> Self {
        self.offsets = true;
        self
    }

    /// The outbox that events are stored in.
    pub fn outbox(&self) -> &Outbox<S> {
        &self.outbox
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for Inbox<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("outbox", &self.outbox)
            .field("window", &self.window)
            .field("offsets_in_database", &self.offsets)
            .finish()
    }
}
