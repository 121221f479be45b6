//! Subjects of kill tests: this binary again, as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::events::{PREFIX, prefix};
use crate::support::unique;

const SUBJECT: &str = "TIDINGS_TEST_SUBJECT";
const BROKER: &str = "TIDINGS_TEST_SUBJECT_BROKER";
const LOG: &str = "TIDINGS_TEST_SUBJECT_LOG";

/// Does nothing unless it was started by [`Subject::start`].
#[test]
fn a_subject_of_other_tests() {
    let Ok(name) = std::env::var(SUBJECT) else { return };
    let (broker, log) =
        (std::env::var(BROKER).unwrap(), PathBuf::from(std::env::var(LOG).unwrap()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        match &*name {
            "consume" => crate::kills::subject(&broker, log).await,
            "work" => crate::workers::subject(&broker, log).await,
            #[cfg(feature = "axum")]
            "serve" => crate::stop::subject(&broker, log).await,
            #[cfg(feature = "kafka-tls")]
            "knock" => crate::security::subject(&broker, log).await,
            other => panic!("there is no subject {other}"),
        }
    });
}

/// A child process and the file that it appends to.
pub struct Subject {
    child: Child,
    pub log: PathBuf,
}

/// A log for subjects: appended to, whatever kills them.
pub fn new_log() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique("log"))
}

impl Subject {
    pub fn start(name: &str, broker: &str, log: &Path) -> Self {
        Self::start_with(name, broker, log, &[])
    }

    /// With these variables, which nobody else can see in its arguments.
    pub fn start_with(name: &str, broker: &str, log: &Path, variables: &[(&str, &str)]) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["child::a_subject_of_other_tests", "--exact", "--nocapture"])
            .env(SUBJECT, name)
            .env(BROKER, broker)
            .env(LOG, log)
            .env(PREFIX, prefix())
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log: log.to_owned() }
    }

    /// What it has written so far, line by line; a half-written last line is left out.
    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Its exit code, once it has ended.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
