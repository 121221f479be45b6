//! What can be configured, by environment variables; `__` goes one level down.

use std::collections::{BTreeMap, HashMap};

use config::{Config, ConfigError, Environment};
use serde::Deserialize;

/// The settings of the services. Those of Kafka are read by Tidings itself, from `KAFKA__…`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `HTTP_ADDRESS`: where a service listens that has a process to itself.
    pub http_address: Option<String>,
    /// `DATABASE_URL`, `sqlite:FILE` or `postgres://…`: the database of the user and the email service, each with tables
    /// of its own. Default: for each an SQLite file that is removed at the end.
    pub database_url: Option<String>,
    /// `SMTP_URL`, `smtp://host:1025`: where mails go on to. Default: they stay in the mailbox.
    pub smtp_url: Option<String>,
    pub user_service: UserSettings,
    pub email_service: EmailSettings,
    pub report_service: ReportSettings,
    /// The variables that Tidings reads.
    #[serde(skip)]
    pub kafka: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserSettings {
    /// `USER_SERVICE__HTTP_ADDRESS`. Default: `127.0.0.1:8080`.
    pub http_address: Option<String>,
    /// `USER_SERVICE__DATABASE_URL`: the users' database. Default: `DATABASE_URL`.
    pub database_url: Option<String>,
    /// `USER_SERVICE__RELAY_LEASE_SECONDS`: how long events wait when the process that published them
    /// was killed. At least 1. Default: 10.
    pub relay_lease_seconds: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportSettings {
    /// `REPORT_SERVICE__HTTP_ADDRESS`. Default: `127.0.0.1:8082`.
    pub http_address: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmailSettings {
    /// `EMAIL_SERVICE__HTTP_ADDRESS`. Default: `127.0.0.1:8081`.
    pub http_address: Option<String>,
    /// `EMAIL_SERVICE__DATABASE_URL`: the mails' database. Default: `DATABASE_URL`.
    pub database_url: Option<String>,
    /// `EMAIL_SERVICE__SENDER`: who mails come from.
    pub sender: String,
    /// `EMAIL_SERVICE__FAULTS`: mailboxes named `flaky-…` and `broken-…` fail. For the demo.
    pub faults: bool,
}

impl Default for EmailSettings {
    fn default() -> Self {
        Self {
            http_address: None,
            database_url: None,
            sender: "The example <hello@example.org>".into(),
            faults: false,
        }
    }
}

/// Variables that are ours; the rest of the environment is none of our business.
const OURS: [&str; 6] = [
    "HTTP_ADDRESS",
    "DATABASE_URL",
    "SMTP_URL",
    "USER_SERVICE__",
    "EMAIL_SERVICE__",
    "REPORT_SERVICE__",
];

impl Settings {
    /// Reads this process's variables. One that is not UTF-8 counts as not there.
    ///
    /// # Errors
    /// When one of ours is misspelt or cannot be read.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// Reads these variables.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (kafka, others): (BTreeMap<_, _>, HashMap<_, _>) = {
            let (kafka, others): (Vec<_>, Vec<_>) =
                vars.into_iter().partition(|(name, _)| name.starts_with("KAFKA_"));
            (kafka.into_iter().collect(), others.into_iter().collect())
        };
        let ours = others.into_iter().filter(|(name, _)| {
            OURS.iter().any(|ours| name == ours || ours.ends_with('_') && name.starts_with(ours))
        });
        let source = Environment::default()
            .separator("__")
            .ignore_empty(true)
            .source(Some(ours.collect::<HashMap<_, _>>()));
        let settings: Self = Config::builder().add_source(source).build()?.try_deserialize()?;
        Ok(Self { kafka, ..settings })
    }

    /// Where the user service listens.
    pub fn user_address(&self, alone: bool) -> &str {
        self.address(&self.user_service.http_address, alone).unwrap_or("127.0.0.1:8080")
    }

    /// Where the email service listens.
    pub fn email_address(&self, alone: bool) -> &str {
        self.address(&self.email_service.http_address, alone).unwrap_or("127.0.0.1:8081")
    }

    /// Where the report service listens.
    pub fn report_address(&self, alone: bool) -> &str {
        self.address(&self.report_service.http_address, alone).unwrap_or("127.0.0.1:8082")
    }

    /// Where the users are; nowhere in particular without a setting.
    pub fn user_database(&self) -> Option<&str> {
        self.user_service.database_url.as_deref().or(self.database_url.as_deref())
    }

    /// Where the mails are.
    pub fn email_database(&self) -> Option<&str> {
        self.email_service.database_url.as_deref().or(self.database_url.as_deref())
    }

    /// `HTTP_ADDRESS` cannot be for several.
    fn address<'a>(&'a self, own: &'a Option<String>, alone: bool) -> Option<&'a str> {
        own.as_ref().or(self.http_address.as_ref().filter(|_| alone)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::from_vars(vars.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    #[test]
    fn two_underscores_go_one_level_down() {
        let settings = read(&[
            ("EMAIL_SERVICE__FAULTS", "true"),
            ("USER_SERVICE__HTTP_ADDRESS", "0.0.0.0:1"),
            ("HTTP_ADDRESS", "0.0.0.0:2"),
            ("DATABASE_URL", "sqlite:all.db"),
            ("EMAIL_SERVICE__DATABASE_URL", "sqlite:mails.db"),
            ("USER_SERVICE__RELAY_LEASE_SECONDS", "2"),
            ("SMTP_URL", ""),
            ("KAFKA__BOOTSTRAP_SERVERS", "localhost:9092"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert!(settings.email_service.faults);
        assert_eq!(settings.user_address(true), "0.0.0.0:1");
        assert_eq!(settings.email_address(true), "0.0.0.0:2");
        assert_eq!(settings.email_address(false), "127.0.0.1:8081");
        assert_eq!(settings.user_database(), Some("sqlite:all.db"));
        assert_eq!(settings.email_database(), Some("sqlite:mails.db"));
        assert_eq!(settings.user_service.relay_lease_seconds, Some(2));
        assert_eq!(settings.smtp_url, None);
        assert_eq!(settings.kafka["KAFKA__BOOTSTRAP_SERVERS"], "localhost:9092");
    }

    #[test]
    fn a_misspelt_setting_is_an_error_that_names_it() {
        let error = read(&[("EMAIL_SERVICE__FAULT", "true")]).unwrap_err().to_string();
        assert!(error.contains("fault"), "{error}");
    }
}
