//! Whether a configuration can be used: the one place where settings are checked, alone and together.

use secrecy::ExposeSecret;

use super::choices::{Acks, GroupProtocol, SaslMechanism};
use super::properties::shown_property;
use super::table::{self, Setting};
use super::text::Pem;
use super::{InvalidKafkaConfig, KafkaConfig, Origin, Problem, names};
use crate::error::chain;
use crate::event::TopicName;
use crate::retry::UnknownType;

impl KafkaConfig {
    /// Checks every setting, and those together that must agree. Looks whether certificate files are there.
    /// Whoever builds a transport does this first.
    ///
    /// # Errors
    /// Everything that is wrong, each with the settings and their values, secrets hidden.
    pub fn validate(&self) -> Result<(), InvalidKafkaConfig> {
        let mut check = Check { config: self, problems: Vec::new() };
        check.ranges();
        check.names();
        check.sasl();
        check.ssl();
        check.producer();
        check.consumer();
        check.failure();
        check.problems.extend(self.problems_of_passed());
        InvalidKafkaConfig::unless_none(check.problems)
    }

    /// Properties that a setting decides, or a promise rests on, are not passed on.
    pub(super) fn problems_of_passed(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, (value, origin)) in &self.passed {
            let by_row = table::all()
                .find(|setting| setting.property.is_some_and(|(_, property)| property == name));
            let by_alias =
                names::ALIASES.iter().find(|(alias, _)| alias == name).map(|(_, setting)| *setting);
            let fixed = names::FIXED.iter().find(|(fixed, _)| fixed == name);
            let why = if let Some(setting) = by_row.map(|setting| setting.name).or(by_alias) {
                format!(
                    "is what the setting {setting} decides; use {} or its setter",
                    names::nested(setting)
                )
            } else if let Some((_, reason)) = fixed {
                format!("cannot be set: {reason}")
            } else if !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
                || name.is_empty()
            {
                "is no name that a property has".into()
            } else {
                continue;
            };
            let shown = shown_property(name, value.expose_secret());
            problems.push(Problem::new(
                &[],
                format!("the property `{name}` = `{shown}` ({}) {why}", from(origin)),
            ));
        }
        problems
    }
}

