//! What a worker's group has left to read, of a broker that tells no groups.

use tidings::consumer::{HandlerError, Value};
use tidings::event::TopicName;
use tidings::producer::{Message, Producer};
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tidings::worker::Worker;

use crate::stage::*;
use crate::support::{SOON, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workers_lag_is_a_number_here_too() {
    let kafka = client();
    let topic = TopicName::from_static("lag.visits");
    Publisher::prepare_topics(&kafka, [topic.clone()], TOPICS, SOON).await.unwrap();
    let producer = Producer::new(&kafka);
    let send = async || producer.send(Message::new(topic.clone(), &1).unwrap()).await.unwrap();
    let (let_go, gate) = tokio::sync::watch::channel(false);
    let worker = Worker::builder("lag")
        .input_named(topic.clone())
        .process(move |_: Value<u32>| {
            let mut gate = gate.clone();
            async move {
                gate.wait_for(|open| *open).await.map_err(HandlerError::transient)?;
                Ok::<_, HandlerError>(())
            }
        })
        .retry(RetryPolicy::tiers([ms(50)]))
        .topics(TOPICS);
    let running = worker.build(&kafka).unwrap().start().await.unwrap();
    let status = running.status().clone();
    eventually("it is ready", SOON, || status.is_ready()).await;
    for _ in 0..5 {
        send().await;
    }
    assert_eq!(status.lag(SOON).await.unwrap(), 5, "nothing is committed");
    let_go.send(true).unwrap();
    let read = async {
        while status.lag(SOON).await.unwrap() > 0 {
            tokio::time::sleep(ms(20)).await;
        }
    };
    tokio::time::timeout(SOON, read).await.expect("all of it is committed");
    send().await;
    eventually("all is done", SOON, || status.done() == 6).await;
    assert!(running.stop(SOON).await.is_clean());
    assert_eq!(status.lag(SOON).await.unwrap(), 0);
}
