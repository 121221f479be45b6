//! `outbox_append`: what storing an event costs inside a transaction, beside an insert of the same bytes
//! into a plain table.

use sqlx::Row as _;
use tidings::event::Envelope;
use tokio::runtime::Runtime;

use crate::measure::number;
use crate::stage::Stage;
use crate::support::{Arm, Rounds};

const GATE: f64 = 1.2;
/// Events of one transaction.
const EVENTS: u32 = 2_000;

pub(crate) fn run(stage: &Stage, runtime: &Runtime) -> bool {
    // A round is short, and a busy machine disturbs some: more of them than of the others.
    let rounds = usize::try_from(number("TIDINGS_BENCH_ROUNDS", 9).max(9) * 3).expect("few");
    runtime.block_on(async {
        // Dead rows of the drain would be cleaned up meanwhile, in one of the two tables only.
        stage.execute("TRUNCATE {outbox}").await;
        stage
            .execute(
                "CREATE TABLE {plain} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                 event_id text NOT NULL, topic text NOT NULL, key bytea, headers bytea NOT NULL, \
                 payload bytea, made_at bigint NOT NULL)",
            )
            .await;
    });
    let events: Vec<_> = (0..u64::from(EVENTS)).map(|n| stage.event(n)).collect();
    let headers = runtime.block_on(stored_headers(stage, &events[0]));
    let arms = vec![
        Arm::new("append", || {
            runtime.block_on(async {
                let mut transaction = stage.pool.begin().await.expect("a transaction");
                let all: Vec<_> = events.iter().map(|event| vec![event.clone()]).collect();
                let begun = std::time::Instant::now();
                for event in all {
                    stage.outbox.append(&mut transaction, event).await.expect("stored");
                }
                let took = begun.elapsed();
                transaction.rollback().await.expect("taken back");
                took.as_nanos() as f64 / f64::from(EVENTS)
            })
        }),
        Arm::new("insert", || {
            runtime.block_on(async {
                let mut transaction = stage.pool.begin().await.expect("a transaction");
                let insert = "INSERT INTO {plain} (event_id, topic, key, headers, payload, made_at) \
                              VALUES ($1, $2, $3, $4, $5, $6)";
                let begun = std::time::Instant::now();
                for event in &events {
                    sqlx::query(stage.sql(insert))
                        .bind(event.metadata.id.to_string())
                        .bind(event.topic.as_str())
                        .bind(event.key.as_ref().map(|key| key.as_str().as_bytes()))
                        .bind(&headers)
                        .bind(&event.event.payload[..])
                        .bind(event.metadata.time.timestamp_millis())
                        .execute(&mut *transaction)
                        .await
                        .expect("stored");
                }
                let took = begun.elapsed();
                transaction.rollback().await.expect("taken back");
                took.as_nanos() as f64 / f64::from(EVENTS)
            })
        }),
    ];
    let compared = Rounds::run(rounds, arms).compare("append", "insert");
    compared.print("outbox_append", serde_json::json!({ "gate": GATE }));
    compared.ratio <= GATE
}

async fn stored_headers(stage: &Stage, event: &Envelope) -> Vec<u8> {
    let mut transaction = stage.pool.begin().await.expect("a transaction");
    stage.outbox.append(&mut transaction, vec![event.clone()]).await.expect("stored");
    let headers = sqlx::query(stage.sql("SELECT headers FROM {outbox} LIMIT 1"));
    let headers = headers.fetch_one(&mut *transaction).await.expect("a row").get(0);
    transaction.rollback().await.expect("taken back");
    headers
}
