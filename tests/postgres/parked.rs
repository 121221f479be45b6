//! Row 36: events that can never be published.

use std::time::Duration;

use tidings::retry::Backoff;
use tidings::store::OutboxStore;

use crate::stage::*;
use crate::support::*;

fn refused(key: &str, n: u32) -> tidings::event::Envelope {
    event_on(MISSING, Some(key), n)
}

#[tokio::test]
async fn an_event_that_cannot_be_published_is_parked_with_its_reason_and_its_key_waits_behind_it() {
    let Some(stage) = stage().await else { return };
    let relay = stage.relay().backoff(Backoff::fixed(Duration::from_millis(20))).park_after(3);
    let relay = relay.build(&stage.client("relay")).unwrap().start();
    stage.store_all(vec![refused("a", 1), refused("a", 2), event("a", 1), event("b", 1)]).await;
    stage.store_all(vec![event_on(MISSING, None, 9)]).await;
    stage.drained().await;
    assert_eq!(stage.records(), 2, "the same key on another topic flows, and another key");
    let parked = stage.store.parked(10).await.unwrap();
    let shown: Vec<_> = parked.iter().map(|p| (p.key.as_deref(), p.behind)).collect();
    assert_eq!(shown, [(Some(&b"a"[..]), 1), (None, 0)]);
    assert!(parked[0].reason.contains("missing"), "{}", parked[0].reason);
    // What comes later waits too, and other keys do not.
    stage.store_all(vec![refused("a", 3), event("c", 1)]).await;
    stage.drained().await;
    assert_eq!(stage.records(), 3);
    let backlog = stage.store.backlog().await.unwrap();
    assert_eq!((backlog.parked, backlog.behind_parked), (2, 2));
    assert!(relay.status().problems().is_empty(), "{:?}", relay.status().problems());
    assert_eq!(relay.status().counts().parked(), 2);
    stop(relay).await;

    // A relay that begins later knows of it.
    let relay = stage.start();
    stage.store_all(vec![refused("a", 4)]).await;
    stage.drained().await;
    assert_eq!(stage.store.parked(10).await.unwrap()[0].behind, 3);

    // Somebody makes the topic, and puts the event back.
    stage.broker.create_topic(MISSING, Default::default());
    assert!(stage.store.release(parked[0].row).await.unwrap());
    stage.store_all(vec![refused("a", 5)]).await;
    eventually("all of its key are there", SOON, || stage.broker.records(&MISSING).len() == 5)
        .await;
    let payload = |r: &tidings::transport::Received| r.payload.clone().unwrap();
    let numbers: Vec<_> = stage.broker.records(&MISSING).iter().map(payload).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    assert!(!stage.store.release(parked[0].row).await.unwrap(), "it is parked no more");
    assert!(stage.store.discard(parked[1].row).await.unwrap());
    stage.drained().await;
    assert_eq!(stage.count("{outbox_parked}").await, 0);
    stop(relay).await;
}

/// A fetch that began before parked events were put back does not see them, and reads on behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_back_before_the_cursor_while_a_fetch_is_under_way_is_read() {
    let Some(stage) = stage().await else { return };
    // A fetch waits at the gate after its snapshot was taken.
    let gate = i64::from(uuid::Uuid::now_v7().as_fields().1) << 16 | i64::from(std::process::id());
    stage.execute("ALTER TABLE {outbox_leases} RENAME TO tidings_leases").await;
    stage
        .execute(&format!(
            "CREATE FUNCTION {{gate}}() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
             IF current_setting('application_name') = 'gated' THEN \
                 PERFORM pg_advisory_xact_lock_shared({gate}); \
             END IF; RETURN true; END $$"
        ))
        .await;
    stage.execute("CREATE VIEW {outbox_leases} AS SELECT * FROM {leases} WHERE {gate}()").await;

    let session = stage.store.begin("gated").await.unwrap();
    let shards = session.renew(Duration::from_secs(60)).await.unwrap().shards;
    session.parked_keys(&shards).await.unwrap();
    stage.store_all(vec![refused("a", 1), refused("a", 2), event("b", 3)]).await;
    let rows = session.fetch(&shards, &[], 100).await.unwrap().rows;
    let [first, second, third] = &rows[..] else { panic!("{rows:?}") };
    assert!(session.park(first.shard, Some((first.row, "no")), &[second.row]).await.unwrap());

    let mut closed = stage.pool.acquire().await.unwrap();
    let close = sqlx::query("SELECT pg_advisory_lock($1)").bind(gate);
    close.execute(&mut *closed).await.unwrap();
    let known = [third.row];
    let under_way = session.fetch(&shards, &known, 100);
    let put_back = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                     AND ((classid::bigint << 32) | objid::bigint) = $1";
        loop {
            let waiting = sqlx::query(waits).bind(gate).fetch_one(&stage.pool).await.unwrap();
            if sqlx::Row::get::<i64, _>(&waiting, 0) > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(stage.store.release(first.row).await.unwrap());
        let open = sqlx::query("SELECT pg_advisory_unlock($1)").bind(gate);
        open.execute(&mut *closed).await.unwrap();
    };
    let (fetched, ()) = tokio::join!(under_way, put_back);
    assert!(fetched.unwrap().rows.is_empty(), "it began before");
    session.published(&[(third.row, third.shard)], Duration::ZERO).await.unwrap();
    assert!(session.fetch(&shards, &[], 100).await.unwrap().stale);
    assert!(session.parked_keys(&shards).await.unwrap().is_empty());
    let back = session.fetch(&shards, &[], 100).await.unwrap().rows;
    let back: Vec<_> = back.iter().map(|row| row.row).collect();
    assert_eq!(back, [first.row, second.row]);
}

#[tokio::test]
async fn a_discarded_event_is_gone_and_what_waited_behind_it_goes_on() {
    let Some(stage) = stage().await else { return };
    let relay = stage.relay().backoff(Backoff::fixed(Duration::from_millis(5))).park_after(1);
    let relay = relay.build(&stage.client("relay")).unwrap().start();
    stage.store_all(vec![refused("a", 1), refused("a", 2)]).await;
    stage.rows("{outbox_parked}", 2).await;
    let head = &stage.store.parked(10).await.unwrap()[0];
    stage.broker.create_topic(MISSING, Default::default());
    assert!(stage.store.discard(head.row).await.unwrap());
    eventually("the next one", SOON, || stage.broker.records(&MISSING).len() == 1).await;
    assert_eq!(stage.broker.records(&MISSING)[0].payload.as_deref(), Some(&b"2"[..]));
    stop(relay).await;
}

#[tokio::test]
async fn a_row_that_nobody_can_read_is_parked_and_others_flow() {
    let Some(stage) = stage().await else { return };
    stage
        .execute(
            "INSERT INTO {outbox} (shard, event_id, topic, headers, payload, made_at) \
             VALUES (3, 'x', 'not a topic', '', '', 0), (4, 'y', 'paid', '\\x01', '', 0)",
        )
        .await;
    stage.store_all(vec![event("a", 1)]).await;
    let relay = stage.start();
    stage.drained().await;
    assert_eq!(stage.records(), 1);
    assert_eq!(stage.store.parked(10).await.unwrap().len(), 2);
    stop(relay).await;
}
