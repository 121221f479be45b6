//! Runs the binary.

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use serde_json::Value;
use tidings::cli::{App, run_from};

use crate::support::{kafka_address, unique};

/// What a run ended with.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// What it printed, of a run that must have succeeded without a word on standard error.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The same as JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// The one line on standard error, of a run that must have failed with this code and printed nothing.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.starts_with("error: "), "{}", self.err);
        self.err.trim().to_owned()
    }
}

/// The binary, which knows nothing of this process's Kafka.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KAFKA_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The arguments of a run of this binary, as JSON.
const ARGUMENTS: &str = "TIDINGS_TEST_CLI_ARGUMENTS";
/// What the test harness of the subject says before it.
pub const BEFORE: &str = "\nrunning 1 test\n";

/// This binary again, with the commands of what the test of this name gives to [`subject`].
pub fn again(test: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KAFKA_")) {
        command.env_remove(name);
    }
    let arguments = [&["site"], arguments].concat();
    command
        .args([test, "--exact", "--nocapture"])
        .env(ARGUMENTS, serde_json::to_string(&arguments).unwrap())
        .stdin(Stdio::null());
    command
}

/// What a run of this binary ended with.
pub fn finish_again(command: Command) -> Ran {
    let ran = finish(command);
    Ran { out: ran.out.strip_prefix(BEFORE).expect(BEFORE).to_owned(), ..ran }
}

/// Runs a command and ends the process, where [`again`] has started it.
pub fn subject(app: impl FnOnce() -> App) {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let arguments: Vec<String> = serde_json::from_str(&arguments).unwrap();
    let code = run_from(app(), arguments);
    let mut codes = [0, 1, 2, 3, 4, 130].into_iter();
    let code = codes.find(|known| ExitCode::from(*known) == code);
    std::process::exit(code.map_or(99, Into::into));
}

pub fn finish(mut command: Command) -> Ran {
    ended(command.output().unwrap())
}

pub fn ended(output: std::process::Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    // Off a terminal there is no colour.
    assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{out}{err}");
    Ran { code: output.status.code().expect("an exit code"), out, err }
}

pub fn tidings(arguments: &[&str]) -> Ran {
    finish(command(arguments))
}

/// The broker that all tests share, for the binary.
pub struct Cluster(pub String);

impl Cluster {
    pub fn get() -> Option<Self> {
        kafka_address().map(Self)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        command(&[&["--brokers", &self.0, "--timeout", "30s"], arguments].concat())
    }

    /// Runs while its standard input is written to.
    pub fn piped(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments))
    }

    /// A topic of so many partitions that nothing else uses.
    pub fn topic(&self, partitions: u32) -> String {
        let (name, partitions) = (unique("cli"), partitions.to_string());
        let arguments =
            ["create-topic", &name, "--partitions", &partitions, "--replication", "auto"];
        self.run(&arguments).ok();
        name
    }

    /// Sends these lines.
    pub fn send(&self, topic: &str, lines: &str, more: &[&str]) {
        let file = file(lines);
        self.run(&[&["produce", topic, "--file", file.to_str().unwrap()], more].concat()).ok();
        std::fs::remove_file(file).unwrap();
    }
}

/// A file with this content.
pub fn file(content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique("lines"));
    std::fs::write(&path, content).unwrap();
    path
}

/// A text with what differs from run to run replaced.
pub fn stable(text: &str, replaced: &[(&str, &str)]) -> String {
    let text = replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    // Columns are as wide as the names that were replaced.
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
