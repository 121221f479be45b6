//! Row 33: kill -9 of a process at each step between an insert and a mark, with a real Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::Row;
use tidings::event::{Source, TopicName};
use tidings::outbox::RunningRelay;
use tidings::store::Tables;
use tidings::store::postgres::{PostgresOutbox, PostgresStore};
use tidings::transport::kafka::Kafka;
use tidings::transport::{SourceEvent, Subscription, Transport};

use crate::child::*;
use crate::stage::{Stage, event_on, relay, stage, stop};
use crate::support::*;

const SCHEMA: &str = "TIDINGS_TEST_OUTBOX_SCHEMA";
const TOPIC: &str = "TIDINGS_TEST_OUTBOX_TOPIC";
/// Each step, and how often it is come to before the subject dies there.
const STEPS: [(&str, u32); 8] = [
    ("insert", 1),
    ("commit", 1),
    ("claim", 1),
    ("claim", 2),
    ("produce", 30),
    ("acknowledge", 1),
    ("mark", 1),
    ("mark", 2),
];
/// Rows of a batch, so that there are several.
const BATCH: usize = 25;
const KEYS: u32 = 6;
const ROUND: u32 = 60;

/// Does nothing unless it was started by the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_that_dies_at_its_step() {
    let Ok(step) = std::env::var(STEP) else { return };
    let (step, after) = step.split_once(' ').unwrap();
    let fuse = Fuse::new(step, after.parse().unwrap());
    let schema = std::env::var(SCHEMA).unwrap();
    let topic = TopicName::new(std::env::var(TOPIC).unwrap()).unwrap();
    let pool =
        sqlx::PgPool::connect(&std::env::var("TIDINGS_TEST_POSTGRES").unwrap()).await.unwrap();
    let tables = Tables::new().schema(&schema).unwrap();
    let store = PostgresStore::with_tables(pool.clone(), tables);
    let outbox = PostgresOutbox::new(store.clone(), Source::new("shop").unwrap());
    if matches!(step, "insert" | "commit") {
        let mut transaction = pool.begin().await.unwrap();
        let events = (0..KEYS).map(|key| event_on(topic.clone(), Some(&format!("k{key}")), 999));
        outbox.append(&mut transaction, events.collect()).await.unwrap();
        fuse.at("insert");
        transaction.commit().await.unwrap();
        fuse.at("commit");
    }
    let kafka = client("shop", &kafka_address().unwrap());
    let transport = MortalTransport(kafka, fuse.clone());
    let relay = relay(Mortal(store, fuse)).batch(BATCH).build(&transport).unwrap();
    let _running = relay.start();
    std::future::pending::<()>().await;
}

/// Ids and numbers on the topic, by key, in order.
async fn on_topic(
    kafka: &Kafka,
    topic: &TopicName,
    until: &BTreeSet<String>,
) -> BTreeMap<String, Vec<(String, u32)>> {
    let subscription = Subscription {
        group: unique("reader"),
        topics: vec![topic.clone()],
        followers: Vec::new(),
        revoke_wait: Duration::from_secs(1),
        kept: None,
        ends: false,
    };
    let mut source = kafka.subscribe(subscription).unwrap();
    let (mut found, mut ids) = (BTreeMap::<String, Vec<_>>::new(), BTreeSet::new());
    let deadline = tokio::time::Instant::now() + SOON;
    while !until.is_subset(&ids) {
        let event = tokio::time::timeout_at(deadline, source.events.recv()).await;
        let Ok(Some(event)) = event else {
            let missing: Vec<_> = until.difference(&ids).collect();
            panic!("committed events are lost: {missing:?}");
        };
        let SourceEvent::Records(batch) = event else { continue };
        for record in batch.records {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let id = text(record.headers.get("ce_id").unwrap());
            let n = text(&record.payload.unwrap()).parse().unwrap();
            ids.insert(id.clone());
            found.entry(text(&record.key.unwrap())).or_default().push((id, n));
        }
    }
    source.control.close();
    found
}

