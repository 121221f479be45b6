//! Row 16: records so large that what a failure adds to them is too much for the dead-letter topic.

use tidings::consumer::*;
use tidings::event::header;

use crate::events::*;
use crate::inspect::{Inspector, put, read, set};
use crate::stage::*;
use crate::support::*;

event!(Large, "large.large");

/// What a topic takes by default in one batch: 1 MiB, and a header of 12 bytes.
const LIMIT: usize = 1_048_588;

fn payload(n: u32, size: usize) -> Vec<u8> {
    let mut payload = format!(r#"{{"n":{n},"key":"k","more":""#).into_bytes();
    payload.resize(size - 2, b'x');
    payload.extend(br#""}"#);
    payload
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_too_large_goes_lean_or_is_kept_until_its_topic_takes_it() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("large", &broker);
    let fails = answer::<Large>(|_| Err(HandlerError::permanent("of no use ".repeat(200))));
    let running = consumer("large", 1)
        .handle_named("fail", fails)
        .build(&kafka)
        .unwrap()
        .start()
        .await
        .unwrap();
    let (main, dlq) = (topic(Large::TOPIC), Large::beside("dlq"));
    let offsets = Inspector::new(&broker, running.status().group());
    let committed = || offsets.committed(&main, 0);

    // Too large with 1 KiB of error text, and larger than what librdkafka sends by default.
    let lean = payload(0, LIMIT - 600);
    put(&kafka, &main, 0, "k", &lean, &[]).await;
    eventually("it is a dead letter", SOON, || committed() == Some(1)).await;
    // Too large with the least that a dead letter says.
    let whole = payload(1, LIMIT - 100);
    put(&kafka, &main, 0, "k", &whole, &[]).await;
    let named = || {
        let problems = running.status().problems().join("; ");
        [&format!("{main}/0@1"), dlq.as_str(), "raise its max.message.bytes"]
            .iter()
            .all(|part| problems.contains(*part))
    };
    eventually("it says which record it is and what to do", SOON, named).await;
    assert_eq!((committed(), running.status().counts().dead_lettered()), (Some(1), 1));

    set(&broker, &dlq, "max.message.bytes", "2000000").await;
    eventually("it is a dead letter too", SOON, || committed() == Some(2)).await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;
    let dead = read(&kafka, &dlq, 2).await;
    assert_eq!(dead[0].payload.as_deref(), Some(&lean[..]));
    assert_eq!(dead[1].payload.as_deref(), Some(&whole[..]));
    let told =
        |index: usize| dead[index].headers.get_str(header::ERROR_MESSAGE).unwrap_or_default();
    assert_eq!((told(0), told(1).len()), ("", 1024));
    stop(running).await;
}
