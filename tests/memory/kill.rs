//! A client that was killed: nothing of it works, and nothing of it reaches the broker.

use std::time::Duration;

use bytes::Bytes;
use tidings::event::{Headers, TopicName};
use tidings::publisher::Publisher;
use tidings::transport::memory::{Fault, MemoryBroker};
use tidings::transport::{
    NewTopic, ProduceError, Receipt, Record, SourceEvent, Subscription, TopicPartition,
    TransactionError, Transport,
};

use crate::stage::*;

const PAID: TopicName = TopicName::from_static("paid");

fn subscription() -> Subscription {
    let (topics, followers) = (vec![PAID], Vec::new());
    Subscription {
        group: "group".into(),
        topics,
        followers,
        revoke_wait: secs(1),
        kept: None,
        ends: false,
    }
}

fn record(topic: TopicName) -> Record {
    let payload = Some(Bytes::from_static(b"1"));
    let headers = Headers::default();
    Record { topic, partition: Some(0), key: None, payload, headers, timestamp: None }
}

#[tokio::test(start_paused = true)]
async fn every_call_of_a_killed_client_answers_an_error() {
    let broker = MemoryBroker::new();
    let client = broker.client("one").unwrap();
    let (producer, admin) = (client.producer(), client.admin());
    let transactions = client.transactions("payments").unwrap();
    transactions.begin().await.unwrap();
    Publisher::new(&client).publish(paid(1)).await.unwrap();
    let mut source = client.subscribe(subscription()).unwrap();
    while !matches!(source.events.recv().await, Some(SourceEvent::Records(_))) {}
    let member = source.control.member().unwrap();
    client.kill();
    // What it had, and what it is asked for after.
    let (receipt, answer) = Receipt::one(None, Default::default());
    producer.enqueue(&record(PAID), receipt).unwrap();
    assert_eq!(answer.await.unwrap(), Err(ProduceError::Closed));
    assert!(producer.reachable().is_err());
    assert!(producer.close(secs(1)).await.is_empty());
    let (receipt, answer) = Receipt::one(None, Default::default());
    assert!(transactions.enqueue(&record(PAID), receipt).is_ok());
    assert_eq!(answer.await.unwrap(), Err(ProduceError::Closed));
    let place = TopicPartition { topic: PAID, partition: 0 };
    let killed = |answer: Result<(), TransactionError>| {
        let error = answer.unwrap_err();
        assert!(error.to_string().contains("killed"), "{error}");
    };
    killed(transactions.add_offsets(&member, vec![(place.clone(), 1)]).await);
    killed(transactions.commit().await);
    killed(transactions.abort().await);
    killed(client.transactions("payments").map(drop));
    assert!(admin.describe(&[PAID], secs(1)).await.is_err());
    assert!(admin.create(&[NewTopic::new(PAID)], secs(1)).await.is_err());
    assert!(client.admin().describe(&[PAID], secs(1)).await.is_err());
    assert!(client.subscribe(subscription()).is_err());
    // A commit has nobody left to answer it: the source ends.
    source.control.commit(vec![(place.clone(), 1)]);
    while source.events.recv().await.is_some() {}
    assert_eq!(broker.committed("group", &place), None);
    assert_eq!(broker.records(&PAID).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn records_of_a_killed_transaction_are_never_sent_and_it_is_aborted_in_time() {
    let broker = MemoryBroker::new();
    let client = broker.client("one").unwrap();
    let transactions = client.transactions("payments").unwrap();
    transactions.begin().await.unwrap();
    let send = || {
        let (receipt, answer) = Receipt::one(None, Default::default());
        transactions.enqueue(&record(PAID), receipt).unwrap();
        answer
    };
    send().await.unwrap().unwrap();
    broker.inject(Fault::BrokerGone(secs(5)));
    let queued = send();
    assert_eq!(broker.backlog().queued, 1);
    client.kill();
    assert_eq!(queued.await.unwrap(), Err(ProduceError::Closed));
    assert_eq!(broker.backlog().queued, 0);
    tokio::time::sleep(secs(120)).await;
    assert!(broker.records(&PAID).is_empty(), "what was sent is aborted, the rest never came");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_killed_client_is_told() {
    let broker = MemoryBroker::builder().latency(secs(1), secs(1)).build();
    let client = broker.client("one").unwrap();
    let seen = Seen::default();
    let mut running = consumer(&seen, |_| 0).build(&client).unwrap().start().await.unwrap();
    let publisher = Publisher::new(&client);
    let publishing = tokio::spawn(async move { publisher.publish(paid(1)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    client.kill();
    assert!(publishing.await.unwrap().is_err());
    running.ended().await;
    let report = running.stop(secs(1)).await;
    assert!(!report.is_clean(), "{report:?}");
}
