//! Starts both services for a run, and stops them: in this process on the embedded broker, else each in its own.

use std::fmt;
use std::path::PathBuf;

use reqwest::Client;
use tidings::error::BoxError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::process::{Process, STOP, ready};
use crate::broker::Broker;
use crate::service::Service;
use crate::settings::Settings;

/// Both services, running.
pub struct Stage {
    /// `http://…` of the user service.
    pub users: String,
    /// `http://…` of the email service.
    pub mails: String,
    running: Running,
}

/// A folder of logs, for the end of a message.
pub struct Logs {
    pub folder: Option<PathBuf>,
}

impl fmt::Display for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.folder {
            Some(folder) => write!(f, " (logs in {})", folder.display()),
            None => Ok(()),
        }
    }
}

enum Running {
    Here { stop: watch::Sender<bool>, services: JoinSet<Result<(), BoxError>> },
    Processes { processes: Vec<Process>, logs: PathBuf },
}

impl Stage {
    /// Starts both and waits until they are ready. `vars` are what the services' settings are made of
    /// beside the environment.
    ///
    /// # Errors
    /// When one does not start, or is not ready in time.
    pub async fn start(
        settings: &Settings,
        broker: &Broker,
        vars: &[(&str, &str)],
    ) -> Result<Self, BoxError> {
        let mut stage = match broker {
            Broker::Embedded(_) => Self::here(settings, broker).await?,
            Broker::Remote => Self::processes(vars).await?,
        };
        if let Err(error) = stage.ready().await {
            stage.stop().await?;
            return Err(error);
        }
        Ok(stage)
    }

    async fn here(settings: &Settings, broker: &Broker) -> Result<Self, BoxError> {
        let users = Service::users(settings, broker, "127.0.0.1:0").await?;
        let mails = Service::mails(settings, broker, "127.0.0.1:0").await?;
        let [users_url, mails_url] =
            [users.address(), mails.address()].map(|address| format!("http://{address}"));
        let (stop, told) = watch::channel(false);
        let mut services = JoinSet::new();
        for service in [users, mails] {
            let mut told = told.clone();
            services.spawn(async move {
                // An error says that the stage is gone, which is a stop too.
                let stopped = async move { drop(told.wait_for(|stop| *stop).await) };
                service.run_until(stopped).await.map(drop).map_err(Into::into)
            });
        }
        let running = Running::Here { stop, services };
        Ok(Self { users: users_url, mails: mails_url, running })
    }

    async fn processes(vars: &[(&str, &str)]) -> Result<Self, BoxError> {
        let logs = logs()?;
        let vars: Vec<_> =
            vars.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let users = Process::start("user-service", &vars, &logs).await?;
        let mails = Process::start("email-service", &vars, &logs).await?;
        let [users_url, mails_url] = [&users, &mails].map(|process| process.url().to_owned());
        let running = Running::Processes { processes: vec![users, mails], logs };
        Ok(Self { users: users_url, mails: mails_url, running })
    }

    async fn ready(&mut self) -> Result<(), BoxError> {
        let http = Client::new();
        for url in [self.users.clone(), self.mails.clone()] {
            let lives = || self.lives();
            ready(&http, &url, lives)
                .await
                .map_err(|error| format!("{}{}", tidings::error::chain(&*error), self.logs()))?;
        }
        Ok(())
    }

    /// # Errors
    /// Why a service ended that should run.
    fn lives(&mut self) -> Result<(), BoxError> {
        match &mut self.running {
            Running::Here { services, .. } => match services.try_join_next() {
                Some(ended) => Err(ended?.err().unwrap_or_else(|| "a service ended".into())),
                None => Ok(()),
            },
            Running::Processes { processes, .. } => {
                processes.iter_mut().try_for_each(Process::lives)
            }
        }
    }

    /// Where the services' logs are, where they are in files.
    pub fn logs(&self) -> Logs {
        Logs {
            folder: match &self.running {
                Running::Here { .. } => None,
                Running::Processes { logs, .. } => Some(logs.clone()),
            },
        }
    }

    /// Stops both, in order and within a bound; a process that does not stop is killed.
    ///
    /// # Errors
    /// When one did not stop as it should.
    pub async fn stop(self) -> Result<(), BoxError> {
        match self.running {
            Running::Here { stop, mut services } => {
                // Services that have ended do not listen.
                let _ = stop.send(true);
                while let Some(ended) = timeout(STOP, services.join_next()).await? {
                    ended??;
                }
            }
            Running::Processes { processes, .. } => {
                for process in &processes {
                    process.terminate().await;
                }
                for process in processes {
                    process.stopped().await?;
                }
            }
        }
        Ok(())
    }
}

/// A folder for the logs of this run.
///
/// # Errors
/// When it cannot be made.
pub fn logs() -> Result<PathBuf, BoxError> {
    let logs = std::env::temp_dir().join(format!("tidings-example-{}", std::process::id()));
    std::fs::create_dir_all(&logs)?;
    Ok(logs)
}
