//! `describe`: topics, events, handlers, workers and what becomes of what fails, as a tree.

use serde_json::{Value, json};

use super::App;
use super::connect::Session;
use super::error::CliError;
use super::out::Out;
use crate::consumer::{ConsumerDescription, Reads, RouteDescription, TopicRoutes};
use crate::event::{TopicSettings, TopicSpec};
use crate::retry::{RetryPolicy, format_duration};
use crate::topic::Retention;

/// What a consumer or a worker is made of, by its name; an error where it cannot be built.
type Described<'a> = (&'a str, Result<ConsumerDescription, CliError>);

pub(super) fn run(session: &Session, out: &mut Out) -> Result<(), CliError> {
    let kafka = session.unasked()?;
    let App { name, topics, .. } = &*session.app;
    let app = &session.app;
    let consumers: Vec<Described<'_>> = app
        .consumers
        .iter()
        .map(|(name, _)| {
            (&**name, app.consumer_named(name, &kafka).map(|consumer| consumer.describe()))
        })
        .collect();
    let workers: Vec<Described<'_>> = app
        .workers
        .iter()
        .map(|(name, _)| {
            (&**name, app.worker_named(name, &kafka).map(|worker| worker.consumer().describe()))
        })
        .collect();
    if out.is_json() {
        let document = json!({
            "service": name,
            "topics": topics.iter().map(topic_json).collect::<Vec<_>>(),
            "consumers": consumers.iter().map(described_json).collect::<Vec<_>>(),
            "workers": workers.iter().map(described_json).collect::<Vec<_>>(),
        });
        out.line(&format!("{document:#}"))?;
    } else {
        let group = |title: &str, children: Vec<Branch>| {
            (!children.is_empty()).then(|| Branch { text: title.into(), children })
        };
        let children = [
            group("topics", topics.iter().map(|spec| Branch::leaf(topic_text(spec))).collect()),
            group("consumers", consumers.iter().map(branch).collect()),
            group("workers", workers.iter().map(branch).collect()),
        ];
        let children = children.into_iter().flatten().collect();
        out.line(&Branch { text: name.clone(), children }.lines().join("\n"))?;
    }
    match consumers.into_iter().chain(workers).find_map(|(_, described)| described.err()) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// A line, and what hangs on it.
struct Branch {
    text: String,
    children: Vec<Self>,
}

impl Branch {
    fn leaf(text: impl Into<String>) -> Self {
        Self { text: text.into(), children: Vec::new() }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.text.clone()];
        for (at, child) in self.children.iter().enumerate() {
            let last = at + 1 == self.children.len();
            let (first, rest) =
                if last { ("└── ", "    ") } else { ("├── ", "│   ") };
            for (at, line) in child.lines().into_iter().enumerate() {
                lines.push(format!("{}{line}", if at == 0 { first } else { rest }));
            }
        }
        lines
    }
}

fn branch((name, described): &Described<'_>) -> Branch {
    let described = match described {
        Ok(described) => described,
        Err(error) => return Branch::leaf(error.text.clone()),
    };
    let ConsumerDescription { group, topics, writes, retry, members, .. } = described;
    let mut text = (*name).to_owned();
    if group != name {
        text += &format!(" (group {group})");
    }
    if *members > 1 {
        text += &format!(", {members} members");
    }
    let mut children: Vec<_> = topics.iter().map(|topic| read(topic, retry)).collect();
    children.extend(writes.iter().map(|topic| Branch::leaf(format!("writes {topic}"))));
    Branch { text, children }
}

fn read(topic: &TopicRoutes, retry: &RetryPolicy) -> Branch {
    let mut children: Vec<_> = topic.routes.iter().map(|r| Branch::leaf(route_text(r))).collect();
    let again = format!("retried in place {} times, {}", retry.immediate, retry.backoff);
    children.push(Branch::leaf(match retry.immediate {
        0 => "not retried in place".into(),
        1 => again.replace("1 times", "once"),
        _ => again,
    }));
    let tiers = topic.tiers.iter();
    children.extend(tiers.map(|(tier, name)| Branch::leaf(format!("then after {tier}: {name}"))));
    children.push(Branch::leaf(match &topic.dead_letter {
        Some(name) => format!("dead letters: {name}"),
        None => "no dead letters: what runs out of retries is dropped".into(),
    }));
    children.push(Branch::leaf(format!("unreadable: {}", topic.quarantine)));
    Branch { text: format!("reads {}", topic.topic), children }
}

fn route_text(RouteDescription { reads, handlers }: &RouteDescription) -> String {
    let what = match reads {
        Reads::Event { name, version: 1 } => format!("event {name}"),
        Reads::Event { name, version } => format!("event {name}, version {version}"),
        Reads::Everything { what, .. } => format!("everything, as {what}"),
    };
    match &**handlers {
        [] => format!("{what}: passed over"),
        handlers => format!("{what}: {}", handlers.join(", ")),
    }
}

fn topic_text(spec: &TopicSpec) -> String {
    let TopicSettings { partitions, replication, retention, .. } = spec.settings();
    let mut text = format!("{} ({}", spec.name(), spec.kind());
    if let Some(partitions) = partitions {
        text += &format!(", {partitions} partition{}", if partitions == 1 { "" } else { "s" });
    }
    if let Some(replication) = replication {
        text += &format!(", replication {replication}");
    }
    match retention {
        Some(Retention::For(time)) => text += &format!(", kept {}", format_duration(time)),
        Some(Retention::Forever) => text += ", kept for ever",
        None => {}
    }
    text + ")"
}

fn topic_json(spec: &TopicSpec) -> Value {
    let TopicSettings { partitions, replication, .. } = spec.settings();
    json!({
        "name": spec.name().as_str(),
        "kind": spec.kind().to_string(),
        "partitions": partitions,
        "replication": replication.map(|replication| replication.to_string()),
        "configuration": spec.configuration(None),
    })
}

fn described_json((name, described): &Described<'_>) -> Value {
    let described = match described {
        Ok(described) => described,
        Err(error) => return json!({ "name": name, "error": error.text }),
    };
    let ConsumerDescription { group, topics, writes, retry, members, .. } = described;
    let route = |RouteDescription { reads, handlers }: &RouteDescription| match reads {
        Reads::Event { name, version } => {
            json!({ "event": name, "version": version, "handlers": handlers })
        }
        Reads::Everything { what, .. } => json!({ "everything_as": what, "handlers": handlers }),
    };
    let topic = |topic: &TopicRoutes| {
        let tiers = topic.tiers.iter();
        let tiers: Vec<_> = tiers
            .map(|(tier, name)| json!({ "after": tier.to_string(), "topic": name.as_str() }))
            .collect();
        json!({
            "topic": topic.topic.as_str(),
            "routes": topic.routes.iter().map(route).collect::<Vec<_>>(),
            "tiers": tiers,
            "dead_letters": topic.dead_letter.as_ref().map(|name| name.as_str()),
            "quarantine": topic.quarantine.as_str(),
        })
    };
    json!({
        "name": name,
        "group": group,
        "members": members,
        "reads": topics.iter().map(topic).collect::<Vec<_>>(),
        "writes": writes.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        "retries_in_place": retry.immediate,
        "backoff": retry.backoff.to_string(),
    })
}
