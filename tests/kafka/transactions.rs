//! Kafka's transactions through the port: records and offsets that become visible together.

use std::time::Duration;

use bytes::Bytes;
use tidings::event::{Headers, TopicName};
use tidings::transport::kafka::Kafka;
use tidings::transport::*;

use crate::events::{named, topic};
use crate::inspect::Inspector;
use crate::support::*;

fn send(to: &dyn Transactions, topic: &TopicName, n: u32) {
    let record = Record {
        topic: topic.clone(),
        partition: Some(0),
        key: None,
        payload: Some(Bytes::from(n.to_string())),
        headers: Headers::default(),
        timestamp: None,
    };
    let (receipt, _) = Receipt::one(None, Default::default());
    to.enqueue(&record, receipt).unwrap();
}

fn reader(kafka: &Kafka, topic: &TopicName, group: &str) -> Source {
    let subscription = Subscription {
        group: named(group),
        topics: vec![topic.clone()],
        followers: Vec::new(),
        revoke_wait: Duration::from_secs(1),
        kept: None,
        ends: false,
    };
    kafka.subscribe(subscription).unwrap()
}

/// Reads until a record says `last`; answers all of them.
async fn read_to(source: &mut Source, last: u32) -> Vec<String> {
    let mut read = Vec::new();
    while read.last() != Some(&last.to_string()) {
        let event = tokio::time::timeout(SOON, source.events.recv()).await;
        match event.expect("the records come").expect("the source goes on") {
            SourceEvent::Records(batch) => read.extend(
                batch
                    .records
                    .into_iter()
                    .map(|record| String::from_utf8(record.payload.unwrap().to_vec()).unwrap()),
            ),
            SourceEvent::Revoked { reply, .. } => reply.release(Vec::new()),
            _ => {}
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_transaction_is_never_seen_and_a_newer_producer_of_its_id_fences_the_older_one()
{
    let Some(broker) = kafka_address() else { return };
    let kafka = client("transactions", &broker);
    let out = topic("transactions.out");
    create_topics(&kafka, &[(out.as_str(), 1, false)]).await;
    let id = named("payments");
    let old = kafka.transactions(&id).unwrap();
    old.begin().await.unwrap();
    send(&*old, &out, 1);
    old.abort().await.unwrap();
    old.begin().await.unwrap();
    send(&*old, &out, 2);
    old.commit().await.unwrap();
    old.begin().await.unwrap();
    send(&*old, &out, 3);

    let new = kafka.transactions(&id).unwrap();
    new.begin().await.unwrap();
    send(&*new, &out, 4);
    new.commit().await.unwrap();
    let fenced = old.commit().await;
    assert!(matches!(fenced, Err(TransactionError::Fenced { .. })), "{fenced:?}");
    assert!(matches!(new.commit().await, Err(TransactionError::OutOfTurn { .. })));

    let mut source = reader(&kafka, &out, "transactions-reader");
    assert_eq!(read_to(&mut source, 4).await, ["2", "4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_committed_with_their_records_or_not_at_all() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("transactions", &broker);
    let out = topic("transactions.offsets");
    create_topics(&kafka, &[(out.as_str(), 1, false)]).await;
    let transactions = kafka.transactions(&named("offsets")).unwrap();
    let offsets = Inspector::new(&broker, &named("transactions-offsets"));
    let place = TopicPartition { topic: out.clone(), partition: 0 };
    let mut source = reader(&kafka, &out, "transactions-offsets");
    transactions.begin().await.unwrap();
    send(&*transactions, &out, 1);
    transactions.commit().await.unwrap();
    assert_eq!(read_to(&mut source, 1).await, ["1"]);
    eventually("it knows who it is", SOON, || source.control.member().is_some()).await;
    let member = source.control.member().unwrap();

    transactions.begin().await.unwrap();
    transactions.add_offsets(&member, vec![(place.clone(), 1)]).await.unwrap();
    transactions.abort().await.unwrap();
    assert_eq!(offsets.committed(&out, 0), None);
    transactions.begin().await.unwrap();
    send(&*transactions, &out, 2);
    transactions.add_offsets(&member, vec![(place, 1)]).await.unwrap();
    transactions.commit().await.unwrap();
    assert_eq!(offsets.committed(&out, 0), Some(1));
    assert_eq!(read_to(&mut source, 2).await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_seeks_reads_on_from_there() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("seek", &broker);
    let out = topic("seek.out");
    create_topics(&kafka, &[(out.as_str(), 1, false)]).await;
    let transactions = kafka.transactions(&named("seek")).unwrap();
    transactions.begin().await.unwrap();
    (0..5).for_each(|n| send(&*transactions, &out, n));
    transactions.commit().await.unwrap();
    let mut source = reader(&kafka, &out, "seek");
    assert_eq!(read_to(&mut source, 4).await, ["0", "1", "2", "3", "4"]);
    source.control.seek(vec![(TopicPartition { topic: out, partition: 0 }, 3)]);
    assert_eq!(read_to(&mut source, 4).await, ["3", "4"]);
}
