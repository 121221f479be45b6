//! What stays in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::behaviour::{Verdict, declare, holds, same};
use super::trial::{Trial, at, number, numbered, numbers_of, run_of};
use crate::transport::{Batch, Receipt};

declare! { "order":
    one_key = "records of one key keep their order through one producer",
    a_batch = "a batch keeps its order and is settled once",
    partition = "records of a partition lie in the order in which they were queued",
}

async fn one_key(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "keys", 3).await?;
    let keys = 10;
    let record = |n: usize| {
        let mut record = numbered(&topic, 0, n);
        record.partition = None;
        record.key = Some(Bytes::from(format!("key-{}", n % keys)));
        record
    };
    let records: Vec<_> = (0..500).map(record).collect();
    trial.send_all(&client, &records).await?;
    let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for read in trial.read(&client, &topic).await? {
        by_key.entry(read.key.clone()).or_default().push((read.partition, number(&read)));
    }
    same("how many keys there are", keys, by_key.len())?;
    for (key, read) in by_key {
        let first = read.first().and_then(|(_, first)| *first).unwrap_or_default();
        let partition = read.first().map_or(0, |(partition, _)| *partition);
        let expected: Vec<_> =
            (0..500 / keys).map(|n| (partition, Some(first % keys + n * keys))).collect();
        same(&format!("partitions and numbers of {key:?}"), expected, read)?;
    }
    Ok(())
}

async fn a_batch(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "batch", 1).await?;
    let records = run_of(&topic, 0, 0..200);
    let (batch, counts) = (Batch::new(records.len()), Arc::default());
    for (index, record) in records.iter().enumerate() {
        let receipt = Receipt::batch(None, Arc::clone(&counts), batch.clone(), index);
        trial.enqueue_with(&client, record, receipt).await?;
    }
    let settled = tokio::time::timeout(trial.limits().patience, batch.settled()).await;
    holds("the batch is settled without a failure", settled == Ok(Vec::new()), &settled)?;
    same("acknowledged records", 200, counts.acknowledged())?;
    let read = trial.read(&client, &topic).await?;
    same("the batch", (0..200).collect(), numbers_of(&read, &at(&topic, 0)))
}

async fn partition(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "partitions", 3).await?;
    let records: Vec<_> = (0..300).map(|n| numbered(&topic, (n % 3) as i32, n)).collect();
    let lies = trial.send_all(&client, &records).await?;
    for partition in 0..3 {
        let offsets: Vec<_> = lies
            .iter()
            .filter(|lies| lies.partition == partition)
            .map(|lies| lies.offset)
            .collect();
        let rising = offsets.is_sorted_by(|before, after| before < after);
        holds("the offsets of a partition rise", rising, offsets)?;
    }
    let read = trial.read(&client, &topic).await?;
    for partition in 0..3 {
        let expected: Vec<_> = (partition as usize..300).step_by(3).collect();
        same("the numbers of a partition", expected, numbers_of(&read, &at(&topic, partition)))?;
    }
    Ok(())
}
