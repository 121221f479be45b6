//! Transactions: records and offsets that become visible together.

use bytes::Bytes;
use tidings::event::{Headers, TopicName};
use tidings::transport::memory::{Fault, Isolation, Memory, MemoryBroker, MemoryConfig};
use tidings::transport::*;

use crate::stage::secs;

const OUT: TopicName = TopicName::from_static("out");

fn record(n: u32) -> Record {
    Record {
        topic: OUT,
        partition: Some(0),
        key: None,
        payload: Some(Bytes::from(n.to_string())),
        headers: Headers::default(),
        timestamp: None,
    }
}

fn send(to: &dyn Transactions, n: u32) {
    let (receipt, _) = Receipt::one(None, Default::default());
    to.enqueue(&record(n), receipt).unwrap();
}

fn reader(client: &Memory, group: &str) -> Source {
    let (topics, followers) = (vec![OUT], Vec::new());
    let subscription = Subscription {
        group: group.into(),
        topics,
        followers,
        revoke_wait: secs(1),
        kept: None,
        ends: false,
    };
    client.subscribe(subscription).unwrap()
}

/// What a reader gets within a second.
async fn read(source: &mut Source) -> Vec<String> {
    let mut read = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(secs(1), source.events.recv()).await {
        if let SourceEvent::Records(batch) = event {
            let text = |record: Received| String::from_utf8(record.payload.unwrap().to_vec());
            read.extend(batch.records.into_iter().map(|record| text(record).unwrap()));
        }
    }
    read
}

#[tokio::test(start_paused = true)]
async fn readers_of_committed_records_see_a_transaction_once_it_commits_and_an_aborted_one_never() {
    let broker = MemoryBroker::new();
    let client = broker.client("one").unwrap();
    let all = MemoryConfig::new("two").isolation(Isolation::ReadUncommitted);
    let transactions = client.transactions("payments").unwrap();
    let mut committed = reader(&client, "committed");
    let mut uncommitted = reader(&broker.connect(all).unwrap(), "uncommitted");
    transactions.begin().await.unwrap();
    (1..=3).for_each(|n| send(&*transactions, n));
    assert!(read(&mut committed).await.is_empty());
    assert_eq!(read(&mut uncommitted).await, ["1", "2", "3"]);
    transactions.abort().await.unwrap();
    transactions.begin().await.unwrap();
    send(&*transactions, 4);
    transactions.commit().await.unwrap();
    assert_eq!(read(&mut committed).await, ["4"]);
}

#[tokio::test(start_paused = true)]
async fn a_newer_producer_of_the_same_id_fences_the_older_one_and_aborts_what_it_left_open() {
    let broker = MemoryBroker::new();
    let client = broker.client("one").unwrap();
    let old = client.transactions("payments").unwrap();
    old.begin().await.unwrap();
    send(&*old, 1);
    let mut source = reader(&client, "committed");
    let new = client.transactions("payments").unwrap();
    tokio::time::sleep(secs(1)).await;
    new.begin().await.unwrap();
    send(&*new, 2);
    new.commit().await.unwrap();
    assert!(matches!(old.commit().await, Err(TransactionError::Fenced { id }) if id == "payments"));
    assert_eq!(read(&mut source).await, ["2"]);
}

#[tokio::test(start_paused = true)]
async fn offsets_are_committed_with_their_records_or_not_at_all() {
    let broker = MemoryBroker::new();
    let client = broker.client("one").unwrap();
    let transactions = client.transactions("payments").unwrap();
    let mut source = reader(&client, "group");
    read(&mut source).await;
    let member = source.control.member().unwrap();
    let place = TopicPartition { topic: OUT, partition: 0 };
    for (ends, expected) in [(false, None), (true, Some(7))] {
        transactions.begin().await.unwrap();
        transactions.add_offsets(&member, vec![(place.clone(), 7)]).await.unwrap();
        assert_eq!(broker.committed("group", &place), None);
        match ends {
            true => transactions.commit().await.unwrap(),
            false => transactions.abort().await.unwrap(),
        }
        assert_eq!(broker.committed("group", &place), expected);
    }
    source.control.close();
    while source.events.recv().await.is_some() {}
    transactions.begin().await.unwrap();
    let gone = transactions.add_offsets(&member, vec![(place, 9)]).await;
    assert!(matches!(gone, Err(TransactionError::MustAbort { .. })), "{gone:?}");
    assert!(matches!(transactions.commit().await, Err(TransactionError::MustAbort { .. })));
    transactions.abort().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_was_left_open_is_aborted_in_time_and_stalls_nobody() {
    let broker = MemoryBroker::new();
    let client = broker.client("one").unwrap();
    let left = client.transactions("left").unwrap();
    left.begin().await.unwrap();
    send(&*left, 1);
    let (receipt, _) = Receipt::one(None, Default::default());
    tokio::time::sleep(secs(1)).await;
    client.producer().enqueue(&record(2), receipt).unwrap();
    let mut source = reader(&client, "committed");
    assert!(read(&mut source).await.is_empty(), "it lies behind an open transaction");
    tokio::time::sleep(secs(61)).await;
    assert_eq!(read(&mut source).await, ["2"]);
    assert!(matches!(left.commit().await, Err(TransactionError::Fenced { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_a_client_has_queued_is_counted_whatever_transactions_it_had() {
    let broker = MemoryBroker::new();
    let client = broker.client("one").unwrap();
    let transactions = client.transactions("payments").unwrap();
    transactions.begin().await.unwrap();
    send(&*transactions, 1);
    transactions.commit().await.unwrap();
    drop(transactions);
    broker.inject(Fault::BrokerGone(secs(5)));
    let (receipt, _) = Receipt::one(None, Default::default());
    client.producer().enqueue(&record(2), receipt).unwrap();
    assert_eq!(broker.backlog().queued, 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_seeks_reads_on_from_there() {
    let broker = MemoryBroker::new();
    let client = broker.client("one").unwrap();
    for n in 0..5 {
        let (receipt, _) = Receipt::one(None, Default::default());
        client.producer().enqueue(&record(n), receipt).unwrap();
    }
    let mut source = reader(&client, "group");
    assert_eq!(read(&mut source).await, ["0", "1", "2", "3", "4"]);
    source.control.seek(vec![(TopicPartition { topic: OUT, partition: 0 }, 3)]);
    assert_eq!(read(&mut source).await, ["3", "4"]);
}
