//! The failure path itself fails (reliability row 15): nothing is lost, doubled or passed over.

use std::time::Duration;

use tidings::consumer::*;
use tidings::event::header;
use tidings::publisher::Publisher;
use tidings::transport::Received;
use tidings::transport::kafka::{EmbeddedBroker, KafkaConfig};
use tokio::sync::watch;

use crate::events::{Contract, Note, contract, note, topic};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

/// Gives up on a record soon, and on a silent member late.
fn impatient() -> KafkaConfig {
    let second = Duration::from_secs(1);
    config().message_timeout(second).delivery_wait(second).session_timeout(Duration::from_secs(30))
}

/// What the handlers of these tests see, and what lets them go on.
struct Stage {
    seen: Seen<(u32, u32)>,
    go: watch::Sender<bool>,
}

/// A handler that fails at event 1's first attempt, once it may go on.
fn gated<C: Contract>(builder: ConsumerBuilder, permanent: bool) -> (ConsumerBuilder, Stage) {
    let stage = Stage { seen: Seen::default(), go: watch::Sender::new(false) };
    let (seen, go) = (stage.seen.clone(), stage.go.subscribe());
    let handler = move |Event(note): Event<Note<C>>, Attempt(attempt): Attempt| {
        let mut go = go.clone();
        seen.add((note.n, attempt));
        async move {
            if note.n != 1 || attempt > 1 {
                return Ok(());
            }
            go.wait_for(|go| *go).await.unwrap();
            let error = if permanent { HandlerError::permanent } else { HandlerError::transient };
            Err(error("it fails while nothing takes it"))
        }
    };
    (builder.handle_named("fails", handler), stage)
}

/// A broker that denies the first tier to everybody, from before any client asks.
fn denying<C: Contract>() -> EmbeddedBroker {
    let broker = EmbeddedBroker::start().unwrap();
    let beside = ["retry.50ms", "retry.100ms", "dlq", "quarantine"].map(beside::<C>);
    for name in beside.iter().chain([&topic::<C>()]) {
        broker.create_topic(name, 2).unwrap();
    }
    broker.deny_topic(&beside[0], true).unwrap();
    broker
}

fn of_event(records: &[Received], n: u64) -> usize {
    numbers(records).into_iter().filter(|number| *number == n).count()
}

