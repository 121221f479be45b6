//! A relay lives on while its database becomes another one: an older copy, or a new one of the same name.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::PgPool;
use tidings::transport::memory::{Fault, MemoryConfig};

use crate::stage::*;
use crate::support::*;

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// The address of the server in its settings, of which the last one counts.
fn set_port(data: &Path, port: &str) {
    let file = data.join("postgresql.conf");
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{settings}port = {port}\n")).unwrap();
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_an_older_copy_that_has_gone_on_without_its_relay_is_published() {
    let Some(server) = OwnServer::start().await else { return };
    let stage = stage_at(&server.url).await;
    let (data, older) = (server.data(), server.data().with_file_name("older"));
    let config = MemoryConfig::new("relay").delivery_wait(Duration::from_secs(300));
    let client = stage.broker.connect(config).unwrap();
    let relay = stage.relay().poll(Duration::from_millis(200)).build(&client).unwrap().start();
    stage.store_all((0..50).map(|n| event("before", n)).collect()).await;
    stage.drained().await;
    server.tell("stop").await;
    copy(&data, &older);
    server.tell("start").await;
    // Its cursor, its leases and what it sends are far ahead of the copy.
    for n in 0..100 {
        stage.store_all(vec![event("lost", n), event("lost too", n)]).await;
    }
    stage.drained().await;
    stage.broker.inject(Fault::BrokerGone(Duration::from_secs(15)));
    stage.store_all((0..100).map(|n| event(&format!("sent {n}"), n)).collect()).await;
    eventually("they are sent", SOON, || stage.broker.backlog().queued == 100).await;

    // The copy goes on elsewhere, until its xids and numbers are as high.
    server.tell("kill").await;
    std::fs::remove_dir_all(&data).unwrap();
    copy(&older, &data);
    let port = server.url.rsplit_once(':').unwrap().1.split('/').next().unwrap().to_owned();
    let other = free_port();
    set_port(&data, &other);
    server.tell("start").await;
    let elsewhere = PgPool::connect(&server.url.replace(&port, &other)).await.unwrap();
    for n in 0..400 {
        let mut transaction = elsewhere.begin().await.unwrap();
        stage.append(&mut transaction, vec![event("after", n)]).await;
        stage.append(&mut transaction, vec![event(&format!("beside {n}"), n)]).await;
        transaction.commit().await.unwrap();
    }
    elsewhere.close().await;
    server.tell("stop").await;
    set_port(&data, &port);
    server.tell("start").await;

    // The answers to what was sent come about when the relay reads the copy.
    stage.drained().await;
    let published = stage.published();
    assert_eq!(published["after"], (0..400).collect::<Vec<_>>());
    for n in 0..400 {
        assert_eq!(published.get(&format!("beside {n}")), Some(&vec![n]), "{n}");
    }
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_a_new_database_of_the_same_name_is_published() {
    let Some(server) = address("TIDINGS_TEST_POSTGRES") else { return };
    let name = make_database(&server).await;
    let stage = stage_at(&of_database(&server, &name)).await;
    let relay = stage.start();
    for n in 0..100 {
        stage.store_all(vec![event("lost", n)]).await;
    }
    stage.drained().await;
    let admin = PgPool::connect(&server).await.unwrap();
    for statement in ["DROP DATABASE @ WITH (FORCE)", "CREATE DATABASE @"] {
        let statement = AssertSqlSafe(statement.replace('@', &name));
        sqlx::query(statement).execute(&admin).await.unwrap();
    }
    stage.store.migrate().await.unwrap();
    // One that commits late, behind others whose numbers are higher.
    let mut late = stage.pool.begin().await.unwrap();
    stage.append(&mut late, vec![event("late", 1)]).await;
    for n in 0..20 {
        stage.store_all(vec![event("new", n)]).await;
    }
    eventually("they are published", SOON, || {
        stage.published().get("new").is_some_and(|new| new.len() == 20)
    })
    .await;
    late.commit().await.unwrap();
    stage.drained().await;
    assert_eq!(stage.published()["new"], (0..20).collect::<Vec<_>>());
    assert_eq!(stage.published()["late"], [1]);
    stop(relay).await;
}
