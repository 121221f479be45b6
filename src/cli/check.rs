//! `check`: what is wrong on the way to the topics, and what to do about it.

use serde_json::{Value, json};

use super::connect::{Session, wrong};
use super::error::{CliError, Exit};
use super::out::Out;
use crate::event::TopicName;
use crate::retry::Tier;
use crate::transport::kafka::client_version;
use crate::transport::{
    Admin, TopicDescription, TopicDifferences, TopicNeed, TopicsError, Transport as _, advised,
};

/// One thing that was looked at.
struct Finding {
    what: String,
    result: Result<String, CliError>,
}

pub(super) async fn run(session: &Session, out: &mut Out) -> Result<(), CliError> {
    let mut findings = Vec::new();
    look(session, &mut findings).await;
    let word = |finding: &Finding| if finding.result.is_ok() { "ok" } else { "FAILED" };
    let text = |finding: &Finding| match &finding.result {
        Ok(text) => text.clone(),
        Err(error) => error.text.clone(),
    };
    let rows = findings.iter().map(|f| [word(f).to_owned(), f.what.clone(), text(f)]);
    out.table(["RESULT", "WHAT", "FOUND"], rows, || {
        let all = findings
            .iter()
            .map(|f| json!({ "what": f.what, "ok": f.result.is_ok(), "found": text(f) }));
        Value::Array(all.collect())
    })?;
    let failed: Vec<_> = findings.into_iter().filter_map(|f| f.result.err()).collect();
    match failed.first() {
        None => Ok(()),
        Some(first) => {
            let count = failed.len();
            let (things, verb) = if count == 1 { ("thing", "is") } else { ("things", "are") };
            Err(CliError::new(first.exit, format!("{count} {things} of the above {verb} wrong")))
        }
    }
}

/// Goes on as far as what comes next does not hang on what failed.
async fn look(session: &Session, findings: &mut Vec<Finding>) {
    let mut find = |what: &str, result| findings.push(Finding { what: what.into(), result });
    let config = session.config().and_then(|config| {
        config.validate().map_err(wrong)?;
        Ok(config)
    });
    let config = match config {
        Ok(config) => config,
        Err(error) => return find("configuration", Err(error)),
    };
    find("configuration", Ok("all settings go together; `config` shows them".into()));
    find("client", Ok(format!("librdkafka {}", client_version())));
    let kafka = match session.connect() {
        Ok(kafka) => kafka,
        Err(error) => return find("client", Err(error)),
    };
    let admin = kafka.admin();
    let consumers = session.app.built(&kafka).into_iter().filter_map(|(what, built)| match built {
        Ok(consumer) => Some((what, consumer)),
        Err(error) => {
            find(&what, Err(error));
            None
        }
    });
    let consumers: Vec<_> = consumers.collect();
    let servers = config.connection().bootstrap_servers.to_string();
    match admin.brokers(session.within()).await {
        Ok(Some(brokers)) => {
            find("brokers", Ok(format!("{brokers} in the cluster, through {servers}")));
        }
        Ok(None) => find("brokers", Ok(format!("the one at {servers}"))),
        Err(error) => {
            let error = CliError::from(error);
            let advice = "is a broker up there, and is the address right? `--brokers` or KAFKA__BOOTSTRAP_SERVERS sets it";
            let text = format!("{servers}: {advice}; {}", error.text);
            return find("brokers", Err(CliError::new(error.exit, text)));
        }
    }
    let groups = admin.groups(session.within()).await;
    let groups = groups.map(|groups| format!("{} may be looked at", groups.len()));
    find("groups", groups.map_err(CliError::from));
    match topics(session, &*admin).await {
        Ok(found) => findings.extend(found),
        Err(error) => find("topics", Err(error)),
    }
    for (what, consumer) in consumers {
        let checked = consumer.check_topics(session.within()).await;
        findings.push(Finding { what, result: as_needed(checked) });
    }
}

