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

/// Between two looks of a client that has nothing to read.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two times that the servers are told. The client keeps each of them, so it is told ever less often.
const TELL_AGAIN: Duration = Duration::from_secs(5);
const TELL_AGAIN_MOST: Duration = Duration::from_secs(60);

pub(super) struct Bootstrap {
    servers: Option<CString>,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    /// Since nobody answered: when the servers are told next, and how long until the time after that.
    tell: Option<(Instant, Duration)>,
}

impl Bootstrap {
    /// The way back of a client with these settings.
    pub(super) fn of(settings: &ClientConfig) -> Self {
        Self {
            servers: settings.get("bootstrap.servers").and_then(|list| CString::new(list).ok()),
            state: Mutex::new(State { looked: Instant::now(), tell: None }),
        }
    }

    /// Somebody answered.
    pub(super) fn answered(&self) {
        self.state().tell = None;
    }

    /// Nobody answered: the client is told its servers again, from the second time in a row on.
    pub(super) fn silent<C: ClientContext>(&self, client: &Client<C>) {
        let is_time = self.state().is_time(Instant::now());
        if let (true, Some(servers)) = (is_time, &self.servers) {
            ffi::add_brokers(client, servers);
        }
    }

    /// For a client that hears nothing by itself: looks now and then whether it has anybody to ask. It does
    /// not wait for the answer.
    pub(super) fn look<C: ClientContext>(&self, client: &Client<C>) {
        let now = Instant::now();
        {
            let mut state = self.state();
            if now.duration_since(state.looked) < LOOK_EVERY {
                return;
            }
            state.looked = now;
        }
        match ffi::ask_broker(client, Duration::ZERO) {
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
        let (at, wait) = *self.tell.get_or_insert((now + LOOK_EVERY / 2, TELL_AGAIN));
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
        let mut state = State { looked: began, tell: None };
        let told: Vec<_> =
            (0..300).filter(|second| state.is_time(began + Duration::from_secs(*second))).collect();
        assert_eq!(told, [3, 8, 18, 38, 78, 138, 198, 258]);
    }
}
