//! `consume`: a topic's records, without a group or as a member of one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::args::{Consume, Format};
use super::connect::Session;
use super::error::{CliError, Exit};
use super::format::pretty;
use super::out::Out;
use super::records::as_json;
use crate::event::TopicName;
use crate::transport::{
    Admin, Offsets, Position, ReadEvent, Received, RecordBatch, SourceEvent, Subscription,
    TopicPartition, Transport, positions,
};

/// How long a revoke waits for what is being written, and the end for the group to be left.
const LEAVE: Duration = Duration::from_secs(5);

pub(super) async fn run(session: &Session, wanted: Consume, out: &mut Out) -> Result<(), CliError> {
    let kafka = session.connect()?;
    let found = tokio::select! {
        found = look(session, &kafka, &wanted) => found?,
        () = session.interrupted() => return Err(CliError::interrupted()),
    };
    let mut writer = Writer {
        form: if out.is_json() { Format::Json } else { wanted.format },
        headers: wanted.headers,
        left: wanted.count,
        out,
    };
    match &wanted.group {
        Some(group) => as_member(session, &kafka, (group, &wanted.topic), &mut writer).await,
        None => without_group(session, &kafka, found, &mut writer).await,
    }
}

/// Where to begin, and where to end if that was asked for.
struct Places {
    from: Offsets,
    ends: Option<Offsets>,
}

async fn look(
    session: &Session,
    kafka: &dyn Transport,
    wanted: &Consume,
) -> Result<Places, CliError> {
    let (admin, within) = (kafka.admin(), session.within());
    session.topic(&*admin, &wanted.topic).await?;
    if let Some(group) = &wanted.group {
        if !wanted.force {
            alone_in(&*admin, group, within).await?;
        }
        return Ok(Places { from: Vec::new(), ends: None });
    }
    let of = async |position| {
        let found = positions(&*admin, &wanted.topic, position, within).await?;
        let gone = || CliError::unknown(format!("topic {} was just deleted", wanted.topic));
        found.ok_or_else(gone)
    };
    let ends = if wanted.to_end { Some(of(Position::Latest).await?) } else { None };
    Ok(Places { from: of(wanted.from.0).await?, ends })
}

/// Refuses to take records from those who are to handle them.
async fn alone_in(admin: &dyn Admin, group: &str, within: Duration) -> Result<(), CliError> {
    // A broker that does not say it, or not to this client, may still take it in.
    let found = admin.group(group, within).await.ok().flatten();
    match found.map_or(0, |found| found.members.len()) {
        0 => Ok(()),
        members => Err(CliError::input(format!(
            "group {group} has {members} members at work: what is written here they would never handle; leave \
             `--group` out to look on, or say `--force`"
        ))),
    }
}

/// Writes records until there are enough.
struct Writer<'a> {
    form: Format,
    headers: bool,
    left: Option<u64>,
    out: &'a mut Out,
}

impl Writer<'_> {
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    fn write(&mut self, record: &Received) -> Result<(), CliError> {
        match self.form {
            Format::Json => self.out.line(&as_json(record)?)?,
            Format::Pretty => self.out.line(&pretty(record, self.headers))?,
            Format::Raw => self.out.bytes(record.payload.as_deref().unwrap_or_default())?,
        }
        self.left = self.left.map(|left| left - 1);
        Ok(())
    }

    /// Writes a batch; answers the offset behind what was written of it, if anything was.
    fn batch(&mut self, batch: &RecordBatch) -> Result<Option<i64>, CliError> {
        let mut next = None;
        for record in &batch.records {
            if self.is_done() {
                break;
            }
            self.write(record)?;
            next = Some(record.offset + 1);
        }
        Ok(next)
    }
}

