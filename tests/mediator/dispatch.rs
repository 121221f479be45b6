//! Requests reach their handlers, and mistakes in putting a mediator together are found.

use std::error::Error;
use std::sync::Arc;

use tidings::mediator::{BuildError, Context, Mediate, Mediator, Publishing, SendError};
use tidings::{Command, Query};

use crate::users::*;

#[tokio::test]
async fn a_request_reaches_its_one_handler() {
    let mediator = Mediator::builder().handler(CreateUserHandler).build().unwrap();
    assert_eq!(mediator.send(create("ada")).await.unwrap().name, "ada");
}

#[tokio::test]
async fn a_type_handles_several_requests_named_one_by_one_or_all_at_once() {
    let users = Arc::new(Users);
    let one_by_one = Mediator::builder()
        .handler::<FindUser, _>(users.clone())
        .handler::<Touch, _>(users)
        .handler(Arc::new(CreateUserHandler))
        .build()
        .unwrap();
    let at_once = Mediator::builder().handlers::<(FindUser, Touch), _>(Users).build().unwrap();
    for mediator in [one_by_one, at_once] {
        assert_eq!(mediator.send(FindUser(7)).await.unwrap().as_deref(), Some("ada"));
        assert_eq!(mediator.send(FindUser(8)).await.unwrap(), None);
        mediator.send(Touch).await.unwrap();
    }
}

#[tokio::test]
async fn a_handlers_error_comes_back_as_it_is() {
    let mediator = Mediator::builder().handler(CreateUserHandler).build().unwrap();
    let error = mediator.send(create("taken")).await.unwrap_err();
    assert_eq!(error.to_string(), "taken is taken");
    assert!(error.source().is_none() && error.response().is_none());
    assert_eq!(error.handler_error(), Some(&UserError::Taken("taken".to_owned())));
    assert_eq!(error.into_handler_error().unwrap(), UserError::Taken("taken".to_owned()));
}

#[tokio::test]
async fn a_request_without_a_handler_is_named_with_the_fix() {
    let mediator = Mediator::builder().build().unwrap();
    let error = mediator.send(create("ada")).await.unwrap_err();
    assert!(error.is_no_handler());
    assert_eq!(
        error.to_string(),
        "the mediator has no handler for CreateUser; add `.handler(..)` to its builder"
    );
    assert!(error.into_handler_error().unwrap_err().is_no_handler());
}

#[test]
fn a_second_handler_for_a_request_is_a_build_error_that_names_it() {
    let error = Mediator::builder()
        .handler(CreateUserHandler)
        .handlers::<(FindUser, Touch), _>(Users)
        .handler(CreateUserHandler)
        .build()
        .unwrap_err();
    assert_eq!(error, BuildError::HandledTwice { requests: vec!["mediator::users::CreateUser"] });
}

#[test]
fn required_requests_without_a_handler_are_all_named() {
    let error = Mediator::builder()
        .requires::<(CreateUser, FindUser)>()
        .handler::<FindUser, _>(Users)
        .requires::<(Touch, CreateUser)>()
        .build()
        .unwrap_err();
    let missing = vec!["mediator::users::CreateUser", "mediator::users::Touch"];
    assert_eq!(error, BuildError::NotHandled { requests: missing });
    assert!(error.to_string().contains("mediator::users::CreateUser, mediator::users::Touch"));
}

#[tokio::test]
async fn a_panic_in_a_handler_reaches_the_sender_and_leaves_the_mediator_usable() {
    let mediator = Mediator::builder().handler(CreateUserHandler).build().unwrap();
    let sender = mediator.clone();
    let panic = tokio::spawn(async move { sender.send(create("panic")).await.map(|_| ()) })
        .await
        .unwrap_err();
    assert_eq!(panic.into_panic().downcast_ref::<&str>(), Some(&"the handler's own panic"));
    mediator.send(create("ada")).await.unwrap();
}

#[tokio::test]
async fn what_a_request_raised_stays_in_the_callers_context_and_what_a_failed_one_raised_does_not()
{
    let mediator = Mediator::builder().handler(CreateUserHandler).build().unwrap();
    let mut cx = Context::new();
    mediator.send_in(create("ada"), &mut cx).await.unwrap();
    mediator.send_in(create("taken"), &mut cx).await.unwrap_err();
    let names: Vec<_> = cx.take_raised().iter().map(|raised| raised.name()).collect();
    assert_eq!(names, ["UserRegistered", "PasswordHashed", "mailing_list_changed"]);
    assert!(cx.raised().is_empty());
}

#[test]
fn values_in_a_context_are_kept_by_their_type() {
    let mut cx = Context::new();
    assert_eq!(cx.get::<u8>(), None);
    assert_eq!(cx.insert(1_u8), None);
    assert_eq!(cx.insert(2_u8), Some(1));
    assert_eq!(cx.insert("text"), None);
    *cx.get_mut::<u8>().unwrap() += 1;
    assert_eq!(cx.get(), Some(&"text"));
    assert_eq!(cx.remove::<u8>(), Some(3));
    assert_eq!(cx.get::<u8>(), None);
}

#[test]
fn mediators_are_cheap_to_share_as_axum_asks_of_state() {
    fn state<T: Clone + Send + Sync + 'static>() {}
    state::<Mediator>();
    state::<Publishing<Mediator, Recorder>>();
    fn send<T: Send>(_: T) {}
    let mediator = Mediator::builder().handler(CreateUserHandler).build().unwrap();
    send(mediator.send(create("ada")));
    send(mediator.publishing(mapper(), Recorder::default()).send(create("ada")));
}

#[tokio::test]
async fn code_that_is_generic_over_mediators_and_over_requests_compiles() {
    async fn run<R: Command>(
        mediator: &impl Mediate,
        request: R,
    ) -> Result<R::Response, SendError<R>> {
        mediator.send(request).await
    }
    async fn ask<R: Query>(
        mediator: &impl Mediate,
        request: R,
    ) -> Result<R::Response, SendError<R>> {
        mediator.send(request).await
    }
    let mediator = Mediator::builder().handlers::<(FindUser, Touch), _>(Users).build().unwrap();
    run(&mediator, Touch).await.unwrap();
    assert_eq!(ask(&mediator, FindUser(1)).await.unwrap(), None);
}