fn is_stuck(running: &RunningConsumer, partition: &str) -> bool {
    let problems = running.status().problems();
    problems
        .iter()
        .any(|problem| problem.contains(partition) && problem.contains("cannot be moved"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_retry_topic_pauses_its_partition_says_so_and_heals_by_itself() {
    contract!(Denied: "blocked.denied");
    let broker = denying::<Denied>();
    let kafka = client_of(&broker, impatient());
    let (builder, stage) = gated::<Denied>(consumer::<Denied>(), false);
    let running = start(builder, &kafka).await;
    stage.go.send_replace(true);
    put(&kafka, &written::<Denied>("k", 1)).await;
    eventually("a problem names the partition", SOON, || is_stuck(&running, "blocked.denied/0"))
        .await;
    assert!(!running.status().is_ready());
    let first = until_paused::<Denied>(&kafka, &running, &stage.seen).await;
    assert!(is_stuck(&running, "blocked.denied/0"));
    assert_eq!(running.status().counts().retried(), 0);

    broker.deny_topic(&beside::<Denied>("retry.50ms"), false).unwrap();
    eventually("the event is retried", SOON, || stage.seen.all().contains(&(1, 2))).await;
    eventually("the partition goes on", SOON, || stage.seen.all().contains(&(first + 3, 1))).await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;
    stop(running).await;
    assert_eq!(of_event(&lies_on(&kafka, &beside::<Denied>("retry.50ms")).await, 1), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_topic_that_cannot_store_for_a_while_gets_the_event_exactly_once() {
    contract!(Failing: "blocked.failing");
    let broker = EmbeddedBroker::start().unwrap();
    let kafka = client_of(&broker, impatient());
    let (builder, stage) = gated::<Failing>(consumer::<Failing>(), false);
    let running = start(builder, &kafka).await;
    put(&kafka, &written::<Failing>("k", 1)).await;
    put(&kafka, &written::<Failing>("k", 2)).await;
    eventually("event 1 is begun", SOON, || stage.seen.len() == 1).await;
    broker.fail_produce(12);
    stage.go.send_replace(true);
    eventually("a problem names the partition", SOON, || is_stuck(&running, "blocked.failing/0"))
        .await;
    assert_eq!(stage.seen.all(), [(1, 1)], "its key waits");
    eventually("both are handled", SOON, || running.status().counts().handled() == 2).await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;
    stop(running).await;
    assert_eq!(of_event(&lies_on(&kafka, &beside::<Failing>("retry.50ms")).await, 1), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_waits_for_a_broker_that_is_away_and_is_written_exactly_once() {
    contract!(Away: "blocked.away");
    let broker = EmbeddedBroker::start().unwrap();
    let kafka = client_of(&broker, impatient());
    let (builder, stage) = gated::<Away>(consumer::<Away>(), true);
    let running = start(builder, &kafka).await;
    put(&kafka, &written::<Away>("k", 1)).await;
    eventually("event 1 is begun", SOON, || stage.seen.len() == 1).await;
    broker.go_away().unwrap();
    stage.go.send_replace(true);
    eventually("a problem names the partition", SOON, || is_stuck(&running, "blocked.away/0"))
        .await;
    assert!(!running.status().is_ready());
    assert_eq!(running.status().counts().dead_lettered(), 0);
    broker.come_back().unwrap();
    eventually("it is dead", SOON, || running.status().counts().dead_lettered() == 1).await;
    put(&kafka, &written::<Away>("k", 2)).await;
    eventually("the partition goes on", SOON, || stage.seen.all().contains(&(2, 1))).await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;
    assert_eq!(stage.seen.all(), [(1, 1), (2, 1)]);
    stop(running).await;
    let dead = lies_on(&kafka, &beside::<Away>("dlq")).await;
    assert_eq!(of_event(&dead, 1), 1);
    assert_eq!(text(&dead[0], header::ERROR_KIND), "permanent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_could_not_be_moved_is_named_at_the_stop_and_comes_again() {
    contract!(Kept: "blocked.kept");
    let broker = denying::<Kept>();
    let soon = Duration::from_secs(2);
    let kafka = client_of(&broker, impatient().session_timeout(soon));
    let (builder, stage) = gated::<Kept>(consumer::<Kept>(), false);
    let running = start(builder, &kafka).await;
    let record = written::<Kept>("k", 1);
    put(&kafka, &record).await;
    put(&kafka, &written::<Kept>("other", 2)).await;
    eventually("both are begun", SOON, || stage.seen.len() == 2).await;
    stage.go.send_replace(true);
    eventually("event 1 is stuck", SOON, || is_stuck(&running, "blocked.kept/0")).await;
    let report = running.stop(SOON).await;
    assert_eq!(report.unfinished, [record.headers.get_str(header::ID).unwrap()]);

    broker.deny_topic(&beside::<Kept>("retry.50ms"), false).unwrap();
    let (builder, again) = gated::<Kept>(consumer::<Kept>(), false);
    again.go.send_replace(true);
    // A client of its own, as after a restart.
    let kafka = client_of(&broker, impatient().session_timeout(soon));
    let running = start(builder, &kafka).await;
    eventually("the event is retried", SOON, || again.seen.all().contains(&(1, 2))).await;
    assert!(again.seen.all().contains(&(1, 1)), "it came again from the main topic");
    stop(running).await;
    assert_eq!(of_event(&lies_on(&kafka, &beside::<Kept>("retry.50ms")).await, 1), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_topic_that_is_denied_waits_until_it_is_allowed_and_the_handler_ran_once() {
    contract!(Cause: "blocked.cause");
    contract!(Effect: "blocked.effect");
    let broker = EmbeddedBroker::start().unwrap();
    let effects = topic::<Effect>();
    broker.create_topic(&effects, 2).unwrap();
    broker.deny_topic(&effects, true).unwrap();
    let kafka = client_of(&broker, impatient());
    let seen = Seen::default();
    let calls = seen.clone();
    let answer = move |Event(cause): Event<Note<Cause>>, Attempt(attempt): Attempt| {
        calls.add((cause.n, attempt));
        std::future::ready(Ok::<_, HandlerError>(note::<Effect>(&cause.key, cause.n)))
    };
    let publisher = Publisher::new(&kafka);
    let builder = consumer::<Cause>().handle_named("answers", answer).publisher(publisher.clone());
    let running = start(builder, &kafka).await;
    put(&kafka, &written::<Cause>("k", 1)).await;
    let told = || {
        let problems = running.status().problems().join("; ");
        problems.contains("what \"answers\" answered cannot be published")
            && problems.contains("nothing can be written to blocked.effect")
    };
    eventually("a problem says so", SOON, told).await;
    put(&kafka, &written::<Cause>("k", 2)).await;
    eventually("it is tried again", SOON, || publisher.counts().failed() >= 3).await;
    assert!(told() && !running.status().is_ready());
    assert_eq!(seen.all(), [(1, 1)], "its key waits");

    broker.deny_topic(&effects, false).unwrap();
    eventually("both are handled", SOON, || running.status().counts().handled() == 2).await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;
    assert_eq!(seen.all(), [(1, 1), (2, 1)]);
    let counts = running.status().counts();
    assert_eq!((counts.retried(), counts.dead_lettered(), counts.dropped()), (0, 0, 0));
    stop(running).await;
    assert_eq!(numbers(&lies_on(&kafka, &effects).await), [1, 2]);
}