async fn without_group(
    session: &Session,
    kafka: &dyn Transport,
    places: Places,
    writer: &mut Writer<'_>,
) -> Result<(), CliError> {
    let Places { from, ends } = places;
    let open = |(place, end): &(TopicPartition, i64)| {
        from.iter().any(|(other, first)| other == place && first < end)
    };
    let mut ends: Option<BTreeMap<_, _>> =
        ends.map(|ends| ends.into_iter().filter(|end| open(end)).collect());
    let mut reader = kafka.read(from.clone())?;
    while !writer.is_done() && ends.as_ref().is_none_or(|ends| !ends.is_empty()) {
        let event = tokio::select! {
            biased;
            () = session.interrupted() => return Ok(()),
            event = reader.next() => event,
        };
        match event {
            Some(Ok(ReadEvent::Records(mut batch))) => {
                if let Some(ends) = &mut ends {
                    let end = ends.get(&batch.partition).copied().unwrap_or_default();
                    batch.records.retain(|record| record.offset < end);
                    if writer.batch(&batch)?.is_some_and(|next| next >= end) {
                        ends.remove(&batch.partition);
                    }
                } else {
                    writer.batch(&batch)?;
                }
            }
            Some(Ok(ReadEvent::End(partition))) => {
                if let Some(ends) = &mut ends {
                    ends.remove(&partition);
                }
            }
            // The client goes on by itself; `--verbose` shows it.
            Some(Err(error)) if error.class == crate::error::ErrorClass::Retriable => {
                tracing::warn!(error = crate::error::chain(&error), "reading goes on");
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(CliError::new(Exit::Refused, "the client has ended by itself")),
        }
    }
    Ok(())
}

async fn as_member(
    session: &Session,
    kafka: &dyn Transport,
    (group, topic): (&str, &TopicName),
    writer: &mut Writer<'_>,
) -> Result<(), CliError> {
    let mut source = kafka.subscribe(Subscription {
        group: group.to_owned(),
        topics: vec![topic.clone()],
        followers: Vec::new(),
        revoke_wait: LEAVE,
        kept: None,
        ends: false,
    })?;
    let mut written: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let mut result = Ok(());
    while result.is_ok() && !writer.is_done() {
        let event = tokio::select! {
            biased;
            () = session.interrupted() => break,
            event = source.events.recv() => event,
        };
        match event {
            Some(SourceEvent::Records(batch)) => match writer.batch(&batch) {
                Ok(Some(next)) => {
                    written.insert(batch.partition.clone(), next);
                    source.control.commit(vec![(batch.partition, next)]);
                }
                Ok(None) => {}
                Err(error) => result = Err(error),
            },
            Some(
                SourceEvent::Assigned(_)
                | SourceEvent::End(_)
                | SourceEvent::Committed { result: Ok(()), .. },
            ) => {}
            Some(SourceEvent::Revoked { partitions, reply, .. }) => {
                let offset = |partition| written.remove_entry(partition);
                reply.release(partitions.iter().filter_map(offset).collect());
            }
            Some(SourceEvent::Committed { result: Err(error), .. }) => {
                tracing::warn!(error = crate::error::chain(&error), "a commit was not taken");
            }
            Some(SourceEvent::Error(error)) => {
                if error.class == crate::error::ErrorClass::Retriable {
                    tracing::warn!(error = crate::error::chain(&error), "reading goes on");
                } else {
                    let error = CliError::from(error);
                    let text = format!("group {group} cannot read {topic}: {}", error.text);
                    result = Err(error.told(text));
                }
            }
            None => result = Err(CliError::new(Exit::Refused, "the client has left the group")),
        }
    }
    source.control.close();
    let leaving = async {
        while let Some(event) = source.events.recv().await {
            if let SourceEvent::Revoked { partitions, reply, .. } = event {
                let offset = |partition| written.remove_entry(partition);
                reply.release(partitions.iter().filter_map(offset).collect());
            }
        }
    };
    if tokio::time::timeout(LEAVE, leaving).await.is_err() {
        tracing::warn!("the group was not left in time; it finds out by itself");
    }
    result
}
