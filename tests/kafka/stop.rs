//! Row 39: stopping under load, and when Kafka is gone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tidings::consumer::*;
use tidings::publisher::Publisher;
use tidings::transport::kafka::Kafka;

use crate::broker::OwnBroker;
use crate::events::*;
use crate::inspect::Inspector;
use crate::stage::*;
use crate::support::*;

event!(Busy, "stop.busy");

fn busy(kafka: &Kafka, seen: &Seen<Ran>) -> Consumer {
    let seen = seen.clone();
    consumer("busy", 3)
        .handle_named("slow", move |Event(e): Event<Busy>, delivery: Delivery| {
            let seen = seen.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                seen.add(Ran::new(e.n, &delivery));
                Ok::<(), HandlerError>(())
            }
        })
        .build(kafka)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_finishes_and_commits_what_runs_and_the_next_one_goes_on_from_there() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("busy", &broker);
    let seen = Seen::default();
    let first = busy(&kafka, &seen).start().await.unwrap();
    let events = (0..5_000).map(|n| Busy::new(format!("k{n}"), n));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    eventually("it is busy", SOON, || seen.len() > 500).await;
    let began = Instant::now();
    let report = first.stop(Duration::from_secs(5)).await;
    println!("stopped under load in {:?}", began.elapsed());
    assert!(report.is_clean(), "{report:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    let handled = seen.len();
    assert!(handled < 5_000, "it was still under load");
    // Everything that was handled is accounted for, and nothing before what is committed was not.
    let offsets = Inspector::new(&broker, &named("busy"));
    let done: BTreeSet<_> = seen.all().iter().map(|ran| (ran.partition, ran.offset)).collect();
    for partition in 0..3 {
        let committed = offsets.committed(&topic(Busy::TOPIC), partition).unwrap_or(0);
        assert!((0..committed).all(|offset| done.contains(&(partition, offset))));
        let done = done.iter().filter(|(of, _)| *of == partition).count();
        assert_eq!(committed, done as i64, "what is done is committed, without a gap");
    }
    let second = busy(&kafka, &seen).start().await.unwrap();
    let all = || seen.all().iter().map(|ran| ran.n).collect::<BTreeSet<_>>().len();
    eventually("the next one handles the rest", SOON, || all() == 5_000).await;
    assert_eq!(seen.len(), 5_000, "none ran twice");
    stop(second).await;
}

event!(Shared, "stop.shared");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joins_and_one_that_leaves_under_a_load_by_key_make_nothing_run_again() {
    const EVENTS: u32 = 12_000;
    let Some(broker) = kafka_address() else { return };
    let seen = Seen::<(usize, Ran)>::default();
    let member = async |number: usize| {
        let seen = seen.clone();
        consumer("shared", 4)
            .handle_named("slow", move |Event(e): Event<Shared>, delivery: Delivery| {
                let seen = seen.clone();
                async move {
                    // Each in a time of its own, so that keys go on side by side.
                    tokio::time::sleep(Duration::from_millis(u64::from(e.n * 37 % 61))).await;
                    seen.add((number, Ran::new(e.n, &delivery)));
                    Ok::<(), HandlerError>(())
                }
            })
            .build(&client("shared", &broker))
            .unwrap()
            .start()
            .await
            .unwrap()
    };
    let by = |number| seen.all().iter().filter(|(of, _)| *of == number).count();
    let first = member(0).await;
    let events = (0..EVENTS).map(|n| Shared::new(format!("k{}", n % 500), n));
    Publisher::new(&client("source", &broker)).publish_all(events).await.unwrap();
    let second = member(1).await;
    eventually("the second one handles its part", SOON, || by(1) > 500).await;
    assert!(seen.len() < EVENTS as usize, "it joined under load");
    stop(first).await;
    let all = || seen.all().iter().map(|(_, ran)| ran.n).collect::<BTreeSet<_>>().len();
    eventually("the second one handles the rest", SOON, || all() == EVENTS as usize).await;
    assert_eq!(seen.len(), EVENTS as usize, "none ran twice");
    stop(second).await;
}

event!(Gone, "stop.gone");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_returns_by_its_deadline_when_kafka_is_gone_or_hangs() {
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let mut first = None;
    for hangs in [true, false] {
        let kafka = client("gone", &broker.address);
        let seen = Seen::default();
        let note = seen.clone();
        let running = consumer("gone", 1)
            .handle_named("never", move |Event(e): Event<Gone>, delivery: Delivery| {
                let note = note.clone();
                async move {
                    note.add(Ran::new(e.n, &delivery));
                    std::future::pending::<()>().await;
                    Ok::<(), HandlerError>(())
                }
            })
            .start_on(&kafka)
            .await;
        let publisher = Publisher::new(&kafka);
        // A broker that hung needs a while until it takes records again.
        let began = Instant::now();
        let event = loop {
            match publisher.publish(Gone::new("k", 0)).await {
                Ok(event) => break event,
                Err(error) => assert!(began.elapsed() < SOON, "{error}"),
            }
        };
        eventually("it runs", SOON, || seen.len() > 0).await;
        if hangs {
            broker.hang();
        } else {
            broker.kill().await;
        }
        let drain = Duration::from_secs(2);
        let began = Instant::now();
        let report = running.stop(drain).await;
        let (how, took) = (if hangs { "hangs" } else { "is gone" }, began.elapsed());
        println!("Kafka {how}: stop({drain:?}) took {took:?}: {report:?}");
        assert!(took >= drain, "the handler has until the deadline");
        assert!(took < drain + Duration::from_secs(6), "{took:?}");
        // The second time the first event is there again, and the second one waits behind it.
        assert_eq!(report.unfinished, [first.get_or_insert(event.id).to_string()]);
        let began = Instant::now();
        assert_eq!(publisher.close(drain).await, [], "nothing was queued");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        if hangs {
            broker.go_on();
        }
    }
}

