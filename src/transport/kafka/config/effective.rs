//! The configuration as it came out: every setting, its value, and where it came from.

use std::fmt;

use secrecy::ExposeSecret;

use super::preset::Preset;
use super::properties::shown_property;
use super::value::UNSET;
use super::{KafkaConfig, names, table};

/// Where a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A preset.
    Preset(Preset),
    /// This variable.
    Variable(String),
    /// A setter.
    Code,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Preset(preset) => write!(f, "preset {preset}"),
            Self::Variable(name) => f.write_str(name),
            Self::Code => f.write_str("code"),
        }
    }
}

/// One setting as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effective {
    /// Its name: `producer.linger`.
    pub setting: String,
    /// The variable that sets it: `KAFKA__PRODUCER__LINGER`.
    pub variable: String,
    /// Its value, secrets hidden.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// What the setting does; empty for properties that are passed on.
    pub doc: String,
}

impl KafkaConfig {
    /// Every setting with its value and where it came from, group by group, then the properties that are passed on.
    /// Secrets are hidden.
    pub fn effective(&self) -> Vec<Effective> {
        let preset = Effective {
            setting: names::PRESET.into(),
            variable: names::nested(names::PRESET),
            value: self.preset.as_ref().map_or_else(|| UNSET.into(), |(preset, _)| preset.to_string()),
            origin: self.preset.as_ref().map_or(Origin::Default, |(_, origin)| origin.clone()),
            doc: "A base over which all else wins: `throughput`, `reliability` or `latency`. Default: none."
                .into(),
        };
        let settings = table::all().map(|setting| Effective {
            setting: setting.name.into(),
            variable: names::nested(setting.name),
            value: match setting.name {
                names::CLIENT_ID => self.effective_client_id(),
                _ => (setting.get)(&self.groups).show(),
            },
            origin: self.origin(setting.name),
            doc: setting.doc(),
        });
        let passed = self.passed.iter().map(|(name, (value, origin))| Effective {
            setting: format!("properties.{name}"),
            variable: format!("{}{}", names::PROPERTIES, name.replace('.', "_")),
            value: shown_property(name, value.expose_secret()).into(),
            origin: origin.clone(),
            doc: String::new(),
        });
        std::iter::once(preset).chain(settings).chain(passed).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_setting_says_where_it_came_from() {
        let config = KafkaConfig::new("orders", "b:1")
            .linger(Duration::from_millis(7))
            .throughput()
            .sasl_password("hunter2")
            .property("ssl.keystore.password", "hunter2")
            .with_vars([("KAFKA_CONSUMER_PREFETCH".into(), "9".into())])
            .unwrap();
        let all = config.effective();
        let line = |name: &str| {
            let line = all.iter().find(|line| line.setting == name).unwrap();
            format!("{}={} from {}", line.variable, line.value, line.origin)
        };
        assert_eq!(line("preset"), "KAFKA__PRESET=throughput from code");
        assert_eq!(line("producer.linger"), "KAFKA__PRODUCER__LINGER=7ms from code");
        assert_eq!(
            line("producer.compression"),
            "KAFKA__PRODUCER__COMPRESSION=lz4 from preset throughput"
        );
        assert_eq!(
            line("consumer.prefetch"),
            "KAFKA__CONSUMER__PREFETCH=9 from KAFKA_CONSUMER_PREFETCH"
        );
        assert_eq!(line("producer.acks"), "KAFKA__PRODUCER__ACKS=all from default");
        assert_eq!(line("sasl.password"), "KAFKA__SASL__PASSWORD=(hidden) from code");
        assert!(line("properties.ssl.keystore.password").contains("=(hidden) from code"));
        assert!(line("client_id").contains("=orders-"));
    }
}
