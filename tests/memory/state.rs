//! Views of state topics in virtual time.

use std::collections::BTreeMap;

use tidings::error::{ErrorClass, chain};
use tidings::event::{Headers, TopicName};
use tidings::producer::Producer;
use tidings::state::{
    AnyTopic, StateChange, StateStopped, StateView, StateWriteError, StateWriter, Unreadable,
};
use tidings::topic::{Replication, Topic, TopicKind, TopicSpec};
use tidings::transport::memory::{Cleanup, Fault, Memory, MemoryBroker, TopicConfig};
use tidings::transport::{Delivered, TopicSetup};
use tokio::time::Instant;

use crate::stage::secs;
use crate::support::*;

const CREATE: TopicSetup = TopicSetup::Create { partitions: None, replication: None };

type View = StateView<Profiles, UserProfile>;

/// A client of a broker whose state topic is there.
fn client() -> Memory {
    let broker = MemoryBroker::new();
    create(&broker, Profiles::NAME, Cleanup::Compact);
    broker.client("users").unwrap()
}

fn create(broker: &MemoryBroker, topic: TopicName, cleanup: Cleanup) {
    let mut config = TopicConfig::default();
    config.cleanup = cleanup;
    broker.create_topic(topic, config);
}

async fn start(client: &Memory) -> View {
    let view = View::start(client).await.unwrap();
    view.caught_up().await.unwrap();
    view
}

async fn put(client: &Memory, key: &str, n: u32) {
    send(client, &Profiles::NAME, None, Some(key), json(key, n)).await;
}

async fn remove(client: &Memory, key: &str) {
    send(client, &Profiles::NAME, None, Some(key), None).await;
}

