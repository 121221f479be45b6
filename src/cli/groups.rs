//! `groups` and `lag`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::connect::Session;
use super::error::CliError;
use super::out::Out;
use crate::event::TopicName;
use crate::transport::kafka::Kafka;
use crate::transport::{PartitionLag, Transport as _, group_lag};

pub(super) async fn list(session: &Session, out: &mut Out) -> Result<(), CliError> {
    let groups = session.admin()?.groups(session.within()).await?;
    let rows = groups.iter().map(|listed| [listed.group.clone(), listed.state.clone()]);
    out.table(["GROUP", "STATE"], rows, || {
        let all =
            groups.iter().map(|listed| json!({ "group": listed.group, "state": listed.state }));
        Value::Array(all.collect())
    })
}

fn unknown(session: &Session, group: &str) -> CliError {
    let app = &session.app.name;
    CliError::unknown(format!("there is no group {group:?}; `{app} groups` lists those that are"))
}

pub(super) async fn show(session: &Session, group: &str, out: &mut Out) -> Result<(), CliError> {
    let found = session.admin()?.group(group, session.within()).await?;
    let found = found.ok_or_else(|| unknown(session, group))?;
    let given = |partitions: &[_]| partitions.iter().map(ToString::to_string).collect::<Vec<_>>();
    if !out.is_json() {
        let by =
            found.assignor.as_deref().map_or_else(String::new, |by| format!(", shared by {by}"));
        out.line(&format!("{group}: {}, {} members{by}", found.state, found.members.len()))?;
        if found.members.is_empty() {
            return Ok(());
        }
    }
    let rows = found.members.iter().map(|member| {
        [
            member.id.clone(),
            member.client.clone(),
            member.host.clone(),
            given(&member.partitions).join(" "),
        ]
    });
    out.table(["MEMBER", "CLIENT", "HOST", "PARTITIONS"], rows, || {
        let members = found.members.iter().map(|member| {
            json!({
                "member": member.id,
                "instance": member.instance,
                "client": member.client,
                "host": member.host,
                "partitions": given(&member.partitions),
            })
        });
        json!({
            "group": group,
            "state": found.state,
            "assignor": found.assignor,
            "members": members.collect::<Vec<_>>(),
        })
    })
}

/// What the binary's consumers and workers read, by their groups.
fn known(session: &Session, kafka: &Kafka) -> BTreeMap<String, Vec<TopicName>> {
    let mut known = BTreeMap::<_, Vec<_>>::new();
    for (what, built) in session.app.built(kafka) {
        match built {
            Ok(consumer) => {
                known
                    .entry(consumer.group().to_owned())
                    .or_default()
                    .extend(consumer.topics_read());
            }
            // It is `check` that finds this wrong.
            Err(error) => tracing::warn!(error = error.text, "{what} is left out"),
        }
    }
    known
}

pub(super) async fn lag(
    session: &Session,
    group: Option<&str>,
    out: &mut Out,
) -> Result<(), CliError> {
    let (kafka, within) = (session.connect()?, session.within());
    let (admin, known) = (kafka.admin(), known(session, &kafka));
    let groups = match group {
        Some(group) => BTreeSet::from([group.to_owned()]),
        None => {
            let listed = admin.groups(within).await?.into_iter().map(|listed| listed.group);
            listed.chain(known.keys().cloned()).collect()
        }
    };
    let mut all = Vec::new();
    for name in groups {
        let topics = known.get(&name).map_or(&[][..], Vec::as_slice);
        match group_lag(&*admin, &name, topics, within).await? {
            Some(lag) => all.push((name, lag)),
            None if group.is_some() => return Err(unknown(session, &name)),
            // It has gone since it was listed.
            None => {}
        }
    }
    let total = |lag: &[PartitionLag]| lag.iter().map(|lag| lag.lag).sum::<i64>();
    let none = || "-".to_owned();
    let rows = all.iter().flat_map(|(group, lags)| {
        let of_partition = move |lag: &PartitionLag| {
            [
                group.clone(),
                lag.partition.topic.to_string(),
                lag.partition.partition.to_string(),
                lag.committed.map_or_else(none, |committed| committed.to_string()),
                lag.end.to_string(),
                lag.lag.to_string(),
                lag.member.clone().unwrap_or_else(none),
            ]
        };
        let sum = total(lags).to_string();
        let total = [group.clone(), "(total)".into(), none(), none(), none(), sum, none()];
        lags.iter().map(of_partition).chain([total])
    });
    let columns = ["GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"];
    out.table(columns, rows, || {
        let all = all.iter().map(|(group, lags)| {
            let partitions = lags.iter().map(|lag| {
                json!({
                    "topic": lag.partition.topic.as_str(),
                    "partition": lag.partition.partition,
                    "committed": lag.committed,
                    "first": lag.first,
                    "end": lag.end,
                    "lag": lag.lag,
                    "member": lag.member,
                })
            });
            let partitions: Vec<_> = partitions.collect();
            json!({ "group": group, "lag": total(lags), "partitions": partitions })
        });
        Value::Array(all.collect())
    })
}
