//! The inbox: the effect of an event exactly once, however often it is delivered.
//!
//! A consumer that is given an [`Inbox`] runs handlers that ask for a `Tx` in a transaction: that the
//! event was handled, what the handler writes, and the events that follow from it are committed
//! together; the offset is committed afterwards. A handler that has handled an event is not run again
//! for it.

mod offsets;
mod purge;
mod run;
mod settings;
mod tx;

pub(crate) use offsets::StoredOffsets;
pub(crate) use purge::purge;
pub(crate) use run::{Transact, Unfinished};
pub use settings::Inbox;
pub(crate) use tx::Held;
pub use tx::Tx;
