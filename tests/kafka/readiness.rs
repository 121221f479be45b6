//! `/health/ready` says what is, not what was.

use std::time::{Duration, Instant};

use tidings::publisher::Publisher;
use tidings::web::Lifespan;
use tokio::net::TcpListener;

use crate::broker::OwnBroker;
use crate::events::*;
use crate::stage::*;
use crate::support::*;

event!(Ready, "readiness.ready");

const TEN: Duration = Duration::from_secs(10);

struct Service(String);

impl Service {
    async fn ask(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}/health/{path}", self.0)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Asks until the answer is `status`; strangers must learn nothing else from it.
    async fn until(&self, status: u16, within: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let (is, body) = self.ask("ready").await;
            let word = if is == 200 { "ready" } else { "not ready" };
            assert_eq!(body, format!(r#"{{"status":"{word}"}}"#));
            assert_eq!(self.ask("live").await, (200, r#"{"status":"live"}"#.to_owned()));
            if is == status {
                return began.elapsed();
            }
            assert!(began.elapsed() < within, "still {is} after {:?}", began.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_is_red_until_joined_when_the_broker_hangs_or_dies_and_green_by_itself_again() {
    // Kafka's own default: the hang is too short for the controller to fence the broker, which would
    // have to find back by itself before a client can.
    let Some(broker) = OwnBroker::start(&["broker.session.timeout.ms=9000"]).await else { return };
    let kafka = client("ready", &broker.address);
    let seen = Seen::default();
    let consumer = consumer("ready", 2)
        .handle_named("note", note::<Ready>(seen.clone(), done))
        .build(&kafka)
        .unwrap();
    let publisher = Publisher::new(&kafka);
    let lifespan = Lifespan::new().publisher(publisher.clone()).consumer(consumer).drain(TEN / 2);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = Service(format!("http://{}", listener.local_addr().unwrap()));
    let router = lifespan.health_routes();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let health = lifespan.health().clone();
    let serving = tokio::spawn(lifespan.serve_until(listener, router, async {
        let _ = stopped.await;
    }));
    assert_eq!(service.ask("ready").await.0, 503, "it has not joined yet");
    println!("ready {:?} after its start", service.until(200, SOON).await);
    let works = async |n: u32| {
        publisher.publish(Ready::new("k", n)).await.unwrap();
        eventually("it is handled", SOON, || seen.all().iter().any(|ran| ran.n == n)).await;
    };
    works(1).await;

    broker.hang();
    println!("503 {:?} after the broker hung", service.until(503, TEN).await);
    println!("    {:?}", health.problems());
    broker.go_on();
    println!("200 {:?} after it went on", service.until(200, SOON).await);
    works(2).await;

    broker.kill().await;
    println!("503 {:?} after the broker was killed", service.until(503, TEN).await);
    println!("    {:?}", health.problems());
    broker.start_again().await;
    println!("200 {:?} after it was started again", service.until(200, SOON).await);
    works(3).await;

    stop.send(()).unwrap();
    let stopped = serving.await.unwrap().unwrap();
    assert!(stopped.is_clean(), "{stopped:?}");
}
