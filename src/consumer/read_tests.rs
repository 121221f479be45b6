//! Whatever a stranger writes, reading it is one of the known things, and tiers stay for the failed.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::consumer::{Event, HandlerError};
use crate::event::{Headers, IntegrationEvent, TopicName};
use crate::retry::RetryPolicy;
use crate::topic::{TopicNaming, TopicPlan};
use crate::transport::Timestamp;

use super::super::plan::{MainTopic, Route};

const MAIN: TopicName = TopicName::from_static("orders.placed");
const TIERS: usize = 3;

#[derive(Serialize, Deserialize)]
struct Placed {}

impl IntegrationEvent for Placed {
    const NAME: &'static str = "placed";

    fn topics() -> Vec<TopicName> {
        vec![MAIN]
    }

    fn topic(&self) -> TopicName {
        MAIN
    }
}

async fn first(_: Event<Placed>) -> Result<(), HandlerError> {
    Ok(())
}

async fn second(_: Event<Placed>) -> Result<(), HandlerError> {
    Ok(())
}

fn place(tier: Option<usize>) -> Place {
    let policy = RetryPolicy::tiers((1..=TIERS as u64).map(Duration::from_secs));
    let around = TopicPlan::of(&MAIN, "mail", &policy, &TopicNaming::default()).unwrap();
    let handlers = vec![
        Arc::new(Registered::new(0, "first", vec![MAIN.into()], first)),
        Arc::new(Registered::new(1, "second", vec![MAIN.into()], second)),
    ];
    let reads = Reads::Event { name: Placed::NAME, version: 1 };
    let routes = vec![Route { reads, handlers }];
    Place {
        main: Arc::new(MainTopic { name: MAIN, number: 0, around, declared: Vec::new(), routes }),
        tier,
    }
}

fn policies() -> Policies {
    Policies {
        group: "mail".into(),
        unknown: UnknownType::DeadLetter,
        tombstones: Tombstones::Quarantine,
    }
}

fn received(headers: Headers, payload: Option<Vec<u8>>) -> BatchRecord {
    let record = Received {
        topic: MAIN,
        partition: 3,
        offset: 42,
        timestamp: Some(Timestamp::Created(1_000)),
        key: None,
        payload: payload.map(Bytes::from),
        headers,
    };
    BatchRecord::all(vec![record]).next().expect("one record")
}

fn headers(pairs: &[(Vec<u8>, Option<Vec<u8>>)]) -> Headers {
    let mut headers = Headers::default();
    pairs.iter().for_each(|(name, value)| headers.push_raw(name, value.as_deref()));
    headers
}

/// What is done, without what it is done to.
fn said(reading: &Reading<'_>) -> (&'static str, Vec<String>, u32, String) {
    match reading {
        Reading::Run { event, handlers, past } => {
            let names = handlers.iter().map(|handler| handler.name.to_string()).collect();
            ("run", names, past.deliveries, format!("{:?}", event.incoming.metadata.id))
        }
        Reading::Skip => ("skip", Vec::new(), 0, String::new()),
        Reading::AskedTheTime => ("asked the time", Vec::new(), 0, String::new()),
        Reading::DeadLetter { reason, handler, past } => {
            ("dead letter", handler.iter().cloned().collect(), past.deliveries, reason.clone())
        }
        Reading::Quarantine { reason } => ("quarantine", Vec::new(), 0, reason.clone()),
        Reading::Fail { reason } => ("fail", Vec::new(), 0, reason.clone()),
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        header::SPEC_VERSION,
        header::ID,
        header::SOURCE,
        header::TYPE,
        header::TIME,
        header::EVENT_VERSION,
        header::CORRELATION_ID,
        header::CAUSATION_ID,
        header::SUBJECT,
        header::TENANT_ID,
        header::CONTENT_TYPE,
        header::TRACEPARENT,
        header::TRACESTATE,
    ];
    let known: Vec<_> =
        known.iter().chain(&header::FAILURE).map(|n| n.as_bytes().to_vec()).collect();
    prop_oneof![
        8 => prop::sample::select(known),
        1 => "[a-z-]{1,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    let telling = [
        "1.0",
        "placed",
        "1",
        "0",
        "-1",
        "+7",
        "4294967295",
        "99999999999999999999",
        "mail",
        "other",
        "first",
        "second",
        "application/json",
        "application/cloudevents+json",
        "id-1",
        "2026-01-01T00:00:00Z",
        "",
        " ",
        "a\r\nb",
        "orders.placed",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    let telling: Vec<_> = telling.map(|text| Some(text.as_bytes().to_vec())).into();
    prop_oneof![
        6 => prop::sample::select(telling),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Some),
        1 => Just(None),
    ]
}

