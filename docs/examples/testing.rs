//! Testing a service.

// ANCHOR: begin
use std::path::Path;
use std::time::Duration;

use tidings::IntegrationEvent;
use tidings::consumer::{BuildError, Consumer};
use tidings::error::BoxError;
use tidings::event::TopicName;
use tidings::retry::RetryPolicy;
use tidings::transport::memory::{Fault, FaultPlan};
use uuid::Uuid;

use super::consuming::{Mailer, welcome};
use super::contracts::UserCreated;
use super::mapping::{UserRegistered, event_mapper};
use super::mediator::{CreateUser, CreateUserHandler, Users};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn user(email: &str) -> UserCreated {
    UserCreated { user_id: Uuid::now_v7(), email: email.into() }
}

// ANCHOR_END: begin

// ANCHOR: any
use tidings::transport::Transport;

/// Of Kafka in production, of the kit in tests.
pub fn consumer<T: Transport + Clone>(
    mailer: Mailer,
    transport: &T,
) -> Result<Consumer, BuildError> {
    Consumer::builder("email-service").handle(welcome).state(mailer).build(transport)
}
// ANCHOR_END: any

// ANCHOR: first
use tidings::testing::TestKit;

#[tokio::test(start_paused = true)]
async fn a_new_user_is_greeted() {
    let kit = TestKit::new();
    kit.start(consumer(Mailer::default(), &kit.transport("email-service")).unwrap()).await;
    kit.publish(user("ada@example.org")).await;
    kit.settled().await;
    kit.expect::<UserCreated>().published(1).handled_by("welcome", 1);
}
// ANCHOR_END: first

// ANCHOR: worker
use tidings::producer::{Message, Producer};

use super::workers::{PageRead, Visit, Visits, reports};

#[tokio::test(start_paused = true)]
async fn a_visit_of_some_length_is_reported() {
    let kit = TestKit::new();
    kit.start(reports(&kit.transport("page-reports")).unwrap()).await;
    let site = Producer::new(&kit.transport("site"));
    for seconds in [3, 45] {
        let visit = Visit { page: "/prices".into(), seconds };
        site.send(Message::on::<Visits>(&visit).unwrap().key("/prices")).await.unwrap();
    }
    kit.settled().await;
    kit.expect::<PageRead>().published(1);
}
// ANCHOR_END: worker

// ANCHOR: retries
#[tokio::test(start_paused = true)]
async fn a_mail_that_is_refused_each_time_becomes_a_dead_letter_after_eleven_minutes() {
    let kit = TestKit::new();
    kit.start(consumer(Mailer::default(), &kit.transport("email-service")).unwrap()).await;
    kit.publish(user("refused@example.org")).await;
    kit.settled().await; // at once
    kit.expect::<UserCreated>()
        .handled_by("welcome", 0)
        .retried_after("welcome", [secs(5), secs(60), secs(600)])
        .dead_lettered(1, "the address is refused");
}
// ANCHOR_END: retries

#[tokio::test(start_paused = true)]
async fn the_failure_that_the_book_shows_is_what_the_kit_says() {
    let kit = TestKit::new();
    let transport = kit.transport("email-service");
    let consumer = Consumer::builder("email-service")
        .handle(welcome)
        .state(Mailer::default())
        .retry(RetryPolicy::tiers([secs(5)]).immediate(0))
        .build(&transport);
    kit.start(consumer.unwrap()).await;
    let mut ada = user("refused@example.org");
    ada.user_id = Uuid::nil();
    kit.publish(ada).await;
    kit.settled().await;
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        kit.expect::<UserCreated>().handled_by("welcome", 1);
    }));
    let said = failed.unwrap_err().downcast::<String>().unwrap();
    let id = kit.published::<UserCreated>()[0].metadata.id.to_string();
    let said = said.replace(&id[id.len() - 6..], "d41c0e");
    let page = include_str!("../src/testing.md");
    assert!(page.contains(&format!("```text\n{said}```")), "{said}");
}

// ANCHOR: scenario
use tidings::mediator::{Mediator, Validation};
use tidings::testing::Scenario;

