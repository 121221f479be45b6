//! Row 34: transactions that commit in another order than they took their xids and ids.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{Acquire, Row};
use tidings::event::EventId;
use tidings::store::{OutboxRow, OutboxStore, RowId, Shard};

use crate::stage::*;
use crate::support::*;

#[tokio::test]
async fn a_late_commit_of_a_lower_id_is_not_skipped() {
    let Some(stage) = stage().await else { return };
    let relay = stage.start();
    let mut a = stage.pool.begin().await.unwrap();
    stage.append(&mut a, vec![event("a", 1)]).await;
    stage.store_all(vec![event("b", 2)]).await;
    eventually("what committed first is published", SOON, || stage.records() == 1).await;
    stage.drained().await;
    // Many more, so that the cursor has moved on.
    for n in 0..20 {
        stage.store_all(vec![event("c", n)]).await;
        eventually("each is published", SOON, || stage.records() == 2 + n as usize).await;
    }
    a.commit().await.unwrap();
    eventually("the late one is published", SOON, || stage.records() == 22).await;
    stop(relay).await;
}

/// The case in which a snapshot's xmax says less than it seems to: M has the lower xid and the higher
/// id, and ends first. One past the highest xid that has ended is T's own, and T still runs.
#[tokio::test]
async fn a_lower_id_of_a_higher_xid_that_commits_later_is_not_skipped() {
    let Some(stage) = stage().await else { return };
    let session = stage.store.begin("relay").await.unwrap();
    let shards = session.renew(Duration::from_secs(60)).await.unwrap().shards;
    assert_eq!(shards.len(), Shard::all().count());
    session.parked_keys(&shards).await.unwrap();
    let read = async |known: &[i64]| session.fetch(&shards, known, 100).await.unwrap().rows;

    let (mut m, mut t) = (stage.pool.begin().await.unwrap(), stage.pool.begin().await.unwrap());
    for transaction in [&mut m, &mut t] {
        sqlx::query("SELECT pg_current_xact_id()").execute(&mut **transaction).await.unwrap();
    }
    stage.append(&mut t, vec![event("t", 1)]).await;
    stage.append(&mut m, vec![event("m", 2)]).await;
    m.commit().await.unwrap();
    let rows = read(&[]).await;
    assert_eq!(rows.len(), 1, "M's alone");
    session.published(&[(rows[0].row, rows[0].shard)], Duration::ZERO).await.unwrap();
    for _ in 0..3 {
        assert!(read(&[]).await.is_empty());
    }
    t.commit().await.unwrap();
    let late = read(&[]).await;
    assert_eq!(late.len(), 1, "T's was skipped");
    assert!(late[0].row < rows[0].row);
}

#[tokio::test]
async fn an_open_transaction_elsewhere_blocks_nothing_and_makes_no_read_begin_at_the_first_row() {
    // A transaction of somebody else's that ends makes one read begin as far back as it was begun.
    let Some(server) = OwnServer::start().await else { return };
    let stage = stage_at(&server.url).await;
    let mut open = stage.pool.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()").execute(&mut *open).await.unwrap();
    let relay = stage.start();
    for n in 0..40 {
        stage.store_all((0..500).map(|i| event(&format!("k{i}"), n)).collect()).await;
        eventually("a round", SOON, || stage.records() == 500 * (1 + n as usize)).await;
    }
    stage.drained().await;
    let name = relay.status().name().to_owned();
    stop(relay).await;
    // A connection tells what it read when it closes.
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    let open_ones = async || {
        let count = sqlx::query(connections).bind(&name).fetch_one(&stage.pool).await;
        count.unwrap().get::<i64, _>(0)
    };
    while open_ones().await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What is dead is not cleaned up while the transaction is open: reads that begin at the first row
    // pass 500, 1,000, 1,500 … of them, 400,000 with one read a round, and there are several.
    let read = "SELECT idx_tup_read FROM pg_stat_all_indexes \
                WHERE indexrelid = '{outbox_pkey}'::regclass";
    let read: i64 = sqlx::query(stage.sql(read)).fetch_one(&stage.pool).await.unwrap().get(0);
    println!("{read} index entries were read for 20,000 rows");
    assert!((20_000..400_000).contains(&read), "{read} rows were looked at");
    open.rollback().await.unwrap();
    assert!(stage.published().values().all(|of_key| of_key.is_sorted()));
}

/// What a late append does, and among what: rows are stored all the time, and more than are read.
#[derive(Default)]
struct Reading {
    stored: usize,
    seen: BTreeSet<EventId>,
    /// Read and not marked.
    known: Vec<(RowId, Shard)>,
}

impl Reading {
    async fn store(&mut self, stage: &Stage) {
        stage.store_all((0..3).map(|n| event("early", n)).collect()).await;
        self.stored += 3;
    }

    fn read(&mut self, rows: Vec<OutboxRow>) {
        for row in rows {
            self.known.push((row.row, row.shard));
            assert!(self.seen.insert(row.id), "row {} was known or marked", row.row);
        }
    }
}

