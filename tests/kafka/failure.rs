//! The failure path when its topics are away, when records are poisoned, when headers lie.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidings::consumer::*;
use tidings::event::header;
use tidings::publisher::Publisher;
use tidings::transport::kafka::Kafka;

use crate::events::*;
use crate::inspect::{Inspector, delete, put, read};
use crate::stage::*;
use crate::support::*;

/// A client whose sends fail soon.
fn hasty(service: &str, broker: &str) -> Kafka {
    let soon = Duration::from_secs(2);
    let config = config(service, broker)
        .message_timeout(soon)
        .request_timeout(Duration::from_secs(1))
        .delivery_wait(soon)
        .commit_every(1_u32)
        .commit_interval(Duration::from_millis(100));
    Kafka::connect(config).unwrap()
}

event!(Stuck, "failure.stuck");

/// Row 4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_an_error_and_a_timeout_keep_their_offset_until_the_retry_is_acknowledged() {
    let Some(broker) = kafka_address() else { return };
    let kafka = hasty("stuck", &broker);
    let (main, tier) = (topic(Stuck::TOPIC), Stuck::beside("retry.300ms"));
    create_topics(&kafka, &[(main.as_str(), 3, false)]).await;
    let seen = Seen::default();
    let note = seen.clone();
    let running = consumer("stuck", 3)
        .handle_named("fail", move |Event(e): Event<Stuck>, delivery: Delivery| {
            let note = note.clone();
            async move {
                note.add(Ran::new(e.n, &delivery));
                match (delivery.attempt(), e.n) {
                    (1, 0) => panic!("a handler panics"),
                    (1, 1) => Err(HandlerError::transient("a handler errs")),
                    (1, 2) => std::future::pending().await,
                    _ => Ok(()),
                }
            }
        })
        .retry(tiers([Duration::from_millis(300)]))
        .handler_timeout(Duration::from_millis(500))
        .topics(TopicSetup::Off)
        .start_on(&kafka)
        .await;
    let publisher = Publisher::new(&kafka);
    for n in 0..3_u32 {
        let partition = n.cast_signed();
        publisher.publish(Stuck::new(key_on(partition, 3), n)).await.unwrap();
    }
    // The retry topic is not there: the event must not be let go.
    let stuck = |n: u32| {
        let partition = format!("{main}/{n}");
        running
            .status()
            .problems()
            .iter()
            .any(|problem| problem.contains(&partition) && problem.contains(tier.as_str()))
    };
    eventually("all three say where they are stuck", SOON, || (0..3).all(stuck)).await;
    let offsets = Inspector::new(&broker, &named("stuck"));
    for partition in 0..3 {
        let committed = offsets.committed(&main, partition);
        assert!(committed.is_none_or(|offset| offset == 0), "{partition}: {committed:?}");
    }
    assert_eq!(running.status().counts().retried(), 0);

    create_topics(&kafka, &[(tier.as_str(), 3, true)]).await;
    let all_committed = || (0..3).all(|p| offsets.committed(&main, p) == Some(1));
    eventually("all three are committed", SOON, all_committed).await;
    eventually("all three ran again", SOON, || {
        seen.all().iter().filter(|ran| ran.attempt == 2).count() == 3
    })
    .await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;
    assert_eq!(seen.len(), 6, "{:?}", seen.all());
    let errors: BTreeMap<_, _> = read(&kafka, &tier, 3)
        .await
        .into_iter()
        .map(|r| (r.partition, r.headers.get_str(header::ERROR_MESSAGE).unwrap().to_owned()))
        .collect();
    assert!(errors[&0].contains("panicked: a handler panics"), "{errors:?}");
    assert!(errors[&1].contains("a handler errs"), "{errors:?}");
    assert!(errors[&2].contains("did not finish within 500ms"), "{errors:?}");
    stop(running).await;
}

event!(Deleted, "failure.deleted");

