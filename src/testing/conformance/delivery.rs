//! What is acknowledged is there, where it was said to be.

use bytes::Bytes;

use super::behaviour::{Verdict, declare, holds, same};
use super::trial::{Trial, numbered};
use crate::error::ErrorClass;
use crate::event::TopicName;
use crate::transport::{Received, Record};

declare! { "delivery":
    exactly = "an acknowledged record is read exactly as it was sent",
    where_it_lies = "an acknowledgement says the partition and the offset where the record lies",
    keyless = "a record without a key is delivered",
    own_partition = "a record goes to the partition that it names, whatever its key",
    keyed [KeyPartitions] = "a key goes to the partition that murmur2 says",
    no_partition = "a record for a partition that is not there is refused as permanent",
    service = "a client says the service that it was made for",
}

/// Fails unless what was read is what was sent, time aside.
pub(super) fn as_sent(sent: &Record, read: &Received) -> Verdict {
    same("the key", &sent.key, &read.key)?;
    same("the payload", &sent.payload, &read.payload)?;
    let sent: Vec<_> = sent.headers.iter().collect();
    same("the headers", sent, read.headers.iter().collect())
}

/// Sends one record to a topic of its own and answers it as it was read.
pub(super) async fn there_and_back(
    trial: &Trial,
    change: impl FnOnce(&mut Record),
) -> Verdict<(Record, Received)> {
    let client = trial.client()?;
    let topic = trial.topic(&client, "one", 1).await?;
    let mut record = numbered(&topic, 0, 1);
    change(&mut record);
    trial.send(&client, &record).await?;
    let mut read = trial.read(&client, &topic).await?;
    same("records on the topic", 1, read.len())?;
    Ok((record, read.remove(0)))
}

async fn exactly(trial: &Trial) -> Verdict {
    let (sent, read) = there_and_back(trial, |record| {
        record.key = Some(Bytes::from_static(b"\x00key\xff"));
        record.payload = Some(Bytes::from_iter(0..=255));
        record.headers.push("content-type", "application/octet-stream");
        record.headers.push("trace", "1");
    })
    .await?;
    as_sent(&sent, &read)
}

async fn where_it_lies(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "places", 3).await?;
    let records: Vec<_> = (0..30).map(|n| numbered(&topic, n % 3, n as usize)).collect();
    let lies = trial.send_all(&client, &records).await?;
    let read = trial.read(&client, &topic).await?;
    same("records on the topic", records.len(), read.len())?;
    for (record, lies) in records.iter().zip(&lies) {
        same("the acknowledged partition", record.partition, Some(lies.partition))?;
        let at = |read: &&Received| (read.partition, read.offset) == (lies.partition, lies.offset);
        let read = read.iter().find(at).map(|read| read.payload.clone());
        same("what lies where the acknowledgement says", Some(record.payload.clone()), read)?;
    }
    Ok(())
}

async fn keyless(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "keyless", 3).await?;
    let mut record = numbered(&topic, 0, 1);
    record.partition = None;
    let lies = trial.send(&client, &record).await?;
    holds("its partition is one of 3", (0..3).contains(&lies.partition), lies.partition)?;
    let read = trial.read(&client, &topic).await?;
    same("records on the topic", 1, read.len())?;
    as_sent(&record, &read[0])
}

async fn own_partition(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "named", 3).await?;
    for partition in 0..3 {
        let mut record = numbered(&topic, partition, 1);
        record.key = Some(Bytes::from_static(b"one key"));
        let lies = trial.send(&client, &record).await?;
        same("the partition", partition, lies.partition)?;
    }
    Ok(())
}

/// Keys and their hashes, from Kafka's own `UtilsTest`.
const HASHES: [(&str, i32); 6] = [
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ("abc", 479_470_107),
];

async fn keyed(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    for partitions in [3, 7] {
        let topic = trial.topic(&client, "keyed", partitions).await?;
        for (key, hash) in HASHES {
            let mut record = numbered(&topic, 0, 1);
            record.partition = None;
            record.key = Some(Bytes::from_static(key.as_bytes()));
            let lies = trial.send(&client, &record).await?;
            let of = format!("the partition of key {key:?} among {partitions}");
            same(&of, (hash & 0x7fff_ffff) % partitions, lies.partition)?;
        }
    }
    Ok(())
}

async fn no_partition(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic: TopicName = trial.topic(&client, "small", 1).await?;
    trial.send(&client, &numbered(&topic, 0, 1)).await?;
    let answer = trial.enqueue(&client, &numbered(&topic, 7, 2)).await?;
    let outcome = trial.outcome(answer).await?;
    let class = outcome.as_ref().err().map(|error| error.class());
    holds("it is refused as permanent", class == Some(ErrorClass::Permanent), &outcome)
}

async fn service(trial: &Trial) -> Verdict {
    for service in ["conformance-a", "conformance-b"] {
        let client = trial.client_as(&super::ClientSpec::new(service))?;
        same("the service", service, client.service().as_str())?;
    }
    Ok(())
}
