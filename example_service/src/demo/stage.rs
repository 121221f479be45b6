//! Starts both services for a run, and stops them: in this process on the embedded broker, else each in its own.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use tidings::error::BoxError;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::Broker;
use crate::service::Service;
use crate::settings::Settings;

/// How long the services may take to be ready.
const READY: Duration = Duration::from_secs(45);
/// How long they may take to stop.
const STOP: Duration = Duration::from_secs(20);

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
    Processes { children: Vec<Child>, logs: PathBuf },
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
        let logs = std::env::temp_dir().join(format!("tidings-example-{}", std::process::id()));
        std::fs::create_dir_all(&logs)?;
        let mut children = Vec::new();
        let mut urls = Vec::new();
        for name in ["user-service", "email-service"] {
            let mut child = Command::new(std::env::current_exe()?)
                .arg(name)
                .envs(vars.iter().copied())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(File::create(logs.join(format!("{name}.log")))?)
                .kill_on_drop(true)
                .spawn()?;
            let said = child.stdout.take().ok_or("the service has no output")?;
            children.push(child);
            // Its first line says where it listens.
            let line = timeout(READY, BufReader::new(said).lines().next_line()).await??;
            let url = line.as_deref().and_then(|line| line.split_whitespace().last());
            match url.filter(|url| url.starts_with("http://")) {
                Some(url) => urls.push(url.to_owned()),
                None => return Err(format!("{name} did not start; see {}", logs.display()).into()),
            }
        }
        let [users, mails] =
            <[String; 2]>::try_from(urls).map_err(|_| "two services, two addresses")?;
        Ok(Self { users, mails, running: Running::Processes { children, logs } })
    }

    async fn ready(&mut self) -> Result<(), BoxError> {
        let http = Client::new();
        let deadline = Instant::now() + READY;
        for service in [self.users.clone(), self.mails.clone()] {
            loop {
                let said = match http.get(format!("{service}/health/ready")).send().await {
                    Ok(answer) if answer.status().is_success() => break,
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(error) => error.to_string(),
                };
                self.lives().await?;
                if Instant::now() > deadline {
                    return Err(format!("a service is not ready: {said}{}", self.logs()).into());
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// # Errors
    /// Why a service ended that should run.
    async fn lives(&mut self) -> Result<(), BoxError> {
        match &mut self.running {
            Running::Here { services, .. } => match services.try_join_next() {
                Some(ended) => Err(ended?.err().unwrap_or_else(|| "a service ended".into())),
                None => Ok(()),
            },
            Running::Processes { children, logs } => {
                for child in children {
                    if let Some(status) = child.try_wait()? {
                        return Err(
                            format!("a service ended ({status}); see {}", logs.display()).into()
                        );
                    }
                }
                Ok(())
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
            Running::Processes { mut children, logs } => {
                for child in &children {
                    terminate(child).await;
                }
                for child in &mut children {
                    match timeout(STOP, child.wait()).await {
                        Ok(status) if status.as_ref().is_ok_and(|status| status.success()) => {}
                        Ok(status) => {
                            let logs = logs.display();
                            return Err(
                                format!("a service ended with {}; see {logs}", status?).into()
                            );
                        }
                        Err(_) => {
                            child.kill().await?;
                            return Err("a service did not stop and was killed".into());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Asks a process to stop; where that cannot be asked, it is killed.
async fn terminate(child: &Child) {
    if let (true, Some(id)) = (cfg!(unix), child.id()) {
        // Where this fails the process does not stop in time, and is killed then.
        let _ = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await;
    }
}
