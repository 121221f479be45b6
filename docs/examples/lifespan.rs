//! A service with axum.

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::post;
use tidings::error::BoxError;
use tidings::mediator::{Mediator, Publishing};
use tidings::publisher::Publisher;
use tidings::transport::kafka::Kafka;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::consuming::{Mailer, consumer};
use super::mediator::{CreateUser, Users, requests};

type Requests = Publishing<Mediator, Publisher>;

async fn create_user(
    State(requests): State<Requests>,
    Json(email): Json<String>,
) -> Result<Json<Uuid>, StatusCode> {
    let sent = requests.send(CreateUser { email }).await;
    sent.map(Json).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

// ANCHOR: serve
use std::time::Duration;

use tidings::web::Lifespan;

pub async fn serve(
    kafka: Kafka,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    let publisher = Publisher::new(&kafka);
    let lifespan = Lifespan::new()
        .publisher(publisher.clone())
        .consumer(consumer(Mailer::default(), &kafka)?)
        .drain(Duration::from_secs(8));
    let router = Router::new()
        .route("/users", post(create_user))
        .with_state(requests(Users, publisher)?)
        .merge(lifespan.health_routes());
    let stopped = lifespan.serve_until(listener, router, shutdown).await?;
    println!("clean: {}", stopped.is_clean());
    Ok(())
}
// ANCHOR_END: serve

#[tokio::test]
async fn the_service_gets_ready_and_stops() {
    let kafka = super::embedded("user-service");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ready = async move {
        let answers = |path: &str| reqwest::get(format!("http://{address}{path}"));
        assert_eq!(answers("/health/live").await.unwrap().status(), 200);
        while answers("/health/ready").await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let served = tokio::time::timeout(Duration::from_secs(30), serve(kafka, listener, ready));
    served.await.unwrap().unwrap();
}