/// Row 15.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_topic_deleted_under_a_consumer_costs_no_event_and_heals_when_it_is_back() {
    let Some(broker) = kafka_address() else { return };
    let kafka = hasty("deleted", &broker);
    let (main, tier) = (topic(Deleted::TOPIC), Deleted::beside("retry.300ms"));
    let seen = Seen::default();
    let second_time = |ran: &Ran| if ran.n >= 100 { Ok(()) } else { from_a_tier(ran) };
    let running = consumer("deleted", 1)
        .handle_named("second-time", note::<Deleted>(seen.clone(), second_time))
        .retry(tiers([Duration::from_millis(300)]))
        .start_on(&kafka)
        .await;
    let publisher = Publisher::new(&kafka);
    let runs = |n: u32| seen.all().iter().filter(|ran| ran.n == n).count();
    let offsets = Inspector::new(&broker, &named("deleted"));
    let committed = || offsets.committed(&main, 0);

    // The tier has been in use, so its offsets begin again when it is made anew.
    for n in 0..3 {
        publisher.publish(Deleted::new("k", n)).await.unwrap();
    }
    eventually("three went through the tier", SOON, || (0..3).all(|n| runs(n) == 2)).await;
    eventually("they are committed", SOON, || committed() == Some(3)).await;

    delete(&kafka, &broker, &[&tier]).await;
    publisher.publish(Deleted::new("k", 3)).await.unwrap();
    let stuck = || {
        let problems = running.status().problems();
        problems.iter().any(|p| p.contains(main.as_str()) && p.contains(tier.as_str()))
    };
    eventually("it says where it is stuck", SOON, stuck).await;
    // Paused: nothing is fetched any more. What was on its way already may still run.
    let deadline = Instant::now() + SOON;
    let mut last = 100;
    loop {
        publisher.publish(Deleted::new("other", last)).await.unwrap();
        for _ in 0..20 {
            assert_eq!(committed(), Some(3), "the offset is not committed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if runs(last) == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "the partition is not paused");
        last += 1;
    }
    assert!(!running.status().is_ready());

    create_topics(&kafka, &[(tier.as_str(), 1, true)]).await;
    let all = Some(4 + i64::from(last - 99));
    eventually("they are committed", SOON, || committed() == all).await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;
    let arrived = read(&kafka, &tier, 1).await;
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    eventually("it ran from its tier", SOON, || runs(3) == 2).await;
    // And what fails next goes the usual way.
    publisher.publish(Deleted::new("k", 4)).await.unwrap();
    eventually("the next one too", SOON, || runs(4) == 2).await;
    assert_eq!(runs(3), 2, "each attempt once: {:?}", seen.all());
    assert!((100..=last).all(|n| runs(n) == 1), "each once: {:?}", seen.all());
    stop(running).await;
}

event!(Poison, "failure.poison");

const RAW: &[(&[u8], Option<&[u8]>)] = &[
    (b"ce_specversion", Some(b"1.0")),
    (b"ce_id", Some(b"of-a-stranger/7")),
    (b"ce_source", Some(b"elsewhere")),
    (b"ce_type", Some(b"failure.poison")),
    (b"content-type", Some(b"application/json")),
    (b"not-utf-8", Some(b"\xff\xfe\0\n")),
    (b"nothing", None),
    (b"empty", Some(b"")),
    (b"twice", Some(b"1")),
    (b"twice", Some(b"2")),
    // Lies: on a main topic they mean nothing.
    (b"x-retry-attempt", Some(b"4294967296")),
    (b"x-retry-group", Some(b"another")),
    (b"x-retry-not-before", Some(b"253402300799999")),
    (b"x-origin-topic", Some(b"forged")),
];

/// Row 17.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_event_climbs_its_tiers_and_ends_as_a_dead_letter_byte_for_byte() {
    let Some(broker) = kafka_address() else { return };
    let kafka = hasty("poison", &broker);
    let seen = Seen::default();
    let group = named("poison");
    let never = |ran: &Ran| match ran.n {
        50 => Err(HandlerError::permanent("of no use")),
        _ => Err(HandlerError::transient("again and again\r\nforged line")),
    };
    let running = consumer("poison", 1)
        .handle_named("never", note::<Poison>(seen.clone(), never))
        .retry(tiers([200, 400].map(Duration::from_millis)).immediate(1))
        .start_on(&kafka)
        .await;
    let (main, dlq) = (topic(Poison::TOPIC), Poison::beside("dlq"));
    let counts = || {
        let status = running.status().counts();
        (status.retried(), status.dead_lettered(), status.quarantined())
    };
    let attempts = |n: u32| {
        let all = seen.all();
        let of = all.into_iter().filter(|ran| ran.n == n);
        of.map(|ran| (ran.topic.as_str()[main.as_str().len()..].to_owned(), ran.attempt))
            .collect::<Vec<_>>()
    };
    let payload = br#" { "n" : 7, "key" : "k", "more": [1e2, "\u00fc"] } "#;
    let began = put(&kafka, &main, 0, "k\0ey", payload, RAW).await;
    eventually("it is a dead letter", SOON, || counts() == (2, 1, 0)).await;
    let climbed = [
        ("", 1),
        ("", 2),
        (".retry.200ms", 3),
        (".retry.200ms", 4),
        (".retry.400ms", 5),
        (".retry.400ms", 6),
    ];
    assert_eq!(
        attempts(7),
        climbed.map(|(t, a)| (t.to_owned(), a)),
        "one retry in place each, and each call is one attempt more, in place or on a tier"
    );

    let dead = read(&kafka, &dlq, 1).await.remove(0);
    assert_eq!(dead.key.as_deref(), Some(&b"k\0ey"[..]));
    assert_eq!(dead.payload.as_deref(), Some(&payload[..]));
    let is_ours = |name: &[u8]| header::FAILURE.iter().any(|ours| ours.as_bytes() == name);
    let kept: Vec<_> = dead.headers.iter().filter(|(name, _)| !is_ours(name)).collect();
    let sent: Vec<_> = RAW.iter().copied().filter(|(name, _)| !is_ours(name)).collect();
    assert_eq!(kept, sent, "what it came with, byte for byte and in order");
    let ours: Vec<_> = dead.headers.iter().filter(|(name, _)| is_ours(name)).collect();
    let mut names: Vec<_> = ours.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ours.len(), "each of ours once");
    let says = |name| dead.headers.get_str(name).unwrap_or_default().to_owned();
    assert_eq!(says(header::ORIGIN_TOPIC), main.as_str());
    assert_eq!(says(header::ORIGIN_OFFSET), began.offset.to_string());
    assert_eq!(says(header::RETRY_ATTEMPT), "3");
    assert_eq!(says(header::RETRY_GROUP), group);
    assert_eq!(says(header::RETRY_HANDLER), "never");
    assert_eq!(says(header::ERROR_KIND), "transient");
    assert_eq!(says(header::ERROR_MESSAGE), "again and again  forged line");

    // What is put on a tier by hand, whatever it says of itself, goes on from there.
    let lies: [&[u8]; 5] = [b"0", b"-1", b"soon", b"99999999999999999999", b"4294967295"];
    for (n, lie) in (10..).zip(lies) {
        let payload = format!(r#"{{"n":{n},"key":"k"}}"#);
        let headers: &[(&[u8], Option<&[u8]>)] = &[
            (b"ce_specversion", Some(b"1.0")),
            (b"ce_id", Some(b"poison")),
            (b"ce_source", Some(b"elsewhere")),
            (b"ce_type", Some(b"failure.poison")),
            (b"content-type", Some(b"application/json")),
            (b"x-retry-attempt", Some(lie)),
            (b"x-retry-group", Some(group.as_bytes())),
            (b"x-retry-handler", Some(b"never")),
        ];
        put(&kafka, &Poison::beside("retry.200ms"), 0, "k", payload.as_bytes(), headers).await;
    }
    eventually("all are dead letters", SOON, || counts() == (7, 6, 0)).await;
    for n in 10..15 {
        let climbed = attempts(n);
        let topics: Vec<_> = climbed.iter().map(|(topic, _)| topic.as_str()).collect();
        assert_eq!(topics, [".retry.200ms", ".retry.200ms", ".retry.400ms", ".retry.400ms"]);
        assert!(climbed[0].1 >= 2 && climbed[2].1 > climbed[0].1, "{n}: {climbed:?}");
    }

    // No retry helps: at once, from where it is.
    Publisher::new(&kafka).publish(Poison::new("k", 50)).await.unwrap();
    eventually("it is a dead letter at once", SOON, || counts() == (7, 7, 0)).await;
    assert_eq!(attempts(50), [(String::new(), 1)]);
    // And what cannot be read goes to quarantine as it is.
    put(&kafka, &main, 0, "k", b"{ cut sh", RAW).await;
    eventually("it is in quarantine", SOON, || counts() == (7, 7, 1)).await;
    let kept = read(&kafka, &Poison::beside("quarantine"), 1).await.remove(0);
    assert_eq!(kept.payload.as_deref(), Some(&b"{ cut sh"[..]));
    assert_eq!(kept.headers.get("not-utf-8"), Some(&b"\xff\xfe\0\n"[..]));
    stop(running).await;
}

