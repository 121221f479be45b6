//! Transactions: records and offsets that become visible together, or never.

use std::sync::Arc;

use super::behaviour::{Failure, Verdict, declare, holds, same};
use super::member::{Join, Member};
use super::trial::{Client, Trial, at, numbered, numbers_of, run_of};
use crate::event::TopicName;
use crate::transport::{Receipt, Record, TransactionError, Transactions};

declare! { "transactions":
    committed [Transactions, Atomicity] = "records of a transaction are seen once it is committed, and not before",
    aborted [Transactions, Atomicity] = "records of an aborted transaction are never seen, and do not stand in the way",
    with_offsets [Transactions, Atomicity] = "offsets are committed with the records",
    without_offsets [Transactions, Atomicity] = "offsets of an aborted transaction are not committed",
    fenced [Transactions, Atomicity] = "a newer producer of the same id fences the older one, whose records are never seen",
    gaps [Transactions, Atomicity] = "offsets that hold no record do not stall reading or commits",
    out_of_turn [Transactions] = "a call out of turn is refused",
}

/// A producer of transactions under an id that only this trial has.
fn transactions(client: &Client, id: &str) -> Verdict<Arc<dyn Transactions>> {
    client.transactions(id).map_err(Failure::of("a producer of transactions is made"))
}

fn begun(what: &'static str) -> impl FnOnce(TransactionError) -> Failure {
    Failure::of(what)
}

/// Puts records into the open transaction and waits until the broker has them, so that they are not
/// merely taken out of the queue again.
async fn put(trial: &Trial, transactions: &Arc<dyn Transactions>, records: &[Record]) -> Verdict {
    for record in records {
        let (receipt, answer) = Receipt::one(None, Arc::default());
        let queued = transactions.enqueue(record, receipt);
        holds("the transaction's queue has room", queued.is_ok(), "a full one")?;
        let outcome = trial.outcome(answer).await?;
        outcome.map_err(Failure::of("expected an acknowledgement, seen"))?;
    }
    Ok(())
}

/// A transaction with these records, committed or aborted.
async fn one(
    trial: &Trial,
    transactions: &Arc<dyn Transactions>,
    records: &[Record],
    committed: bool,
) -> Verdict {
    transactions.begin().await.map_err(begun("a transaction is begun"))?;
    put(trial, transactions, records).await?;
    match committed {
        true => transactions.commit().await.map_err(begun("a transaction is committed")),
        false => transactions.abort().await.map_err(begun("a transaction is aborted")),
    }
}

/// What a member has read of partition 0.
fn of(member: &Member, topic: &TopicName) -> Vec<usize> {
    numbers_of(&member.state().records, &at(topic, 0))
}

async fn read_until(
    trial: &Trial,
    member: &Member,
    topic: &TopicName,
    last: usize,
) -> Verdict<Vec<usize>> {
    let there = || of(member, topic).contains(&last).then_some(());
    trial.until(&format!("record {last} is read"), &[member], there).await?;
    Ok(of(member, topic))
}

async fn committed(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (topic, other) =
        (trial.topic(&client, "out", 1).await?, trial.topic(&client, "other", 1).await?);
    let member = trial.join(&client, Join::new(trial.name("group"), [&topic, &other]))?;
    let sends = transactions(&client, &trial.name("id"))?;
    sends.begin().await.map_err(begun("a transaction is begun"))?;
    put(trial, &sends, &run_of(&topic, 0, 0..5)).await?;
    // Records of another topic come and go meanwhile: the reader is not merely late.
    for n in 0..10 {
        trial.send(&client, &numbered(&other, 0, n)).await?;
        read_until(trial, &member, &other, n).await?;
    }
    same("what is seen before the commit", Vec::new(), of(&member, &topic))?;
    sends.commit().await.map_err(begun("a transaction is committed"))?;
    let read = read_until(trial, &member, &topic, 4).await?;
    same("what is seen after the commit", (0..5).collect(), read)
}

async fn aborted(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "out", 1).await?;
    let sends = transactions(&client, &trial.name("id"))?;
    one(trial, &sends, &run_of(&topic, 0, 0..5), false).await?;
    one(trial, &sends, &run_of(&topic, 0, 5..8), true).await?;
    one(trial, &sends, &run_of(&topic, 0, 8..10), false).await?;
    trial.send(&client, &numbered(&topic, 0, 10)).await?;
    let member = trial.join(&client, Join::new(trial.name("group"), [&topic]))?;
    let read = read_until(trial, &member, &topic, 10).await?;
    same("what is seen", vec![5, 6, 7, 10], read)
}

