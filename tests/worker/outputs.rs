//! What follows from inputs: where it goes, what it carries, and when its input is done.

use bytes::Bytes;
use tidings::Topic;
use tidings::consumer::*;
use tidings::event::{EventId, Flow, TopicName, header};
use tidings::producer::{Message, Producer};
use tidings::publisher::Publisher;
use tidings::transport::memory::{Fault, MemoryBroker};
use tidings::transport::{Received, TopicNeed};
use tidings::worker::{Process, Worker};

use crate::stage::*;

async fn report(Value(visit): Value<Visit>) -> Result<Reported, HandlerError> {
    Ok(Reported { title: format!("report of {}", visit.page), n: visit.n })
}

async fn count(Value(visit): Value<Visit>) -> Result<Option<Counted>, HandlerError> {
    Ok((visit.n > 0).then_some(Counted { n: visit.n }))
}

async fn copy(Value(visit): Value<Visit>) -> Result<Vec<Value<Visit>>, HandlerError> {
    Ok((0..visit.n).map(|n| Value(Visit { n, ..visit.clone() })).collect())
}

fn key(record: &Received) -> Option<&str> {
    record.key.as_deref().map(|key| std::str::from_utf8(key).unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_out_under_its_own_key_with_its_input_as_its_cause() {
    let (broker, client) = stage().await;
    let builder = Worker::builder("reports").input::<Visits>().output::<Reports>().process(report);
    let running = start(builder, &client).await;
    let flow = Flow { correlation_id: Some(EventId::parse("order-7").unwrap()), ..Flow::default() };
    let visits = [visit("home", 1), visit("shop", 2)].map(|v| Message::on::<Visits>(&v).unwrap());
    let ids: Vec<_> = visits.iter().map(|message| message.message_id().to_string()).collect();
    flow.scope(Producer::new(&client).send_all(visits.into())).await.unwrap();
    quiet(&broker).await;
    let out = broker.records(&Reports::NAME);
    assert_eq!(
        out.iter().map(key).collect::<Vec<_>>(),
        [Some("report of home"), Some("report of shop")]
    );
    for (record, id) in out.iter().zip(ids) {
        let said = |name| record.headers.get_str(name);
        assert_eq!(said(header::TYPE), Some("reported"));
        assert_eq!(said(header::CORRELATION_ID), Some("order-7"));
        assert_eq!(said(header::CAUSATION_ID), Some(&*id));
    }
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_key_of_its_own_goes_out_under_its_inputs() {
    let (broker, client) = stage().await;
    let builder = Worker::builder("counts").input::<Visits>().output::<Reports>().process(count);
    let events = start(builder, &client).await;
    send(&client, [visit("home", 0), visit("shop", 1)]).await;
    quiet(&broker).await;
    let out = broker.records(&Reports::NAME);
    assert_eq!(out.len(), 1, "of nothing follows nothing");
    assert_eq!(key(&out[0]), Some("shop"));
    clean(&events.stop(secs(5)).await);

    let (broker, client) = stage().await;
    let builder = Worker::builder("copies").input::<Visits>().output::<Reports>().process(copy);
    let values = start(builder, &client).await;
    send(&client, [visit("home", 3)]).await;
    quiet(&broker).await;
    let out = broker.records(&Reports::NAME);
    assert_eq!(numbers(&out), [0, 1, 2]);
    assert!(out.iter().all(|record| key(record) == Some("home")));
    clean(&values.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn without_an_output_topic_events_and_messages_say_theirs() {
    let (broker, client) = stage().await;
    let builder = Worker::builder("reports").input::<Visits>().process(report);
    let events = start(builder, &client).await;
    let route = |Value(visit): Value<Visit>| async move {
        let name = TopicName::new(format!("page.{}", visit.page))?;
        Ok::<_, HandlerError>(Message::new(name, &visit)?)
    };
    for page in ["home", "shop"] {
        let need: TopicNeed = TopicName::new(format!("page.{page}")).unwrap().into();
        Publisher::prepare_topics(&client, [need], CREATE, secs(1)).await.unwrap();
    }
    let builder = Worker::builder("router").input::<Visits>().process(route);
    let messages = start(builder, &client).await;
    send(&client, [visit("home", 1), visit("shop", 2)]).await;
    quiet(&broker).await;
    assert_eq!(numbers(&broker.records(&Reports::NAME)), [1, 2]);
    let shop = broker.records(&TopicName::from_static("page.shop"));
    assert_eq!((numbers(&shop), key(&shop[0])), (vec![2], Some("shop")));
    clean(&events.stop(secs(5)).await);
    clean(&messages.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_known_at_run_time_are_read_and_written() {
    let (broker, client) = stage().await;
    let out = TopicName::new("reports.eu").unwrap();
    let builder = Worker::builder("copies").input_named(Visits::spec()).output_named(out.clone());
    let running = start(builder.process(copy), &client).await;
    assert!(broker.topics().iter().any(|(name, _)| *name == out), "it is made at start");
    send(&client, [visit("home", 2)]).await;
    quiet(&broker).await;
    assert_eq!(numbers(&broker.records(&out)), [0, 1]);
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn an_output_topic_that_is_not_there_fails_the_start() {
    let (_, client) = stage().await;
    let builder = Worker::builder("copies")
        .input::<Visits>()
        .output_named(TopicName::from_static("nowhere"))
        .process(copy);
    let Err(error) = builder.build(&client).unwrap().start().await else { panic!("it started") };
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_offset_is_committed_only_after_its_output_is_acknowledged() {
    let (broker, client) = stage().await;
    let (faults, seen) = (broker.clone(), Seen::default());
    let noted = seen.clone();
    let work = move |Value(visit): Value<Visit>| {
        // What it answers is sent and never acknowledged.
        if visit.n == 2 {
            faults.inject(Fault::ProduceTimesOut { stored: false });
        }
        noted.add(visit.n);
        async move { Ok::<_, HandlerError>(Counted { n: visit.n }) }
    };
    let builder = Worker::builder("reports").input::<Visits>().output::<Reports>().process(work);
    let running = start(builder, &client).await;
    let committed = || broker.committed("reports", &first(Visits::NAME));
    send(&client, numbered("home", 1..4)).await;
    tokio::time::sleep(secs(20)).await;
    assert_eq!((committed(), running.status().done()), (Some(1), 1));
    quiet(&broker).await;
    assert_eq!((committed(), running.status().done()), (Some(3), 3));
    assert_eq!(seen.all(), [1, 2, 3], "the work is not called again");
    assert_eq!(numbers(&broker.records(&Reports::NAME)), [1, 2, 3]);
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_sends_nothing_to_the_dead_letters() {
    for values in [false, true] {
        let (broker, client) = stage().await;
        let builder = Worker::builder("reports").input::<Visits>().output::<Reports>();
        let running = if values {
            let same = |input: Value<Visit>| async { Ok::<_, HandlerError>(input) };
            start(builder.process(same).max_retries(0), &client).await
        } else {
            start(builder.process(report).max_retries(0), &client).await
        };
        send(&client, numbered("home", 0..5)).await;
        // Longer than a publish may wait, several times.
        broker.inject(Fault::BrokerGone(secs(200)));
        tokio::time::sleep(secs(100)).await;
        assert!(!running.status().is_ready());
        quiet(&broker).await;
        let status = running.status();
        assert_eq!((status.done(), status.failed()), (5, 0));
        let mut out = numbers(&broker.records(&Reports::NAME));
        out.dedup();
        assert_eq!(out, [0, 1, 2, 3, 4], "in the order of their key");
        clean(&running.stop(secs(5)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn work_whose_output_topic_is_gone_is_kept_until_it_is_made_and_not_called_again() {
    for values in [false, true] {
        let (broker, client) = strict();
        let (called, heard) = (Seen::default(), Seen::default());
        let (errors, successes) = (heard.clone(), heard.clone());
        let builder = Worker::builder("reports").input::<Visits>().output::<Reports>();
        let calls = called.clone();
        let builder = if values {
            builder.process(move |Value(visit): Value<Visit>| {
                calls.add(visit.n);
                async { Ok::<_, HandlerError>(Value(visit)) }
            })
        } else {
            builder.process(move |Value(visit): Value<Visit>| {
                calls.add(visit.n);
                async move { Ok::<_, HandlerError>(Counted { n: visit.n }) }
            })
        };
        let builder = builder
            .max_retries(0)
            .on_error(move |failed| {
                errors.add(failed.kind.to_string());
                async {}
            })
            .on_success(move |delivery| {
                successes.add(format!("done {}", delivery.record().offset));
                async {}
            });
        let running = start(builder, &client).await;
        broker.delete_topic(&Reports::NAME);
        send(&client, numbered("home", 0..3)).await;
        tokio::time::sleep(secs(300)).await;
        let problems = running.status().problems().join("; ");
        assert!(problems.contains("what \"reports\" answered cannot be published"), "{problems}");
        assert!(problems.contains("there is no such topic"), "{problems}");
        assert_eq!((called.all(), heard.all()), (vec![0], vec!["outage".to_owned()]));
        assert_eq!(broker.committed("reports", &first(Visits::NAME)), None);
        broker.create_topic(Reports::NAME, one_partition());
        quiet(&broker).await;
        assert_eq!(called.all(), [0, 1, 2], "each once");
        assert_eq!(heard.all(), ["outage", "done 0", "done 1", "done 2"]);
        assert_eq!(numbers(&broker.records(&Reports::NAME)), [0, 1, 2]);
        assert!(running.status().is_ready());
        assert_eq!((running.status().done(), running.status().failed()), (3, 0));
        clean(&running.stop(secs(5)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_that_are_published_again_keep_their_ids() {
    for (values, id) in [(false, header::ID), (true, header::MESSAGE_ID)] {
        let (broker, client) = stage().await;
        let builder = Worker::builder("reports").input::<Visits>().output::<Reports>();
        let faults = broker.clone();
        let fails = move |visit: &Visit| {
            for _ in 0..if visit.n == 2 { 3 } else { 0 } {
                faults.inject(Fault::ProduceTimesOut { stored: true });
            }
        };
        let running = if values {
            let builder = builder.process(move |Value(visit): Value<Visit>| {
                fails(&visit);
                async { Ok::<_, HandlerError>(Value(visit)) }
            });
            start(builder, &client).await
        } else {
            let builder = builder.process(move |Value(visit): Value<Visit>| {
                fails(&visit);
                async move { Ok::<_, HandlerError>(Counted { n: visit.n }) }
            });
            start(builder, &client).await
        };
        send(&client, numbered("home", 1..4)).await;
        quiet(&broker).await;
        let out = broker.records(&Reports::NAME);
        assert_eq!(numbers(&out), [1, 2, 2, 2, 2, 3]);
        let mut ids: Vec<_> =
            out.iter().map(|record| record.headers.get_str(id).unwrap()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 3, "{ids:?}");
        clean(&running.stop(secs(5)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn an_output_that_can_never_be_published_makes_a_dead_letter_of_its_input() {
    let (broker, client) = stage().await;
    let unkeyed = |Value(visit): Value<Visit>| async move {
        Ok::<_, HandlerError>(Reported { title: String::new(), n: visit.n })
    };
    let builder = Worker::builder("reports").input::<Visits>().output::<Reports>().process(unkeyed);
    let running = start(builder, &client).await;
    send(&client, [visit("home", 7)]).await;
    quiet(&broker).await;
    assert_eq!((running.status().done(), running.status().failed()), (0, 1));
    let dead = broker.records(&TopicName::from_static("visits.dlq"));
    assert_eq!(
        (numbers(&dead), dead[0].headers.get_str(header::ERROR_KIND)),
        (vec![7], Some("permanent"))
    );
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn an_inputs_key_that_no_event_can_have_loses_neither_the_order_nor_the_input() {
    let (broker, client) = stage().await;
    let events = Worker::builder("counts").input::<Visits>().output::<Reports>().process(count);
    let events = start(events, &client).await;
    let binary = Bytes::from_static(&[0xff, 0x01]);
    let long = Bytes::from(vec![b'k'; 1_025]);
    for key in [&binary, &long] {
        let message = Message::on::<Visits>(&visit("home", 1)).unwrap().key(key);
        Producer::new(&client).send(message).await.unwrap();
    }
    quiet(&broker).await;
    assert!(broker.records(&Reports::NAME).is_empty());
    let dead = broker.records(&TopicName::from_static("visits.dlq"));
    let said = |at: usize| dead[at].headers.get_str(header::ERROR_MESSAGE).unwrap();
    assert!(said(0).contains("it is not UTF-8; give the output's type a key"), "{}", said(0));
    assert!(said(1).contains("has at most 1,024 bytes"), "{}", said(1));
    let keys: Vec<_> = dead.iter().map(|record| record.key.clone()).collect();
    assert_eq!(keys, [Some(binary.clone()), Some(long.clone())]);
    clean(&events.stop(secs(5)).await);

    let (broker, client) = stage().await;
    let values = Worker::builder("copies").input::<Visits>().output::<Reports>().process(copy);
    let values = start(values, &client).await;
    let message = Message::on::<Visits>(&visit("home", 1)).unwrap().key(&binary);
    Producer::new(&client).send(message).await.unwrap();
    quiet(&broker).await;
    assert_eq!(broker.records(&Reports::NAME)[0].key, Some(binary), "plain records have any key");
    clean(&values.stop(secs(5)).await);
}

/// A worker that is a type.
struct Reporter {
    prefix: &'static str,
    heard: Seen<String>,
}

impl Process for Reporter {
    type Input = Value<Visit>;
    type Output = Reported;

    async fn process(
        &self,
        Value(visit): Value<Visit>,
        delivery: &Delivery,
    ) -> Result<Reported, HandlerError> {
        if visit.n == 0 && delivery.attempt() == 1 {
            return Err(HandlerError::permanent("nothing to report"));
        }
        Ok(Reported { title: format!("{} {}", self.prefix, visit.page), n: visit.n })
    }

    async fn on_error(&self, error: &HandlerError, _: &Delivery) {
        self.heard.add(format!("{}: {}", error.kind(), error.message()));
    }

    async fn on_success(&self, delivery: &Delivery) {
        self.heard.add(format!("done {}", delivery.record().offset));
    }
}

#[tokio::test(start_paused = true)]
async fn a_type_that_is_a_worker_hears_of_its_failures_and_successes() {
    let (broker, client) = stage().await;
    let heard = Seen::default();
    let reporter = Reporter { prefix: "visits of", heard: heard.clone() };
    let builder = Worker::builder("reports").input::<Visits>().output::<Reports>();
    let running = start(builder.process(reporter), &client).await;
    send(&client, [visit("home", 1), visit("home", 0)]).await;
    quiet(&broker).await;
    assert_eq!(key(&broker.records(&Reports::NAME)[0]), Some("visits of home"));
    assert_eq!(heard.all(), ["done 0", "permanent: nothing to report"]);
    clean(&running.stop(secs(5)).await);
}

const ELSEWHERE: TopicName = TopicName::from_static("reports.elsewhere");

/// A message says its topic only when it is there.
async fn forward(Value(visit): Value<Visit>) -> Result<Message, HandlerError> {
    Ok(Message::new(ELSEWHERE, &Counted { n: visit.n })?)
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_a_worker_says_it_writes_to_is_made_at_start() {
    let (broker, client) = stage().await;
    let made = |broker: &MemoryBroker| broker.topics().iter().any(|(name, _)| *name == ELSEWHERE);
    assert!(!made(&broker));
    let builder = Worker::builder("messages").input::<Visits>().process(forward);
    let running = start(builder.writes([ELSEWHERE]), &client).await;
    assert!(made(&broker));
    send(&client, [visit("home", 1)]).await;
    quiet(&broker).await;
    assert_eq!(numbers(&broker.records(&ELSEWHERE)), [1]);
    clean(&running.stop(secs(5)).await);
}
