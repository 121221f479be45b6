//! Handlers: what they get, what they answer, what is around them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tidings::codec::Format;
use tidings::codec::cloudevents::ContentMode;
use tidings::consumer::*;
use tidings::event::{EventId, Flow, Headers, Metadata, Tenant, header};
use tidings::publisher::Publisher;
use tidings::retry::{RetryPolicy, UnknownType};
use tower::timeout::TimeoutLayer;
use tower::{Layer, Service};

use crate::events::{Note, contract, note, topic};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_failed_is_retried_without_those_that_did_not() {
    contract!(Several: "handling.several");
    let kafka = client();
    let seen = Seen::<(&str, u32)>::default();
    let handler = |name: &'static str, fails: u32| {
        let seen = seen.clone();
        move |_: Event<Note<Several>>, Attempt(attempt): Attempt| {
            seen.add((name, attempt));
            let fails = attempt <= fails;
            std::future::ready(if fails { Err(HandlerError::transient(name)) } else { Ok(()) })
        }
    };
    let builder = consumer::<Several>()
        .handle_named("never", handler("never", 0))
        .handle_named("once", handler("once", 1))
        .handle_named("always", handler("always", u32::MAX));
    let running = start(builder, &kafka).await;
    Publisher::new(&kafka).publish(note::<Several>("k", 1)).await.unwrap();
    let counts = running.status().counts();
    eventually("one is dead", SOON, || counts.dead_lettered() == 1).await;
    eventually("two are handled", SOON, || counts.handled() == 2).await;
    let mut all = seen.all();
    all.sort_unstable();
    let always = [("always", 1), ("always", 2), ("always", 3)];
    assert_eq!(all, [&always[..], &[("never", 1), ("once", 1), ("once", 2)]].concat());
    let tier = lies_on(&kafka, &beside::<Several>("retry.50ms")).await;
    let mut names: Vec<_> = tier.iter().map(|r| text(r, header::RETRY_HANDLER)).collect();
    names.sort_unstable();
    assert_eq!(names, ["always", "once"]);
    let dead = lies_on(&kafka, &beside::<Several>("dlq")).await;
    assert_eq!(text(&dead[0], header::RETRY_HANDLER), "always");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_topic_go_to_their_own_handlers_by_name_and_version() {
    contract!(Opened: "handling.account" as "opened");
    contract!(Closed: "handling.account" as "closed");
    contract!(Closed2: "handling.account" as "closed" v 2);
    let kafka = client();
    let (opened, closed) = (Seen::<Note<Opened>>::default(), Seen::<Note<Closed>>::default());
    let closed2 = Seen::<Note<Closed2>>::default();
    let builder = consumer::<Opened>()
        .handle(record::<Opened>)
        .handle(record::<Closed>)
        .handle(record::<Closed2>)
        .state(opened.clone())
        .state(closed.clone())
        .state(closed2.clone());
    let running = start(builder, &kafka).await;
    let publisher = Publisher::new(&kafka);
    publisher.publish(note::<Opened>("a", 1)).await.unwrap();
    publisher.publish(note::<Closed>("a", 2)).await.unwrap();
    publisher.publish(note::<Closed2>("a", 3)).await.unwrap();
    // Where a topic has several events, one that does not say which it is is nobody's.
    let mut plain = written::<Opened>("a", 4);
    plain.headers = Headers::default();
    put(&kafka, &plain).await;
    let counts = running.status().counts();
    eventually("all are done", SOON, || counts.handled() + counts.dead_lettered() == 4).await;
    assert_eq!(opened.all(), [note("a", 1)]);
    assert_eq!(closed.all(), [note("a", 2)]);
    assert_eq!(closed2.all(), [note("a", 3)]);
    assert_eq!(numbers(&lies_on(&kafka, &beside::<Opened>("dlq")).await), [4]);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extractors_give_what_the_record_says() {
    contract!(Extracted: "handling.extracted");
    type Of = Note<Extracted>;
    #[derive(Clone)]
    struct Prefix(&'static str);
    #[allow(clippy::too_many_arguments, reason = "all extractors at once")]
    async fn everything(
        Event(note): Event<Of>,
        metadata: Metadata,
        headers: Headers,
        State(seen): State<Seen<String>>,
        State(Prefix(prefix)): State<Prefix>,
        publisher: Publisher,
        RawRecord(record): RawRecord,
        delivery: Delivery,
    ) -> Result<(), HandlerError> {
        let id = headers.get_str(header::ID).unwrap_or_default();
        assert_eq!((id, delivery.attempt()), (metadata.id.to_string().as_str(), 1));
        assert_eq!(
            record.payload.as_deref(),
            Some(format!(r#"{{"key":"k","n":{}}}"#, note.n).as_bytes())
        );
        assert_eq!((delivery.group(), delivery.handler()), ("handling.extracted", "everything"));
        assert_eq!(delivery.decode::<Of>()?, note);
        seen.add(format!(
            "{prefix} {} {} {} {} {} {}",
            metadata.event_type,
            metadata.version,
            metadata.source,
            publisher.source(),
            record.topic,
            note.n
        ));
        Ok(())
    }
    let kafka = client();
    let seen = Seen::<String>::default();
    let builder =
        consumer::<Extracted>().handle(everything).state(seen.clone()).state(Prefix("saw"));
    let running = start(builder, &kafka).await;
    put(&kafka, &written::<Extracted>("k", 7)).await;
    eventually("it is handled", SOON, || running.status().counts().handled() == 1).await;
    assert_eq!(seen.all(), ["saw noted 1 stranger tests handling.extracted 7"]);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_is_a_handler_under_its_own_name() {
    contract!(Of: "handling.typed");
    struct Welcome(Seen<(String, u32)>);
    impl IntegrationEventHandler<Note<Of>> for Welcome {
        async fn handle(
            &self,
            event: Note<Of>,
            delivery: &Delivery,
        ) -> Result<impl IntoOutcome, HandlerError> {
            self.0.add((delivery.handler().to_owned(), event.n));
            Ok(())
        }
    }
    let kafka = client();
    let seen = Seen::default();
    let running = start(consumer::<Of>().handle(Welcome(seen.clone())), &kafka).await;
    Publisher::new(&kafka).publish(note::<Of>("k", 1)).await.unwrap();
    eventually("it is handled", SOON, || seen.len() == 1).await;
    assert_eq!(seen.all(), [("Welcome".to_owned(), 1)]);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_answers_is_published_with_the_event_as_its_cause() {
    contract!(Cause: "handling.cause");
    contract!(Effect: "handling.effect");
    let kafka = client();
    let effects = Seen::<(u32, Metadata)>::default();
    let cascade = |Event(cause): Event<Note<Cause>>| async move {
        let effects: Vec<Note<Effect>> = (0..3).map(|n| note("e", cause.n * 10 + n)).collect();
        Ok::<_, HandlerError>(effects)
    };
    let look = {
        let effects = effects.clone();
        move |Event(effect): Event<Note<Effect>>, metadata: Metadata| {
            effects.add((effect.n, metadata));
            std::future::ready(Ok::<_, HandlerError>(()))
        }
    };
    let builder = consumer::<Cause>().handle_named("cascade", cascade).handle_named("look", look);
    let running = start(builder, &kafka).await;
    let flow = Flow {
        correlation_id: Some(EventId::parse("the-request").unwrap()),
        tenant: Some(Tenant::new("acme").unwrap()),
        ..Flow::default()
    };
    let published =
        flow.scope(Publisher::new(&kafka).publish(note::<Cause>("k", 4))).await.unwrap();
    eventually("its effects are handled", SOON, || effects.len() == 3).await;
    let effects = effects.all();
    assert_eq!(effects.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [40, 41, 42], "in order");
    for (_, metadata) in effects {
        assert_eq!(metadata.causation_id.as_ref(), Some(&published.id));
        assert_eq!(metadata.correlation_id.to_string(), "the-request");
        assert_eq!(metadata.tenant.as_ref().map(Tenant::as_str), Some("acme"));
        assert_ne!(metadata.id, published.id);
    }
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_effects_cannot_be_published_is_not_handled() {
    contract!(Cause: "handling.barren");
    contract!(Effect: "handling.unpublished");
    let kafka = client();
    let cascade = |Event(cause): Event<Note<Cause>>| async move {
        // A key that is longer than a key can be.
        Ok::<_, HandlerError>(vec![note::<Effect>("fine", 1), note("x".repeat(2_000), cause.n)])
    };
    let none = |_: Event<Note<Effect>>| async { Ok::<_, HandlerError>(()) };
    let builder = consumer::<Cause>().handle_named("cascade", cascade).handle_named("none", none);
    let running = start(builder, &kafka).await;
    Publisher::new(&kafka).publish(note::<Cause>("k", 4)).await.unwrap();
    let counts = running.status().counts();
    eventually("it is dead", SOON, || counts.dead_lettered() == 1).await;
    assert_eq!(counts.handled(), 0, "neither it nor any of its effects");
    let dead = lies_on(&kafka, &beside::<Cause>("dlq")).await;
    assert_eq!(text(&dead[0], header::ERROR_KIND), "permanent");
    assert!(text(&dead[0], header::ERROR_MESSAGE).contains("1,024 bytes"));
    stop(running).await;
}

/// A layer that says when it is entered and left.
#[derive(Clone)]
struct Says(&'static str, Seen<String>);

#[derive(Clone)]
struct Saying<S>(Says, S);

impl<S> Layer<S> for Says {
    type Service = Saying<S>;
    fn layer(&self, inner: S) -> Saying<S> {
        Saying(self.clone(), inner)
    }
}

impl<S> Service<Delivery> for Saying<S>
where
    S: Service<Delivery, Response = Handled>,
    S::Future: Send + 'static,
{
    type Response = Handled;
    type Error = S::Error;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Handled, S::Error>> + Send + 'static>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, delivery: Delivery) -> Self::Future {
        let Says(name, seen) = self.0.clone();
        seen.add(format!("{name} in"));
        let inner = self.1.call(delivery);
        Box::pin(async move {
            let result = inner.await;
            seen.add(format!("{name} out"));
            result
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_layer_is_the_outermost_and_the_handlers_own_error_passes_through() {
    contract!(Layers: "handling.layers");
    let kafka = client();
    let seen = Seen::<String>::default();
    let handler = {
        let seen = seen.clone();
        move |_: Event<Note<Layers>>| {
            seen.add("handler".into());
            std::future::ready(Err::<(), _>(HandlerError::permanent("said by the handler")))
        }
    };
    let builder = consumer::<Layers>()
        .layer(Says("outer", seen.clone()))
        .layer(tower::limit::ConcurrencyLimitLayer::new(1))
        .layer(Says("inner", seen.clone()))
        .handle_named("fails", handler);
    let running = start(builder, &kafka).await;
    Publisher::new(&kafka).publish(note::<Layers>("k", 1)).await.unwrap();
    eventually("it is dead", SOON, || running.status().counts().dead_lettered() == 1).await;
    assert_eq!(seen.all(), ["outer in", "inner in", "handler", "inner out", "outer out"]);
    let dead = lies_on(&kafka, &beside::<Layers>("dlq")).await;
    assert_eq!(text(&dead[0], header::ERROR_KIND), "permanent");
    assert_eq!(text(&dead[0], header::ERROR_MESSAGE), "said by the handler");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layers_own_error_is_a_transient_failure() {
    contract!(Timeout: "handling.timeout");
    let kafka = client();
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = {
        let calls = calls.clone();
        move |_: Event<Note<Timeout>>, Attempt(attempt): Attempt| {
            calls.fetch_add(1, Ordering::SeqCst);
            async move {
                if attempt == 1 {
                    std::future::pending::<()>().await;
                }
                Ok::<_, HandlerError>(())
            }
        }
    };
    let builder =
        consumer::<Timeout>().layer(TimeoutLayer::new(ms(100))).handle_named("slow", handler);
    let running = start(builder, &kafka).await;
    Publisher::new(&kafka).publish(note::<Timeout>("k", 1)).await.unwrap();
    eventually("it is handled", SOON, || running.status().counts().handled() == 1).await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let tier = lies_on(&kafka, &beside::<Timeout>("retry.50ms")).await;
    assert_eq!(text(&tier[0], header::ERROR_KIND), "transient");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structured_records_and_plain_json_are_handled_too() {
    contract!(Modes: "handling.modes");
    let kafka = client();
    let seen = Seen::<(u32, String)>::default();
    let handler = {
        let seen = seen.clone();
        move |Event(note): Event<Note<Modes>>, metadata: Metadata, Attempt(attempt): Attempt| {
            seen.add((note.n, metadata.id.to_string()));
            // Retried once, so that the id has to be the same on the tier.
            std::future::ready(if attempt == 1 {
                Err(HandlerError::transient("again"))
            } else {
                Ok(())
            })
        }
    };
    let running = start(consumer::<Modes>().handle_named("note", handler), &kafka).await;
    let structured =
        Publisher::builder(&kafka, Format::Json).content_mode(ContentMode::Structured).build();
    let published = structured.publish(note::<Modes>("k", 1)).await.unwrap();
    let mut plain = blank(topic::<Modes>());
    plain.payload = Some(r#"{"key":"k","n":2}"#.into());
    let delivered = put(&kafka, &plain).await;
    eventually("both are handled", SOON, || running.status().counts().handled() == 2).await;
    let of = |n| -> Vec<_> {
        seen.all().into_iter().filter(|(m, _)| *m == n).map(|(_, id)| id).collect()
    };
    assert_eq!(of(1), [published.id.to_string(), published.id.to_string()]);
    let place = format!("handling.modes/0/{}", delivered.offset);
    assert_eq!(of(2), [place.clone(), place], "a plain record's id is its place");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_events_are_ignored_or_dead_letters_as_the_policy_says() {
    contract!(Ignored: "handling.ignored");
    contract!(Dead: "handling.unknown_dead");
    let kafka = client();
    let (ignored, dead) = (Seen::<Note<Ignored>>::default(), Seen::<Note<Dead>>::default());
    let first = consumer::<Ignored>().handle(record::<Ignored>).state(ignored.clone());
    let first = start(first.unknown(UnknownType::Ignore), &kafka).await;
    let second = consumer::<Dead>().handle(record::<Dead>).state(dead.clone());
    let second = start(second, &kafka).await;
    let mut strange = written::<Ignored>("k", 1);
    strange.headers.push(header::TYPE, "strange");
    put(&kafka, &strange).await;
    put(&kafka, &written::<Ignored>("k", 2)).await;
    let mut strange = written::<Dead>("k", 1);
    strange.headers.push(header::TYPE, "strange");
    put(&kafka, &strange).await;
    put(&kafka, &written::<Dead>("k", 2)).await;
    eventually("the next ones run", SOON, || ignored.len() == 1 && dead.len() == 1).await;
    assert_eq!(
        (first.status().counts().skipped(), first.status().counts().dead_lettered()),
        (1, 0)
    );
    let letters = lies_on(&kafka, &beside::<Dead>("dlq")).await;
    assert_kept(&strange, &letters[0]);
    assert_eq!(text(&letters[0], header::ERROR_KIND), "unknown");
    assert!(text(&letters[0], header::ERROR_MESSAGE).contains("strange"));
    stop(first).await;
    stop(second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_event_that_must_not_be_passed_over_ends_the_consumer_uncommitted() {
    contract!(Known: "handling.fail");
    contract!(Strange: "handling.fail" as "strange");
    let kafka = client();
    let (known, strange) = (Seen::<Note<Known>>::default(), Seen::<Note<Strange>>::default());
    let builder = consumer::<Known>().handle(record::<Known>).state(known.clone());
    let mut running = start(builder.unknown(UnknownType::Fail), &kafka).await;
    let publisher = Publisher::new(&kafka);
    publisher.publish(note::<Known>("k", 1)).await.unwrap();
    eventually("the first runs", SOON, || known.len() == 1).await;
    publisher.publish(note::<Strange>("k", 2)).await.unwrap();
    publisher.publish(note::<Known>("k", 3)).await.unwrap();
    tokio::time::timeout(SOON, running.ended()).await.expect("the consumer ends by itself");
    let problems = running.status().problems();
    assert!(problems.iter().any(|p| p.contains("ended") && p.contains("strange")), "{problems:?}");
    let report = running.stop(SOON).await;
    assert!(report.failures.iter().any(|why| why.contains("strange")), "{report:?}");

    let builder = consumer::<Known>()
        .handle(record::<Known>)
        .handle(record::<Strange>)
        .state(known.clone())
        .state(strange.clone());
    let running = start(builder, &kafka).await;
    eventually("it comes again", SOON, || strange.len() == 1).await;
    eventually("and what follows", SOON, || known.all().contains(&note("k", 3))).await;
    assert_eq!(known.all().iter().filter(|note| note.n == 1).count(), 1, "what was done is not");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_event_of_another_group_is_skipped() {
    contract!(Shared: "handling.shared");
    let kafka = client();
    let (first, second) = (Seen::<u32>::default(), Seen::<u32>::default());
    let handler = |seen: &Seen<u32>, fails: bool| {
        let seen = seen.clone();
        move |_: Event<Note<Shared>>, Attempt(attempt): Attempt| {
            seen.add(attempt);
            let fails = fails && attempt < 3;
            std::future::ready(if fails { Err(HandlerError::transient("again")) } else { Ok(()) })
        }
    };
    let group = |name: &str| Consumer::builder(name).topics(TOPICS).retry(quick());
    let fails = group("handling.fails").handle_named("handle", handler(&first, true));
    let fails = start(fails, &kafka).await;
    let fine = group("handling.fine").handle_named("handle", handler(&second, false));
    let fine = start(fine, &kafka).await;
    Publisher::new(&kafka).publish(note::<Shared>("k", 1)).await.unwrap();
    eventually("one group retries", SOON, || first.len() == 3).await;
    eventually("the other skips", SOON, || fine.status().counts().skipped() == 2).await;
    eventually("and has handled it", SOON, || fine.status().counts().handled() == 1).await;
    assert_eq!((first.all(), second.all()), (vec![1, 2, 3], vec![1]));
    stop(fails).await;
    stop(fine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tiers_the_first_failure_is_a_dead_letter() {
    contract!(None_: "handling.none");
    let kafka = client();
    let fails = |_: Event<Note<None_>>| async { Err::<(), _>(HandlerError::transient("no")) };
    let builder = consumer::<None_>().handle_named("fails", fails).retry(RetryPolicy::none());
    let running = start(builder, &kafka).await;
    Publisher::new(&kafka).publish(note::<None_>("k", 1)).await.unwrap();
    eventually("it is dead", SOON, || running.status().counts().dead_lettered() == 1).await;
    assert_eq!(running.status().counts().retried(), 0);
    stop(running).await;
}