/// The configuration under test, and what was found so far.
struct Check<'a> {
    config: &'a KafkaConfig,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Notes what is wrong, with the settings that have part in it.
    fn report(&mut self, settings: &[&'static str], why: impl std::fmt::Display) {
        let cited: Vec<_> = settings.iter().map(|name| self.cite(name)).collect();
        self.problems.push(Problem::new(settings, format!("{why}: {}", cited.join(", "))));
    }

    fn report_if(&mut self, wrong: bool, settings: &[&'static str], why: &str) {
        if wrong {
            self.report(settings, why);
        }
    }

    /// A setting, its value, and where that came from.
    fn cite(&self, name: &str) -> String {
        let value = Setting::of(name)
            .map(|setting| (setting.get)(&self.config.groups).show())
            .unwrap_or_default();
        let origin = match self.config.origin(name) {
            Origin::Default => format!("default of {}", names::nested(name)),
            origin => from(&origin),
        };
        format!("{name} = {value} ({origin})")
    }

    fn is_set(&self, name: &str) -> bool {
        self.config.origin(name) != Origin::Default
    }

    fn ranges(&mut self) {
        for setting in table::all() {
            let Some((low, high)) = setting.range else { continue };
            if let Some(why) = (setting.get)(&self.config.groups).outside(low, high) {
                self.report(&[setting.name], why);
            }
        }
    }

    fn names(&mut self) {
        let connection = self.config.connection();
        if let Some(why) = connection.bootstrap_servers.problem() {
            self.report(&[names::BOOTSTRAP_SERVERS], why);
        }
        let nameless = connection.service_name.trim().is_empty() && connection.client_id.is_none();
        self.report_if(nameless, &[names::SERVICE_NAME], "the service has no name");
        let blank = connection.client_id.as_ref().is_some_and(|id| id.trim().is_empty());
        self.report_if(blank, &[names::CLIENT_ID], "a client id must not be empty");
    }

    fn sasl(&mut self) {
        let connection = self.config.connection();
        let protocol = connection.security_protocol;
        if !protocol.is_sasl() {
            for name in [names::SASL_MECHANISM, names::SASL_USERNAME, names::SASL_PASSWORD] {
                let idle = self.is_set(name);
                self.report_if(
                    idle,
                    &[names::SECURITY_PROTOCOL, name],
                    "this protocol uses no SASL",
                );
            }
            return;
        }
        let Some(mechanism) = connection.sasl_mechanism else {
            return self.report(
                &[names::SECURITY_PROTOCOL, names::SASL_MECHANISM],
                "SASL needs a mechanism",
            );
        };
        let user = connection.sasl_username.as_ref().is_some_and(|user| !user.is_empty());
        let password = connection
            .sasl_password
            .as_ref()
            .is_some_and(|secret| !secret.expose_secret().is_empty());
        for (there, name, what) in [
            (user, names::SASL_USERNAME, "user name"),
            (password, names::SASL_PASSWORD, "password"),
        ] {
            if mechanism.takes_password() && !there {
                self.report(
                    &[names::SASL_MECHANISM, name],
                    format!("this mechanism needs a {what}"),
                );
            } else if !mechanism.takes_password() && self.is_set(name) {
                self.report(
                    &[names::SASL_MECHANISM, name],
                    format!("this mechanism takes no {what}"),
                );
            }
        }
        let needs_tls =
            matches!(mechanism, SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512);
        let without_tls = needs_tls && !cfg!(feature = "kafka-tls");
        self.report_if(
            without_tls,
            &[names::SASL_MECHANISM],
            "this mechanism needs a build with the feature `kafka-tls`",
        );
        let without_gssapi = mechanism == SaslMechanism::Gssapi && !cfg!(feature = "kafka-gssapi");
        self.report_if(
            without_gssapi,
            &[names::SASL_MECHANISM],
            "this mechanism needs a build with the feature `kafka-gssapi`",
        );
    }

    fn ssl(&mut self) {
        let connection = self.config.connection();
        if !connection.security_protocol.is_encrypted() {
            for name in
                [names::SSL_CA, names::SSL_CERTIFICATE, names::SSL_KEY, names::SSL_KEY_PASSWORD]
            {
                let idle = self.is_set(name);
                self.report_if(
                    idle,
                    &[names::SECURITY_PROTOCOL, name],
                    "this protocol is not encrypted",
                );
            }
            return;
        }
        let without_tls = !cfg!(feature = "kafka-tls");
        self.report_if(
            without_tls,
            &[names::SECURITY_PROTOCOL],
            "this protocol needs a build with the feature `kafka-tls`",
        );
        let pair = [names::SSL_CERTIFICATE, names::SSL_KEY];
        let unpaired = connection.ssl_certificate.is_some() != connection.ssl_key.is_some();
        self.report_if(unpaired, &pair, "a certificate and its key go together");
        let no_key = connection.ssl_key_password.is_some() && connection.ssl_key.is_none();
        self.report_if(
            no_key,
            &[names::SSL_KEY, names::SSL_KEY_PASSWORD],
            "there is no key for this password",
        );
        let path = |pem: &Option<Pem>| pem.as_ref().and_then(Pem::path).map(ToOwned::to_owned);
        for (name, pem) in [
            (names::SSL_CA, path(&connection.ssl_ca)),
            (names::SSL_CERTIFICATE, path(&connection.ssl_certificate)),
            (names::SSL_KEY, path(&connection.ssl_key)),
        ] {
            // Authorities may be a folder, or `probe`, which has librdkafka look in the usual places.
            let Some(path) = pem.filter(|path| {
                name != names::SSL_CA || !(path.is_dir() || path.as_os_str() == "probe")
            }) else {
                continue;
            };
            if path.is_dir() {
                self.report(&[name], "this is a folder, not a file");
            } else if let Err(cause) = std::fs::File::open(&path) {
                self.report(&[name], format!("the file cannot be read ({cause})"));
            }
        }
    }

    fn producer(&mut self) {
        let producer = self.config.producer();
        if producer.idempotence {
            let acks = producer.acks != Acks::All;
            self.report_if(
                acks,
                &[names::IDEMPOTENCE, names::ACKS],
                "idempotence needs all acknowledgements",
            );
            let many = producer.max_in_flight > 5;
            self.report_if(
                many,
                &[names::IDEMPOTENCE, names::MAX_IN_FLIGHT],
                "idempotence allows 5 requests at a time",
            );
            let never = producer.retries == 0;
            self.report_if(
                never,
                &[names::IDEMPOTENCE, names::RETRIES],
                "idempotence needs at least one retry",
            );
        }
        let late = producer.delivery_wait < producer.message_timeout;
        let settings = [names::DELIVERY_WAIT, names::MESSAGE_TIMEOUT];
        self.report_if(
            late,
            &settings,
            "a publish would give up on an event that may still be sent",
        );
        let linger = producer.message_timeout <= producer.linger;
        let settings = [names::MESSAGE_TIMEOUT, names::LINGER];
        self.report_if(linger, &settings, "an event would time out while it waits for its batch");
    }

    fn consumer(&mut self) {
        let consumer = self.config.consumer();
        if let Some(id) = &consumer.static_member_id
            && TopicName::new(id.as_str()).is_err()
        {
            let why = "a member id has 1 to 249 letters, digits, `.`, `_` and `-`, and is neither `.` nor `..`";
            self.report(&[names::STATIC_MEMBER_ID], why);
        }
        let blank = consumer.group_id.as_ref().is_some_and(|id| id.trim().is_empty());
        self.report_if(blank, &[names::GROUP_ID], "a group id must not be empty");
        if consumer.group_protocol == GroupProtocol::Consumer {
            for name in [names::SESSION_TIMEOUT, names::HEARTBEAT, names::ASSIGNMENT_STRATEGY] {
                let idle = self.is_set(name);
                self.report_if(
                    idle,
                    &[names::GROUP_PROTOCOL, name],
                    "with this protocol the broker decides it",
                );
            }
            return;
        }
        let deaf = consumer.heartbeat.saturating_mul(3) > consumer.session_timeout;
        let settings = [names::HEARTBEAT, names::SESSION_TIMEOUT];
        self.report_if(deaf, &settings, "a session lasts at least 3 heartbeats");
        let slow = consumer.session_timeout > consumer.max_poll_interval;
        let settings = [names::SESSION_TIMEOUT, names::MAX_POLL_INTERVAL];
        self.report_if(slow, &settings, "the poll interval is at least the session time-out");
    }

    fn failure(&mut self) {
        let failure = self.config.failure();
        if let Err(error) = failure.retry_policy().validate() {
            self.report(&[names::RETRY_TIERS], chain(&error));
        }
        if let Err(error) = failure.topic_naming().validate() {
            let settings =
                [names::RETRY_INFIX, names::DEAD_LETTER_SUFFIX, names::QUARANTINE_SUFFIX];
            self.report(&settings, chain(&error));
        }
        let nowhere = !failure.dead_letter && failure.unknown_type == UnknownType::DeadLetter;
        let settings = [names::DEAD_LETTER, names::UNKNOWN_TYPE];
        self.report_if(
            nowhere,
            &settings,
            "there is no dead-letter topic for events of unknown types",
        );
    }
}

fn from(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".into(),
        Origin::Variable(name) => format!("from {name}"),
        Origin::Preset(preset) => format!("preset {preset}"),
        Origin::Code => "set in code".into(),
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