event!(Lying, "failure.lying");

/// Row 21.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_not_before_says_a_tier_runs_at_append_plus_tier_and_a_main_topic_at_once() {
    let Some(broker) = kafka_address() else { return };
    let kafka = hasty("lying", &broker);
    let seen = Seen::default();
    let (group, delay) = (named("lying"), Duration::from_millis(1_500));
    let running = consumer("lying", 4)
        .handle_named("ok", note::<Lying>(seen.clone(), done))
        .retry(tiers([delay]))
        .start_on(&kafka)
        .await;
    eventually("it has joined", SOON, || running.status().partitions() == 8).await;
    let past = (now() - 3_600_000).to_string();
    let lies: [&[u8]; 7] = [
        b"garbage",
        b"253402300799999",
        past.as_bytes(),
        b"0",
        b"-5",
        b"99999999999999999999",
        b"\xff\xfe",
    ];
    let mut put_at = BTreeMap::new();
    for (n, lie) in (0_u32..).zip(lies.iter().chain(&lies)) {
        let headers: &[(&[u8], Option<&[u8]>)] = &[
            (b"ce_specversion", Some(b"1.0")),
            (b"ce_id", Some(b"a-lie")),
            (b"ce_source", Some(b"elsewhere")),
            (b"ce_type", Some(b"failure.lying")),
            (b"content-type", Some(b"application/json")),
            (b"x-retry-not-before", Some(lie)),
            (b"x-retry-attempt", Some(b"1")),
            (b"x-retry-group", Some(group.as_bytes())),
            (b"x-retry-handler", Some(b"ok")),
        ];
        let payload = format!(r#"{{"n":{n},"key":"k"}}"#);
        let to = if n < 7 { Lying::beside("retry.1500ms") } else { topic(Lying::TOPIC) };
        let partition = n.cast_signed() % 4;
        put(&kafka, &to, partition, "k", payload.as_bytes(), headers).await;
        put_at.insert(n, now());
    }
    eventually("all ran", SOON, || seen.len() >= 14).await;
    for ran in seen.all() {
        // On the main topic it may run before its acknowledgement is here.
        let late = if ran.n < 7 { ran.late(delay) } else { (ran.at - put_at[&ran.n]).max(0) };
        assert!((0..=1_000).contains(&late), "{late} ms after it was due: {ran:?}");
    }
    assert_eq!(seen.len(), 14);
    stop(running).await;
}
