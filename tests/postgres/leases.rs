//! Row 35: several relays, and one that was paused past its lease.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidings::outbox::RunningRelay;
use tidings::store::{OutboxSession, OutboxStore, Shard};

use crate::stage::*;
use crate::support::*;

const ALL: usize = 64;

fn shards(relays: &[RunningRelay]) -> Vec<usize> {
    relays.iter().map(|relay| relay.status().shards().len()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_share_the_shards_and_come_and_go_in_order() {
    let Some(stage) = stage().await else { return };
    let stage = Arc::new(stage);
    let mut relays = vec![stage.start()];
    eventually("one has all", SOON, || shards(&relays) == [ALL]).await;
    let writing = {
        let stage = stage.clone();
        tokio::spawn(async move {
            for n in 0..150 {
                stage.store_all((0..20).map(|k| event(&format!("k{k}"), n)).collect()).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };
    for count in 2..=4 {
        relays.push(stage.start());
        let even = |shards: Vec<usize>| {
            shards.iter().sum::<usize>() == ALL && shards.iter().all(|n| *n >= ALL / count - 4)
        };
        eventually("each has its share", SOON, || even(shards(&relays))).await;
    }
    let held: BTreeSet<Shard> = relays.iter().flat_map(|r| r.status().shards()).collect();
    assert_eq!(held.len(), ALL, "none is held twice");
    stop(relays.remove(1)).await;
    // One that is dropped says nothing: the others wait for its leases to end.
    drop(relays.remove(0));
    eventually("two have all", SOON, || shards(&relays) == [ALL / 2, ALL / 2]).await;
    writing.await.unwrap();
    stage.drained().await;
    let expected: Vec<u32> = (0..150).collect();
    let published = stage.published();
    assert_eq!(published.len(), 20);
    for (key, numbers) in published {
        assert_eq!(numbers, expected, "{key}");
    }
    let owners = stage.store.backlog().await.unwrap().owners;
    assert_eq!(owners.iter().map(|owner| owner.shards).sum::<u64>(), 64);
    for relay in relays {
        stop(relay).await;
    }
}

#[tokio::test]
async fn a_stale_owner_can_neither_mark_nor_park_nor_move() {
    let Some(stage) = stage().await else { return };
    stage.store_all((0..64).map(|n| event(&format!("k{n}"), n)).collect()).await;
    let stale = stage.store.begin("stale").await.unwrap();
    let all = stale.renew(Duration::from_millis(1)).await.unwrap().shards;
    stale.parked_keys(&all).await.unwrap();
    let rows = stale.fetch(&all, &[], 100).await.unwrap().rows;
    assert_eq!(rows.len(), 64);
    let fresh = stage.store.begin("fresh").await.unwrap();
    let taken = take(&*fresh).await;

    let marked: Vec<_> = rows.iter().map(|row| (row.row, row.shard)).collect();
    let held = stale.published(&marked, Duration::ZERO).await.unwrap();
    assert!(held.iter().all(|shard| !taken.contains(shard)), "{held:?}");
    let lost = rows.iter().filter(|row| taken.contains(&row.shard)).count();
    assert_eq!(stage.count("{outbox}").await, lost as i64, "those of the fresh one are all there");
    let row = rows.iter().find(|row| taken.contains(&row.shard)).unwrap();
    assert!(!stale.park(row.shard, Some((row.row, "no")), &[]).await.unwrap());
    stale.due(&all, 100).await.unwrap();
    stale.give_up(&all).await.unwrap();
    assert!(
        stale
            .renew(Duration::from_millis(1))
            .await
            .unwrap()
            .shards
            .iter()
            .all(|s| !taken.contains(s))
    );
    assert_eq!(stage.count("{outbox}").await, lost as i64);
    fresh.parked_keys(&taken).await.unwrap();
    let mine = fresh.fetch(&taken, &[], 100).await.unwrap().rows;
    let mine: Vec<_> = mine.iter().map(|row| (row.row, row.shard)).collect();
    assert_eq!(fresh.published(&mine, Duration::ZERO).await.unwrap().len(), count(&mine));
    assert_eq!(stage.count("{outbox}").await, 0);
}

fn count(rows: &[(i64, Shard)]) -> usize {
    rows.iter().map(|(_, shard)| *shard).collect::<BTreeSet<_>>().len()
}

/// Takes what is free, as soon as it is.
async fn take(session: &dyn OutboxSession) -> Vec<Shard> {
    loop {
        let holding = session.renew(Duration::from_secs(60)).await.unwrap();
        if holding.shards.len() >= 32 {
            return holding.shards;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
