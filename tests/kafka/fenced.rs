//! Row 30: a cluster whose controller takes all brokers for dead, so that it lists none to its clients.

use std::time::{Duration, Instant};

use tidings::publisher::Publisher;
use tidings::transport::{ReadEvent, TopicPartition, TopicReader, Transport};

use crate::broker::OwnBroker;
use crate::events::*;
use crate::stage::*;
use crate::support::*;

event!(Found, "fenced.found");

/// From when the cluster is well until its clients are.
const BACK: Duration = Duration::from_secs(90);
/// Longer than it takes until each client has asked a cluster without brokers.
const FENCED: Duration = Duration::from_secs(25);

async fn next_record(reader: &mut TopicReader) -> Vec<u8> {
    loop {
        match reader.next().await.expect("the reader goes on") {
            Ok(ReadEvent::Records(batch)) => {
                return batch.records[0].payload.clone().unwrap().into();
            }
            Ok(ReadEvent::End(_)) => {}
            Err(error) => println!("the reader: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_cluster_that_listed_no_broker_for_a_while_find_back_by_themselves() {
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let kafka = client("fenced", &broker.address);
    let seen = Seen::default();
    let running = consumer("fenced", 1)
        .handle_named("note", note::<Found>(seen.clone(), done))
        .start_on(&kafka)
        .await;
    let publisher = Publisher::new(&kafka);
    publisher.publish(Found::new("k", 0)).await.unwrap();
    eventually("the first one is handled", SOON, || seen.len() == 1).await;
    let main = topic(Found::TOPIC);
    let partition = TopicPartition { topic: main.clone(), partition: 0 };
    let mut reader = kafka.read(vec![(partition, 0)]).unwrap();
    next_record(&mut reader).await;

    broker.kill().await;
    // A broker that says too seldom that it lives: unknown to its cluster for 12 of 15 seconds.
    broker
        .start_again_with(&["broker.heartbeat.interval.ms=15000", "broker.session.timeout.ms=3000"])
        .await;
    tokio::time::sleep(FENCED).await;
    broker.kill().await;
    broker
        .start_again_with(&["broker.heartbeat.interval.ms=500", "broker.session.timeout.ms=18000"])
        .await;

    let began = Instant::now();
    let back = || assert!(began.elapsed() < BACK, "{:?}", began.elapsed());
    while let Err(error) = publisher.publish(Found::new("k", 1)).await {
        println!("{:?}: the publisher: {error}", began.elapsed());
        back();
    }
    println!("the producer is back after {:?}", began.elapsed());
    eventually("health is green", SOON, || kafka.producer().reachable().is_ok()).await;
    eventually("the consumer is back", BACK, || seen.all().iter().any(|ran| ran.n == 1)).await;
    println!("the consumer is back after {:?}", began.elapsed());
    tokio::time::timeout(BACK, next_record(&mut reader)).await.expect("the reader is back");
    println!("the reader is back after {:?}", began.elapsed());
    while let Err(error) =
        kafka.admin().describe(std::slice::from_ref(&main), Duration::from_secs(5)).await
    {
        println!("{:?}: the admin client: {error}", began.elapsed());
        back();
    }
    println!("the admin client is back after {:?}", began.elapsed());
    stop(running).await;
}
