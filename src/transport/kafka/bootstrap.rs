//! The way back to a cluster that a client has lost all brokers of.
//!
//! librdkafka 2.12 lets go of each broker that a metadata answer does not list
//! (`rd_kafka_metadata_decommission_unavailable_brokers`), and a cluster lists none while its controller
//! takes all of them for dead. The client begins anew when a broker goes down or a question fails, and
//! without brokers neither happens: it would stay deaf for as long as its process lives.

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::ffi;
use crate::event::TopicName;

/// How long a client hears nothing until it looks. Each look may be the one that is told of no brokers.
const LOOK_AFTER: Duration = Duration::from_secs(20);
/// How long after a look that found nobody it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Between two times that the servers are told. The client keeps each of them, so it is told ever less often.
const TELL_AGAIN: Duration = Duration::from_secs(5);
const TELL_AGAIN_MOST: Duration = Duration::from_secs(60);

const CANONICAL: &str = "resolve_canonical_bootstrap_servers_only";

pub(super) struct Bootstrap {
    servers: Option<CString>,
    state: Mutex<State>,
}

struct State {
    look: Instant,
    /// Since nobody answered: when the servers are told next, and how long until the time after that.
    tell: Option<(Instant, Duration)>,
}

impl Bootstrap {
    /// The way back of a client with these settings.
    pub(super) fn of(settings: &ClientConfig) -> Self {
        // Told again, names would not be made canonical: brokers of other names could not be believed.
        let canonical = settings.get("client.dns.lookup") == Some(CANONICAL);
        let servers = settings.get("bootstrap.servers").filter(|_| !canonical);
        Self {
            servers: servers.and_then(|list| CString::new(list).ok()),
            state: Mutex::new(State { look: Instant::now() + LOOK_AFTER, tell: None }),
        }
    }

    /// Somebody answered, or the client has heard something otherwise.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.look = Instant::now() + LOOK_AFTER;
        state.tell = None;
    }

    /// Nobody answered: the client is told its servers again, from the second time in a row on.
    pub(super) fn silent<C: ClientContext>(&self, client: &Client<C>) {
        let now = Instant::now();
        let is_time = {
            let mut state = self.state();
            state.look = now + LOOK_AGAIN;
            state.is_time(now)
        };
        if let (true, Some(servers)) = (is_time, &self.servers) {
            ffi::add_brokers(client, servers);
        }
    }

    /// For a client that has heard nothing: looks now and then whether it has anybody to ask for a topic. It does
    /// not wait for the answer.
    pub(super) fn look<C: ClientContext>(&self, client: &Client<C>, topic: &TopicName) {
        if Instant::now() < self.state().look {
            return;
        }
        match ffi::ask_of_topic(client, topic, Duration::ZERO) {
            Err(Code::BrokerTransportFailure) => self.silent(client),
            _ => self.answered(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_time(&mut self, now: Instant) -> bool {
        let (at, wait) = *self.tell.get_or_insert((now + LOOK_AGAIN / 2, TELL_AGAIN));
        let is_time = now >= at;
        if is_time {
            self.tell = Some((now + wait, (wait * 2).min(TELL_AGAIN_MOST)));
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_are_told_from_the_second_silence_on_and_ever_less_often() {
        let began = Instant::now();
        let mut state = State { look: began, tell: None };
        let told: Vec<_> =
            (0..300).filter(|second| state.is_time(began + Duration::from_secs(*second))).collect();
        assert_eq!(told, [3, 8, 18, 38, 78, 138, 198, 258]);
    }
}
