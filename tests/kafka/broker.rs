//! Brokers of a test's own: to be killed, stopped in their tracks, and started again.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{address, unique};

/// Several brokers that start at once on a small machine take longer than one after another.
static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A broker, or a cluster of them, that ends with this value.
pub struct OwnBroker {
    script: String,
    dir: PathBuf,
    /// For clients: of each node, `host:port`.
    pub address: String,
}

impl OwnBroker {
    /// Starts one with broker properties (`key=value`); `None`, said aloud, where there is no script.
    pub async fn start(settings: &[&str]) -> Option<Self> {
        Self::start_with(&set(settings)).await
    }

    /// Three nodes: topics have three replicas, and a record is safe once two have it.
    pub async fn start_three() -> Option<Self> {
        // A machine that is short of time for some seconds must not make the controller fence a node.
        Self::start_with(&["--nodes", "3", "--set", "broker.session.timeout.ms=6000"]).await
    }

    /// One whose clients come in by SASL_SSL.
    #[cfg(feature = "kafka-tls")]
    pub async fn start_secured() -> Option<Self> {
        Self::start_with(&["--secure"]).await
    }

    /// A file of a secured broker: `ca.pem`, `user`, `password`.
    #[cfg(feature = "kafka-tls")]
    pub fn secret_path(&self, name: &str) -> PathBuf {
        self.dir.join("secrets").join(name)
    }

    /// What is in it.
    #[cfg(feature = "kafka-tls")]
    pub fn secret(&self, name: &str) -> String {
        std::fs::read_to_string(self.secret_path(name)).unwrap()
    }

    async fn start_with(options: &[&str]) -> Option<Self> {
        let script = address("TIDINGS_DEV_KAFKA")?;
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique("kafka"));
        let mut broker = Self { script, dir, address: String::new() };
        let _turn = STARTING.lock().await;
        broker.address = broker.run(&[&["start"], options].concat()).await;
        Some(broker)
    }

    /// kill -9, as a crash would.
    pub async fn kill(&self) {
        self.run(&["kill"]).await;
    }

    /// kill -9 of one node, counted from 1.
    pub async fn kill_node(&self, node: u32) {
        self.run(&["kill", "--node", &node.to_string()]).await;
    }

    /// The same port and data as before.
    pub async fn start_again(&self) {
        self.start_again_with(&[]).await;
    }

    /// The same, with broker properties from now on.
    pub async fn start_again_with(&self, settings: &[&str]) {
        let _turn = STARTING.lock().await;
        self.run(&[&["start"], &*set(settings)].concat()).await;
    }

    /// SIGSTOP: its connections stay open and nothing answers.
    pub fn hang(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    /// Runs one of Kafka's tools.
    pub async fn tool(&self, arguments: &[&str]) {
        let mut command = Command::new(&self.script);
        command.arg("tool").args(arguments);
        succeed(command).await;
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.dir.join("node1/pid")).unwrap();
        let status = Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status();
        assert!(status.unwrap().success(), "kill -{signal} {pid}");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command.args(arguments).arg("--dir").arg(&self.dir);
        command
    }

    async fn run(&self, arguments: &[&str]) -> String {
        succeed(self.command(arguments)).await
    }
}

fn set<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    settings.iter().flat_map(|setting| ["--set", setting]).collect()
}

async fn succeed(mut command: Command) -> String {
    let run = move || {
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        // The test has ended; what is left of the broker must not outlive it.
        let _ = self.command(&["kill"]).output();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