/// Waits until a view has read all there is.
async fn level<T>(view: &StateView<T, UserProfile>) {
    while view.lag(secs(1)).await.unwrap() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_reads_to_the_end_and_follows() {
    let client = client();
    for n in 0..1_000 {
        put(&client, &format!("k{}", n % 50), n).await;
    }
    remove(&client, "k7").await;
    let view = View::start(&client).await.unwrap();
    assert!(!view.status().is_ready() && view.is_empty());
    assert!(view.status().problems()[0].contains("1001 offsets are left"));
    view.caught_up().await.unwrap();
    assert_eq!(view.status().problems(), [""; 0]);
    assert_eq!((view.len(), view.get("k1").unwrap().n), (49, 951));
    assert_eq!(view.get("k7"), None);
    put(&client, "k7", 2_000).await;
    remove(&client, "k1").await;
    remove(&client, "never").await;
    level(&view).await;
    assert_eq!((view.len(), view.get("k1")), (49, None));
    assert_eq!(*view.get("k7").unwrap(), profile("k7", 2_000));
    let keys = held(&view);
    assert!(keys.is_sorted() && keys.len() == 49, "{keys:?}");
    assert_eq!((view.status().counts().values(), view.status().counts().tombstones()), (1_001, 3));
}

#[tokio::test(start_paused = true)]
async fn a_view_of_an_empty_topic_has_caught_up_at_once() {
    let view = start(&client()).await;
    assert!(view.is_empty() && view.status().is_ready());
    assert_eq!(view.lag(secs(1)).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_compaction_leaves_is_enough() {
    let client = client();
    for n in 0..300 {
        put(&client, &format!("k{}", n % 3), n).await;
    }
    remove(&client, "k0").await;
    client.broker().compact();
    assert_eq!(client.broker().records(&Profiles::NAME).len(), 3);
    let view = start(&client).await;
    assert_eq!(held(&view), [("k1".into(), 298), ("k2".into(), 299)]);
    // A tombstone at the very end is compacted away after a day, which leaves nothing to read there.
    remove(&client, "k2").await;
    tokio::time::advance(secs(2 * 86_400)).await;
    client.broker().compact();
    let late = start(&client).await;
    assert_eq!(held(&late), [("k1".into(), 298)]);
    assert_eq!(held(&view), held(&late));
}

#[tokio::test(start_paused = true)]
async fn an_empty_key_is_one_and_a_record_without_a_key_is_passed_over() {
    let broker = MemoryBroker::new();
    create(&broker, Profiles::NAME, Cleanup::Off);
    let client = broker.client("users").unwrap();
    send(&client, &Profiles::NAME, Some(0), None, json("nobody", 1)).await;
    put(&client, "", 2).await;
    let view = View::builder().topics(TopicSetup::Off).start(&client).await.unwrap();
    view.caught_up().await.unwrap();
    assert_eq!(held(&view), [(String::new(), 2)]);
    assert_eq!((view.status().counts().keyless(), view.get("").unwrap().n), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_read_leaves_the_last_one_and_is_told() {
    let client = client();
    put(&client, "a", 1).await;
    let bad = Some(br#"{"name":"a"}"#.to_vec());
    send(&client, &Profiles::NAME, None, Some("a"), bad.clone()).await;
    send(&client, &Profiles::NAME, None, Some("b"), Some(Vec::new())).await;
    let mut avro = Headers::default();
    avro.push("content-type", "application/avro");
    send_with(&client, &Profiles::NAME, None, Some("c"), json("c", 1), avro).await;
    let view = start(&client).await;
    assert_eq!(held(&view), [("a".into(), 1)]);
    let unreadable = || {
        let mut keys: Vec<_> = view.unreadable_keys().iter().map(ToString::to_string).collect();
        keys.sort();
        keys
    };
    assert_eq!(unreadable(), ["a", "b", "c"]);
    assert_eq!(view.status().counts().unreadable(), 3);
    assert!(view.status().is_ready(), "one bad writer must not take every reader down");
    put(&client, "b", 3).await;
    remove(&client, "a").await;
    level(&view).await;
    assert_eq!((held(&view), unreadable()), (vec![("b".into(), 3)], vec!["c".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_view_that_is_told_to_stops_at_a_value_that_cannot_be_read() {
    let client = client();
    send(&client, &Profiles::NAME, Some(1), Some("a"), Some(b"?".to_vec())).await;
    let view = View::builder().unreadable(Unreadable::Stop).start(&client).await.unwrap();
    let stopped = view.caught_up().await.unwrap_err();
    let text = stopped.to_string();
    assert!(text.contains("profiles/1, offset 0") && text.contains("UserProfile"), "{text}");
    assert_eq!(view.status().problems(), [format!("it has stopped: {text}")]);
    let nowhere = Delivered { partition: 0, offset: 0, appended_at: None };
    assert_eq!(view.reached(&nowhere).await, Err(stopped));
}

#[derive(Debug, serde::Serialize)]
struct Bomb;

impl<'de> serde::Deserialize<'de> for Bomb {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("a bug in a type of the user's")
    }
}

#[tokio::test(start_paused = true)]
async fn a_type_that_panics_when_it_is_read_does_no_harm() {
    let client = client();
    put(&client, "a", 1).await;
    let view = StateView::<AnyTopic, Bomb>::named(Profiles::NAME).start(&client).await.unwrap();
    view.caught_up().await.unwrap();
    assert_eq!((view.len(), view.status().counts().unreadable()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_view_that_would_take_too_much_stops_and_says_how_much_it_holds() {
    let client = client();
    for n in 0..100 {
        put(&client, &format!("k{n}"), n).await;
    }
    let view = View::builder().max_memory(5_000).start(&client).await.unwrap();
    let stopped = view.caught_up().await.unwrap_err();
    let StateStopped::TooMuchMemory { limit: 5_000, keys, .. } = &stopped else {
        panic!("{stopped}")
    };
    assert!((10..30).contains(keys) && view.len() == *keys, "{stopped}");
    assert!(stopped.to_string().contains("raise `max_memory`"));
    let counts = view.status().counts();
    assert!((4_000..=5_000).contains(&counts.bytes()) && counts.keys() == *keys);
    assert!(!view.status().is_ready());
    assert_eq!(view.changes().next().await.map(|_| ()), None);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_missing_or_deletes_what_is_old_fails_the_start() {
    let broker = MemoryBroker::new();
    let client = broker.client("users").unwrap();
    let error = View::start(&client).await.unwrap_err().to_string();
    assert!(error.contains("profiles is not there"), "{error}");
    let off = View::builder().topics(TopicSetup::Off).start(&client).await.unwrap_err();
    assert!(off.to_string().contains("profiles is not there; create it"), "{off}");
    create(&broker, Profiles::NAME, Cleanup::Delete(secs(3_600)));
    let error = View::start(&client).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("profiles has cleanup.policy delete and compact is declared"), "{text}");
    assert!(!error.is_retriable());
    let events = TopicSpec::new(Profiles::NAME, TopicKind::Event);
    let error = StateView::<_, UserProfile>::declared(events).start(&client).await.unwrap_err();
    assert!(error.to_string().contains("is declared as event topic"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_known_only_at_run_time_is_made_compacted_and_read() {
    let client = MemoryBroker::new().client("users").unwrap();
    let topic = TopicName::from_static("prod.profiles");
    let view: StateView<_, UserProfile> =
        StateView::named(topic.clone()).topics(CREATE).start(&client).await.unwrap();
    send(&client, &topic, None, Some("a"), json("a", 1)).await;
    level(&view).await;
    assert_eq!(held(&view), [("a".into(), 1)]);
    let spec = TopicSpec::new(topic, TopicKind::State).replication(Replication::Auto);
    StateView::<_, UserProfile>::declared(spec.partitions(3)).start(&client).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_goes_away_leaves_what_was_read_and_is_told() {
    let client = client();
    put(&client, "a", 1).await;
    let view = start(&client).await;
    client.broker().inject(Fault::BrokerGone(secs(60)));
    assert!(view.status().problems()[0].contains("the broker has not answered"));
    assert_eq!(view.get("a").unwrap().n, 1);
    tokio::time::sleep(secs(40)).await;
    let problems = view.status().problems();
    assert!(problems.iter().any(|problem| problem.contains("reading has failed")), "{problems:?}");
    tokio::time::sleep(secs(30)).await;
    put(&client, "a", 2).await;
    level(&view).await;
    assert_eq!((view.get("a").unwrap().n, view.status().problems()), (2, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_the_broker_no_longer_than_it_is_told() {
    let client = client();
    client.broker().inject(Fault::BrokerGone(secs(20)));
    let began = Instant::now();
    let error = View::builder().start_wait(secs(5)).start(&client).await.unwrap_err();
    assert!(error.is_retriable() && began.elapsed() < secs(7), "{error}");
    start(&client).await;
}

#[tokio::test(start_paused = true)]
async fn partitions_that_are_added_are_read_too_and_the_younger_record_of_a_key_wins() {
    let client = client();
    put(&client, "a", 1).await;
    let view = start(&client).await;
    tokio::time::advance(secs(1)).await;
    client.broker().add_partitions(&Profiles::NAME, 5);
    send(&client, &Profiles::NAME, Some(4), Some("a"), json("a", 2)).await;
    send(&client, &Profiles::NAME, Some(3), Some("b"), json("b", 1)).await;
    while view.len() < 2 {
        tokio::time::sleep(secs(1)).await;
    }
    level(&view).await;
    assert_eq!(held(&view), [("a".into(), 2), ("b".into(), 1)]);
    assert!(view.status().is_ready());
    // Whoever starts now may read the partitions in any order.
    assert_eq!(held(&start(&client).await), held(&view));
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_with_more_records_than_were_read_is_read_anew() {
    let latency = std::time::Duration::from_millis(20);
    let broker = MemoryBroker::builder().latency(latency, latency).build();
    create(&broker, Profiles::NAME, Cleanup::Compact);
    let (away, client) = (broker.client("users").unwrap(), broker.client("users").unwrap());
    for n in 0..6 {
        put(&client, &format!("old{n}"), n).await;
    }
    let view = start(&away).await;
    let mut changes = view.changes();
    // The view does not see it go, nor the new one while it is short.
    broker.inject(Fault::Isolated { client: 0, lasts: secs(5) });
    broker.delete_topic(&Profiles::NAME);
    create(&broker, Profiles::NAME, Cleanup::Compact);
    for n in 0..60 {
        put(&client, &format!("new{n:02}"), n).await;
    }
    assert_eq!(view.status().counts().begun_anew(), 0);
    let ends = broker.ends(&Profiles::NAME);
    assert!(ends.iter().all(|(_, end)| *end > 6), "no end goes back: {ends:?}");
    let began = Instant::now();
    while view.status().counts().begun_anew() == 0 {
        assert!(began.elapsed() < secs(15), "{:?}", view.status());
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(!view.status().is_caught_up() && !view.status().is_ready());
    view.caught_up().await.unwrap();
    let new: Vec<_> = (0..60).map(|n| (format!("new{n:02}"), n)).collect();
    assert_eq!((held(&view), view.status().counts().begun_anew()), (new.clone(), 1));
    while !matches!(changes.next().await.unwrap(), StateChange::Cleared) {}
    let mut told = Vec::new();
    while told.len() < 60 {
        match changes.next().await.unwrap() {
            StateChange::Put { key, value } => told.push((key.to_string(), value.n)),
            other => panic!("{other:?}"),
        }
    }
    told.sort();
    assert_eq!(told, new);
    // It goes on with the new one, and is not taken for another one again.
    tokio::time::sleep(secs(60)).await;
    put(&client, "new00", 100).await;
    level(&view).await;
    assert_eq!((view.get("new00").unwrap().n, view.status().counts().begun_anew()), (100, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_removed_after_partitions_were_added_is_in_no_new_view_either() {
    let client = client();
    send(&client, &Profiles::NAME, Some(1), Some("ada"), json("ada", 1)).await;
    let old = start(&client).await;
    client.broker().add_partitions(&Profiles::NAME, 5);
    tokio::time::sleep(secs(60)).await;
    // Its key goes to another partition now.
    let at = send(&client, &Profiles::NAME, Some(0), Some("ada"), None).await;
    old.reached(&at).await.unwrap();
    let new = start(&client).await;
    assert_eq!((held(&old), held(&new)), (vec![], vec![]));
    assert_eq!(new.status().counts().bytes(), 0, "the tombstone is forgotten once all is read");
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_in_order_and_who_is_too_slow_is_told_how_many_it_missed() {
    let client = client();
    put(&client, "a", 1).await;
    let view = start(&client).await;
    let mut changes = view.changes();
    put(&client, "a", 2).await;
    remove(&client, "a").await;
    remove(&client, "a").await;
    put(&client, "a", 3).await;
    let mut told = Vec::new();
    while told.len() < 3 {
        match changes.next().await.unwrap() {
            StateChange::Put { key, value } => told.push((key.to_string(), Some(value.n))),
            StateChange::Removed { key } => told.push((key.to_string(), None)),
            other => panic!("{other:?}"),
        }
    }
    let a = |n| ("a".to_owned(), n);
    assert_eq!(told, [a(Some(2)), a(None), a(Some(3))]);
    for n in 0..300 {
        put(&client, "b", n).await;
    }
    level(&view).await;
    let Some(StateChange::Missed(missed)) = changes.next().await else { panic!("nothing missed") };
    assert_eq!(missed, 300 - 256);
    drop(view);
    let mut rest = 0;
    while changes.next().await.is_some() {
        rest += 1;
    }
    assert_eq!(rest, 256, "what was told before the end");
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_in_the_view_once_its_place_is_reached() {
    let client = client();
    let view = start(&client).await;
    let writer = StateWriter::<Profiles, UserProfile>::new(Producer::new(&client));
    for n in 0..20 {
        let key = format!("k{n}");
        let at = writer.put(&key, &profile(&key, n)).await.unwrap();
        view.reached(&at).await.unwrap();
        assert_eq!(*view.get(&key).unwrap(), profile(&key, n));
    }
    let at = writer.remove("k7").await.unwrap();
    view.reached(&at).await.unwrap();
    assert_eq!((view.get("k7"), view.len()), (None, 19));
    let other: StateWriter<AnyTopic, _> =
        StateWriter::named(Producer::new(&client), Profiles::NAME);
    let at = other.put("k7", &profile("again", 7)).await.unwrap();
    view.reached(&at).await.unwrap();
    assert_eq!(view.get("k7").unwrap().name, "again");
    assert_eq!(view.status().counts().unreadable(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_an_error_that_says_whether_it_may_be_there_all_the_same() {
    let client = client();
    let view = start(&client).await;
    let writer = StateWriter::<Profiles, UserProfile>::new(Producer::new(&client));
    let error = writer.put("", &profile("nobody", 1)).await.unwrap_err();
    assert!(!error.is_indefinite() && chain(&error).contains("key must not be empty"), "{error:?}");
    let any = StateWriter::<AnyTopic, BTreeMap<(u8, u8), u8>>::named(
        Producer::new(&client),
        Profiles::NAME,
    );
    let error = any.put("k", &BTreeMap::from([((1, 2), 3)])).await.unwrap_err();
    assert!(matches!(error, StateWriteError::Value { .. }), "JSON has no such keys: {error:?}");
    assert_eq!(error.class(), ErrorClass::Permanent);
    client.broker().inject(Fault::BrokerGone(secs(120)));
    let error = writer.remove("k").await.unwrap_err();
    assert!(error.is_indefinite() && error.class() == ErrorClass::Retriable, "{error:?}");
    assert!(view.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_view_of_a_client_that_was_killed_stops() {
    let client = client();
    let view = start(&client).await;
    client.kill();
    let mut changes = view.changes();
    assert!(changes.next().await.is_none());
    let stopped = view.status().stopped().unwrap();
    assert!(matches!(stopped, StateStopped::Client { .. }), "{stopped}");
    assert!(!view.status().is_ready());
}

#[tokio::test(start_paused = true)]
async fn state_that_was_published_as_an_event_is_read_in_either_mode() {
    let client = client();
    for (key, mode) in
        [("binary", "application/json"), ("structured", "application/cloudevents+json")]
    {
        let mut headers = Headers::default();
        headers.push("content-type", mode);
        let payload = match key {
            "binary" => json(key, 1),
            _ => Some(br#"{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"application/json","data":{"name":"structured","n":2}}"#.to_vec()),
        };
        send_with(&client, &Profiles::NAME, None, Some(key), payload, headers).await;
    }
    let view = start(&client).await;
    assert_eq!(held(&view), [("binary".into(), 1), ("structured".into(), 2)]);
}