#[tokio::test]
async fn a_late_append_is_read_at_once_wherever_its_moments_lie_among_reads_and_marks() {
    const STEPS: usize = 6;
    let Some(stage) = stage().await else { return };
    let session = stage.store.begin("relay").await.unwrap();
    let shards = session.renew(Duration::from_secs(600)).await.unwrap().shards;
    session.parked_keys(&shards).await.unwrap();
    let fetch = async |reading: &Reading, limit| {
        let known: Vec<_> = reading.known.iter().map(|(row, _)| *row).collect();
        let fetched = session.fetch(&shards, &known, limit).await.unwrap();
        assert!(!fetched.stale);
        fetched.rows
    };
    let mark = async |rows: Vec<_>| session.published(&rows, Duration::ZERO).await.unwrap();
    let mut reading = Reading::default();
    let ordered = |xid: usize| (xid..STEPS).map(move |id| (xid, id));
    for (xid, id) in (0..STEPS).flat_map(ordered) {
        for commit in id..STEPS {
            let late = event("late", 0);
            let mut open = Some(stage.pool.begin().await.unwrap());
            for step in 0..STEPS {
                let transaction = open.as_mut().filter(|_| step == xid);
                if let Some(transaction) = transaction {
                    let early = sqlx::query("SELECT pg_current_xact_id()");
                    early.execute(&mut **transaction).await.unwrap();
                }
                if let Some(transaction) = open.as_mut().filter(|_| step == id) {
                    stage.append(transaction, vec![late.clone()]).await;
                }
                reading.store(&stage).await;
                if step == commit {
                    open.take().unwrap().commit().await.unwrap();
                    reading.stored += 1;
                    let rows = fetch(&reading, 10_000).await;
                    reading.read(rows);
                    let at = (xid, id, commit);
                    assert!(reading.seen.contains(&late.metadata.id), "passed over at {at:?}");
                }
                // The first half of what is known, so that some stays known for several reads.
                let marked = reading.known[..reading.known.len().div_ceil(2)].to_vec();
                let mut gone = true;
                match step % 3 {
                    0 => gone = false,
                    1 => drop(mark(marked.clone()).await),
                    _ => {
                        let (rows, _) = tokio::join!(fetch(&reading, 2), mark(marked.clone()));
                        reading.read(rows);
                    }
                }
                if gone {
                    reading.known.drain(..marked.len());
                }
                if step % 3 != 2 {
                    let rows = fetch(&reading, 2).await;
                    reading.read(rows);
                }
            }
        }
    }
    let rows = fetch(&reading, 10_000).await;
    reading.read(rows);
    assert_eq!(reading.seen.len(), reading.stored);
    mark(reading.known).await;
    stage.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_that_exclude_each_other_per_key_one_relay_keeps_the_order() {
    of_writers_that_exclude_each_other_per_key_the_order_is_kept(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_that_exclude_each_other_per_key_three_relays_keep_the_order() {
    of_writers_that_exclude_each_other_per_key_the_order_is_kept(3).await;
}

/// Whatever they do else, and however long each takes until its commit.
async fn of_writers_that_exclude_each_other_per_key_the_order_is_kept(relays: usize) {
    let Some(stage) = stage().await else { return };
    let stage = Arc::new(stage);
    stage.execute("CREATE TABLE {aggregates} (key text PRIMARY KEY, n int NOT NULL)").await;
    stage.execute("INSERT INTO {aggregates} SELECT 'k' || i, 0 FROM generate_series(0, 7) i").await;
    // So small a batch that rows wait.
    let relay = || stage.relay().batch(7).build(&stage.client("relay")).unwrap().start();
    let relays: Vec<_> = (0..relays).map(|_| relay()).collect();
    let stored = Arc::new(AtomicU32::new(0));
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let (stage, stored) = (stage.clone(), stored.clone());
            tokio::spawn(async move {
                let mut chance = writer.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                let mut next = move |below: u64| {
                    chance ^= chance << 13;
                    chance ^= chance >> 7;
                    chance ^= chance << 17;
                    (chance >> 32) % below
                };
                for _ in 0..60 {
                    let key = format!("k{}", next(8));
                    let mut transaction = stage.pool.begin().await.unwrap();
                    // An xid of its own long before its id, or only then; in a savepoint or not.
                    if next(2) == 0 {
                        let early = sqlx::query("SELECT pg_current_xact_id()");
                        early.execute(&mut *transaction).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(next(5))).await;
                    }
                    let change = "UPDATE {aggregates} SET n = n + 1 WHERE key = $1 RETURNING n";
                    let n: i32 = sqlx::query(stage.sql(change))
                        .bind(&key)
                        .fetch_one(&mut *transaction)
                        .await
                        .unwrap()
                        .get(0);
                    if next(4) == 0 {
                        let mut nested = transaction.begin().await.unwrap();
                        stage.append(&mut nested, vec![event(&key, n.unsigned_abs())]).await;
                        nested.commit().await.unwrap();
                    } else {
                        stage.append(&mut transaction, vec![event(&key, n.unsigned_abs())]).await;
                    }
                    let open = if next(12) == 0 { next(150) } else { next(8) };
                    tokio::time::sleep(Duration::from_millis(open)).await;
                    if next(8) == 0 {
                        transaction.rollback().await.unwrap();
                    } else {
                        transaction.commit().await.unwrap();
                        stored.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    stage.drained().await;
    let published = stage.published();
    let count: usize = published.values().map(Vec::len).sum();
    assert_eq!(count, stored.load(Ordering::SeqCst) as usize, "each committed event, no other");
    for (key, numbers) in published {
        let all: Vec<_> = (1..=numbers.len() as u32).collect();
        assert_eq!(numbers, all, "{key}");
    }
    for relay in relays {
        stop(relay).await;
    }
}
