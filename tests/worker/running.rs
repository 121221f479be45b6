//! Workers that run: what they say of themselves, one and several.

use tidings::Topic;
use tidings::consumer::*;
use tidings::event::TopicName;
use tidings::worker::{Work, Worker, WorkerBuilder, Workers, WorkersError};

use crate::stage::*;

fn worker(
    name: &str,
) -> WorkerBuilder<tidings::worker::On<Visits>, tidings::worker::NoTopic, Work> {
    Worker::builder(name).input::<Visits>().process(|Value(visit): Value<Visit>| async move {
        if visit.n > 0 { Ok(()) } else { Err(HandlerError::permanent("nothing")) }
    })
}

#[tokio::test(start_paused = true)]
async fn a_status_has_what_was_done_what_failed_the_lag_and_the_rate() {
    let (broker, client) = stage().await;
    let running = start(worker("w"), &client).await;
    let status = running.status().clone();
    eventually("it has joined", || status.is_ready()).await;
    assert_eq!((status.name(), status.done(), status.failed()), ("w", 0, 0));
    send(&client, numbered("home", 0..20)).await;
    quiet(&broker).await;
    assert_eq!((status.done(), status.failed()), (19, 1));
    assert_eq!(status.lag(secs(1)).await.unwrap(), 0);
    assert!(status.rate() > 0.0);
    status.consumer().pause(Visits::NAME);
    tokio::time::sleep(secs(1)).await;
    send(&client, numbered("home", 0..7)).await;
    assert_eq!(status.lag(secs(1)).await.unwrap(), 7);
    status.consumer().resume(&Visits::NAME);
    quiet(&broker).await;
    assert_eq!(status.lag(secs(1)).await.unwrap(), 0);
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_committed_nothing_lags_by_all_that_lies_there() {
    let (_broker, client) = stage().await;
    send(&client, numbered("home", 1..8)).await;
    let stuck = Worker::builder("stuck")
        .input::<Visits>()
        .process(|_: Value<Visit>| std::future::pending::<Result<(), HandlerError>>());
    let running = start(stuck, &client).await;
    let status = running.status();
    eventually("it has joined", || status.is_ready()).await;
    assert_eq!(status.lag(secs(1)).await.unwrap(), 7);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn several_workers_start_and_stop_together() {
    let (broker, client) = stage().await;
    let workers =
        Workers::new().worker(build(worker("a"), &client)).worker(build(worker("b"), &client));
    let mut running = workers.start().await.unwrap();
    send(&client, numbered("home", 1..4)).await;
    quiet(&broker).await;
    eventually("all are ready", || running.is_ready()).await;
    assert!(running.problems().is_empty());
    let statuses = running.statuses();
    let done: Vec<_> = statuses.iter().map(|status| (status.name(), status.done())).collect();
    assert_eq!(done, [("a", 3), ("b", 3)], "each is a group of its own");
    assert!(tokio::time::timeout(secs(1), running.ended()).await.is_err());
    for (name, report) in running.stop(secs(5)).await {
        assert!(report.is_clean(), "{name}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn workers_that_cannot_all_start_do_not_start() {
    let (_, client) = stage().await;
    let twice =
        Workers::new().worker(build(worker("a"), &client)).worker(build(worker("a"), &client));
    let Err(error) = twice.start().await else { panic!("they started") };
    assert!(matches!(&error, WorkersError::Twice(name) if name == "a"), "{error}");
    let other = Worker::builder("b")
        .input_named(TopicName::from_static("nowhere"))
        .process(|_: RawRecord| async { Ok::<_, HandlerError>(()) })
        .build(&client)
        .unwrap();
    let workers = Workers::new().worker(build(worker("a"), &client)).worker(other);
    let Err(error) = workers.start().await else { panic!("they started") };
    let WorkersError::Start { worker, .. } = &error else { panic!("{error}") };
    assert_eq!(worker, "b");
    assert!(format!("{error:?}").contains("nowhere"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn members_share_a_workers_partitions() {
    let (broker, client) = stage().await;
    let running = start(worker("w").members(2), &client).await;
    send(&client, numbered("home", 1..10)).await;
    quiet(&broker).await;
    assert_eq!(running.status().done(), 9);
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_worker_runs_until_its_shutdown() {
    let (_, client) = stage().await;
    let report = build(worker("w"), &client).run(tokio::time::sleep(secs(3)), secs(5)).await;
    clean(&report.unwrap());
}
