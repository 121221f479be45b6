//! The example's services on a broker in memory; the demo and the workers, over HTTP, on an embedded broker and a real one.

mod clean_end;
mod commands;
mod demo;
mod mails;
mod mapping;
mod reports;
#[path = "../../../tests/support/mod.rs"]
mod shared;
mod stage;
mod stores;
mod users;
mod workers;
