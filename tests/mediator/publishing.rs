//! The decorator: what is published, in which order, and what is not.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidings::codec::EnvelopeError;
use tidings::event::{EventId, Flow, Source, Tenant};
use tidings::mapper::MapError;
use tidings::mediator::{
    Behaviour, Context, EventPublisher, Mediate, Mediator, Next, Publishing, Request,
    RequestHandler, SendError, Timeout,
};
use tidings::{Command, IntegrationEvent};
use tokio::time::timeout;

use crate::users::*;

type Users = Publishing<Mediator, Arc<Recorder>>;

fn users(recorder: Recorder) -> (Users, Arc<Recorder>) {
    let recorder = Arc::new(recorder);
    let mediator = Mediator::builder()
        .behaviour(Timeout(Duration::from_secs(60)))
        .handler(CreateUserHandler)
        .handlers::<(FindUser, Touch), _>(crate::users::Users)
        .build()
        .unwrap();
    (mediator.publishing(mapper(), recorder.clone()), recorder)
}

#[tokio::test]
async fn after_a_command_succeeded_its_events_are_published_in_order_with_one_call() {
    let (users, recorder) = users(Recorder::default());
    let user = users.send(create("listed")).await.unwrap();
    assert_eq!(user.name, "listed");
    assert!(user.events.is_empty(), "they were taken from the response");
    assert_eq!(
        shown(&recorder.only_call()),
        [
            r#"user_created {"name":"listed"}"#,        // raised
            r#"mailing_list_changed null"#,             // published by the handler
            r#"user_created {"name":"listed's twin"}"#, // domain event of the response
            r#"mailing_list_changed null"#,             // integration event of the response
        ]
    );
}

#[tokio::test]
async fn an_envelope_says_all_about_its_event() {
    let (users, recorder) = users(Recorder::default());
    users.send(create("ada")).await.unwrap();
    let events = recorder.only_call();
    let created = &events[0];
    assert_eq!(created.topic, UserCreated::topics()[0]);
    assert_eq!(created.key.as_ref().unwrap().as_str(), "ada");
    assert_eq!(created.event.content_type, "application/json");
    assert_eq!(created.metadata.source, Source::new("user-service").unwrap());
    assert_eq!(created.metadata.subject.as_ref().unwrap().as_str(), "ada");
    assert_eq!(created.metadata.version, 1);
    assert_eq!((events[1].metadata.version, &events[1].key), (2, &None));
    assert_ne!(events[0].metadata.id, events[1].metadata.id);
}

