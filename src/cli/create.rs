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
        return compare(session, &*admin, (&spec, &is), &wanted, out).await;
    }
    let names = admin.topics(session.within()).await?;
    if let Some((other, _)) = names.iter().find_map(|other| TopicName::collision([other, &name])) {
        let why = format!(
            "{name} and {other}, which is there, differ in `.` and `_` only, which brokers refuse; choose another name"
        );
        return Err(CliError::new(Exit::Refused, why));
    }
    copies(&spec, &wanted, admin.brokers(session.within()).await?)?;
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
    let spec = wanted.config.iter().try_fold(spec, set)?;
    Ok(capped(spec, wanted))
}

/// With the profile's `min.insync.replicas` at most at the copies that were asked for: what was said itself stays as said.
fn capped(spec: TopicSpec, wanted: &CreateTopic) -> TopicSpec {
    let (profile, own) = spec.parts();
    match (&wanted.replication, own.replication, own.min_in_sync, profile.settings.min_in_sync) {
        (Some(_), Some(Replication::Factor(copies)), None, Some(least)) if least > copies => {
            spec.min_in_sync(copies)
        }
        _ => spec,
    }
}

/// How many copies a cluster of so many brokers holds. What is wrong is told in the words of who said it: a profile, an
/// option, or a declaration.
fn copies(
    spec: &TopicSpec,
    wanted: &CreateTopic,
    brokers: Option<i32>,
) -> Result<Option<i32>, CliError> {
    spec.copies(brokers).map_err(|error| {
        let (profile, own) = spec.parts();
        let who = match (own.replication, &wanted.replication) {
            (None, _) => format!("the profile `{}`", profile.name),
            (Some(_), Some(copies)) => format!("`--replication {copies}`"),
            (Some(_), None) => return CliError::input(error.to_string()),
        };
        let Some(Replication::Factor(copies)) = spec.settings().replication else {
            return CliError::input(error.to_string());
        };
        let brokers = match brokers {
            Some(1) => "1 broker".to_owned(),
            brokers => format!("{} brokers", brokers.unwrap_or_default()),
        };
        CliError::input(format!(
            "{who} wants {copies} copies and the cluster has {brokers}; `--replication auto` takes what there is"
        ))
    })
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
    wanted: &CreateTopic,
    out: &mut Out,
) -> Result<(), CliError> {
    let name = spec.name();
    if let Some(fewer) = wanted.partitions.filter(|wanted| *wanted < is.partitions) {
        return Err(CliError::new(
            Exit::Refused,
            format!(
                "{name} has {} partitions and cannot have {fewer}: partitions are never taken away; make another topic",
                is.partitions
            ),
        ));
    }
    let copies = copies(spec, wanted, admin.brokers(session.within()).await?)?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser as _;
    use tokio::sync::watch;

    use super::*;
    use crate::cli::App;
    use crate::cli::args::{Arguments, Command};

    fn asked(more: &[&str]) -> (TopicSpec, CreateTopic) {
        let arguments = [&["tidings", "create-topic", "users"], more].concat();
        let Arguments { options, command } = Arguments::try_parse_from(arguments).unwrap();
        let Command::CreateTopic(wanted) = command else { panic!("{command:?}") };
        let session = Session::new(Arc::new(App::new("tidings")), options, watch::channel(0).1);
        (specified(&session, &wanted).unwrap(), wanted)
    }

    #[test]
    fn copies_that_were_asked_for_cap_what_the_profile_wants_in_sync_and_not_what_was_said() {
        let explicit = ["--replication", "1", "--config", "min.insync.replicas=2"];
        for (more, least, is_valid) in [
            (&["--replication", "1"][..], 1, true),
            (&["--replication", "2"], 2, true),
            (&["--replication", "5"], 2, true),
            (&["--replication", "1", "--profile", "dlq"], 1, true),
            (&[], 2, true),
            (&explicit, 2, false),
        ] {
            let (spec, _) = asked(more);
            assert_eq!(spec.settings().min_in_sync, Some(least), "{more:?}");
            assert_eq!(spec.validate().is_ok(), is_valid, "{more:?}");
        }
    }

    #[test]
    fn who_wants_more_copies_than_there_are_brokers_is_told() {
        for (more, brokers, told) in [
            (
                &[][..],
                1,
                "the profile `standard` wants 3 copies and the cluster has 1 broker; `--replication auto` takes what there is",
            ),
            (
                &["--replication", "4"],
                2,
                "`--replication 4` wants 4 copies and the cluster has 2 brokers; `--replication auto` takes what there is",
            ),
        ] {
            let (spec, wanted) = asked(more);
            let error = copies(&spec, &wanted, Some(brokers)).unwrap_err();
            assert_eq!((error.exit, &*error.text), (Exit::Input, told));
        }
    }
}
