//! A state topic, its view behind an HTTP route, and who writes to it.

use std::sync::Arc;
use std::time::Duration;

use tidings::error::BoxError;
use tidings::event::TopicName;
use tidings::producer::Producer;
use tidings::publisher::Publisher;
use tidings::transport::TopicSetup;
use tidings::transport::kafka::Kafka;

// ANCHOR: topic
use serde::{Deserialize, Serialize};
use tidings::Topic;

/// What each user's profile is now, by user.
#[derive(Topic)]
#[topic(kind = state, name = "crm.profiles", carries(Profile), replication = auto)]
pub struct Profiles;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub name: String,
    pub plan: String,
}
// ANCHOR_END: topic

// ANCHOR: serve
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use tidings::state::{StateView, StateWriter};
use tidings::web::Lifespan;
use tokio::net::TcpListener;

#[derive(Clone)]
struct App {
    profiles: StateView<Profiles, Profile>,
    writer: StateWriter<Profiles, Profile>,
}

async fn show(
    State(app): State<App>,
    Path(user): Path<String>,
) -> Result<Json<Profile>, StatusCode> {
    let profile = app.profiles.get(&user).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(Profile::clone(&profile)))
}

async fn save(
    State(app): State<App>,
    Path(user): Path<String>,
    Json(profile): Json<Profile>,
) -> Result<StatusCode, StatusCode> {
    let unavailable = |_| StatusCode::SERVICE_UNAVAILABLE;
    let at = app.writer.put(&user, &profile).await.map_err(unavailable)?;
    // Who asks this process next sees what was written.
    app.profiles.reached(&at).await.map_err(|_| StatusCode::ACCEPTED)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn forget(
    State(app): State<App>,
    Path(user): Path<String>,
) -> Result<StatusCode, StatusCode> {
    app.writer.remove(&user).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn serve(
    kafka: Kafka,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    let create = TopicSetup::Create { partitions: None, replication: None };
    let profiles = StateView::builder().topics(create).start(&kafka).await?;
    let producer = Producer::new(&kafka);
    let app = App { profiles: profiles.clone(), writer: StateWriter::new(producer.clone()) };
    // Readiness is red until the view has caught up.
    let lifespan = Lifespan::new().producer(producer).state_view(&profiles);
    let router = Router::new()
        .route("/profiles/{user}", get(show).put(save).delete(forget))
        .with_state(app)
        .merge(lifespan.health_routes());
    lifespan.serve_until(listener, router, shutdown).await?;
    Ok(())
}
// ANCHOR_END: serve

// ANCHOR: view
use tidings::state::{StateChange, Unreadable};

pub async fn premium(kafka: &Kafka) -> Result<usize, BoxError> {
    let profiles = StateView::<Profiles, Profile>::builder()
        .max_memory(64 * 1024 * 1024)
        .unreadable(Unreadable::Stop)
        .start(kafka)
        .await?;
    profiles.caught_up().await?;
    let premium = |(_, profile): &(_, Arc<Profile>)| profile.plan == "premium";
    Ok(profiles.snapshot().iter().filter(|entry| premium(entry)).count())
}

pub async fn follow(profiles: &StateView<Profiles, Profile>) {
    // First the changes, then what is there: so that nothing lies between the two.
    let mut changes = profiles.changes();
    println!("{} profiles", profiles.len());
    while let Some(change) = changes.next().await {
        match change {
            StateChange::Put { key, value } => println!("{key} is {}", value.name),
            StateChange::Removed { key } => println!("{key} is gone"),
            // The view itself has all of them.
            other => println!("look at the view again: {other:?}"),
        }
    }
}
// ANCHOR_END: view

// ANCHOR: named
use tidings::state::AnyTopic;

pub async fn named(kafka: &Kafka, topic: TopicName) -> Result<(), BoxError> {
    let profiles: StateView<AnyTopic, Profile> =
        StateView::named(topic.clone()).start(kafka).await?;
    let writer = StateWriter::named(Producer::new(kafka), topic);
    let at = writer.put("user-7", &Profile { name: "Ada".into(), plan: "free".into() }).await?;
    profiles.reached(&at).await?;
    Ok(())
}
// ANCHOR_END: named

#[tokio::test]
async fn a_profile_is_written_and_read_over_http() {
    let kafka = super::embedded("crm");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let used = async move {
        let at = |path: &str| format!("http://{address}{path}");
        while reqwest::get(at("/health/ready")).await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (http, ada) = (reqwest::Client::new(), at("/profiles/user-7"));
        assert_eq!(reqwest::get(&ada).await.unwrap().status(), 404);
        let profile = r#"{"name":"Ada","plan":"premium"}"#;
        let put = http.put(&ada).header("content-type", "application/json").body(profile);
        assert_eq!(put.send().await.unwrap().status(), 204);
        assert_eq!(reqwest::get(&ada).await.unwrap().text().await.unwrap(), profile);
        assert_eq!(http.delete(&ada).send().await.unwrap().status(), 204);
        while reqwest::get(&ada).await.unwrap().status() != 404 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let served =
        tokio::time::timeout(Duration::from_secs(60), serve(kafka.clone(), listener, used));
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_view_counts_and_a_topic_is_named_at_run_time() {
    let kafka = super::embedded("crm");
    let create = TopicSetup::Create { partitions: None, replication: None };
    Publisher::prepare_topics(&kafka, [Profiles::spec()], create, Duration::from_secs(30))
        .await
        .unwrap();
    let writer = StateWriter::<Profiles, Profile>::new(Producer::new(&kafka));
    for (user, plan) in [("1", "premium"), ("2", "free"), ("3", "premium")] {
        writer.put(user, &Profile { name: user.into(), plan: plan.into() }).await.unwrap();
    }
    assert_eq!(premium(&kafka).await.unwrap(), 2);
    named(&kafka, Profiles::NAME).await.unwrap();
}
