//! The properties of librdkafka that a configuration comes down to.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::ExposeSecret;

use super::choices::GroupProtocol;
use super::table::{self, Client};
use super::value::HIDDEN;
use super::{KafkaConfig, Pem};

/// What every client gets, unless a property is passed on in its stead: a broker that is back is found soon, one that
/// is gone without a word is noticed.
const TUNING: &[(&str, &str)] =
    &[("socket.keepalive.enable", "true"), ("reconnect.backoff.max.ms", "2000")];

/// How large a record may be is its topic's to say (`max.message.bytes`), and up to what a consumer can receive at
/// all not the client's: a failed record is sent on with more headers than it was read with.
const PRODUCER: &[(&str, &str)] =
    &[("partitioner", "murmur2_random"), ("message.max.bytes", "100000000")];

/// The wait for a full queue is what a fast consumer sleeps at librdkafka's default of 1,000 ms.
const CONSUMER: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("fetch.queue.backoff.ms", "5"),
];

/// librdkafka's longest wait between two sends of an event.
const RETRY_BACKOFF_MAX_MS: u128 = 1_000;

/// Properties for one client, each once, by name. `Debug` hides secrets; everything else that reads them does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values, secrets among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    fn set_all(&mut self, properties: &[(&str, &str)]) {
        properties.iter().for_each(|(name, value)| self.set(name, *value));
    }
}

/// Names and values, secrets among them.
impl IntoIterator for Properties {
    type Item = (String, String);
    type IntoIter = std::collections::btree_map::IntoIter<String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, shown_property(name, value))))
            .finish()
    }
}

/// The value of a property, unless its name says that it is a secret.
pub(super) fn shown_property<'a>(name: &str, value: &'a str) -> &'a str {
    const SECRET: [&str; 6] =
        ["password", "passphrase", "secret", "pem", "oauthbearer.config", "kinit.cmd"];
    let name = name.to_lowercase();
    if SECRET.iter().any(|part| name.contains(part)) { HIDDEN } else { value }
}

impl KafkaConfig {
    /// What a producer is made with.
    pub fn producer_properties(&self) -> Properties {
        let mut properties = self.common_properties();
        properties.set_all(PRODUCER);
        self.add_rows(Client::Producer, &mut properties);
        let producer = self.producer();
        properties.set("queue.buffering.max.kbytes", (producer.queue_memory / 1024).to_string());
        let backoff = producer.retry_backoff.as_millis();
        if backoff > RETRY_BACKOFF_MAX_MS {
            properties.set("retry.backoff.max.ms", backoff.to_string());
        }
        self.with_passed(properties)
    }

    /// What a consumer of a group is made with.
    pub fn consumer_properties(&self, group: &str) -> Properties {
        let mut properties = self.common_properties();
        properties.set_all(CONSUMER);
        self.add_rows(Client::Consumer, &mut properties);
        let consumer = self.consumer();
        properties.set("group.id", group);
        properties.set("queued.max.messages.kbytes", (consumer.prefetch_memory / 1024).to_string());
        // With the other protocol these are the broker's, and librdkafka refuses them.
        if consumer.group_protocol == GroupProtocol::Classic {
            properties.set("partition.assignment.strategy", consumer.assignment_strategy.as_str());
            properties.set("session.timeout.ms", consumer.session_timeout.as_millis().to_string());
            properties.set("heartbeat.interval.ms", consumer.heartbeat.as_millis().to_string());
        }
        self.with_passed(properties)
    }

    /// What an admin client is made with.
    pub fn admin_properties(&self) -> Properties {
        self.with_passed(self.common_properties())
    }

    fn common_properties(&self) -> Properties {
        let mut properties = Properties(BTreeMap::new());
        properties.set_all(TUNING);
        self.add_rows(Client::Any, &mut properties);
        properties.set("client.id", self.effective_client_id());
        let connection = self.connection();
        let pems: [(&str, &Option<Pem>); 3] = [
            ("ssl.ca", &connection.ssl_ca),
            ("ssl.certificate", &connection.ssl_certificate),
            ("ssl.key", &connection.ssl_key),
        ];
        for (name, pem) in pems {
            if let Some((part, value)) = pem.as_ref().map(Pem::property) {
                properties.set(&format!("{name}.{part}"), value);
            }
        }
        properties
    }

    fn add_rows(&self, client: Client, properties: &mut Properties) {
        for setting in table::all() {
            if let Some((_, name)) = setting.property.filter(|(of, _)| *of == client)
                && let Some(value) = (setting.get)(&self.groups).property()
            {
                properties.set(name, value);
            }
        }
    }

    /// What is passed on stands over our tuning; that it never stands over a setting is `validate`'s to see.
    fn with_passed(&self, mut properties: Properties) -> Properties {
        for (name, (value, _)) in &self.passed {
            properties.set(name, value.expose_secret());
        }
        properties
    }
}
