//! The cluster that a command talks to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::App;
use super::args::Options;
use super::error::{Answered, CliError, Exit};
use crate::error::chain;
use crate::event::TopicName;
use crate::retry::format_duration;
use crate::transport::kafka::config::InvalidKafkaConfig;
use crate::transport::kafka::{ConnectError, Kafka, KafkaConfig};
use crate::transport::{Admin, TopicDescription, Transport};

/// One command's run.
pub(super) struct Session {
    pub(super) app: Arc<App>,
    options: Options,
    interruptions: watch::Receiver<u32>,
}

impl Session {
    pub(super) fn new(
        app: Arc<App>,
        options: Options,
        interruptions: watch::Receiver<u32>,
    ) -> Self {
        Self { app, options, interruptions }
    }

    /// Waits for Ctrl-C, which may have come before.
    pub(super) async fn interrupted(&self) {
        self.interrupted_times(1).await;
    }

    /// Waits for a second Ctrl-C, which may have come before: nothing is waited for any more.
    pub(super) async fn interrupted_again(&self) {
        self.interrupted_times(2).await;
    }

    async fn interrupted_times(&self, times: u32) {
        let mut interruptions = self.interruptions.clone();
        if interruptions.wait_for(|heard| *heard >= times).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn within(&self) -> Duration {
        self.options.timeout
    }

    /// The binary's configuration, variables over it, options over these.
    pub(super) fn config(&self) -> Result<KafkaConfig, CliError> {
        let base = self.app.config.clone();
        let base =
            base.unwrap_or_else(|| KafkaConfig::default().service_name(self.app.name.as_str()));
        let mut config = base.with_env().map_err(wrong)?;
        if let Some(brokers) = &self.options.brokers {
            config = config.bootstrap_servers(brokers.as_str());
        }
        for pair in &self.options.properties {
            config = config.property(pair.name.as_str(), pair.value.as_str());
        }
        Ok(config)
    }

    pub(super) fn connect(&self) -> Result<Kafka, CliError> {
        let config = self.config()?;
        if config.connection().bootstrap_servers.iter().next().is_some() {
            config.validate().map_err(wrong)?;
            return Kafka::connect(config).map_err(refused);
        }
        match &self.app.embedded {
            Some(broker) => Kafka::embedded(broker, config).map_err(refused),
            None => Err(CliError::input(
                "no broker is given: say `--brokers host:9092`, or set KAFKA__BOOTSTRAP_SERVERS",
            )),
        }
    }

    /// A client that connects to nobody: what is built on it is only looked at.
    pub(super) fn unasked(&self) -> Result<Kafka, CliError> {
        let mut config = self.config()?;
        if config.connection().bootstrap_servers.iter().next().is_none() {
            config = config.bootstrap_servers("localhost:9092");
        }
        config.validate().map_err(wrong)?;
        Kafka::alone(config).map_err(refused)
    }

    pub(super) fn admin(&self) -> Result<Arc<dyn Admin>, CliError> {
        Ok(self.connect()?.admin())
    }

    /// An error with the address of the brokers, where they are what is wrong.
    pub(super) fn addressed(&self, error: CliError) -> CliError {
        if error.exit != Exit::NoBroker {
            return error;
        }
        let Ok(config) = self.config() else { return error };
        let mut servers = config.connection().bootstrap_servers.to_string();
        if let (true, Some(broker)) = (servers.is_empty(), &self.app.embedded) {
            servers = broker.bootstrap_servers().to_owned();
        }
        let (text, app) = (&error.text, &self.app.name);
        let text = match error.answered {
            Answered::Yes => format!("{servers}: {text}"),
            Answered::NotInTime => {
                let within = format_duration(self.within());
                format!("no answer from {servers} within {within}: {text}")
            }
            Answered::NotAsTold => format!("no answer from {servers}: {text}"),
        };
        error.told(format!("{text}; `{app} check` says more"))
    }

    /// A topic that has to be there.
    pub(super) async fn topic(
        &self,
        admin: &dyn Admin,
        name: &TopicName,
    ) -> Result<TopicDescription, CliError> {
        let found = admin.describe(std::slice::from_ref(name), self.within()).await?;
        let unknown = || {
            let app = &self.app.name;
            CliError::unknown(format!(
                "there is no topic {name}; `{app} topics` lists those that are, `{app} create-topic {name}` makes it; one that this client may not see looks the same"
            ))
        };
        found.into_iter().next().flatten().ok_or_else(unknown)
    }
}

fn refused(error: ConnectError) -> CliError {
    CliError::new(Exit::Input, chain(&error))
}

/// All problems on one line.
pub(super) fn wrong(error: InvalidKafkaConfig) -> CliError {
    let problems: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    CliError::input(format!("the Kafka configuration cannot be used: {}", problems.join("; ")))
}