#[tokio::test]
async fn who_signs_up_is_announced() {
    let scenario = Scenario::given(async |recorder| {
        let handler = CreateUserHandler { users: Users };
        let mediator = Mediator::builder().behaviour(Validation).handler(handler).build().unwrap();
        mediator.publishing(event_mapper().unwrap(), recorder)
    })
    .await;

    let sent = scenario.when(CreateUser { email: "ada@example.org".into() }).await;
    let user_id = *sent.response();
    sent.then_published(UserCreated { user_id, email: "ada@example.org".into() });

    let nobody = CreateUser { email: "nobody".into() };
    scenario.when(nobody).await.then_failed(|error| error.is_invalid());
}

#[test]
fn a_registration_becomes_the_contract_that_others_read() {
    let id = Uuid::now_v7();
    Scenario::mapping(event_mapper().unwrap())
        .when_raised(UserRegistered { id, email: "ada@example.org".into() })
        .then_published(UserCreated { user_id: id, email: "ada@example.org".into() });
}
// ANCHOR_END: scenario

// ANCHOR: held
use tidings::testing::hold_time;

/// Asks a database whose driver works on a thread of its own.
async fn asked<F: Future>(database: F) -> F::Output {
    hold_time(database).await
}
// ANCHOR_END: held

// ANCHOR: fixture
use tidings::testing::Fixture;
use tidings::transport::{SourceEvent, Subscription};

/// Writes down what lies on a topic, one file for each record. It commits nothing.
pub async fn record(
    transport: &impl Transport,
    topic: TopicName,
    folder: &Path,
) -> Result<(), BoxError> {
    let mut source = transport.subscribe(Subscription {
        group: "fixtures".into(),
        topics: vec![topic],
        followers: Vec::new(),
        revoke_wait: secs(1),
        kept: None,
        ends: false,
    })?;
    while let Some(event) = source.events.recv().await {
        let SourceEvent::Records(batch) = event else { continue };
        for record in batch.records {
            let name = format!("{}-{}-{}.json", record.topic, record.partition, record.offset);
            tokio::fs::write(folder.join(name), Fixture::of(&record).to_json()).await?;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_event_that_made_trouble_in_production_does_so_no_more() -> Result<(), BoxError> {
    let kit = TestKit::new();
    kit.start(consumer(Mailer::default(), &kit.transport("email-service"))?).await;
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/testing-fixture.json");
    kit.replay(&Fixture::load(fixture)?).await;
    kit.settled().await;
    kit.expect::<UserCreated>().handled_by("welcome", 1).quarantined(0, "");
    Ok(())
}
// ANCHOR_END: fixture

// ANCHOR: faults
#[tokio::test(start_paused = true)]
async fn nobody_goes_without_a_mail_when_the_broker_fails() {
    let kit = TestKit::new();
    kit.start(consumer(Mailer::default(), &kit.transport("email-service")).unwrap()).await;
    kit.broker().inject(Fault::AcknowledgementLost);
    kit.broker().plan(&FaultPlan::none().at(secs(1), Fault::BrokerGone(secs(20))));
    for email in ["ada@example.org", "grace@example.org"] {
        kit.publish(user(email)).await;
        tokio::time::sleep(secs(2)).await; // of virtual time
    }
    kit.settled().await;
    kit.expect::<UserCreated>().published(2).handled_by("welcome", 2);
}
// ANCHOR_END: faults

#[tokio::test]
async fn what_is_recorded_is_written_and_what_is_held_is_answered() {
    let kit = TestKit::new();
    kit.publish(user("ada@example.org")).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(Uuid::now_v7().to_string());
    std::fs::create_dir(&folder).unwrap();
    let files = || std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let transport = kit.transport("fixtures");
    let written = async {
        while files().next().is_none_or(|file| Fixture::load(file).is_err()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = record(&transport, UserCreated::topics().remove(0), &folder) => ended.unwrap(),
        () = written => {}
    }
    assert_eq!(files().count(), 1);
    assert_eq!(asked(async { 1 }).await, 1);
    assert!(kit.broker().records(&TopicName::from_static("nothing")).is_empty());
}
