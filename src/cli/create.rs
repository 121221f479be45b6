//! `create-topic`.

use serde_json::json;

use super::args::CreateTopic;
use super::connect::Session;
use super::error::{CliError, Exit};
use super::format::Pair;
use super::out::Out;
use crate::event::{Replication, Retention, TopicCompression, TopicKind, TopicName, TopicSpec};
use crate::transport::{
    Admin, TopicDescription, TopicDifferences, TopicNeed, TopicSetup, prepare_topics,
};

pub(super) async fn run(
    session: &Session,
    wanted: CreateTopic,
    out: &mut Out,
) -> Result<(), CliError> {
    let spec = specified(session, &wanted)?;
    spec.validate().map_err(|error| CliError::input(error.to_string()))?;
    let admin = session.admin()?;
    let name = spec.name().clone();
    let before = admin.describe(std::slice::from_ref(&name), session.within()).await?.remove(0);
    if let Some(is) = before {
        return compare(session, &*admin, (&spec, &is), wanted.partitions, out).await;
    }
    let names = admin.topics(session.within()).await?;
    if let Some((other, _)) = names.iter().find_map(|other| TopicName::collision([other, &name])) {
        let why = format!(
            "{name} and {other}, which is there, differ in `.` and `_` only, which brokers refuse; choose another name"
        );
        return Err(CliError::new(Exit::Refused, why));
    }
    let setup = TopicSetup::Create { partitions: None, replication: None };
    prepare_topics(&*admin, &[spec.into()], setup, session.within()).await?;
    let is = session.topic(&*admin, &name).await?;
    tell(&name, &is, "made", out)
}

/// What the options say, over the declaration that the binary knows, or over a profile.
fn specified(session: &Session, wanted: &CreateTopic) -> Result<TopicSpec, CliError> {
    let known = session.app.topics.iter().find(|spec| *spec.name() == wanted.name);
    let mut spec = match (known, wanted.kind) {
        (Some(known), None) => known.clone(),
        (_, kind) => {
            let policy = wanted.config.iter().find(|pair| pair.name == "cleanup.policy");
            let by_policy = match policy.map(|pair| pair.value.as_str()) {
                None | Some("delete") => TopicKind::Event,
                Some("compact") => TopicKind::State,
                Some(other) => {
                    return Err(CliError::input(format!(
                        "cleanup.policy cannot be {other:?}: say `delete` or `compact`"
                    )));
                }
            };
            // Whether the two go together is looked at when the property is set.
            let kind = kind.map_or(by_policy, Into::into);
            TopicSpec::new(wanted.name.clone(), kind)
        }
    };
    if let Some(name) = &wanted.profile {
        let profiles = &session.app.profiles;
        let names = || profiles.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        let profile = profiles.iter().find(|profile| profile.name == *name).ok_or_else(|| {
            CliError::unknown(format!("there is no profile {name:?}; there are: {}", names()))
        })?;
        spec = spec.profile(profile.clone());
    }
    if let Some(partitions) = wanted.partitions {
        spec = spec.partitions(partitions);
    }
    if let Some(copies) = &wanted.replication {
        let copies = match (copies.as_str(), copies.parse()) {
            ("auto", _) => Replication::Auto,
            (_, Ok(copies)) => Replication::Factor(copies),
            _ => {
                let why = format!("--replication is a number or `auto`, not {copies:?}");
                return Err(CliError::input(why));
            }
        };
        spec = spec.replication(copies);
    }
    wanted.config.iter().try_fold(spec, set)
}

/// A property that a setting of its own decides sets that one.
fn set(spec: TopicSpec, Pair { name, value }: &Pair) -> Result<TopicSpec, CliError> {
    let wrong = || CliError::input(format!("{name} cannot be {value:?}"));
    Ok(match name.as_str() {
        "cleanup.policy" => {
            if spec.kind().cleanup_policy() != value {
                let why = format!(
                    "cleanup.policy {value:?} does not go with a topic of kind {}",
                    spec.kind()
                );
                return Err(CliError::input(why));
            }
            spec
        }
        "retention.ms" => match value.parse::<i64>().map_err(|_| wrong())? {
            -1 => spec.retention(Retention::Forever),
            kept => {
                let kept = u64::try_from(kept).map_err(|_| wrong())?;
                spec.retention(Retention::For(std::time::Duration::from_millis(kept)))
            }
        },
        "min.insync.replicas" => spec.min_in_sync(value.parse().map_err(|_| wrong())?),
        "compression.type" => {
            let known = TopicCompression::ALL.into_iter().find(|how| how.as_str() == value);
            spec.compression(known.ok_or_else(wrong)?)
        }
        _ => spec.property(name, value),
    })
}

/// A topic that is there stays as it is, whatever was asked for.
async fn compare(
    session: &Session,
    admin: &dyn Admin,
    (spec, is): (&TopicSpec, &TopicDescription),
    partitions: Option<i32>,
    out: &mut Out,
) -> Result<(), CliError> {
    let name = spec.name();
    if let Some(fewer) = partitions.filter(|wanted| *wanted < is.partitions) {
        return Err(CliError::new(
            Exit::Refused,
            format!(
                "{name} has {} partitions and cannot have {fewer}: partitions are never taken away; make another topic",
                is.partitions
            ),
        ));
    }
    let brokers = admin.brokers(session.within()).await?;
    let copies = spec.copies(brokers).map_err(|error| CliError::input(error.to_string()))?;
    let mut differences = TopicDifferences::default();
    differences.compare(&TopicNeed::from(spec.clone()), is, copies);
    if differences.is_empty() {
        return tell(name, is, "there already", out);
    }
    let all = differences.0.iter();
    let all = all.map(|d| format!("{} is {} and not {}", d.setting, d.is, d.declared));
    let all: Vec<_> = all.collect();
    Err(CliError::new(
        Exit::Refused,
        format!("{name} is there already and stays as it is: {}", all.join(", ")),
    ))
}

fn tell(
    name: &TopicName,
    is: &TopicDescription,
    what: &str,
    out: &mut Out,
) -> Result<(), CliError> {
    if out.is_json() {
        let document = json!({
            "topic": name.as_str(),
            "made": what == "made",
            "partitions": is.partitions,
            "replication": is.replication,
        });
        return out.line(&format!("{document:#}"));
    }
    let copies = is.replication.map_or_else(String::new, |copies| format!(", copies: {copies}"));
    out.line(&format!("{name} is {what}; partitions: {}{copies}", is.partitions))
}
