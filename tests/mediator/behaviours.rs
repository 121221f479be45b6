//! Behaviours: their order, those built in, and those of users.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::mediator::{
    Behaviour, Context, Mediator, Next, Request, RequestHandler, SendError, Timeout, Tracing,
    Validation,
};
use tracing_subscriber::layer::SubscriberExt;

use crate::users::*;

/// Writes down when it saw a request and its outcome.
struct Log(&'static str, Arc<Mutex<Vec<String>>>);

impl Behaviour for Log {
    async fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> Result<R::Response, SendError<R>> {
        self.1.lock().unwrap().push(format!("{} before", self.0));
        let result = next.run(request, cx).await;
        self.1.lock().unwrap().push(format!(
            "{} after, {}",
            self.0,
            result.as_ref().err().map_or("ok", |e| e.kind())
        ));
        result
    }
}

/// Lets nobody in who left no name, and tells the handler who it is.
struct Guard(Option<&'static str>);

#[derive(Debug, thiserror::Error)]
#[error("nobody is signed in")]
struct NotSignedIn;

impl Behaviour for Guard {
    async fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> Result<R::Response, SendError<R>> {
        let name = self.0.ok_or_else(|| SendError::Behaviour(NotSignedIn.into()))?;
        cx.insert(name);
        next.run(request, cx).await
    }
}

struct WhoAmI;

impl Request for WhoAmI {
    type Response = &'static str;
    type Error = ();
}

struct WhoAmIHandler;

impl RequestHandler<WhoAmI> for WhoAmIHandler {
    async fn handle(&self, _: WhoAmI, cx: &mut Context) -> Result<&'static str, ()> {
        cx.get::<&'static str>().copied().ok_or(())
    }
}

#[tokio::test]
async fn the_first_behaviour_is_the_outermost() {
    let log = Arc::default();
    let mediator = Mediator::builder()
        .behaviour(Log("a", Arc::clone(&log)))
        .behaviour(Log("b", log.clone()))
        .behaviour(Log("c", log.clone()))
        .handler(CreateUserHandler)
        .handlers::<(FindUser, Touch), _>(Users)
        .build()
        .unwrap();
    mediator.send(create("ada")).await.unwrap();
    let ok = ["a before", "b before", "c before", "c after, ok", "b after, ok", "a after, ok"];
    assert_eq!(std::mem::take(&mut *log.lock().unwrap()), ok);
    mediator.send(FindUser(1)).await.unwrap();
    assert_eq!(std::mem::take(&mut *log.lock().unwrap()), ok, "each handler has them all");
    mediator.send(create("taken")).await.unwrap_err();
    assert_eq!(
        log.lock().unwrap()[3..],
        ["c after, handler", "b after, handler", "a after, handler"]
    );
}

#[tokio::test]
async fn a_behaviour_can_refuse_a_request_and_leave_values_for_the_handler() {
    let who =
        |name| Mediator::builder().behaviour(Guard(name)).handler(WhoAmIHandler).build().unwrap();
    assert_eq!(who(Some("ada")).send(WhoAmI).await.unwrap(), "ada");
    let error = who(None).send(WhoAmI).await.unwrap_err();
    let SendError::Behaviour(cause) = &error else { panic!("{error:?}") };
    assert!(cause.is::<NotSignedIn>());
}

#[tokio::test]
async fn an_invalid_request_never_reaches_its_handler_and_says_what_is_wrong() {
    let log = Arc::default();
    let mediator = Mediator::builder()
        .behaviour(Validation)
        .behaviour(Log("inside", Arc::clone(&log)))
        .handler(CreateUserHandler)
        .build()
        .unwrap();
    let error = mediator.send(create("")).await.unwrap_err();
    assert!(error.is_invalid());
    let SendError::Invalid(errors) = &error else { panic!("{error:?}") };
    assert_eq!(errors.violations()[0].field, "name");
    assert_eq!(tidings::error::chain(&error), "the request is not valid: name: must not be empty");
    assert!(log.lock().unwrap().is_empty());
    mediator.send(create("ada")).await.unwrap();
}

#[tokio::test]
async fn without_the_behaviour_nothing_is_validated() {
    let mediator = Mediator::builder().handler(CreateUserHandler).build().unwrap();
    mediator.send(create("")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_dropped_and_what_it_raised_is_forgotten() {
    let bound = Duration::from_secs(5);
    let mediator =
        Mediator::builder().behaviour(Timeout(bound)).handler(CreateUserHandler).build().unwrap();
    let mut cx = Context::new();
    let error = mediator.send_in(create("slow"), &mut cx).await.unwrap_err();
    assert!(error.is_timed_out());
    assert_eq!(error.to_string(), "the request took longer than 5s and was dropped");
    assert!(cx.raised().is_empty());
    mediator.send(create("ada")).await.unwrap();
}

#[test]
fn a_request_is_traced_in_a_span_that_has_its_name_and_outcome() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mediator =
                Mediator::builder().behaviour(Tracing).handler(CreateUserHandler).build().unwrap();
            mediator.send(create("ada")).await.unwrap();
            mediator.send(create("taken")).await.unwrap_err();
        });
    });
    assert_eq!(
        *spans.0.lock().unwrap(),
        [
            "send otel.name=send CreateUser request=CreateUser",
            "outcome=ok",
            "send otel.name=send CreateUser request=CreateUser",
            "outcome=handler",
        ]
    );
}

/// Writes down spans and what is recorded in them.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let gap = if self.0.is_empty() { "" } else { " " };
        self.0 += &format!("{gap}{field}={value:?}");
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::Id,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let mut fields = Fields(attributes.metadata().name().to_owned());
        attributes.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn on_record(
        &self,
        _: &tracing::Id,
        values: &tracing::span::Record<'_>,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let mut fields = Fields(String::new());
        values.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
}
