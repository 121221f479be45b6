//! A service in a process of its own: started, asked to stop, or killed.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use reqwest::Client;
use tidings::error::BoxError;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a service may take to listen, and again to be ready: longer than it waits for a broker.
pub const READY: Duration = Duration::from_secs(150);
/// How long it may take to stop.
pub const STOP: Duration = Duration::from_secs(20);

/// Variables that a service is told beside the environment.
pub type Vars = Vec<(String, String)>;

/// A service that runs. Dropped, it is killed.
pub struct Process {
    name: &'static str,
    url: String,
    child: Child,
    log: String,
}

impl Process {
    /// Starts this program with the command `name`, and waits until it says where it listens. What it
    /// logs is added to a file in `logs`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(
        name: &'static str,
        vars: &[(String, String)],
        logs: &Path,
    ) -> Result<Self, BoxError> {
        let log = logs.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        let log = log.display().to_string();
        let mut child = Command::new(std::env::current_exe()?)
            .arg(name)
            .envs(vars.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()?;
        let said = child.stdout.take().ok_or("the service has no output")?;
        // Its first line says where it listens.
        let line = timeout(READY, BufReader::new(said).lines().next_line()).await;
        let line =
            line.map_err(|_| format!("{name} does not say where it listens; see {log}"))??;
        let url = line.as_deref().and_then(|line| line.split_whitespace().last());
        match url.filter(|url| url.starts_with("http://")) {
            Some(url) => Ok(Self { name, url: url.to_owned(), child, log }),
            None => Err(format!("{name} did not start; see {log}").into()),
        }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// # Errors
    /// How it ended, where it did so by itself.
    pub fn lives(&mut self) -> Result<(), BoxError> {
        match self.child.try_wait()? {
            Some(status) => Err(self.ended(status)),
            None => Ok(()),
        }
    }

    /// Kills it, as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub async fn kill(mut self) -> Result<(), BoxError> {
        self.lives()?;
        Ok(self.child.kill().await?)
    }

    /// Asks it to stop; [`stopped`](Self::stopped) waits until it has.
    pub async fn terminate(&self) {
        if let (true, Some(id)) = (cfg!(unix), self.child.id()) {
            // Where this fails the process does not stop in time, and is killed then.
            let _ = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await;
        }
    }

    /// Waits until it has stopped; where it does not, it is killed.
    ///
    /// # Errors
    /// When it did not stop as it should.
    pub async fn stopped(mut self) -> Result<(), BoxError> {
        match timeout(STOP, self.child.wait()).await {
            Ok(status) => match status? {
                status if status.success() => Ok(()),
                status => Err(self.ended(status)),
            },
            Err(_) => {
                self.child.kill().await?;
                Err(format!("{} did not stop and was killed; see {}", self.name, self.log).into())
            }
        }
    }

    fn ended(&self, status: ExitStatus) -> BoxError {
        format!("{} ended ({status}); see {}", self.name, self.log).into()
    }
}

/// Waits until a service is ready; `lives` says that it still runs.
///
/// # Errors
/// When it has ended, or is not ready in time: with what it said last.
pub async fn ready(
    http: &Client,
    url: &str,
    mut lives: impl FnMut() -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let deadline = Instant::now() + READY;
    loop {
        let said = match http.get(format!("{url}/health/ready")).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        lives()?;
        if Instant::now() > deadline {
            return Err(format!("the service at {url} is not ready: {said}").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}
