//! Payloads are data from strangers (reliability row 3): what cannot be read is tried once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tidings::consumer::*;
use tidings::event::header;

use crate::events::{Note, contract, note};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_is_not_the_event_is_quarantined_at_once_byte_for_byte() {
    contract!(Payload: "hostile.payload");
    let kafka = client();
    let seen = Seen::<Note<Payload>>::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let layer = tower::util::MapRequestLayer::new({
        let calls = calls.clone();
        move |delivery: Delivery| {
            calls.fetch_add(1, Ordering::SeqCst);
            delivery
        }
    });
    let builder = consumer::<Payload>().handle(record::<Payload>).state(seen.clone()).layer(layer);
    let running = start(builder, &kafka).await;

    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let payloads: Vec<&[u8]> = vec![
        br#"{"key":"k","n":"#,
        deep.as_bytes(),
        br#"{"key":"k","n":1e999}"#,
        br#"{"key":"k","n":-1}"#,
        br#"{"key":"k","n":99999999999}"#,
        br#"{"key":7,"n":1}"#,
        br#"{"n":1}"#,
        br#"[1,2,3]"#,
        b"null",
        b"\xff\xfe\x00",
        b"{\"key\":\"\xff\",\"n\":1}",
        br#"{"key":"k","n":1} and more"#,
        b"",
    ];
    let mut hostile = Vec::new();
    for payload in &payloads {
        let mut record = written::<Payload>("k", 0);
        record.payload = Some(Bytes::copy_from_slice(payload));
        put(&kafka, &record).await;
        hostile.push(record);
    }
    // A field that nobody asks for is passed over, however deep it is.
    let mut deep_elsewhere = written::<Payload>("k", 0);
    let payload = format!(r#"{{"key":"k","n":98,"other":{deep}}}"#);
    deep_elsewhere.payload = Some(payload.into());
    put(&kafka, &deep_elsewhere).await;
    put(&kafka, &written::<Payload>("k", 99)).await;
    eventually("the next records run", SOON, || seen.len() == 2).await;
    assert_eq!(seen.all(), [note("k", 98), note("k", 99)]);
    assert_eq!(calls.load(Ordering::SeqCst), payloads.len() + 2, "each was tried once");

    let kept = lies_on(&kafka, &beside::<Payload>("quarantine")).await;
    assert_eq!(kept.len(), hostile.len());
    for before in &hostile {
        let id = before.headers.get(header::ID);
        let after = kept.iter().find(|record| record.headers.get(header::ID) == id);
        let after = after.expect("each is in quarantine");
        assert_kept(before, after);
        assert_eq!(text(after, header::ERROR_KIND), "undecodable");
    }
    let counts = running.status().counts();
    assert_eq!((counts.retried(), counts.dead_lettered()), (0, 0));
    assert!(lies_on(&kafka, &beside::<Payload>("retry.50ms")).await.is_empty());
    stop(running).await;
}

/// There was a copy for each handler that could not read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_no_handler_of_the_group_can_read_is_quarantined_once() {
    contract!(Twice: "hostile.twice");
    let kafka = client();
    let seen = Seen::<Note<Twice>>::default();
    let builder = consumer::<Twice>()
        .handle_named("first", record::<Twice>)
        .handle_named("second", record::<Twice>)
        .state(seen.clone());
    let running = start(builder, &kafka).await;
    let mut hostile = written::<Twice>("k", 0);
    hostile.payload = Some(Bytes::from_static(b"{}"));
    put(&kafka, &hostile).await;
    put(&kafka, &written::<Twice>("k", 1)).await;
    eventually("the next one runs in each", SOON, || seen.len() == 2).await;
    let kept = lies_on(&kafka, &beside::<Twice>("quarantine")).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_kept(&hostile, &kept[0]);
    assert_eq!(running.status().counts().quarantined(), 1);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_another_version_or_format_is_set_aside_at_once() {
    contract!(Version: "hostile.version");
    let kafka = client();
    let seen = Seen::<Note<Version>>::default();
    let running =
        start(consumer::<Version>().handle(record::<Version>).state(seen.clone()), &kafka).await;
    for (n, header, value) in [
        (1, header::EVENT_VERSION, "2"),
        (2, header::TYPE, "something_else"),
        (3, header::CONTENT_TYPE, "application/x-unheard-of"),
        (4, header::EVENT_VERSION, "0"),
        (5, header::EVENT_VERSION, "-1"),
        (6, header::EVENT_VERSION, "99999999999999"),
        (7, header::SPEC_VERSION, "0.3"),
        (8, header::TIME, "yesterday"),
        (9, header::TYPE, ""),
        (99, header::EVENT_VERSION, "1"),
    ] {
        let mut record = written::<Version>("k", n);
        record.headers.push(header, value);
        put(&kafka, &record).await;
    }
    eventually("the next record runs", SOON, || seen.len() == 1).await;
    let dead = lies_on(&kafka, &beside::<Version>("dlq")).await;
    assert_eq!(numbers(&dead), [1, 2]);
    assert_eq!(text(&dead[0], header::ERROR_KIND), "unknown");
    let kept = lies_on(&kafka, &beside::<Version>("quarantine")).await;
    assert_eq!(numbers(&kept), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(running.status().counts().retried(), 0);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_is_quarantined_unless_it_is_expected() {
    contract!(Kept: "hostile.tombstone_kept");
    contract!(Passed: "hostile.tombstone_passed");
    let kafka = client();
    let (kept, passed) = (Seen::<Note<Kept>>::default(), Seen::<Note<Passed>>::default());
    let first = consumer::<Kept>().handle(record::<Kept>).state(kept.clone());
    let first = start(first, &kafka).await;
    let second = consumer::<Passed>().handle(record::<Passed>).state(passed.clone());
    let second = start(second.tombstones(Tombstones::Ignore), &kafka).await;

    let mut tombstone = written::<Kept>("k", 1);
    tombstone.payload = None;
    put(&kafka, &tombstone).await;
    let mut bare = blank(crate::events::topic::<Kept>());
    bare.key = Some(Bytes::from_static(b"k"));
    put(&kafka, &bare).await;
    put(&kafka, &written::<Kept>("k", 2)).await;
    let mut ignored = written::<Passed>("k", 1);
    ignored.payload = None;
    put(&kafka, &ignored).await;
    put(&kafka, &written::<Passed>("k", 2)).await;
    eventually("the next records run", SOON, || kept.len() == 1 && passed.len() == 1).await;

    assert_eq!(first.status().counts().quarantined(), 2);
    let quarantine = lies_on(&kafka, &beside::<Kept>("quarantine")).await;
    assert_kept(&tombstone, &quarantine[0]);
    assert_kept(&bare, &quarantine[1]);
    let counts = second.status().counts();
    assert_eq!((counts.skipped(), counts.quarantined()), (1, 0));
    assert!(lies_on(&kafka, &beside::<Passed>("quarantine")).await.is_empty());
    stop(first).await;
    stop(second).await;
}