/// Reads ten records as a member of a group, and commits offset 4 in a transaction that ends so.
async fn consume(trial: &Trial, ends_well: bool) -> Verdict<(Vec<usize>, Vec<usize>)> {
    let client = trial.client()?;
    let (from, to) = (trial.topic(&client, "in", 1).await?, trial.topic(&client, "out", 1).await?);
    trial.send_all(&client, &run_of(&from, 0, 0..10)).await?;
    let group = trial.name("group");
    let member = trial.join(&client, Join::new(&group, [&from]))?;
    read_until(trial, &member, &from, 9).await?;
    let known = || member.control().member();
    let who = trial.until("the member is known to its group", &[&member], known).await?;
    let sends = transactions(&client, &trial.name("id"))?;
    sends.begin().await.map_err(begun("a transaction is begun"))?;
    put(trial, &sends, &run_of(&to, 0, 0..3)).await?;
    let offsets = vec![(at(&from, 0), 4)];
    sends.add_offsets(&who, offsets).await.map_err(begun("offsets are added"))?;
    match ends_well {
        true => sends.commit().await.map_err(begun("a transaction is committed"))?,
        false => sends.abort().await.map_err(begun("a transaction is aborted"))?,
    }
    member.close();
    trial.until("the member has left", &[&member], || member.has_left().then_some(())).await?;
    trial.send(&client, &numbered(&from, 0, 10)).await?;
    trial.send(&client, &numbered(&to, 0, 10)).await?;
    let next = trial.join(&client, Join::new(&group, [&from]))?;
    let reads = read_until(trial, &next, &from, 10).await?;
    let reader = trial.join(&client, Join::new(trial.name("reader"), [&to]))?;
    Ok((reads, read_until(trial, &reader, &to, 10).await?))
}

async fn with_offsets(trial: &Trial) -> Verdict {
    let (reads, seen) = consume(trial, true).await?;
    same("what the group's next member reads", (4..=10).collect(), reads)?;
    same("what is seen of the transaction", vec![0, 1, 2, 10], seen)
}

async fn without_offsets(trial: &Trial) -> Verdict {
    let (reads, seen) = consume(trial, false).await?;
    same("what the group's next member reads", (0..=10).collect(), reads)?;
    same("what is seen of the transaction", vec![10], seen)
}

async fn fenced(trial: &Trial) -> Verdict {
    let (client, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic(&client, "out", 1).await?;
    let id = trial.name("id");
    let older = transactions(&client, &id)?;
    one(trial, &older, &run_of(&topic, 0, 0..2), true).await?;
    older.begin().await.map_err(begun("a transaction is begun"))?;
    put(trial, &older, &run_of(&topic, 0, 2..4)).await?;
    let newer = transactions(&other, &id)?;
    newer.begin().await.map_err(begun("the newer producer begins"))?;
    let refused = match older.commit().await {
        // Its records failed first; the abort that must follow says why.
        Err(TransactionError::MustAbort { .. }) => older.abort().await,
        other => other,
    };
    let is_fenced = matches!(refused, Err(TransactionError::Fenced { .. }));
    holds("the older producer's commit is fenced", is_fenced, &refused)?;
    put(trial, &newer, &run_of(&topic, 0, 4..6)).await?;
    newer.commit().await.map_err(begun("the newer producer commits"))?;
    let member = trial.join(&client, Join::new(trial.name("group"), [&topic]))?;
    let read = read_until(trial, &member, &topic, 5).await?;
    same("what is seen", vec![0, 1, 4, 5], read)
}

async fn gaps(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "out", 1).await?;
    let sends = transactions(&client, &trial.name("id"))?;
    for n in 0..5 {
        one(trial, &sends, &run_of(&topic, 0, 2 * n..2 * n + 1), true).await?;
        one(trial, &sends, &run_of(&topic, 0, 2 * n + 1..2 * n + 2), false).await?;
    }
    let group = trial.name("group");
    let first = trial.join(&client, Join::new(&group, [&topic]))?;
    let read = read_until(trial, &first, &topic, 8).await?;
    same("what is seen", vec![0, 2, 4, 6, 8], read)?;
    // Behind the last record that was seen lie others that nobody sees, and marks.
    let next = first.state().records.last().map_or(0, |record| record.offset + 1);
    first.control().commit(vec![(at(&topic, 0), next)]);
    let answer = || first.state().commits.first().map(|(_, result)| result.clone());
    let answer = trial.until("the commit is answered", &[&first], answer).await?;
    answer.map_err(Failure::new)?;
    first.close();
    trial.until("the member has left", &[&first], || first.has_left().then_some(())).await?;
    one(trial, &sends, &run_of(&topic, 0, 10..11), true).await?;
    let second = trial.join(&client, Join::new(&group, [&topic]))?;
    let read = read_until(trial, &second, &topic, 10).await?;
    same("what the next member reads", vec![10], read)
}

async fn out_of_turn(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let sends = transactions(&client, &trial.name("id"))?;
    let refused = |result: &Result<(), TransactionError>| {
        matches!(result, Err(TransactionError::OutOfTurn { .. }))
    };
    let commit = sends.commit().await;
    holds("a commit without a transaction is refused", refused(&commit), &commit)?;
    sends.begin().await.map_err(begun("a transaction is begun"))?;
    let begin = sends.begin().await;
    holds("a second begin is refused", refused(&begin), &begin)?;
    sends.abort().await.map_err(begun("a transaction is aborted"))
}
