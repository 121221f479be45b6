//! Three services and what they tell each other: users come and go, get mails about it, and are reported.
//!
//! `user_service` is written the DDD way: an aggregate, its domain events, requests through a
//! mediator, and a mapper from domain events to the contracts in `contracts/`. `email_service`
//! consumes these, `report_service`'s workers make reports and profiles of them. `demo` drives the first two and checks that nothing is missing, doubled or out of order.

#![allow(missing_docs, reason = "an example's names and first lines say it")]

pub mod broker;
pub mod database;
pub mod demo;
pub mod email_service;
pub mod problem;
pub mod report_service;
pub mod service;
pub mod settings;
pub mod user_service;
