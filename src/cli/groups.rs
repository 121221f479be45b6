//! `groups` and `lag`.

use serde_json::{Value, json};

use super::connect::Session;
use super::error::CliError;
use super::out::Out;
use crate::transport::group_lag;

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

pub(super) async fn lag(
    session: &Session,
    group: Option<&str>,
    out: &mut Out,
) -> Result<(), CliError> {
    let (admin, within) = (session.admin()?, session.within());
    let groups = match group {
        Some(group) => vec![group.to_owned()],
        None => admin.groups(within).await?.into_iter().map(|listed| listed.group).collect(),
    };
    let mut all = Vec::new();
    for name in groups {
        match group_lag(&*admin, &name, within).await? {
            Some(lag) => all.extend(lag.into_iter().map(|lag| (name.clone(), lag))),
            None if group.is_some() => return Err(unknown(session, &name)),
            // It has gone since it was listed.
            None => {}
        }
    }
    let number =
        |number: Option<i64>| number.map_or_else(|| "-".into(), |number| number.to_string());
    let rows = all.iter().map(|(group, lag)| {
        [
            group.clone(),
            lag.partition.topic.to_string(),
            lag.partition.partition.to_string(),
            number(lag.committed),
            lag.end.to_string(),
            number(lag.lag),
            lag.member.clone().unwrap_or_else(|| "-".into()),
        ]
    });
    let columns = ["GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"];
    out.table(columns, rows, || {
        let all = all.iter().map(|(group, lag)| {
            json!({
                "group": group,
                "topic": lag.partition.topic.as_str(),
                "partition": lag.partition.partition,
                "committed": lag.committed,
                "end": lag.end,
                "lag": lag.lag,
                "member": lag.member,
            })
        });
        Value::Array(all.collect())
    })
}
