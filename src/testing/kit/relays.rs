//! Outboxes that the kit knows of: what waits in one is not settled.

use std::sync::{Arc, PoisonError};

use super::{TestKit, hold_time};
use crate::error::chain;
use crate::outbox::{Relay, RelayStatus};
use crate::store::OutboxStore;

impl TestKit {
    /// Starts a relay, and lets it run as long as the kit lives. [`settled`](Self::settled) then waits
    /// for its outbox, too: until all that is committed there is published and marked. Delayed and
    /// parked events are nothing to wait for.
    ///
    /// A database works in real time: test without a paused clock what has an outbox.
    pub fn start_relay(&self, relay: Relay) -> RelayStatus {
        let store = relay.store.clone();
        let running = relay.start();
        let status = running.status().clone();
        self.relays.lock().unwrap_or_else(PoisonError::into_inner).push((store, running));
        status
    }

    /// A line for each outbox that events wait in.
    pub(super) async fn stored(&self) -> Vec<String> {
        let known: Vec<(Arc<dyn OutboxStore>, RelayStatus)> = {
            let relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
            relays.iter().map(|(store, relay)| (store.clone(), relay.status().clone())).collect()
        };
        let mut left = Vec::new();
        for (store, relay) in known {
            match hold_time(store.backlog()).await {
                Ok(backlog) if backlog.rows == 0 => {}
                Ok(backlog) => left.push(format!(
                    "{} rows of the outbox of {} are not published: {}",
                    backlog.rows,
                    relay.name(),
                    relay.problems().first().map_or("the relay works", String::as_str),
                )),
                Err(error) => left.push(format!(
                    "the outbox of {} cannot be looked at: {}",
                    relay.name(),
                    chain(&error)
                )),
            }
        }
        left
    }
}
