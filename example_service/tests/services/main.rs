//! The example's services over HTTP, on an embedded broker.

mod demo;
mod mails;
mod support;
mod users;
