use std::convert::Infallible;

use tidings::mediator::{Context, Mediator, RequestHandler, Tracing};
use tidings::Command;

#[derive(Command)]
#[request(error = Infallible)]
struct Touch;

#[derive(Command)]
#[request(error = Infallible)]
struct Forget;

struct Handler;

impl RequestHandler<Touch> for Handler {
    async fn handle(&self, _: Touch, _: &mut Context) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Several;

impl RequestHandler<Touch> for Several {
    async fn handle(&self, _: Touch, _: &mut Context) -> Result<(), Infallible> {
        Ok(())
    }
}

impl RequestHandler<Forget> for Several {
    async fn handle(&self, _: Forget, _: &mut Context) -> Result<(), Infallible> {
        Ok(())
    }
}

struct NoHandler;

struct NoRequest;

fn behaviours_go_first() {
    let _ = Mediator::builder().handler(Handler).behaviour(Tracing);
}

fn a_behaviour_is_one() {
    let _ = Mediator::builder().behaviour(Handler);
}

fn a_handler_handles() {
    let _ = Mediator::builder().handler::<Touch, _>(NoHandler);
    let _ = Mediator::builder().handler::<Forget, _>(Handler);
    let _ = Mediator::builder().handlers::<(Touch, Forget), _>(Handler);
}

fn a_handler_of_several_is_told_which() {
    let _ = Mediator::builder().handler(Several);
}

async fn a_request_is_one(mediator: Mediator) {
    let _ = mediator.send(NoRequest).await;
}

fn main() {}