async fn ids(stage: &Stage) -> BTreeSet<String> {
    let rows = sqlx::query(stage.sql("SELECT event_id FROM {outbox}")).fetch_all(&stage.pool).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_step_the_process_dies_at_each_committed_event_is_published_with_its_id_and_no_other()
 {
    let (Some(stage), Some(broker)) = (stage().await, kafka_address()) else { return };
    let kafka = client("shop", &broker);
    let name = unique("outbox-kills");
    create_topics(&kafka, &[(&name, 3, false)]).await;
    let topic = TopicName::new(name.clone()).unwrap();
    let (mut committed, mut n) = (BTreeSet::new(), 0);
    for (step, after) in STEPS {
        let fill: Vec<_> = (0..ROUND)
            .map(|i| event_on(topic.clone(), Some(&format!("k{}", i % KEYS)), n + i / KEYS))
            .collect();
        n += ROUND / KEYS;
        committed.extend(fill.iter().map(|event| event.metadata.id.to_string()));
        stage.store_all(fill).await;
        let before = ids(&stage).await;
        let step_after = format!("{step} {after}");
        let variables = [(STEP, &*step_after), (SCHEMA, stage.schema()), (TOPIC, &name)]
            .map(|(n, v)| (n, v.to_owned()));
        tokio::task::spawn_blocking(move || {
            let variables: Vec<_> = variables.iter().map(|(n, v)| (*n, &**v)).collect();
            run_until_it_dies("kills::a_subject_that_dies_at_its_step", &variables);
        })
        .await
        .unwrap();
        let new: BTreeSet<_> = ids(&stage).await.difference(&before).cloned().collect();
        match step {
            "commit" => assert_eq!(new.len(), KEYS as usize, "it was committed"),
            _ => assert!(new.is_empty(), "{step}: nothing that was not committed is there"),
        }
        committed.extend(new);
    }
    // The one that ends well.
    let last: RunningRelay = relay(stage.store.clone()).build(&kafka).unwrap().start();
    stage.drained().await;
    stop(last).await;
    let found = on_topic(&kafka, &topic, &committed).await;
    let all: BTreeSet<_> = found.values().flatten().map(|(id, _)| id.clone()).collect();
    assert_eq!(all, committed, "what was not committed is not published");
    let records: usize = found.values().map(Vec::len).sum();
    println!("{} events, {} deaths, {} records", committed.len(), STEPS.len(), records);
    for (key, of_key) in found {
        let mut seen = BTreeSet::new();
        let first: Vec<_> =
            of_key.iter().filter(|(id, _)| seen.insert(id.clone())).map(|(_, n)| *n).collect();
        // 999 are those of the subject that died after its commit.
        let first: Vec<_> = first.into_iter().filter(|n| *n != 999).collect();
        assert!(first.is_sorted(), "{key}: {first:?}");
        assert_eq!(first.len() as u32, n, "{key}");
    }
}

/// A relay is stopped in its tracks past its lease, while three others go on; then it goes on too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_paused_past_its_lease_neither_reorders_a_key_nor_marks_for_others() {
    let (Some(stage), Some(broker)) = (stage().await, kafka_address()) else { return };
    let kafka = client("shop", &broker);
    let name = unique("outbox-paused");
    create_topics(&kafka, &[(&name, 3, false)]).await;
    let topic = TopicName::new(name.clone()).unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["kills::a_subject_that_dies_at_its_step", "--exact", "--nocapture"])
        .envs([(STEP, "never 1"), (SCHEMA, stage.schema()), (TOPIC, &name)])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let signal = |signal: &str| {
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    };
    let owners = async |count: usize| {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let owners = tidings::store::OutboxStore::backlog(&stage.store).await.unwrap().owners;
            if owners.len() == count && owners.iter().map(|owner| owner.shards).sum::<u64>() == 64 {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{owners:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    owners(1).await;
    let relays: Vec<_> = (0..3)
        .map(|_| relay(stage.store.clone()).batch(BATCH).build(&kafka).unwrap().start())
        .collect();
    owners(4).await;
    let mut committed = BTreeSet::new();
    let mut n = 0;
    for (at, what) in [(20, "-STOP"), (60, "-CONT"), (80, "")] {
        while n < at {
            let events: Vec<_> =
                (0..KEYS).map(|key| event_on(topic.clone(), Some(&format!("k{key}")), n)).collect();
            committed.extend(events.iter().map(|event| event.metadata.id.to_string()));
            stage.store_all(events).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            n += 1;
        }
        if what == "-CONT" {
            owners(3).await;
        }
        if !what.is_empty() {
            signal(what);
        }
    }
    stage.drained().await;
    owners(4).await;
    child.kill().unwrap();
    child.wait().unwrap();
    for relay in relays {
        stop(relay).await;
    }
    for (key, of_key) in on_topic(&kafka, &topic, &committed).await {
        let mut seen = BTreeSet::new();
        let first: Vec<_> =
            of_key.iter().filter(|(id, _)| seen.insert(id.clone())).map(|(_, n)| *n).collect();
        assert_eq!(first, (0..n).collect::<Vec<_>>(), "{key}");
    }
}