fn payload() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        2 => Just(Some(b"{}".to_vec())),
        1 => Just(None),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Some),
        1 => Just(Some(
            br#"{"specversion":"1.0","id":"1","source":"s","type":"placed","data":{}}"#.to_vec()
        )),
    ]
}

/// The headers of a record that can be handled, which others may then spoil.
fn good() -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    [(header::SPEC_VERSION, "1.0"), (header::ID, "id-0"), (header::TYPE, "placed")]
        .map(|(name, value)| (name.into(), Some(value.into())))
        .into()
}

fn pairs() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
    (any::<bool>(), prop::collection::vec((name(), value()), 0..10)).prop_map(|(well, more)| {
        let mut pairs = if well { good() } else { Vec::new() };
        pairs.extend(more);
        pairs
    })
}

proptest! {
    #[test]
    fn no_headers_and_no_payload_make_reading_panic_and_a_tier_bounds_its_attempts(
        pairs in pairs(),
        payload in payload(),
        tier in prop::option::of(0..TIERS),
    ) {
        let place = place(tier);
        let reading = policies().read(&place, &received(headers(&pairs), payload));
        let (what, handlers, failures, _) = said(&reading);
        match (what, tier) {
            ("run", None) => prop_assert_eq!((handlers.len(), failures), (2, 0)),
            ("run", Some(tier)) => {
                prop_assert_eq!(handlers.len(), 1, "a failed event is one handler's");
                let proven = tier as u32 + 1;
                prop_assert!((proven..=MAX_FAILURES + proven).contains(&failures));
            }
            _ => {}
        }
    }

    #[test]
    fn nothing_on_a_main_topic_is_routed_by_what_a_failure_would_have_written(
        pairs in pairs(),
        payload in payload(),
    ) {
        let place = place(None);
        let all = headers(&pairs);
        let own = all.filtered(|name| !header::FAILURE.iter().any(|ours| ours.as_bytes() == name));
        let with = policies().read(&place, &received(all, payload.clone()));
        let without = policies().read(&place, &received(own, payload));
        prop_assert_eq!(said(&with), said(&without));
    }
}

#[test]
fn attempts_rise_from_tier_to_tier_whatever_the_first_one_says() {
    for said in ["0", "1", "999", "1000", "1001", "1000000", "4294967295", "nonsense"] {
        let mut attempt = said.to_owned();
        let (mut calls, mut before) = (said.to_owned(), Past::default());
        for tier in 0..TIERS {
            let mut pairs = good();
            for (name, value) in [
                (header::RETRY_GROUP, "mail"),
                (header::RETRY_HANDLER, "first"),
                (header::RETRY_ATTEMPT, &attempt),
                (header::RETRY_CALLS, &calls),
            ] {
                pairs.push((name.into(), Some(value.into())));
            }
            let record = received(headers(&pairs), Some(b"{}".to_vec()));
            let place = place(Some(tier));
            let Reading::Run { past, .. } = policies().read(&place, &record) else {
                panic!("it runs")
            };
            let rises = past.deliveries > before.deliveries && past.calls > before.calls;
            assert!(rises, "{said} on tier {tier}: {past:?} after {before:?}");
            // What the next failure writes, after two retries in place.
            attempt = (past.deliveries + 1).to_string();
            calls = (past.calls + 3).to_string();
            before = past;
        }
    }
}

#[test]
fn a_record_that_asked_for_the_time_is_for_nobody_and_on_a_main_topic_it_is_no_such_thing() {
    let asks = || received(headers(&[(header::RETRY_GROUP.into(), Some(Vec::new()))]), None);
    let policies = policies();
    assert!(matches!(policies.read(&place(Some(0)), &asks()), Reading::AskedTheTime));
    assert!(matches!(policies.read(&place(None), &asks()), Reading::Quarantine { .. }));
}
