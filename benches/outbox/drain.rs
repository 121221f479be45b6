//! `outbox_drain`: 200,000 committed rows to Kafka, each deleted once it is acknowledged.
//!
//! Raw: one connection and `rdkafka`; select a batch by a plain cursor, produce, wait, delete. It keeps no
//! order when something fails, shares no work, and skips late commits. Ours: one relay, and four that
//! share the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use sqlx::Row;
use tidings::outbox::{Relay, RunningRelay};
use tidings::transport::kafka::Kafka;
use tokio::sync::Notify;

use crate::measure::{Arm, Sample, Stopwatch, compare, number};
use crate::stage::Stage;

/// Of raw.
const GATE: f64 = 0.85;
/// Rows a second of one relay, at the median, on two cores.
const RATE: f64 = 60_000.0;
const BATCH: i64 = 1_000;

pub(crate) async fn run(stage: &Stage) -> bool {
    let (rounds, rows) =
        (number("TIDINGS_BENCH_ROUNDS", 9), number("TIDINGS_BENCH_OUTBOX", 200_000));
    fill_template(stage, rows - 1).await;
    let acks = Arc::new(Acks::default());
    let properties = stage.config.producer_properties();
    let native: rdkafka::ClientConfig = properties.into_iter().collect();
    let producer: ThreadedProducer<Counting> =
        native.create_with_context(Counting(acks.clone())).expect("a producer");
    let clients: Vec<_> =
        (0..4).map(|_| Kafka::connect(stage.config.clone()).expect("a client")).collect();
    let mut arms = ["relay", "relays_4", "raw"].map(Arm::new);
    for round in 0..=rounds {
        let mut order = [0, 1, 2];
        if round % 2 == 1 {
            order.reverse();
        }
        for arm in order {
            stage.execute("TRUNCATE {outbox}").await;
            stage.execute("CHECKPOINT").await;
            let sample = match arm {
                0 => relays(stage, &clients[..1], rows).await,
                1 => relays(stage, &clients, rows).await,
                _ => raw(stage, &producer, &acks, rows).await,
            };
            assert_eq!(left(stage).await, 0, "all are published and gone");
            // The first round warms up.
            if round > 0 {
                arms[arm].rounds.push(sample);
            }
        }
    }
    arms.iter().for_each(Arm::show);
    let [one, four, raw] = &arms;
    let mut passed = one.median(Sample::events_per_second) >= RATE;
    for relays in [one, four] {
        passed &= compare("outbox_drain", relays, raw, Some(GATE));
    }
    passed
}

async fn fill_template(stage: &Stage, rows: u64) {
    for from in (0..rows).step_by(5_000) {
        let mut transaction = stage.pool.begin().await.expect("a transaction");
        let events = (from..rows.min(from + 5_000)).map(|n| stage.event(n)).collect();
        stage.outbox.append(&mut transaction, events).await.expect("stored");
        transaction.commit().await.expect("committed");
    }
    stage.execute("CREATE TABLE {template} AS SELECT * FROM {outbox} ORDER BY id").await;
}

/// Stores all rows at once, the last one as a service does, which tells relays.
async fn fill(stage: &Stage, rows: u64) {
    let mut transaction = stage.pool.begin().await.expect("a transaction");
    let insert = "INSERT INTO {outbox} (shard, event_id, topic, key, headers, payload, made_at) \
                  SELECT shard, event_id, topic, key, headers, payload, made_at FROM {template} \
                  ORDER BY id";
    sqlx::query(stage.sql(insert)).execute(&mut *transaction).await.expect("stored");
    let last = vec![stage.event(rows)];
    stage.outbox.append(&mut transaction, last).await.expect("stored");
    transaction.commit().await.expect("committed");
}

/// Relays that have shared the shards wait for rows; they are timed from the commit.
async fn relays(stage: &Stage, clients: &[Kafka], rows: u64) -> Sample {
    let start = |client: &Kafka| {
        Relay::builder(stage.store.clone()).build(client).expect("a relay").start()
    };
    let relays: Vec<RunningRelay> = clients.iter().map(start).collect();
    let share = |relay: &RunningRelay| relay.status().shards().len() == 64 / relays.len();
    while !relays.iter().all(share) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fill(stage, rows).await;
    let watch = Stopwatch::start();
    let published = || relays.iter().map(|r| r.status().counts().published()).sum::<u64>();
    while published() < rows {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // What is acknowledged is still to be marked.
    while left(stage).await > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let sample = watch.stop(rows);
    let stops = relays.into_iter().map(|relay| relay.stop(Duration::from_secs(30)));
    for report in futures::future::join_all(stops).await {
        assert!(report.is_clean(), "{report:?}");
    }
    sample
}

async fn left(stage: &Stage) -> i64 {
    let left = sqlx::query(stage.sql("SELECT count(*) FROM {outbox}"));
    left.fetch_one(&stage.pool).await.expect("a count").get(0)
}

#[derive(Default)]
struct Acks {
    open: AtomicU64,
    failed: AtomicU64,
    done: Notify,
}

struct Counting(Arc<Acks>);

impl ClientContext for Counting {}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
        }
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.done.notify_one();
        }
    }
}

/// The stored headers: of each the two lengths, then name and value.
fn headers(mut rest: &[u8]) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(5);
    let length = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four")) as usize;
    while !rest.is_empty() {
        let (name, value) = (length(&rest[..4]), length(&rest[4..8]));
        let (header, after) = rest[8..].split_at(name + value);
        let (key, value) = header.split_at(name);
        let key = std::str::from_utf8(key).expect("a name");
        headers = headers.insert(Header { key, value: Some(value) });
        rest = after;
    }
    headers
}

async fn raw(
    stage: &Stage,
    producer: &ThreadedProducer<Counting>,
    acks: &Acks,
    rows: u64,
) -> Sample {
    let mut connection = stage.pool.acquire().await.expect("a connection");
    let settings = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off";
    sqlx::raw_sql(settings).execute(&mut *connection).await.expect("settings");
    let select = "SELECT id, shard, event_id, topic, key, headers, payload, made_at FROM {outbox} \
                  WHERE id > $1 ORDER BY id LIMIT $2";
    let delete = "DELETE FROM {outbox} WHERE id = ANY($1)";
    fill(stage, rows).await;
    let watch = Stopwatch::start();
    let mut cursor = 0_i64;
    loop {
        let batch = sqlx::query(stage.sql(select))
            .bind(cursor)
            .bind(BATCH)
            .fetch_all(&mut *connection)
            .await
            .expect("rows");
        if batch.is_empty() {
            return watch.stop(rows);
        }
        acks.open.store(batch.len() as u64, Ordering::Release);
        let mut ids = Vec::with_capacity(batch.len());
        for row in &batch {
            cursor = row.get(0);
            ids.push(cursor);
            let mut record = BaseRecord::to(row.get(3))
                .key(row.get::<&[u8], _>(4))
                .payload(row.get::<&[u8], _>(6))
                .timestamp(row.get(7))
                .headers(headers(row.get(5)));
            while let Err((error, back)) = producer.send(record) {
                assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
                record = back;
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        acks.done.notified().await;
        assert_eq!(acks.failed.load(Ordering::Acquire), 0);
        let deleted = sqlx::query(stage.sql(delete)).bind(ids).execute(&mut *connection).await;
        deleted.expect("deleted");
    }
}
