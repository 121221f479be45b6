//! The command line's commands and options.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::format::{From, Pair};
use crate::event::{TopicKind, TopicName};
use crate::retry::parse_duration;

/// Looks at Kafka topics, records and groups, and makes topics.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The brokers, `host:port` with commas between. Else KAFKA__BOOTSTRAP_SERVERS says them.
    #[arg(long, short = 'b', global = true, value_name = "HOST:PORT")]
    pub(super) brokers: Option<String>,
    /// A property of librdkafka to pass on, `name=value`. May be repeated.
    #[arg(long = "property", short = 'X', global = true, value_name = "NAME=VALUE")]
    pub(super) properties: Vec<Pair>,
    /// For people, or for programs.
    #[arg(long, short = 'o', global = true, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
    /// How long a broker may take to answer.
    #[arg(long, global = true, default_value = "10s", value_parser = some_time)]
    pub(super) timeout: Duration,
    /// Shows what the client logs, on standard error.
    #[arg(long, short, global = true)]
    pub(super) verbose: bool,
}

/// How a command's result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Columns.
    Text,
    /// One JSON document; `consume` writes one on each line.
    Json,
}

/// A duration in which something can happen.
fn some_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("no broker answers in no time; say `10s`".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the topics.
    Topics {
        /// The cluster's own topics too, whose names begin with `__`.
        #[arg(long)]
        internal: bool,
    },
    /// Looks at one topic.
    Topic {
        #[command(subcommand)]
        command: TopicCommand,
    },
    /// Makes a topic. One that is there is compared and stays as it is.
    CreateTopic(CreateTopic),
    /// Makes all topics that this binary needs and that are missing. One that is there is compared and stays as it is.
    CreateTopics(CreateTopics),
    /// Shows a topic's records.
    Consume(Consume),
    /// Sends records, one for each line of JSON: its payload, or all of a record.
    Produce(Produce),
    /// Lists the groups, or the members of one.
    Groups {
        /// Only this group, with its members.
        group: Option<String>,
    },
    /// Shows how far groups have come, retry topics included. Where nothing is committed, all that lies there is left.
    Lag {
        /// Only this group.
        group: Option<String>,
    },
    /// Runs workers that this binary knows, until Ctrl-C.
    Worker(RunWorkers),
    /// Shows the topics, events, handlers and workers that this binary knows, and its retry plan. Asks no broker.
    Describe,
    /// Shows every setting with its value and where it came from; secrets are hidden.
    Config,
    /// Checks the configuration, the way to the brokers, and the topics.
    Check,
    /// Writes a completion script.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TopicCommand {
    /// Shows a topic's partitions, offsets and properties.
    Show {
        /// Its name.
        name: TopicName,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateTopic {
    /// Its name.
    pub(super) name: TopicName,
    /// `event` and `command` delete what is old, `state` keeps the last record of each key.
    #[arg(long, value_enum)]
    pub(super) kind: Option<Kind>,
    /// How many partitions.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) partitions: Option<i32>,
    /// How many copies, or `auto`: three, or as many as there are brokers.
    #[arg(long)]
    pub(super) replication: Option<String>,
    /// What holds where nothing else is said: `standard`, `error`, `dlq`, or one of the binary's own.
    #[arg(long)]
    pub(super) profile: Option<String>,
    /// A property of the topic, `name=value`. May be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) config: Vec<Pair>,
}

#[derive(Debug, Args)]
pub(super) struct CreateTopics {
    /// Makes nothing, and says what would be made.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Partitions of what nothing is declared about. Else what a consumer says that makes its topics, else the broker.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) partitions: Option<i32>,
    /// Copies of what nothing is declared about. Else what a consumer says that makes its topics, else the broker.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) replication: Option<i32>,
}

/// [`TopicKind`] as an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Event,
    Command,
    State,
}

impl std::convert::From<Kind> for TopicKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Event => Self::Event,
            Kind::Command => Self::Command,
            Kind::State => Self::State,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Consume {
    /// The topic.
    pub(super) topic: TopicName,
    /// Joins this group: begins where it is, and commits what was written.
    #[arg(long, conflicts_with = "from")]
    pub(super) group: Option<String>,
    /// Joins the group although it has members, who then do not get what is written here.
    #[arg(long, requires = "group")]
    pub(super) force: bool,
    /// `earliest`, `latest`, `offset:12`, or a time: `2026-11-21T10:00:00Z`. Touches no group's offsets.
    #[arg(long, default_value = "latest")]
    pub(super) from: From,
    /// Ends after so many records.
    #[arg(long, short = 'n', value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Ends at what is the end when it starts.
    #[arg(long, conflicts_with = "group")]
    pub(super) to_end: bool,
    /// How records are written. `--output json` is `--format json`.
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    pub(super) format: Format,
    /// With their headers, which JSON always has.
    #[arg(long)]
    pub(super) headers: bool,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LineFormat {
    /// A payload, in JSON.
    Payload,
    /// A record with key, payload and headers, as `consume --format json` writes it.
    Json,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A line on where it lies, then the payload, indented where it is JSON.
    Pretty,
    /// One JSON object on a line.
    Json,
    /// The payload's bytes and a line feed.
    Raw,
}

#[derive(Debug, Args)]
pub(super) struct RunWorkers {
    /// Their names.
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub(super) names: Vec<String>,
    /// All of them.
    #[arg(long, conflicts_with = "names")]
    pub(super) all: bool,
    /// How long what has begun may go on after Ctrl-C.
    #[arg(long, default_value = "20s", value_parser = parse_duration)]
    pub(super) drain: Duration,
    /// How often a line on each is written where there is no terminal.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(super) every: Duration,
}

#[derive(Debug, Args)]
pub(super) struct Produce {
    /// The topic.
    pub(super) topic: TopicName,
    /// What a line is.
    #[arg(long, value_enum, default_value_t = LineFormat::Payload)]
    pub(super) format: LineFormat,
    /// Leaves out the headers of this name, in which a `*` stands for anything. May be repeated.
    #[arg(long = "without-header", value_name = "NAME")]
    pub(super) without_headers: Vec<String>,
    /// The key of every record.
    #[arg(long, conflicts_with = "key_field")]
    pub(super) key: Option<String>,
    /// The field of each line whose text or number is its key.
    #[arg(long)]
    pub(super) key_field: Option<String>,
    /// A header of every record, behind those of the line, `name=value`. May be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub(super) headers: Vec<Pair>,
    /// The file to read, no pipe; standard input where none is said. A file is read to its end before the first
    /// record is sent, so that one that is wrong sends nothing.
    #[arg(long, short)]
    pub(super) file: Option<PathBuf>,
}