#[cfg(feature = "axum")]
pub use served::subject;

#[cfg(feature = "axum")]
mod served {
    use std::io::Write;
    use std::path::PathBuf;

    use tidings::web::Lifespan;
    use tokio::net::TcpListener;

    use super::*;
    use crate::child::{Subject, new_log};

    event!(Served, "stop.served");

    /// A service as users write it; it appends what it handles, and how it stopped.
    pub async fn subject(broker: &str, log: PathBuf) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let file = std::sync::Arc::new(file);
        let kafka = client("served", broker);
        let note = file.clone();
        let consumer = consumer("served", 1)
            .handle_named("slow", move |Event(e): Event<Served>| {
                let note = note.clone();
                async move {
                    (&*note).write_all(format!("begin {}\n", e.n).as_bytes())?;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    (&*note).write_all(format!("done {}\n", e.n).as_bytes())?;
                    Ok::<(), HandlerError>(())
                }
            })
            .build(&kafka)
            .unwrap();
        let publisher = Publisher::new(&kafka);
        let lifespan =
            Lifespan::new().publisher(publisher).consumer(consumer).drain(Duration::from_secs(3));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let router = lifespan.health_routes();
        let stopped = lifespan.serve(listener, router).await.unwrap();
        writeln!(&*file, "stopped clean={}", stopped.is_clean()).unwrap();
    }

    async fn ended(subject: &mut Subject, within: Duration) -> Duration {
        let began = Instant::now();
        let mut code = None;
        eventually("the process ends", within, || {
            code = subject.exit_code();
            code.is_some()
        })
        .await;
        assert_eq!(code, Some(0));
        began.elapsed()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_service_told_to_terminate_finishes_what_runs_and_exits_with_0() {
        let Some(broker) = kafka_address() else { return };
        let publisher = Publisher::new(&client("source", &broker));
        let log = new_log();
        let mut subject = Subject::start("serve", &broker, &log);
        create_topics(&client("source", &broker), &[(&named(Served::TOPIC), 1, false)]).await;
        for n in 0..200 {
            publisher.publish(Served::new(format!("k{n}"), n)).await.unwrap();
        }
        let said = |lines: &[String], what| lines.iter().filter(|l| l.starts_with(what)).count();
        eventually("it runs", SOON, || said(&subject.lines(), "done") > 10).await;
        subject.terminate();
        let took = ended(&mut subject, Duration::from_secs(9)).await;
        let lines = subject.lines();
        println!("SIGTERM under load: exit code 0 after {took:?}");
        assert_eq!(lines.last().unwrap(), "stopped clean=true");
        assert_eq!(said(&lines, "begin"), said(&lines, "done"), "what had begun was finished");
        let offsets = Inspector::new(&broker, &named("served"));
        let committed = offsets.committed(&topic(Served::TOPIC), 0).unwrap();
        assert!(committed <= said(&lines, "done") as i64, "{committed}");
        assert!(committed > 0);
        std::fs::remove_file(log).unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_service_whose_kafka_is_gone_exits_by_its_deadline() {
        let Some(broker) = OwnBroker::start(&[]).await else { return };
        let log = new_log();
        let mut subject = Subject::start("serve", &broker.address, &log);
        let publisher = Publisher::new(&client("source", &broker.address));
        create_topics(&client("source", &broker.address), &[(&named(Served::TOPIC), 1, false)])
            .await;
        for n in 0..500 {
            publisher.publish(Served::new(format!("k{n}"), n)).await.unwrap();
        }
        let said = |lines: &[String], what| lines.iter().filter(|l| l.starts_with(what)).count();
        eventually("it runs", SOON, || said(&subject.lines(), "done") > 10).await;
        broker.kill().await;
        subject.terminate();
        // Requests, handlers and the flush have 3 s each, and the client 5 s more to leave.
        let took = ended(&mut subject, Duration::from_secs(16)).await;
        println!("SIGTERM with Kafka gone: exit after {took:?}: {:?}", subject.lines().last());
        assert!(took < Duration::from_secs(3 * 3 + 5), "{took:?}");
        std::fs::remove_file(log).unwrap();
    }
}