#[tokio::test]
async fn a_request_that_raises_nothing_publishes_nothing() {
    let (users, recorder) = users(Recorder::default());
    users.send(FindUser(7)).await.unwrap();
    users.send(Touch).await.unwrap();
    assert!(recorder.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_of_a_request_that_failed() {
    let (users, recorder) = users(Recorder::default());
    let mut cx = Context::new();
    cx.raise(UserRegistered("before".to_owned()));
    users.send_in(create("taken"), &mut cx).await.unwrap_err().into_handler_error().unwrap();
    assert!(cx.raised().is_empty());
    assert!(users.send_in(create("slow"), &mut cx).await.unwrap_err().is_timed_out());
    users.send_in(Touch, &mut cx).await.unwrap();
    assert!(recorder.calls().is_empty());
}

#[tokio::test]
async fn nothing_is_published_after_a_panic() {
    let (users, recorder) = users(Recorder::default());
    let sender = users.clone();
    let panic = tokio::spawn(async move { sender.send(create("panic")).await.map(drop) })
        .await
        .unwrap_err();
    assert!(panic.is_panic());
    assert!(recorder.calls().is_empty());
    users.send(create("ada")).await.unwrap();
    assert_eq!(recorder.only_call().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_context_whose_request_was_dropped_half_way_can_be_used_again() {
    let (users, recorder) = users(Recorder::default());
    let mut cx = Context::new();
    let dropped =
        tokio::time::timeout(Duration::from_secs(1), users.send_in(create("slow"), &mut cx)).await;
    assert!(dropped.is_err());
    users.send_in(create("ada"), &mut cx).await.unwrap();
    assert_eq!(shown(&recorder.only_call())[0], r#"user_created {"name":"ada"}"#);
}

#[tokio::test]
async fn what_the_caller_raised_before_is_published_first() {
    let (users, recorder) = users(Recorder::default());
    let mut cx = Context::new();
    cx.raise(UserRegistered("before".to_owned()));
    users.send_in(create("ada"), &mut cx).await.unwrap();
    assert_eq!(shown(&recorder.only_call())[0], r#"user_created {"name":"before"}"#);
    assert!(cx.raised().is_empty());
}

#[tokio::test]
async fn a_failure_to_publish_carries_the_response_and_the_events_that_are_left_in_order() {
    let (users, recorder) = users(Recorder::failing(1, 1));
    let error = users.send(create("listed")).await.unwrap_err();
    assert!(error.is_unpublished());
    assert_eq!(error.response().unwrap().name, "listed");
    let said = "the request succeeded, and events of it were not published (3): \
                mailing_list_changed, user_created, mailing_list_changed";
    assert_eq!(error.to_string(), said);
    assert_eq!(error.source().unwrap().to_string(), "the broker is away");
    assert_eq!(format!("{error:?}"), format!("{said}: the broker is away"), "as a `main` shows it");
    let SendError::Unpublished(unpublished) = error else { panic!() };
    let left = [
        "mailing_list_changed null",
        r#"user_created {"name":"listed's twin"}"#,
        "mailing_list_changed null",
    ];
    assert_eq!(shown(&unpublished.events), left);
    let ids: Vec<_> = unpublished.events.iter().map(|event| event.metadata.id.clone()).collect();
    let user = unpublished.retry(&recorder).await.unwrap();
    assert_eq!(user.name, "listed");
    let calls = recorder.calls();
    assert_eq!(shown(&calls[1]), left);
    assert_eq!(
        calls[1].iter().map(|event| event.metadata.id.clone()).collect::<Vec<_>>(),
        ids,
        "the ids are kept"
    );
}

#[tokio::test]
async fn a_retry_that_fails_again_holds_what_is_left_this_time() {
    let (users, recorder) = users(Recorder::failing(2, 1));
    let SendError::Unpublished(first) = users.send(create("ada")).await.unwrap_err() else {
        panic!()
    };
    assert_eq!(first.events.len(), 2);
    let again = first.retry(&*recorder).await.unwrap_err();
    assert_eq!((again.events.len(), again.response.name.as_str()), (1, "ada"));
    again.retry(&*recorder).await.unwrap();
}

#[tokio::test]
async fn an_event_that_nobody_mapped_keeps_all_of_them_back_and_the_error_carries_the_response() {
    let (users, recorder) = users(Recorder::default());
    let error = users.send(create("forgotten")).await.unwrap_err();
    assert_eq!(error.response().unwrap().name, "forgotten");
    assert!(
        error.source().unwrap().to_string().contains("no mapping for the domain event Forgotten")
    );
    let SendError::Mapping(failure) = error else { panic!() };
    let raised: Vec<_> = failure.raised.iter().map(|raised| raised.name()).collect();
    assert_eq!(
        raised,
        ["UserRegistered", "PasswordHashed", "Forgotten", "mailing_list_changed", "UserRegistered"]
    );
    assert!(recorder.calls().is_empty());
}

#[tokio::test]
async fn an_event_whose_key_is_none_is_a_mapping_failure() {
    let (users, recorder) = users(Recorder::default());
    let error = users.send(create("")).await.unwrap_err();
    let SendError::Mapping(failure) = &error else { panic!("{error:?}") };
    assert!(matches!(
        failure.error,
        MapError::Envelope(EnvelopeError::Key { event: "user_created", .. })
    ));
    assert!(tidings::error::chain(&error).ends_with("an event without a key answers `None`"));
    assert!(recorder.calls().is_empty());
}

#[tokio::test]
async fn a_requests_events_share_its_correlation_and_name_it_as_their_cause() {
    let (users, recorder) = users(Recorder::default());
    users.send(create("ada")).await.unwrap();
    users.send(create("bob")).await.unwrap();
    let calls = recorder.calls();
    let [ada, bob] = [&calls[0][0].metadata, &calls[1][0].metadata];
    assert_eq!(
        ada.causation_id.as_ref(),
        Some(&ada.correlation_id),
        "the request is where it all begins"
    );
    assert!(calls[0].iter().all(|event| event.metadata.correlation_id == ada.correlation_id));
    assert!(calls[0].iter().all(|event| event.metadata.causation_id == ada.causation_id));
    assert_ne!(ada.correlation_id, bob.correlation_id);
}

#[tokio::test]
async fn within_an_events_handler_that_event_is_the_cause_and_its_correlation_goes_on() {
    let (users, recorder) = users(Recorder::default());
    let (correlation, cause) = (EventId::new(), EventId::new());
    let flow = Flow {
        correlation_id: Some(correlation.clone()),
        causation_id: Some(cause.clone()),
        tenant: Some(Tenant::new("acme").unwrap()),
        trace: None,
    };
    flow.scope(users.send(create("ada"))).await.unwrap();
    for event in recorder.only_call() {
        assert_eq!(event.metadata.correlation_id, correlation);
        assert_eq!(event.metadata.causation_id.as_ref(), Some(&cause));
        assert_eq!(event.metadata.tenant.as_ref().unwrap().as_str(), "acme");
    }
}

#[tokio::test]
async fn a_correlation_given_with_the_context_goes_on_with_the_request_as_the_cause() {
    let (users, recorder) = users(Recorder::default());
    let correlation = EventId::new();
    let flow = Flow { correlation_id: Some(correlation.clone()), ..Flow::default() };
    let mut cx = Context::with_flow(flow.clone());
    users.send_in(create("ada"), &mut cx).await.unwrap();
    assert_eq!(cx.flow(), flow, "the caller's flow is as it was");
    for event in recorder.only_call() {
        assert_eq!(event.metadata.correlation_id, correlation);
        assert_ne!(event.metadata.causation_id, None);
        assert_ne!(event.metadata.causation_id.as_ref(), Some(&correlation));
    }
}

/// What a transaction would do: looks at everything raised before it commits.
struct Counting(Arc<AtomicUsize>);

impl Behaviour for Counting {
    async fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> Result<R::Response, SendError<R>> {
        let response = next.run(request, cx).await?;
        self.0.store(cx.raised().len(), Ordering::Relaxed);
        if cx.raised().len() == 4 {
            Err(SendError::Behaviour("the commit failed".into()))
        } else {
            Ok(response)
        }
    }
}

#[tokio::test]
async fn a_behaviour_finds_all_that_was_raised_once_the_handler_is_done_and_can_still_fail_it() {
    let count = Arc::new(AtomicUsize::new(0));
    let recorder = Recorder::default();
    let mediator =
        Mediator::builder().behaviour(Counting(count.clone())).handler(CreateUserHandler);
    let users = mediator.build().unwrap().publishing(mapper(), &recorder);
    users.send(create("ada")).await.unwrap_err();
    assert_eq!(count.load(Ordering::Relaxed), 4, "with the domain event of the response");
    assert!(recorder.calls().is_empty(), "nothing is published of what was not committed");
    users.send(create("listed")).await.unwrap();
    assert_eq!(recorder.only_call().len(), 4);
}

/// Sends requests within a request.
#[derive(Command)]
#[request(response = Flow, error = UserError)]
struct Invite(Vec<&'static str>);

#[derive(Clone, Default)]
struct InviteHandler {
    inner: Arc<OnceLock<Mediator>>,
    publishing: Arc<OnceLock<Users>>,
}

impl RequestHandler<Invite> for InviteHandler {
    async fn handle(&self, request: Invite, cx: &mut Context) -> Result<Flow, UserError> {
        cx.raise(UserRegistered("first".to_owned()));
        for name in request.0 {
            // One that is taken, or slow, is passed over.
            let patience = Duration::from_secs(1);
            let _ = match self.publishing.get() {
                Some(mediator) => timeout(patience, mediator.send_in(create(name), cx)).await,
                None => {
                    timeout(patience, self.inner.get().unwrap().send_in(create(name), cx)).await
                }
            };
        }
        cx.raise(UserRegistered("last".to_owned()));
        assert_eq!(cx.flow(), Flow::current());
        Ok(cx.flow())
    }
}

#[tokio::test(start_paused = true)]
async fn requests_within_a_request_are_published_with_it_and_failed_or_dropped_ones_are_not() {
    for through_the_decorator in [false, true] {
        let handler = InviteHandler::default();
        let mediator = Mediator::builder()
            .handler(CreateUserHandler)
            .handler(handler.clone())
            .build()
            .unwrap();
        handler.inner.set(mediator.clone()).unwrap();
        let recorder = Arc::new(Recorder::default());
        let users = mediator.publishing(mapper(), recorder.clone());
        if through_the_decorator {
            assert!(handler.publishing.set(users.clone()).is_ok());
        }
        let flow = users.send(Invite(vec!["ada", "taken", "slow", "bob"])).await.unwrap();
        let events = recorder.only_call();
        assert_eq!(
            shown(&events),
            [
                r#"user_created {"name":"first"}"#,
                r#"user_created {"name":"ada"}"#,
                "mailing_list_changed null",
                r#"user_created {"name":"ada's twin"}"#,
                r#"user_created {"name":"bob"}"#,
                "mailing_list_changed null",
                r#"user_created {"name":"bob's twin"}"#,
                r#"user_created {"name":"last"}"#,
            ]
        );
        assert!(events.iter().all(|event| event.metadata.causation_id == flow.causation_id));
    }
}

/// A mediator of the user's own: it answers what it likes.
struct Own;

impl Mediate for Own {
    async fn send_in<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
    ) -> Result<R::Response, SendError<R>> {
        cx.raise(UserRegistered("own".to_owned()));
        let any: Box<dyn std::any::Any + Send> = Box::new(request);
        let Ok(create) = any.downcast::<CreateUser>() else {
            return Err(SendError::Behaviour("own mediators know what they know".into()));
        };
        let user = User {
            name: create.name,
            events: vec![Box::new(UserRegistered("of the response".to_owned()))],
        };
        let answer: Box<dyn std::any::Any + Send> = Box::new(user);
        Ok(*answer.downcast::<R::Response>().unwrap())
    }
}

#[tokio::test]
async fn a_mediator_of_the_users_own_is_decorated_the_same_way() {
    let recorder = Recorder::default();
    let users = Own.publishing(mapper(), &recorder);
    users.send(create("listed")).await.unwrap();
    assert!(matches!(users.send(Touch).await.unwrap_err(), SendError::Behaviour(_)));
    assert_eq!(
        shown(&recorder.only_call()),
        [
            r#"user_created {"name":"own"}"#,
            r#"user_created {"name":"of the response"}"#,
            "mailing_list_changed null"
        ]
    );
}

/// A mediator of the user's own around ours.
struct Around(Mediator);

impl Mediate for Around {
    async fn send_in<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
    ) -> Result<R::Response, SendError<R>> {
        cx.raise(UserRegistered("around".to_owned()));
        self.0.send_in(request, cx).await
    }
}

#[tokio::test]
async fn a_mediator_around_ours_has_the_responses_events_published_once() {
    let recorder = Recorder::default();
    let mediator = Mediator::builder().handler(CreateUserHandler).build().unwrap();
    let users = Around(mediator).publishing(mapper(), &recorder);
    users.send(create("listed")).await.unwrap();
    assert_eq!(shown(&recorder.only_call()).len(), 5);
    users.send(create("taken")).await.unwrap_err();
    assert_eq!(recorder.only_call().len(), 5);
}

#[tokio::test]
async fn mapping_and_wrapping_can_be_had_without_publishing() {
    let mediator = Mediator::builder().handler(CreateUserHandler).build().unwrap();
    let collected =
        tidings::mediator::collect(&mediator, create("ada"), &mut Context::new()).await.unwrap();
    let recorder = Recorder::default();
    let envelopes = mapper()
        .envelopes(&collected.raised, recorder.source(), recorder.format(), &collected.flow)
        .unwrap();
    assert_eq!(envelopes.len(), 3);
    assert_eq!(envelopes[0].metadata.correlation_id, collected.flow.correlation_id.unwrap());
}
