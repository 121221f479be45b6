//! Workers and what they read, on the memory transport in virtual time.
#![allow(unreachable_pub, reason = "modules of one test binary share what they need")]

mod attempts;
mod batch;
mod building;
mod failing;
mod inputs;
mod outputs;
mod running;
mod stage;
