//! Payloads: empty, none, large, too large.

use bytes::Bytes;

use super::behaviour::{Verdict, declare, holds, same};
use super::delivery::{as_sent, there_and_back};
use super::trial::{Trial, at, numbered, numbers_of};
use crate::error::ErrorClass;

declare! { "payloads":
    empty = "an empty payload is no tombstone",
    tombstone = "a tombstone comes as one",
    large = "a large payload passes whole",
    too_large = "too large a record is refused as permanent, and others go on",
    empty_key [EmptyKeys] = "an empty key is not a missing one",
}

async fn empty(trial: &Trial) -> Verdict {
    let (_, read) = there_and_back(trial, |record| record.payload = Some(Bytes::new())).await?;
    same("the payload", Some(Bytes::new()), read.payload)
}

async fn tombstone(trial: &Trial) -> Verdict {
    let (sent, read) = there_and_back(trial, |record| {
        record.key = Some(Bytes::from_static(b"gone"));
        record.payload = None;
        record.headers.push("why", "deleted");
    })
    .await?;
    as_sent(&sent, &read)
}

/// Bytes that neither repeat soon nor compress well.
fn noise(size: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    Bytes::from_iter((0..size).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    }))
}

async fn large(trial: &Trial) -> Verdict {
    let size = trial.limits().large;
    let (sent, read) = there_and_back(trial, |record| record.payload = Some(noise(size))).await?;
    same("its size", Some(size), read.payload.as_ref().map(Bytes::len))?;
    holds("its bytes are the same", sent.payload == read.payload, "others")
}

async fn too_large(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "too-large", 1).await?;
    trial.send(&client, &numbered(&topic, 0, 1)).await?;
    let mut record = numbered(&topic, 0, 2);
    record.payload = Some(noise(trial.limits().too_large));
    let answer = trial.enqueue(&client, &record).await?;
    let outcome = trial.outcome(answer).await?;
    let class = outcome.as_ref().err().map(|error| error.class());
    holds("it is refused as permanent", class == Some(ErrorClass::Permanent), &outcome)?;
    trial.send(&client, &numbered(&topic, 0, 3)).await?;
    let read = trial.read(&client, &topic).await?;
    same("what lies on the topic", vec![1, 3], numbers_of(&read, &at(&topic, 0)))
}

async fn empty_key(trial: &Trial) -> Verdict {
    let (_, read) = there_and_back(trial, |record| record.key = Some(Bytes::new())).await?;
    same("the key", Some(Bytes::new()), read.key)?;
    let (_, read) = there_and_back(trial, |record| record.key = None).await?;
    same("the key", None, read.key)
}
