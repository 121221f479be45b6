//! The mediator, its behaviours and the publishing decorator, through the public API.
#![cfg(all(feature = "macros", feature = "json"))]

mod behaviours;
mod dispatch;
mod publishing;
mod users;
