//! Consumers on a broker made of queues, under a paused clock: what they do, and when, to the millisecond.

mod commits;
mod determinism;
mod kinds;
mod stage;
mod stop;
mod too_large;
