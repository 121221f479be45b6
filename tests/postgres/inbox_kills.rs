//! Rows 25 and 37: kill -9 between a handler, its commit, and the commit of its offset.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Row};
use tidings::consumer::{Attempt, Consumer, Event, HandlerError, State, TopicSetup, Tx};
use tidings::event::{Source, TopicName};
use tidings::inbox::Inbox;
use tidings::outbox::Outbox;
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tidings::store::Tables;
use tidings::store::postgres::PostgresStore;
use tidings::transport::kafka::Kafka;

use crate::child::*;
use crate::heard::Heard;
use crate::inbox_stage::*;
use crate::inspect::Inspector;
use crate::stage::stage;
use crate::support::*;

const SCHEMA: &str = "TIDINGS_TEST_INBOX_SCHEMA";
/// Each step, and how often it is come to before the subject dies there. The last one never dies.
const STEPS: [(&str, u32); 7] = [
    ("in the handler", 30),
    ("before commit", 30),
    ("after commit", 1),
    ("after commit", 40),
    ("moved", 1),
    ("moved", 7),
    ("in the handler", 3),
];
const EVENTS: i32 = 500;
const PARTITIONS: i32 = 3;
/// Each so many fail at first, and go through a tier.
const FAILS: i32 = 10;

type Charged = ChargedOn<3>;

fn group() -> String {
    format!("{}.books", run())
}

/// Does nothing unless it was started by the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_that_dies_at_its_step() {
    let (Ok(step), Ok(schema)) = (std::env::var(STEP), std::env::var(SCHEMA)) else { return };
    let (after, step) = step.split_once(' ').unwrap();
    let fuse = Fuse::new(step, after.parse().unwrap());
    let url = std::env::var("TIDINGS_TEST_POSTGRES").unwrap();
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let store = PostgresStore::with_tables(pool, Tables::new().schema(&schema).unwrap());
    let hear = fuse.clone();
    let store = Heard(
        store,
        Arc::new(move |step| {
            hear.at(step);
            Ok(())
        }),
    );
    let outbox = Outbox::new(store, Source::new("books").unwrap());
    let insert: Arc<str> = format!("INSERT INTO {schema}.tidings_effects VALUES ($1)").into();
    let config = config("books", &kafka_address().unwrap())
        .static_member_id(format!("{}.member", run()))
        .commit_interval(Duration::from_millis(300));
    let transport = MortalTransport(Kafka::connect(config).unwrap(), fuse.clone());
    let handler = async |Event(event): Event<Charged>,
                         mut tx: Tx<Heard>,
                         Attempt(attempt): Attempt,
                         State(Insert(insert)): State<Insert>,
                         State(fuse): State<Arc<Fuse>>|
           -> Result<Booked, HandlerError> {
        sqlx::query(AssertSqlSafe(insert)).bind(event.n).execute(&mut *tx).await?;
        if event.n % FAILS == 0 && attempt == 1 {
            return Err(HandlerError::transient("not yet"));
        }
        fuse.at("in the handler");
        Ok(Booked { key: event.key, n: event.n })
    };
    let consumer = Consumer::builder(group())
        .inbox(Inbox::new(outbox))
        .handle_named("book", handler)
        .state(Insert(insert))
        .state(fuse)
        .retry(RetryPolicy::tiers([Duration::from_millis(200)]).immediate(0))
        .topics(TopicSetup::Create { partitions: Some(PARTITIONS), replication: None });
    let _running = consumer.build(&Arc::new(transport)).unwrap().start().await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_process_dies_each_event_has_its_effect_once_and_a_doubled_retry_is_removed() {
    let (Some(stage), Some(broker)) = (stage().await, kafka_address()) else { return };
    stage.make_effects().await;
    let topic = Charged::topic_name();
    let kafka = client("shop", &broker);
    create_topics(&kafka, &[(topic.as_str(), PARTITIONS, false)]).await;
    let events = (0..EVENTS).map(Charged::envelope).collect();
    Publisher::new(&kafka).publish_envelopes(events).await.unwrap();
    for (step, after) in STEPS {
        let step_after = format!("{after} {step}");
        let variables = [(STEP, &*step_after), (SCHEMA, stage.schema()), (RUN, run())]
            .map(|(name, value)| (name, value.to_owned()));
        tokio::task::spawn_blocking(move || {
            let variables: Vec<_> = variables.iter().map(|(n, v)| (*n, &**v)).collect();
            run_until_it_dies("inbox_kills::a_subject_that_dies_at_its_step", &variables);
        })
        .await
        .unwrap();
        // In one look: the server may still be at a commit that the dead had asked for.
        let counts = "SELECT (SELECT count(*) FROM {effects}), (SELECT count(*) FROM {inbox}), \
                      (SELECT count(*) FROM {outbox})";
        let row = sqlx::query(stage.sql(counts)).fetch_one(&stage.pool).await.unwrap();
        let [effects, handled, follow] = [0, 1, 2].map(|at| row.get::<i64, _>(at));
        assert_eq!((effects, effects), (handled, follow), "{step}: together, or none of them");
    }
    let mut last = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["inbox_kills::a_subject_that_dies_at_its_step", "--exact", "--nocapture"])
        .envs([(STEP, "1 never"), (SCHEMA, stage.schema()), (RUN, run())])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let offsets = Inspector::new(&broker, &group());
    let tier = TopicName::new(format!("{topic}.retry.200ms")).unwrap();
    let done = |topic: &TopicName| -> bool {
        let committed = |p| offsets.committed(topic, p).unwrap_or(0);
        (0..PARTITIONS).map(committed).sum::<i64>() >= offsets.ends(topic).values().sum()
    };
    eventually("all is committed", 3 * SOON, || done(&topic) && done(&tier)).await;
    last.kill().unwrap();
    last.wait().unwrap();
    assert_eq!(stage.effects().await, (0..EVENTS).collect::<Vec<_>>());
    assert_eq!(stage.count("{outbox}").await, i64::from(EVENTS));
    let retried: i64 = offsets.ends(&tier).values().sum();
    println!("{EVENTS} events, {} kills, {retried} retries of {}", STEPS.len(), EVENTS / FAILS);
    assert!(retried > i64::from(EVENTS / FAILS), "at least one retry was doubled");
}
