//! The example's services over HTTP, on an embedded broker; the demo on a real one too.

mod demo;
mod mails;
#[path = "../../../tests/support/mod.rs"]
mod shared;
mod support;
mod users;