/// Whether a consumer could start, as far as its topics go.
fn as_needed(checked: Result<Vec<TopicName>, TopicsError>) -> Result<String, CliError> {
    match checked {
        Ok(made) if made.is_empty() => Ok("its topics are as it needs them".into()),
        Ok(made) => {
            let made: Vec<_> = made.iter().map(TopicName::as_str).collect();
            Ok(format!("its start makes {}", made.join(", ")))
        }
        Err(TopicsError::NotAsNeeded { problems, .. }) => {
            Err(CliError::new(Exit::Refused, format!("it cannot start: {}", advised(&problems))))
        }
        Err(error) => {
            let error = CliError::from(error);
            Err(CliError::new(error.exit, format!("it cannot start: {}", error.text)))
        }
    }
}

/// The topics that are there, those that the binary declares, and retry topics beside their main topic.
async fn topics(session: &Session, admin: &dyn Admin) -> Result<Vec<Finding>, CliError> {
    let within = session.within();
    let names = admin.topics(within).await?;
    let described = admin.describe(&names, within).await?;
    let there: Vec<_> =
        names.iter().zip(described).filter_map(|(name, is)| Some((name, is?))).collect();
    let found = Ok(format!("{} may be looked at", there.len()));
    let mut findings = vec![Finding { what: "topics".into(), result: found }];
    let of = |name: &TopicName| there.iter().find(|(other, _)| *other == name).map(|(_, is)| is);
    let brokers = admin.brokers(within).await?;
    for spec in &session.app.topics {
        let what = format!("topic {}", spec.name());
        let result = spec.validate().and_then(|()| spec.copies(brokers));
        let result = result.map_err(|error| CliError::input(error.to_string()));
        let result = result.and_then(|copies| match of(spec.name()) {
            None => Err(CliError::new(
                Exit::Refused,
                format!(
                    "it is not there; `{0} create-topics` makes all that are missing, `{0} create-topic {1}` this one",
                    session.app.name,
                    spec.name()
                ),
            )),
            Some(is) => {
                let mut differences = TopicDifferences::default();
                differences.compare(&TopicNeed::from(spec.clone()), is, copies);
                as_declared(&differences)
            }
        });
        findings.push(Finding { what, result });
    }
    for name in &session.app.named {
        let there = of(name).map(|_| "it is there".to_owned());
        let missing = || format!("it is not there; `{} create-topics` makes it", session.app.name);
        let result = there.ok_or_else(|| CliError::new(Exit::Refused, missing()));
        findings.push(Finding { what: format!("topic {name}"), result });
    }
    for (name, is) in &there {
        let main = main_topic(name).and_then(|main| Some((of(&main)?, main)));
        if let Some((leads, main)) = main {
            findings.extend(beside(name, is, &main, leads));
        }
    }
    Ok(findings)
}

fn as_declared(differences: &TopicDifferences) -> Result<String, CliError> {
    if differences.is_empty() {
        return Ok("as it is declared".into());
    }
    let all = differences.0.iter();
    let all = all.map(|d| format!("{} is {} and declared is {}", d.setting, d.is, d.declared));
    Err(CliError::new(Exit::Refused, all.collect::<Vec<_>>().join("; ")))
}

/// The main topic of a retry topic, as the default naming has it.
fn main_topic(name: &TopicName) -> Option<TopicName> {
    let (main, tier) = name.as_str().rsplit_once(".retry.")?;
    tier.parse::<Tier>().ok()?;
    TopicName::new(main).ok()
}

/// What is wrong with a retry topic.
fn beside(
    name: &TopicName,
    is: &TopicDescription,
    main: &TopicName,
    leads: &TopicDescription,
) -> Option<Finding> {
    let wrong = if is.partitions < leads.partitions {
        format!(
            "it has {} partitions and {main} has {}; add the missing ones, or no consumer starts",
            is.partitions, leads.partitions
        )
    } else if is.append_time == Some(false) {
        "it keeps its producers' time, so that due times are less exact; set message.timestamp.type=LogAppendTime"
            .into()
    } else {
        return None;
    };
    let result = Err(CliError::new(Exit::Refused, wrong));
    Some(Finding { what: format!("topic {name}"), result })
}
