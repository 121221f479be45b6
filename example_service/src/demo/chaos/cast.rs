//! Who is killed: the two services, each a process, and the broker by commands of the caller's.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Client;
use tidings::error::BoxError;
use tokio::process::Command;
use tokio::time::sleep;

use super::plan::Strike;
use crate::demo::process::{Process, Vars, ready};

/// A service that is killed and started again.
pub struct Actor {
    name: &'static str,
    vars: Vars,
    logs: PathBuf,
    process: Option<Process>,
    address: Address,
    pub kills: u32,
}

/// Where a service listens at the moment: elsewhere after each start. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Address(Arc<Mutex<String>>);

impl Address {
    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self) -> String {
        self.lock().clone()
    }
}

impl Actor {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(
        name: &'static str,
        vars: &[(String, String)],
        logs: &std::path::Path,
    ) -> Result<Self, BoxError> {
        let (vars, logs) = (vars.to_vec(), logs.to_owned());
        let address = Address::default();
        let mut actor = Self { name, vars, logs, process: None, address, kills: 0 };
        actor.restart().await?;
        Ok(actor)
    }

    async fn restart(&mut self) -> Result<(), BoxError> {
        let process = Process::start(self.name, &self.vars, &self.logs).await?;
        process.url().clone_into(&mut self.address.lock());
        self.process = Some(process);
        Ok(())
    }

    /// Where it listens at the moment.
    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// Kills it and starts it again, as often as there are strikes.
    ///
    /// # Errors
    /// When it ends by itself, or does not start again.
    pub async fn suffer(&mut self, strikes: &[Strike]) -> Result<(), BoxError> {
        for strike in strikes {
            sleep(strike.after).await;
            if let Some(process) = self.process.take() {
                process.kill().await?;
                self.kills += 1;
            }
            sleep(strike.down).await;
            self.restart().await?;
        }
        Ok(())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn ready(&mut self, http: &Client) -> Result<(), BoxError> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let url = process.url().to_owned();
        ready(http, &url, || process.lives()).await
    }

    /// Stops it as a service is stopped.
    ///
    /// # Errors
    /// When it does not stop as it should.
    pub async fn stop(self) -> Result<(), BoxError> {
        let Some(process) = self.process else { return Ok(()) };
        process.terminate().await;
        process.stopped().await
    }
}

/// Commands that kill a broker and start it again.
#[derive(Debug, Clone)]
pub struct BrokerCommands {
    pub kill: String,
    pub start: String,
}

impl BrokerCommands {
    /// Kills it and starts it again; answers how often.
    ///
    /// # Errors
    /// When a command fails.
    pub async fn suffer(&self, strikes: &[Strike]) -> Result<u32, BoxError> {
        for strike in strikes {
            sleep(strike.after).await;
            shell(&self.kill).await?;
            sleep(strike.down).await;
            shell(&self.start).await?;
        }
        Ok(u32::try_from(strikes.len())?)
    }
}

async fn shell(command: &str) -> Result<(), BoxError> {
    let output = Command::new("sh").arg("-c").arg(command).kill_on_drop(true).output().await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{command}` failed ({}): {}", output.status, said.trim()).into())
}
